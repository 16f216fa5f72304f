//! Rows that are compared, column by column: `(a, b) < (1, 2)`, `(a, b) IN ((1, 2), (3, 4))`, `(a, b) IN (SELECT …)`.

use datafusion_sql::sqlparser::ast::{
    self, BinaryOperator, Expr, Ident, Query, SetExpr, TableFactor,
};

use super::{binary, is_arithmetic, quantified};
use crate::statement::select_nothing;

/// Columns of a row that is compared with another.
const COMPARED_MAX: usize = 64;
/// Of what is copied, calls within calls.
const COPIED_DEPTH_MAX: usize = 4;
/// The rows of a subquery that a row is looked for in; no statement can name them.
const FOUND: &str = "\u{1}found";

/// See the module head.
pub fn by_column(expression: &mut Expr) {
    let compared = match expression {
        Expr::BinaryOp { left, op, right } => match (left.as_ref(), right.as_ref()) {
            (Expr::Tuple(left), Expr::Tuple(right)) => compared(left, op, right),
            _ => None,
        },
        Expr::InList {
            expr,
            list,
            negated,
        } => {
            let Expr::Tuple(row) = expr.as_ref() else {
                return;
            };
            let is_small = list.len() == 1 || row.iter().all(|part| is_small(part, 0));
            let each = list.iter().map(|one| match one {
                Expr::Tuple(one) if is_small => compared(row, &BinaryOperator::Eq, one),
                _ => None,
            });
            let each = each.collect::<Option<Vec<_>>>();
            let any = each.and_then(|each| joined(each, &BinaryOperator::Or));
            any.map(|any| match negated {
                true => Expr::UnaryOp {
                    op: ast::UnaryOperator::Not,
                    expr: Box::new(any),
                },
                false => any,
            })
        }
        Expr::InSubquery {
            expr,
            subquery,
            negated,
        } => match expr.as_ref() {
            Expr::Tuple(row) => membership(row, subquery, *negated),
            _ => None,
        },
        _ => None,
    };
    if let Some(compared) = compared {
        *expression = compared;
    }
}

/// `(a, b) IN (SELECT …)` where only truth counts: a condition, and what it is AND of.
pub fn found(condition: &mut Expr) {
    quantified(condition);
    match condition {
        Expr::Nested(inner) => found(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            found(left);
            found(right);
        }
        Expr::InSubquery {
            expr,
            subquery,
            negated: false,
        } => {
            if let Expr::Tuple(row) = expr.as_ref()
                && let Some(exists) = exists(row, subquery, |equal| equal)
            {
                *condition = exists;
            }
        }
        _ => {}
    }
}

/// True of a row that is there; unknown where it may be one, as nulls are in it or in others; else false.
fn membership(row: &[Expr], subquery: &Query, negated: bool) -> Option<Expr> {
    let when = |condition, result| ast::CaseWhen { condition, result };
    let truth = |value| Expr::value(ast::Value::Boolean(value));
    let is_there = exists(row, subquery, |equal| equal)?;
    let may_be = exists(row, subquery, |equal| Expr::IsNull(Box::new(equal)))?;
    Some(Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![
            when(is_there, truth(!negated)),
            when(may_be, Expr::value(ast::Value::Null)),
        ],
        else_result: Some(Box::new(truth(negated))),
    })
}

/// `EXISTS (SELECT 1 FROM (SELECT …) AS found(…) WHERE …)` by what the row equals.
fn exists(row: &[Expr], subquery: &Query, condition: fn(Expr) -> Expr) -> Option<Expr> {
    let name = |at: usize| Ident::with_quote('"', format!("{FOUND}{at}"));
    let there: Vec<Expr> = (0..row.len())
        .map(|at| Expr::Identifier(name(at)))
        .collect();
    let equal = compared(row, &BinaryOperator::Eq, &there)?;
    let columns = (0..row.len()).map(|at| ast::TableAliasColumnDef {
        name: name(at),
        data_type: None,
    });
    let mut query = select_nothing()?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    select.from.push(ast::TableWithJoins {
        relation: TableFactor::Derived {
            lateral: false,
            subquery: Box::new(subquery.clone()),
            alias: Some(ast::TableAlias {
                explicit: true,
                name: Ident::with_quote('"', FOUND),
                columns: columns.collect(),
                at: None,
            }),
            sample: None,
        },
        joins: Vec::new(),
    });
    select.selection = Some(condition(equal));
    Some(Expr::Exists {
        subquery: Box::new(query),
        negated: false,
    })
}

/// Whether copies of it are small: what a row is compared with is written several times.
fn is_small(part: &Expr, depth: usize) -> bool {
    if depth > COPIED_DEPTH_MAX {
        return false;
    }
    let is_small = |inner: &Expr| is_small(inner, depth + 1);
    match part {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => true,
        Expr::Cast { expr, .. } | Expr::UnaryOp { expr, .. } | Expr::Nested(expr) => is_small(expr),
        Expr::BinaryOp { left, op, right } => {
            is_arithmetic(op) && is_small(left) && is_small(right)
        }
        Expr::Function(call) => match &call.args {
            ast::FunctionArguments::List(list) => list.args.iter().all(|argument| match argument {
                ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(inner)) => is_small(inner),
                _ => false,
            }),
            _ => false,
        },
        _ => false,
    }
}

fn compared(left: &[Expr], by: &BinaryOperator, right: &[Expr]) -> Option<Expr> {
    if left.len() != right.len() || left.len() > COMPARED_MAX {
        return None;
    }
    let each = |by: &BinaryOperator| {
        let by = by.clone();
        let pairs = left.iter().zip(right);
        pairs.map(move |(left, right)| binary(left.clone(), by.clone(), right.clone()))
    };
    let strict = match by {
        BinaryOperator::Eq => return joined(each(by).collect(), &BinaryOperator::And),
        BinaryOperator::NotEq => return joined(each(by).collect(), &BinaryOperator::Or),
        _ if !left.iter().chain(right).all(|part| is_small(part, 0)) => return None,
        BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
        BinaryOperator::Gt | BinaryOperator::GtEq => BinaryOperator::Gt,
        _ => return None,
    };
    let first = each(&strict).zip(each(&BinaryOperator::Eq)).rev().skip(1);
    let last = each(by).next_back()?;
    // The first pair that differs decides.
    Some(first.fold(last, |rest, (strict, equal)| {
        let rest = binary(equal, BinaryOperator::And, rest);
        binary(strict, BinaryOperator::Or, rest)
    }))
}

/// Halves of halves: a long list must not become a deep expression.
fn joined(mut parts: Vec<Expr>, by: &BinaryOperator) -> Option<Expr> {
    while parts.len() > 1 {
        let mut rest = parts.into_iter();
        parts = Vec::new();
        while let Some(first) = rest.next() {
            parts.push(match rest.next() {
                Some(second) => binary(first, by.clone(), second),
                None => first,
            });
        }
    }
    parts.pop()
}
