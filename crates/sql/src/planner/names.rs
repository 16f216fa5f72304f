//! Names of columns as Postgres gives them: of the column or function, `?column?` for the rest.
//!
//! The engine wants all names of a SELECT to differ, so a repeated one gets a mark behind it, which [`shown`] takes off.

use std::collections::BTreeMap;

use datafusion_sql::sqlparser::ast::{
    self, Expr, Ident, Query, SelectItem, SetExpr, VisitMut, VisitorMut,
};

use super::{sets, spelling};
use crate::functions::zones::TIMEZONE;

/// No identifier of a statement holds it: the tokenizer takes control characters only inside of quotes.
const MARK: char = '\u{1}';

/// The name as it is shown.
#[must_use]
pub fn shown(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// The name of a column that another one has, too, in the same answer.
pub fn repeated(name: &str) -> String {
    format!("{name}{MARK}")
}

/// Gives every column of every SELECT the name that Postgres would, and every whole number its type.
pub fn name_columns(statement: &mut ast::Statement) {
    let flow = statement.visit(&mut Namer);
    debug_assert!(flow.is_continue());
    spelling::respell(statement);
}

struct Namer;

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> std::ops::ControlFlow<()> {
        sets::whole_values(query);
        std::ops::ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> std::ops::ControlFlow<()> {
        name_body(&mut query.body);
        std::ops::ControlFlow::Continue(())
    }

    fn post_visit_table_factor(
        &mut self,
        factor: &mut ast::TableFactor,
    ) -> std::ops::ControlFlow<()> {
        sets::in_from(factor);
        std::ops::ControlFlow::Continue(())
    }
}

/// `orders.*` of `FROM public.orders` by the name that the engine knows the table by.
fn whole_names(select: &mut ast::Select) {
    let tables = select.from.iter().flat_map(|from| {
        let joined = from.joins.iter().map(|join| &join.relation);
        std::iter::once(&from.relation).chain(joined)
    });
    let plain = tables.filter_map(|table| match table {
        ast::TableFactor::Table {
            name, alias: None, ..
        } => Some(name),
        _ => None,
    });
    let plain: Vec<&ast::ObjectName> = plain.filter(|name| name.0.len() > 1).collect();
    for item in &mut select.projection {
        if let SelectItem::QualifiedWildcard(kind, _) = item
            && let ast::SelectItemQualifiedWildcardKind::ObjectName(name) = kind
            && let [last] = name.0.as_slice()
            && let Some(whole) = plain.iter().find(|whole| whole.0.last() == Some(last))
        {
            *name = (*whole).clone();
        }
    }
}

fn name_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            whole_names(select);
            name_select(&mut select.projection);
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left);
            name_body(right);
        }
        _ => {}
    }
}

fn name_select(items: &mut [SelectItem]) {
    sets::in_select(items);
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
        Expr::Exists { negated: false, .. } => "exists",
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
        |field| {
            let name = crate::column_type::postgres_type(&field).name;
            // Lists go by their elements.
            name.strip_prefix('_').unwrap_or(name).to_owned()
        },
    )
}
