//! Expressions as the engine's planner has to be told them to mean what Postgres does: the type of whole numbers, signs,
//! intervals, `extract`, `AT TIME ZONE`, rows that are compared, `= ANY (SELECT …)`, `FETCH FIRST`, calls that have other names
//! or other arguments there.

mod calls;
mod lists;
mod rows;

use datafusion_sql::sqlparser::ast::{
    self, BinaryOperator, Expr, Ident, Query, SetExpr, VisitMut, VisitorMut,
};

use super::operands::parameter_in;
use crate::{
    functions::{typed::PLAIN_TEXT, zones::TIMEZONE},
    text::interval_of,
};

/// See the module head.
pub fn respell(statement: &mut ast::Statement) {
    let flow = statement.visit(&mut Spelling);
    debug_assert!(flow.is_continue());
}

struct Spelling;

impl VisitorMut for Spelling {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> std::ops::ControlFlow<()> {
        if let Some(condition) = &mut select.selection {
            rows::found(condition);
        }
        std::ops::ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> std::ops::ControlFlow<()> {
        prefix_last(expression);
        std::ops::ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> std::ops::ControlFlow<()> {
        rotate(expression);
        if let Expr::Function(call) = expression {
            fold_name(&mut call.name);
        }
        calls::respell(expression);
        at_time_zone(expression);
        plain_interval(expression);
        extraction(expression);
        sign_first(expression);
        before_a_number(expression);
        kept_as_text(expression);
        quantified(expression);
        lists::respell(expression);
        cut_to_length(expression);
        by_pattern(expression);
        rows::by_column(expression);
        if let Expr::Function(ast::Function {
            over: Some(ast::WindowType::WindowSpec(window)),
            ..
        }) = expression
            && let Some(frame) = &mut window.window_frame
        {
            plain_bound(&mut frame.start_bound);
            frame.end_bound.iter_mut().for_each(plain_bound);
        }
        // They are `integer` where they fit; the engine takes all of them for `bigint`.
        if let Expr::Value(value) = expression
            && let ast::Value::Number(digits, _) = &value.value
            && digits.parse::<i32>().is_ok()
        {
            let number = Box::new(expression.clone());
            *expression = Expr::Cast {
                kind: ast::CastKind::DoubleColon,
                expr: number,
                data_type: ast::DataType::Int4(None),
                array: false,
                format: None,
            };
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Where a number is a place or a count, it stays one.
    fn post_visit_query(&mut self, query: &mut Query) -> std::ops::ControlFlow<()> {
        if let Some(ast::OrderBy {
            kind: ast::OrderByKind::Expressions(keys),
            ..
        }) = &mut query.order_by
        {
            keys.iter_mut().for_each(|key| plain_number(&mut key.expr));
        }
        if let Some(ast::LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            limit.iter_mut().for_each(plain_number);
            offset
                .iter_mut()
                .for_each(|offset| plain_number(&mut offset.value));
        }
        if let Some(fetch) = &mut query.fetch {
            fetch.quantity.iter_mut().for_each(plain_number);
        }
        fetch_as_limit(query);
        plain_texts(&mut query.body);
        plain_places(&mut query.body);
        std::ops::ControlFlow::Continue(())
    }
}

/// The parser takes all that stands behind IS DISTINCT FROM as its right side, `AND` and `OR` too.
fn rotate(expression: &mut Expr) {
    let wrap = match expression {
        Expr::IsDistinctFrom(..) => Expr::IsDistinctFrom,
        Expr::IsNotDistinctFrom(..) => Expr::IsNotDistinctFrom,
        _ => return,
    };
    let whole = taken(expression);
    if let Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) = whole {
        *expression = rotated(left, *right, wrap);
    }
}

fn rotated(left: Box<Expr>, right: Expr, wrap: fn(Box<Expr>, Box<Expr>) -> Expr) -> Expr {
    use ast::BinaryOperator::{And, Or};
    match right {
        Expr::BinaryOp {
            left: first,
            op: op @ (And | Or),
            right: rest,
        } => Expr::BinaryOp {
            left: Box::new(rotated(left, *first, wrap)),
            op,
            right: rest,
        },
        other => wrap(left, Box::new(other)),
    }
}

/// Text of an interval in words that the engine reads as Postgres does, and a sign before it in them.
fn plain_interval(expression: &mut Expr) {
    match expression {
        Expr::Interval(interval) => {
            reword(interval, 1);
        }
        Expr::UnaryOp {
            op: ast::UnaryOperator::Minus,
            expr,
        } => {
            if let Expr::Interval(interval) = expr.as_mut()
                && reword(interval, -1)
            {
                *expression = taken(expr);
            }
        }
        _ => {}
    }
}

fn reword(interval: &mut ast::Interval, sign: i64) -> bool {
    if interval.leading_field.is_none()
        && let Expr::Value(value) = interval.value.as_mut()
        && let ast::Value::SingleQuotedString(text) = &mut value.value
        && let Some(read) = interval_of(text)
    {
        let (months, days) = (i64::from(read.months) * sign, i64::from(read.days) * sign);
        let us = read.nanoseconds / 1000 * sign;
        *text = format!("{months} months {days} days {us} microseconds");
        return true;
    }
    false
}

/// `extract(second FROM at)` as `date_part('second', at)`. The engine's planner takes a function of its own.
fn extraction(expression: &mut Expr) {
    let Expr::Extract { field, expr, .. } = expression else {
        return;
    };
    let part = field.to_string().trim_matches('\'').to_lowercase();
    let part = Expr::value(ast::Value::SingleQuotedString(part));
    *expression = function("date_part", vec![part, taken(expr)]);
}

/// `-2 ^ 2` as `(-2) ^ 2`: a sign binds closer than any operator.
fn sign_first(expression: &mut Expr) {
    let Expr::UnaryOp {
        op: ast::UnaryOperator::Minus,
        expr: whole,
    } = expression
    else {
        return;
    };
    let mut first = whole.as_mut();
    let mut is_power = false;
    while let Expr::BinaryOp {
        left,
        op: ast::BinaryOperator::PGExp,
        ..
    } = first
    {
        (first, is_power) = (left.as_mut(), true);
    }
    if is_power {
        let base = Box::new(taken(first));
        *first = Expr::UnaryOp {
            op: ast::UnaryOperator::Minus,
            expr: base,
        };
        *expression = taken(whole);
    }
}

/// `a::jsonb` as `jsonb(a)`. What a client sends for a parameter of the type is read as one.
fn kept_as_text(expression: &mut Expr) {
    if let Expr::TypedString(typed) = expression
        && let Some(name) = typed_text(&typed.data_type)
    {
        let text = Expr::Value(typed.value.clone());
        *expression = function(name, vec![text]);
    }
    let Expr::Cast {
        kind: ast::CastKind::Cast | ast::CastKind::DoubleColon,
        expr,
        data_type,
        ..
    } = expression
    else {
        return;
    };
    let Some(name) = typed_text(data_type) else {
        return;
    };
    if parameter_in(expr).is_none() {
        *expression = function(name, vec![taken(expr)]);
    }
}

/// `a::varchar(2)` cuts what is longer, which a column of the type refuses.
fn cut_to_length(expression: &mut Expr) {
    let Expr::Cast {
        kind: ast::CastKind::Cast | ast::CastKind::DoubleColon,
        expr,
        data_type,
        ..
    } = expression
    else {
        return;
    };
    use ast::DataType::{Char, CharVarying, Character, CharacterVarying, Varchar};
    let length = match data_type {
        Varchar(Some(length)) | CharVarying(Some(length)) | CharacterVarying(Some(length)) => {
            length
        }
        Char(Some(length)) | Character(Some(length)) => length,
        _ => return,
    };
    let ast::CharacterLength::IntegerLength { length, .. } = length else {
        return;
    };
    if parameter_in(expr).is_none() {
        let length = Expr::value(ast::Value::Number(length.to_string(), false));
        let text = Expr::Cast {
            kind: ast::CastKind::DoubleColon,
            expr: Box::new(taken(expr)),
            data_type: ast::DataType::Text,
            array: false,
            format: None,
        };
        **expr = function("left", vec![text, length]);
    }
}

/// `substring(a FROM 'x(y)')` is what the pattern's first group finds, or all of it.
fn by_pattern(expression: &mut Expr) {
    let Expr::Substring {
        expr,
        substring_from: Some(pattern),
        substring_for: None,
        ..
    } = expression
    else {
        return;
    };
    let is_text =
        |value: &ast::ValueWithSpan| matches!(value.value, ast::Value::SingleQuotedString(_));
    if matches!(pattern.as_ref(), Expr::Value(value) if is_text(value)) {
        let groups = function("regexp_match", vec![taken(expr), taken(pattern)]);
        let first = Expr::value(ast::Value::Number("1".to_owned(), false));
        *expression = Expr::CompoundFieldAccess {
            root: Box::new(groups),
            access_chain: vec![ast::AccessExpr::Subscript(ast::Subscript::Index {
                index: first,
            })],
        };
    }
}

/// The function of a type that is text and more.
fn typed_text(of: &ast::DataType) -> Option<&'static str> {
    match of {
        ast::DataType::Uuid => Some("uuid"),
        ast::DataType::JSON => Some("json"),
        ast::DataType::JSONB => Some("jsonb"),
        _ => None,
    }
}

/// `|/ a` as `sqrt(a)`, `@ a` as `abs(a)`, and `~a` as `-1 - a`.
fn before_a_number(expression: &mut Expr) {
    let Expr::UnaryOp { op, expr } = expression else {
        return;
    };
    *expression = match op {
        ast::UnaryOperator::PGSquareRoot => function("sqrt", vec![taken(expr)]),
        ast::UnaryOperator::PGCubeRoot => function("cbrt", vec![taken(expr)]),
        ast::UnaryOperator::PGAbs => function("abs", vec![taken(expr)]),
        ast::UnaryOperator::BitwiseNot => {
            let mut one = Expr::value(ast::Value::Number("1".to_owned(), false));
            let _ = Spelling.post_visit_expr(&mut one);
            let minus_one = Expr::UnaryOp {
                op: ast::UnaryOperator::Minus,
                expr: Box::new(one),
            };
            let of = Expr::Nested(Box::new(taken(expr)));
            binary(minus_one, BinaryOperator::Minus, of)
        }
        _ => return,
    };
}

/// `~a + b` as `~(a + b)`, and so with roots: they bind less than the operators of arithmetic.
fn prefix_last(expression: &mut Expr) {
    let mut depth = 0;
    let mut first = &*expression;
    while let Expr::BinaryOp { left, op, .. } = first {
        if !is_arithmetic(op) {
            break;
        }
        (first, depth) = (left, depth + 1);
    }
    let is_prefixed = |of: &Expr| {
        use ast::UnaryOperator::{BitwiseNot, PGAbs, PGCubeRoot, PGSquareRoot};
        matches!(
            of,
            Expr::UnaryOp {
                op: BitwiseNot | PGSquareRoot | PGCubeRoot | PGAbs,
                ..
            }
        )
    };
    if depth == 0 || !is_prefixed(first) {
        return;
    }
    let mut first = &mut *expression;
    for _ in 0..depth {
        if let Expr::BinaryOp { left, .. } = first {
            first = left;
        }
    }
    if let Expr::UnaryOp { op, expr } = first {
        let op = *op;
        *first = taken(expr);
        let expr = Box::new(taken(expression));
        *expression = Expr::UnaryOp { op, expr };
    }
}

fn is_arithmetic(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Divide, Minus, Modulo, Multiply, PGExp, Plus};
    matches!(op, Plus | Minus | Multiply | Divide | Modulo | PGExp)
}

fn taken(expression: &mut Expr) -> Expr {
    std::mem::replace(expression, Expr::value(ast::Value::Null))
}

pub fn function(name: &str, arguments: Vec<Expr>) -> Expr {
    let arguments = arguments.into_iter().map(unnamed).collect();
    Expr::Function(called(named(name), arguments))
}

fn unnamed(argument: Expr) -> ast::FunctionArg {
    ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument))
}

