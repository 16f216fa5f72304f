//! Names of columns as Postgres gives them: of the column or function, `?column?` for the rest.
//!
//! The engine wants all names of a SELECT to differ, so a repeated one gets a mark behind it, which [`shown`] takes off.

use std::collections::BTreeMap;

use datafusion_sql::sqlparser::ast::{
    self, Expr, Ident, Query, SelectItem, SetExpr, VisitMut, VisitorMut,
};

use crate::{backend::SqlError, functions::zones::TIMEZONE, text::interval_of};

/// No identifier of a statement holds it: the tokenizer takes control characters only inside of quotes.
const MARK: char = '\u{1}';

/// The name as it is shown.
#[must_use]
pub fn shown(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// Gives every column of every SELECT the name that Postgres would, and every whole number its type.
pub fn name_columns(statement: &mut ast::Statement) {
    let flow = statement.visit(&mut Namer);
    debug_assert!(flow.is_continue());
    let flow = statement.visit(&mut Numbers);
    debug_assert!(flow.is_continue());
}

/// Rows of a dataflow have no order that could be counted.
pub fn refuse_ordinality(statement: &ast::Statement) -> Result<(), SqlError> {
    match ast::Visit::visit(statement, &mut Ordinality) {
        std::ops::ControlFlow::Break(()) => {
            Err(SqlError::unsupported("WITH ORDINALITY is not supported"))
        }
        std::ops::ControlFlow::Continue(()) => Ok(()),
    }
}

struct Ordinality;

impl ast::Visitor for Ordinality {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> std::ops::ControlFlow<()> {
        match factor {
            ast::TableFactor::Table {
                with_ordinality: true,
                ..
            }
            | ast::TableFactor::UNNEST {
                with_ordinality: true,
                ..
            } => std::ops::ControlFlow::Break(()),
            _ => std::ops::ControlFlow::Continue(()),
        }
    }
}

/// Whole numbers are `integer` where they fit; the engine takes all of them for `bigint`.
struct Numbers;

impl VisitorMut for Numbers {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> std::ops::ControlFlow<()> {
        rotate(expression);
        if let Expr::Function(call) = expression {
            fold_name(&mut call.name);
            plain_digits(call);
            decimal_log(call);
            padded(call);
        }
        if let Some(operation) = modulo(expression) {
            *expression = operation;
        }
        at_time_zone(expression);
        plain_interval(expression);
        extraction(expression);
        sign_first(expression);
        if let Expr::Function(ast::Function {
            over: Some(ast::WindowType::WindowSpec(window)),
            ..
        }) = expression
            && let Some(frame) = &mut window.window_frame
        {
            plain_bound(&mut frame.start_bound);
            frame.end_bound.iter_mut().for_each(plain_bound);
        }
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
    let whole = std::mem::replace(expression, Expr::value(ast::Value::Null));
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
                *expression = std::mem::replace(expr.as_mut(), Expr::value(ast::Value::Null));
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
    let part = ast::Value::SingleQuotedString(field.to_string().to_lowercase());
    let of = std::mem::replace(expr.as_mut(), Expr::value(ast::Value::Null));
    let arguments = [Expr::value(part), of];
    let arguments = arguments.map(|one| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(one)));
    let name = ast::ObjectName::from(vec![Ident::new("date_part")]);
    *expression = Expr::Function(called(name, arguments.into()));
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
        let base = Box::new(std::mem::replace(first, Expr::value(ast::Value::Null)));
        *first = Expr::UnaryOp {
            op: ast::UnaryOperator::Minus,
            expr: base,
        };
        *expression = std::mem::replace(whole.as_mut(), Expr::value(ast::Value::Null));
    }
}

fn arguments_of(call: &mut ast::Function) -> Vec<&mut Expr> {
    let ast::FunctionArguments::List(list) = &mut call.args else {
        return Vec::new();
    };
    let plain = list.args.iter_mut().filter_map(|argument| match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument)) => Some(argument),
        _ => None,
    });
    plain.collect()
}

fn is_called(call: &ast::Function, names: &[&str]) -> bool {
    let last = call.name.0.last().and_then(ast::ObjectNamePart::as_ident);
    last.is_some_and(|last| names.contains(&ident_name(last).as_str()))
}

