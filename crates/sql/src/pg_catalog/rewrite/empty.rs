//! Queries about things that do not exist here: no rows, whatever else they say.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, JoinOperator, OrderByKind, Query, Select, SelectItem, SetExpr,
    TableFactor, TableWithJoins, Value, Visit, Visitor, visit_expressions,
};

use super::{answers, arguments, bare_name, ident_text, literal_text, null, parsed};
use crate::{
    backend::SqlError,
    pg_catalog::{Asker, SystemCatalog, objects::quote_ident},
};

const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "jsonb_agg",
    "max",
    "min",
    "string_agg",
    "sum",
];

/// Functions that give rows, of which there are none here, and their columns.
const TABLE_FUNCTIONS: &[(&str, &[&str])] = &[
    (
        "aclexplode",
        &["grantor", "grantee", "privilege_type", "is_grantable"],
    ),
    (
        "pg_available_extensions",
        &["name", "default_version", "comment"],
    ),
    ("pg_get_keywords", &["word", "catcode", "catdesc"]),
    ("pg_get_publication_tables", &["relid"]),
    ("pg_listening_channels", &["pg_listening_channels"]),
    ("pg_options_to_table", &["option_name", "option_value"]),
    ("pg_stat_get_wal_senders", &["pid"]),
    ("unnest", &["x"]),
];

/// Nothing comes of it, as `emptied` leaves it.
pub fn is_empty(query: &Query) -> bool {
    match query.body.as_ref() {
        SetExpr::Select(select) => is_emptied(select),
        SetExpr::SetOperation { left, right, .. } => [left, right]
            .iter()
            .all(|side| matches!(side.as_ref(), SetExpr::Select(select) if is_emptied(select))),
        _ => false,
    }
}

/// Of a query without relations that gives one literal.
pub fn only_value(query: &Query) -> Option<Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    let is_plain = select.from.is_empty()
        && select.selection.is_none()
        && is_ungrouped(select)
        && query.limit_clause.is_none()
        && query.fetch.is_none();
    match &select.projection[..] {
        [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }]
            if is_plain && matches!(value, Expr::Value(_)) =>
        {
            Some(value.clone())
        }
        _ => None,
    }
}

fn is_emptied(select: &Select) -> bool {
    let is_false = matches!(
        &select.selection,
        Some(Expr::Value(value)) if value.value == Value::Boolean(false)
    );
    is_false && select.from.is_empty()
}

/// Empties the parts of a query that ask for what is never there.
pub fn empty_what_is(query: &mut Query) -> Result<(), SqlError> {
    empty_body(&mut query.body)?;
    if is_empty(query)
        && let Some(order) = &query.order_by
        && matches!(order.kind, OrderByKind::Expressions(_))
    {
        query.order_by = None;
    }
    Ok(())
}

fn empty_body(body: &mut SetExpr) -> Result<(), SqlError> {
    match body {
        SetExpr::Select(select) => {
            if select.from.iter().any(gives_nothing) && is_ungrouped(select) {
                empty_select(select)?;
            }
            Ok(())
        }
        SetExpr::SetOperation { left, right, .. } => {
            empty_body(left)?;
            empty_body(right)
        }
        _ => Ok(()),
    }
}

/// Without groups and aggregates: one row in, one row out.
pub fn is_ungrouped(select: &Select) -> bool {
    let no_groups = matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let no_aggregates = !select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            is_aggregate(expr)
        }
        _ => false,
    });
    no_groups && no_aggregates && select.having.is_none()
}

/// An aggregate of the query itself stands somewhere in it, not only one of a subquery.
pub fn is_aggregate(expression: &Expr) -> bool {
    Visit::visit(expression, &mut Aggregates { depth: 0 }).is_break()
}

struct Aggregates {
    /// Of subqueries around.
    depth: usize,
}

impl Visitor for Aggregates {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, part: &Expr) -> ControlFlow<()> {
        let Expr::Function(function) = part else {
            return ControlFlow::Continue(());
        };
        let name = bare_name(&function.name);
        let is_one = function.over.is_none() && AGGREGATES.binary_search(&name.as_str()).is_ok();
        if self.depth == 0 && is_one {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

fn gives_nothing(from: &TableWithJoins) -> bool {
    let mut nothing = is_nothing(&from.relation);
    for join in &from.joins {
        nothing = match &join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                nothing || is_nothing(&join.relation)
            }
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => nothing,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => is_nothing(&join.relation),
            _ => false,
        };
    }
    nothing
}