fn named(name: &str) -> ast::ObjectName {
    ast::ObjectName::from(vec![Ident::new(name)])
}

/// `at AT TIME ZONE zone` as `timezone(zone, at)`. The engine's own is a cast, which loses what the clocks show.
fn at_time_zone(expression: &mut Expr) {
    if let Expr::AtTimeZone {
        timestamp,
        time_zone,
    } = expression
    {
        *expression = function(TIMEZONE, vec![taken(time_zone), taken(timestamp)]);
    }
}

/// The engine folds the names of functions only where they stand without a schema.
fn fold_name(name: &mut ast::ObjectName) {
    for part in &mut name.0 {
        if let ast::ObjectNamePart::Identifier(ident) = part
            && ident.quote_style.is_none()
        {
            ident.value = ident.value.to_lowercase();
        }
    }
}

fn plain_places(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            if let ast::GroupByExpr::Expressions(groups, _) = &mut select.group_by {
                groups.iter_mut().for_each(plain_number);
            }
            if let Some(ast::Distinct::On(keys)) = &mut select.distinct {
                keys.iter_mut().for_each(plain_number);
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            plain_places(left);
            plain_places(right);
        }
        _ => {}
    }
}

/// Rows of VALUES have one type each column, so what is more than text there is text beside it.
fn plain_texts(body: &mut SetExpr) {
    let SetExpr::Values(values) = body else {
        return;
    };
    if values.rows.len() < 2 {
        return;
    }
    let columns = values
        .rows
        .iter_mut()
        .flat_map(|row| row.content.iter_mut());
    for value in columns {
        let is_typed = match value {
            Expr::Function(call) => calls::is_typed_text(call),
            Expr::Cast {
                expr, data_type, ..
            } => parameter_in(expr).is_some() && typed_text(data_type).is_some(),
            _ => false,
        };
        if is_typed {
            *value = function(PLAIN_TEXT, vec![taken(value)]);
        }
    }
}