/// The type of `round(a, 2)` says how many digits there are, so that the number must stay one.
fn plain_digits(call: &mut ast::Function) {
    if is_called(call, &["round", "trunc"])
        && let [_, digits] = arguments_of(call).as_mut_slice()
    {
        match digits {
            Expr::UnaryOp { expr, .. } => plain_number(expr),
            digits => plain_number(digits),
        }
    }
}

/// Base64 as Postgres writes it.
fn padded(call: &mut ast::Function) {
    if is_called(call, &["encode"])
        && let [_, Expr::Value(format)] = arguments_of(call).as_mut_slice()
        && let ast::Value::SingleQuotedString(format) = &mut format.value
        && format.eq_ignore_ascii_case("base64")
    {
        "base64pad".clone_into(format);
    }
}

/// `log(a)` is that to base 10, by the function that is exact for powers of it.
fn decimal_log(call: &mut ast::Function) {
    if is_called(call, &["log"]) && arguments_of(call).len() == 1 {
        call.name = ast::ObjectName::from(vec![Ident::new("log10")]);
    }
}

/// `at AT TIME ZONE zone` as `timezone(zone, at)`. The engine's own is a cast, which loses what the clocks show.
fn at_time_zone(expression: &mut Expr) {
    let whole = std::mem::replace(expression, Expr::value(ast::Value::Null));
    *expression = match whole {
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => {
            let arguments = [time_zone, timestamp]
                .map(|argument| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(*argument)));
            let name = ast::ObjectName::from(vec![Ident::new(TIMEZONE)]);
            Expr::Function(called(name, arguments.into()))
        }
        other => other,
    };
}

/// `mod(a, b)` as `a % b`.
fn modulo(expression: &Expr) -> Option<Expr> {
    let Expr::Function(call) = expression else {
        return None;
    };
    let name = call.name.0.last()?.as_ident()?;
    let ast::FunctionArguments::List(list) = &call.args else {
        return None;
    };
    let [
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(left)),
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(right)),
    ] = list.args.as_slice()
    else {
        return None;
    };
    name.value.eq_ignore_ascii_case("mod").then(|| {
        let nested = |side: &Expr| Box::new(Expr::Nested(Box::new(side.clone())));
        Expr::Nested(Box::new(Expr::BinaryOp {
            left: nested(left),
            op: ast::BinaryOperator::Modulo,
            right: nested(right),
        }))
    })
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

struct Namer;

impl VisitorMut for Namer {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> std::ops::ControlFlow<()> {
        name_body(&mut query.body);
        std::ops::ControlFlow::Continue(())
    }

    fn post_visit_table_factor(
        &mut self,
        factor: &mut ast::TableFactor,
    ) -> std::ops::ControlFlow<()> {
        if let Some(series) = series_in_from(factor) {
            *factor = series;
        }
        std::ops::ControlFlow::Continue(())
    }
}

fn name_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name_select(&mut select.projection),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left);
            name_body(right);
        }
        _ => {}
    }
}

const SERIES: &str = "generate_series";

/// Rows of a list, which is what the engine's function gives.
fn unnested(call: ast::Function) -> Expr {
    let list = ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(Expr::Function(call.clone())));
    let mut unnest = call;
    unnest.name = ast::ObjectName::from(vec![Ident::new("unnest")]);
    unnest.args = ast::FunctionArguments::List(ast::FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![list],
        clauses: Vec::new(),
    });
    Expr::Function(unnest)
}

fn is_series(name: &ast::ObjectName) -> bool {
    let last = name.0.last().and_then(ast::ObjectNamePart::as_ident);
    last.is_some_and(|last| ident_name(last) == SERIES)
}

