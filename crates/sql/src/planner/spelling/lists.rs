//! Operators over lists that are written out, and those that have the name of a function.

use arrow::{
    array::{AsArray, StringArray},
    datatypes::DataType,
};
use datafusion_sql::sqlparser::ast::{self, BinaryOperator, Expr};

use super::{binary, calls, function, taken};
use crate::text;

/// See the module head.
pub fn respell(expression: &mut Expr) {
    match expression {
        Expr::AnyOp { .. } | Expr::AllOp { .. } => among_written(expression),
        Expr::Like { .. } | Expr::ILike { .. } => like_some(expression),
        Expr::BinaryOp { left, op, right } => {
            let name = match op {
                BinaryOperator::PGOverlap => "array_has_any",
                BinaryOperator::PGStartsWith => "starts_with",
                _ => return,
            };
            *expression = function(name, vec![taken(left), taken(right)]);
        }
        _ => {}
    }
}

/// `a = ANY ('{1,2}')` as `a IN ('1', '2')`, and `a <> ALL ('{1,2}')` as NOT IN: the elements are of the type of `a`.
fn among_written(expression: &mut Expr) {
    let (left, right, negated) = match expression {
        Expr::AnyOp {
            left,
            compare_op: BinaryOperator::Eq,
            right,
            ..
        } => (left, right, false),
        Expr::AllOp {
            left,
            compare_op: BinaryOperator::NotEq,
            right,
        } => (left, right, true),
        _ => return,
    };
    let Some(list) = written_text(right).and_then(elements) else {
        return;
    };
    *expression = match list.is_empty() {
        true => Expr::value(ast::Value::Boolean(negated)),
        false => Expr::InList {
            expr: Box::new(taken(left)),
            list,
            negated,
        },
    };
}

fn written_text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Nested(inner) => written_text(inner),
        Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn elements(text: &str) -> Option<Vec<Expr>> {
    let texts = StringArray::from(vec![text]);
    let lists = text::column(&texts, &DataType::new_list(DataType::Utf8, true), false).ok()?;
    let lists = lists.as_list::<i32>();
    let elements = lists.value(0);
    let elements = elements.as_string_opt::<i32>()?.iter().map(|element| {
        let text = |element: &str| ast::Value::SingleQuotedString(element.to_owned());
        Expr::value(element.map_or(ast::Value::Null, text))
    });
    Some(elements.collect())
}

/// `a LIKE ANY (ARRAY['b', 'c'])` as `a LIKE 'b' OR a LIKE 'c'`; with ALL, as AND.
fn like_some(expression: &mut Expr) {
    let (Expr::Like { any, pattern, .. } | Expr::ILike { any, pattern, .. }) = &*expression else {
        return;
    };
    let (op, list) = match pattern.as_ref() {
        list if *any => (BinaryOperator::Or, Some(list)),
        // The parser knows ANY only.
        Expr::Function(call) => (BinaryOperator::And, calls::only_argument(call, "all")),
        _ => return,
    };
    let one = |pattern: Expr| {
        let mut one = expression.clone();
        if let Expr::Like {
            any, pattern: of, ..
        }
        | Expr::ILike {
            any, pattern: of, ..
        } = &mut one
        {
            (*any, **of) = (false, pattern);
        }
        one
    };
    let all = list.and_then(written_list).unwrap_or_default();
    let all = all.into_iter().map(one);
    if let Some(all) = all.reduce(|all, one| binary(all, op.clone(), one)) {
        *expression = all;
    }
}

fn written_list(expression: &Expr) -> Option<Vec<Expr>> {
    match expression {
        Expr::Nested(inner) => written_list(inner),
        Expr::Array(array) => Some(array.elem.clone()),
        other => elements(written_text(other)?),
    }
}