fn plain_bound(bound: &mut ast::WindowFrameBound) {
    if let ast::WindowFrameBound::Preceding(Some(far))
    | ast::WindowFrameBound::Following(Some(far)) = bound
    {
        plain_number(far);
    }
}

fn plain_number(expression: &mut Expr) {
    let inner = match expression {
        Expr::Cast { expr, .. } if matches!(expr.as_ref(), Expr::Value(_)) => expr.as_ref().clone(),
        Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => {
            sets.iter_mut().flatten().for_each(plain_number);
            return;
        }
        _ => return,
    };
    if matches!(&inner, Expr::Value(value) if matches!(value.value, ast::Value::Number(..))) {
        *expression = inner;
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }))
}

/// `a = ANY (SELECT …)` is IN, and `a <> ALL (SELECT …)` is NOT IN.
fn quantified(expression: &mut Expr) {
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
    if let Expr::Subquery(subquery) = right.as_ref() {
        *expression = Expr::InSubquery {
            expr: left.clone(),
            subquery: subquery.clone(),
            negated,
        };
    }
}

/// `FETCH FIRST 3 ROWS ONLY` is LIMIT 3.
fn fetch_as_limit(query: &mut Query) {
    let is_plain = |fetch: &ast::Fetch| !fetch.with_ties && !fetch.percent;
    if !query.fetch.as_ref().is_some_and(is_plain) {
        return;
    }
    let clause = query
        .limit_clause
        .get_or_insert(ast::LimitClause::LimitOffset {
            limit: None,
            offset: None,
            limit_by: Vec::new(),
        });
    if let ast::LimitClause::LimitOffset {
        limit: limit @ None,
        ..
    } = clause
        && let Some(fetch) = query.fetch.take()
    {
        let one = || Expr::value(ast::Value::Number("1".to_owned(), false));
        *limit = Some(fetch.quantity.unwrap_or_else(one));
    }
}

pub fn called(name: ast::ObjectName, arguments: Vec<ast::FunctionArg>) -> ast::Function {
    ast::Function {
        name,
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}