fn called(name: ast::ObjectName, arguments: Vec<ast::FunctionArg>) -> ast::Function {
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

/// `generate_series(1, 10) AS g` in FROM as a query with one column.
fn series_in_from(factor: &ast::TableFactor) -> Option<ast::TableFactor> {
    let ast::TableFactor::Table {
        name,
        alias,
        args: Some(arguments),
        with_ordinality: false,
        ..
    } = factor
    else {
        return None;
    };
    if !is_series(name) {
        return None;
    }
    let call = called(name.clone(), arguments.args.clone());
    let alias = alias.clone().unwrap_or_else(|| ast::TableAlias {
        explicit: true,
        name: Ident::new(SERIES),
        columns: Vec::new(),
        at: None,
    });
    let column = SelectItem::ExprWithAlias {
        expr: unnested(call),
        alias: alias.name.clone(),
    };
    let mut subquery = crate::statement::select_nothing()?;
    if let SetExpr::Select(select) = subquery.body.as_mut() {
        select.projection = vec![column];
    }
    Some(ast::TableFactor::Derived {
        lateral: false,
        subquery: Box::new(subquery),
        alias: Some(alias),
        sample: None,
    })
}

fn name_select(items: &mut [SelectItem]) {
    for item in items.iter_mut() {
        if let SelectItem::UnnamedExpr(Expr::Function(call)) = item
            && is_series(&call.name)
        {
            *item = SelectItem::ExprWithAlias {
                expr: unnested(call.clone()),
                alias: Ident::new(SERIES),
            };
        } else if let SelectItem::ExprWithAlias {
            expr: expr @ Expr::Function(_),
            ..
        } = item
            && let Expr::Function(call) = expr
            && is_series(&call.name)
        {
            *expr = unnested(call.clone());
        }
    }
    let has_wildcard = items.iter().any(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    });
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for item in items {
        let (name, is_column) = match item {
            SelectItem::UnnamedExpr(expression) => {
                (column_name(expression), is_plain_column(expression))
            }
            SelectItem::ExprWithAlias { alias, .. } => (ident_name(alias), false),
            _ => continue,
        };
        let count = seen.entry(name.clone()).or_insert(0);
        *count += 1;
        let repeated = *count > 1 || (is_column && has_wildcard);
        if is_column && !repeated {
            continue;
        }
        let unique = if repeated {
            format!("{name}{MARK}{count}")
        } else {
            name
        };
        let alias = Ident::with_quote('"', unique);
        match item {
            SelectItem::UnnamedExpr(expression) => {
                let expr = std::mem::replace(expression, Expr::value(ast::Value::Null));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
            SelectItem::ExprWithAlias { alias: old, .. } if repeated => *old = alias,
            _ => {}
        }
    }
}

fn is_plain_column(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::Identifier(_) | Expr::CompoundIdentifier(_)
    )
}

pub fn ident_name(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// FigureColname of PostgreSQL's parser.
fn column_name(expression: &Expr) -> String {
    named(expression).unwrap_or_else(|| "?column?".to_owned())
}

fn named(expression: &Expr) -> Option<String> {
    let fixed = match expression {
        Expr::Identifier(ident) => return Some(ident_name(ident)),
        Expr::CompoundIdentifier(parts) => return parts.last().map(ident_name),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => return named(inner),
        Expr::Function(function) => {
            let last = function.name.0.last()?.as_ident()?;
            return Some(ident_name(last));
        }
        Expr::Cast {
            expr, data_type, ..
        } => {
            return named(expr).or_else(|| Some(type_name(data_type)));
        }
        Expr::TypedString(typed) => return Some(type_name(&typed.data_type)),
        Expr::Subquery(query) => return subquery_name(query),
        Expr::Interval(_) => "interval",
        Expr::Case { .. } => "case",
        Expr::Extract { .. } => "extract",
        Expr::Exists { .. } => "exists",
        Expr::Substring { .. } => "substring",
        Expr::Position { .. } => "position",
        Expr::Overlay { .. } => "overlay",
        Expr::Ceil { .. } => "ceil",
        Expr::Floor { .. } => "floor",
        Expr::Trim { trim_where, .. } => match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        },
        Expr::AtTimeZone { .. } => TIMEZONE,
        Expr::Array(_) => "array",
        Expr::Tuple(_) => "row",
        _ => return None,
    };
    Some(fixed.to_owned())
}

fn subquery_name(query: &Query) -> Option<String> {
    match query.body.as_ref() {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::ExprWithAlias { alias, .. } => Some(shown(&alias.value).to_owned()),
            SelectItem::UnnamedExpr(expression) => named(expression),
            _ => None,
        },
        _ => None,
    }
}

fn type_name(data_type: &ast::DataType) -> String {
    let field = crate::column_type::field_of("", data_type);
    field.map_or_else(
        |_| data_type.to_string().to_lowercase(),
        |field| crate::column_type::postgres_type(&field).name.to_owned(),
    )
}