fn is_nothing(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, .. } => SystemCatalog::is_always_empty(&bare_name(name)),
        TableFactor::Derived { subquery, .. } => is_empty(subquery),
        TableFactor::NestedJoin {
            table_with_joins, ..
        } => gives_nothing(table_with_joins),
        _ => false,
    }
}

/// The same columns, all text, and no rows.
fn empty_select(select: &mut Select) -> Result<(), SqlError> {
    let mut projection = Vec::new();
    for item in &select.projection {
        let alias = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.clone(),
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => ident.clone(),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => match parts.last() {
                Some(last) => last.clone(),
                None => return Ok(()),
            },
            // All columns of something: the planner knows them.
            _ => return Ok(()),
        };
        projection.push(SelectItem::ExprWithAlias {
            expr: null()?,
            alias,
        });
    }
    select.projection = projection;
    select.from.clear();
    select.distinct = None;
    select.selection = Some(Expr::value(Value::Boolean(false)));
    Ok(())
}

/// The schemas of the search path, with their places or without: what several tools ask for by `generate_series` over an
/// array. Here there is one.
pub fn search_path(query: &Query) -> Result<Option<Query>, SqlError> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Ok(None);
    };
    // By now a series in FROM is a query that calls it.
    let is_series = |call: &Function| bare_name(&call.name) == "generate_series";
    let mut relations = select.from.iter().map(|from| &from.relation);
    if !relations.any(|relation| calls(relation, is_series)) || !calls(query, is_search_path) {
        return Ok(None);
    }
    let answer = match &select.projection[..] {
        [_] => "(SELECT 'public' AS nspname)",
        [_, _] => "(SELECT 1 AS r, 'public' AS nspname)",
        _ => return Ok(None),
    };
    match parsed(answer)? {
        Expr::Subquery(answer) => Ok(Some(*answer)),
        _ => Ok(None),
    }
}

fn is_search_path(call: &Function) -> bool {
    match bare_name(&call.name).as_str() {
        "current_schemas" => true,
        "current_setting" => {
            let arguments = arguments(call);
            let setting = arguments.first().and_then(|setting| literal_text(setting));
            setting == Some("search_path")
        }
        _ => false,
    }
}

fn calls(part: &impl Visit, is_sought: impl Fn(&Function) -> bool) -> bool {
    let walked = visit_expressions(part, |expression| match expression {
        Expr::Function(call) if is_sought(call) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    walked.is_break()
}

/// Functions of one value that stand in FROM, too.
const VALUES: &[&str] = &["current_database", "current_schema", "version"];

/// A function in FROM that has no rows here, as a query that has none; one of a single value as a query for it.
pub fn table_function(
    factor: &TableFactor,
    asker: &Asker<'_>,
) -> Result<Option<TableFactor>, SqlError> {
    let (name, alias) = match factor {
        TableFactor::Table {
            name,
            alias,
            args: Some(_),
            ..
        }
        | TableFactor::Function { name, alias, .. } => (bare_name(name), alias),
        _ => return Ok(None),
    };
    let found = TABLE_FUNCTIONS.iter().find(|(known, _)| *known == name);
    let text = match found {
        Some((_, columns)) => {
            let columns = columns.iter();
            let columns = columns.map(|column| format!("CAST(NULL AS text) AS {column}"));
            format!(
                "(SELECT {} WHERE false)",
                columns.collect::<Vec<_>>().join(", ")
            )
        }
        // The column is called as the function, or as what stands behind AS.
        None if VALUES.contains(&name.as_str()) => {
            let column = alias
                .as_ref()
                .map_or(name.as_str(), |alias| &alias.name.value);
            let column = quote_ident(column);
            let answer = answers::constant(&name, &[], asker)?;
            let Some(answer) = answer else {
                return Ok(None);
            };
            format!("(SELECT {answer} AS {column})")
        }
        None => return Ok(None),
    };
    let Expr::Subquery(subquery) = parsed(&text)? else {
        return Ok(None);
    };
    let alias = alias.clone().or_else(|| {
        let ident = datafusion_sql::sqlparser::ast::Ident::new(name);
        debug_assert!(!ident_text(&ident).is_empty());
        Some(datafusion_sql::sqlparser::ast::TableAlias {
            explicit: true,
            name: ident,
            columns: Vec::new(),
            at: None,
        })
    });
    Ok(Some(TableFactor::Derived {
        lateral: false,
        subquery,
        alias,
        sample: None,
    }))
}
