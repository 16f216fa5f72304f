//! Functions that give rows: `unnest`, `generate_series`, `generate_subscripts`, `jsonb_array_elements`, `jsonb_each`,
//! `jsonb_object_keys` and their kin, with and without `WITH ORDINALITY`.
//!
//! # Place       on the syntax: queries over `unnest` in FROM, calls of it in a SELECT, which the engine's planner knows

use datafusion_sql::sqlparser::ast::{
    self, Expr, Ident, Query, SelectItem, SetExpr, TableFactor, Visit, VisitMut, Visitor,
    VisitorMut,
};

use super::{
    names::{ident_name, repeated},
    spelling::function,
};
use crate::{backend::SqlError, statement::select_nothing};

const SERIES: &str = "generate_series";
const ORDINALITY: &str = "ordinality";
/// What a list has been taken apart into; no statement can name it.
const ITEM: &str = "\u{1}item";

/// A call that gives rows.
struct Rows {
    /// Each of them is taken apart, all of them side by side; what is missing of the shorter ones is null.
    lists: Vec<Expr>,
    columns: Vec<Column>,
    /// The name of its column stays when the call is given another.
    is_named: bool,
}

/// Of the elements of a list.
struct Column {
    name: String,
    list: usize,
    shows: fn(Expr) -> Expr,
}

/// What the call would be a row of; `None`: it is another function.
fn rows_of(name: &str, arguments: &[Expr]) -> Option<Rows> {
    let one = |list: Expr, column: &str, is_named, shows| Rows {
        lists: vec![list],
        columns: vec![Column {
            name: column.to_owned(),
            list: 0,
            shows,
        }],
        is_named,
    };
    let itself: fn(Expr) -> Expr = |item| item;
    let (kind, rest) = match name.split_once('_') {
        Some((kind @ ("json" | "jsonb"), rest)) => (kind, rest),
        _ => ("", name),
    };
    Some(match (kind, rest, arguments) {
        ("", "unnest", [_, ..]) => {
            let column = |list| Column {
                name: match list {
                    0 => name.to_owned(),
                    _ => format!("{}{list}", repeated(name)),
                },
                list,
                shows: itself,
            };
            Rows {
                lists: arguments.to_vec(),
                columns: (0..arguments.len()).map(column).collect(),
                is_named: false,
            }
        }
        ("", SERIES, _) => one(function(SERIES, arguments.to_vec()), name, false, itself),
        ("", "generate_subscripts", [list, dimension]) if is_one(dimension) => {
            let last = function("cardinality", vec![list.clone()]);
            let places = function(SERIES, vec![dimension.clone(), last]);
            one(places, name, false, itself)
        }
        ("json" | "jsonb", "object_keys", [document]) => one(
            function("json_names", vec![document.clone()]),
            name,
            false,
            itself,
        ),
        ("json" | "jsonb", "array_elements" | "array_elements_text", [document]) => {
            let shows: fn(Expr) -> Expr = match (kind, rest) {
                (_, "array_elements_text") => |item| picked(item, "json_path_text", None),
                ("json", _) => |item| function("json", vec![item]),
                _ => |item| function("jsonb", vec![item]),
            };
            one(
                function("json_parts", vec![document.clone()]),
                "value",
                true,
                shows,
            )
        }
        ("json" | "jsonb", "each" | "each_text", [document]) => {
            let shows: fn(Expr) -> Expr = match (kind, rest) {
                (_, "each_text") => |pair| picked(pair, "json_get_text", Some(1)),
                ("json", _) => |pair| picked(pair, "json_get", Some(1)),
                _ => |pair| picked(pair, "jsonb_get", Some(1)),
            };
            let column = |name: &str, shows| Column {
                name: name.to_owned(),
                list: 0,
                shows,
            };
            Rows {
                lists: vec![function("json_pairs", vec![document.clone()])],
                columns: vec![
                    column("key", |pair| picked(pair, "json_get_text", Some(0))),
                    column("value", shows),
                ],
                is_named: true,
            }
        }
        _ => return None,
    })
}

/// Of a document, or of one of its elements.
fn picked(document: Expr, by: &str, at: Option<u8>) -> Expr {
    let at = match at {
        Some(at) => bigint(number(at)),
        None => Expr::value(ast::Value::SingleQuotedString("{}".to_owned())),
    };
    function(by, vec![document, at])
}

fn number(value: u8) -> Expr {
    Expr::value(ast::Value::Number(value.to_string(), false))
}

fn bigint(expression: Expr) -> Expr {
    Expr::Cast {
        kind: ast::CastKind::DoubleColon,
        expr: Box::new(expression),
        data_type: ast::DataType::BigInt(None),
        array: false,
        format: None,
    }
}

fn is_one(expression: &Expr) -> bool {
    matches!(expression, Expr::Value(value)
        if matches!(&value.value, ast::Value::Number(digits, _) if digits == "1"))
}

fn name_of(name: &ast::ObjectName) -> Option<String> {
    let last = name.0.last()?.as_ident()?;
    Some(ident_name(last))
}

fn plain(arguments: &[ast::FunctionArg]) -> Option<Vec<Expr>> {
    let plain = arguments.iter().map(|argument| match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(plain)) => Some(plain.clone()),
        _ => None,
    });
    plain.collect()
}

/// See the module head.
pub fn in_from(factor: &mut TableFactor) {
    let Some((name, arguments, with_ordinality, alias)) = call_in(factor) else {
        return;
    };
    let Some(rows) = rows_of(&name, &arguments) else {
        return;
    };
    let mut alias = alias.cloned().unwrap_or_else(|| ast::TableAlias {
        explicit: true,
        name: Ident::with_quote('"', &name),
        columns: Vec::new(),
        at: None,
    });
    if let [only] = rows.columns.as_slice()
        && alias.columns.is_empty()
        && !with_ordinality
    {
        let name = match rows.is_named {
            true => Ident::with_quote('"', &only.name),
            false => alias.name.clone(),
        };
        alias.columns.push(ast::TableAliasColumnDef {
            name,
            data_type: None,
        });
    }
    // Which the engine's planner knows beside the rows that the list is of.
    if name == "unnest" && rows.lists.len() == 1 && !with_ordinality {
        *factor = TableFactor::UNNEST {
            alias: Some(alias),
            array_exprs: rows.lists,
            with_offset: false,
            with_offset_alias: None,
            with_ordinality: false,
        };
        return;
    }
    let lateral = rows.lists.iter().any(names_columns);
    if let Some(subquery) = query_of(rows, with_ordinality) {
        *factor = TableFactor::Derived {
            lateral,
            subquery: Box::new(subquery),
            alias: Some(alias),
            sample: None,
        };
    }
}

/// Where it is left, rows of a dataflow would be counted, which have no order.
pub fn refuse_ordinality(statement: &ast::Statement) -> Result<(), SqlError> {
    match Visit::visit(statement, &mut Ordinality) {
        std::ops::ControlFlow::Break(()) => {
            Err(SqlError::unsupported("WITH ORDINALITY is not supported"))
        }
        std::ops::ControlFlow::Continue(()) => Ok(()),
    }
}

struct Ordinality;

impl Visitor for Ordinality {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> std::ops::ControlFlow<()> {
        match factor {
            TableFactor::Table {
                with_ordinality: true,
                ..
            }
            | TableFactor::UNNEST {
                with_ordinality: true,
                ..
            } => std::ops::ControlFlow::Break(()),
            _ => std::ops::ControlFlow::Continue(()),
        }
    }
}

type Call<'f> = (String, Vec<Expr>, bool, Option<&'f ast::TableAlias>);

fn call_in(factor: &TableFactor) -> Option<Call<'_>> {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args: Some(arguments),
            with_ordinality,
            ..
        } => Some((
            name_of(name)?,
            plain(&arguments.args)?,
            *with_ordinality,
            alias.as_ref(),
        )),
        TableFactor::Function {
            name,
            args,
            with_ordinality,
            alias,
            ..
        } => Some((
            name_of(name)?,
            plain(args)?,
            *with_ordinality,
            alias.as_ref(),
        )),
        TableFactor::UNNEST {
            alias,
            array_exprs,
            with_offset: false,
            with_ordinality,
            ..
        } => Some((
            "unnest".to_owned(),
            array_exprs.clone(),
            *with_ordinality,
            alias.as_ref(),
        )),
        _ => None,
    }
}

/// `SELECT item FROM (SELECT unnest(list) AS item)`, or by the places in several lists.
fn query_of(rows: Rows, with_ordinality: bool) -> Option<Query> {
    let by_place = with_ordinality || rows.lists.len() > 1;
    let item = || Expr::Identifier(Ident::with_quote('"', ITEM));
    let inner = match by_place {
        true => {
            let counts = rows.lists.iter();
            let counts = counts.map(|list| function("cardinality", vec![list.clone()]));
            let last = match rows.lists.len() {
                1 => counts.last()?,
                _ => function("greatest", counts.collect()),
            };
            function(SERIES, vec![bigint(number(1)), bigint(last)])
        }
        false => rows.lists.first()?.clone(),
    };
    let inner = unnested(inner);
    let mut columns = Vec::with_capacity(rows.columns.len() + 1);
    for column in &rows.columns {
        let element = match by_place {
            true => {
                let list = rows.lists.get(column.list)?.clone();
                function("array_element", vec![list, item()])
            }
            false => item(),
        };
        columns.push((column.name.as_str(), (column.shows)(element)));
    }
    if with_ordinality {
        columns.push((ORDINALITY, item()));
    }
    select(columns, Some(select(vec![(ITEM, inner)], None)?))
}

fn select(columns: Vec<(&str, Expr)>, from: Option<Query>) -> Option<Query> {
    let mut query = select_nothing()?;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let items = columns
        .into_iter()
        .map(|(name, expr)| SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', name),
        });
    select.projection = items.collect();
    select.from.extend(from.map(|from| ast::TableWithJoins {
        relation: TableFactor::Derived {
            lateral: false,
            subquery: Box::new(from),
            alias: None,
            sample: None,
        },
        joins: Vec::new(),
    }));
    Some(query)
}

fn unnested(list: Expr) -> Expr {
    function("unnest", vec![list])
}

fn names_columns(expression: &Expr) -> bool {
    struct Names;
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, part: &Expr) -> std::ops::ControlFlow<()> {
            match part {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                    std::ops::ControlFlow::Break(())
                }
                _ => std::ops::ControlFlow::Continue(()),
            }
        }
    }
    expression.visit(&mut Names).is_break()
}

/// `SELECT generate_series(1, 3)`: one list, of which there is a row for each element.
pub fn in_select(items: &mut [SelectItem]) {
    for item in items {
        let called = match item {
            SelectItem::UnnamedExpr(Expr::Function(call)) => name_of(&call.name),
            _ => None,
        };
        let (SelectItem::UnnamedExpr(expression)
        | SelectItem::ExprWithAlias {
            expr: expression, ..
        }) = item
        else {
            continue;
        };
        let mut calls = Calls {
            found: false,
            within: 0,
        };
        _ = expression.visit(&mut calls);
        if let Some(name) = called.filter(|_| calls.found) {
            let expr = std::mem::replace(expression, Expr::value(ast::Value::Null));
            let alias = Ident::with_quote('"', name);
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

struct Calls {
    found: bool,
    /// Calls that take lists, and subqueries, whose calls are none of this SELECT's.
    within: usize,
}

impl Calls {
    fn is_apart(expression: &Expr) -> bool {
        match expression {
            Expr::Function(call) => {
                let lists = ["unnest", "array_element", "cardinality"];
                name_of(&call.name).is_some_and(|name| lists.contains(&name.as_str()))
            }
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => true,
            _ => false,
        }
    }
}

impl VisitorMut for Calls {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> std::ops::ControlFlow<()> {
        self.within += usize::from(Self::is_apart(expression));
        std::ops::ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> std::ops::ControlFlow<()> {
        if Self::is_apart(expression) {
            self.within -= 1;
        } else if self.within == 0
            && let Expr::Function(call) = expression
            && let Some(name) = name_of(&call.name)
            && let ast::FunctionArguments::List(list) = &call.args
            && let Some(arguments) = plain(&list.args)
            && let Some(mut rows) = rows_of(&name, &arguments)
            && let ([column], Some(list)) = (rows.columns.as_slice(), rows.lists.pop())
        {
            *expression = (column.shows)(unnested(list));
            self.found = true;
        }
        std::ops::ControlFlow::Continue(())
    }
}

/// `e->>'a'` of `jsonb_array_elements(…) AS e`: what stands for the whole row is its one value.
pub fn whole_values(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return;
    };
    let factors = select.from.iter().flat_map(|from| {
        let joined = from.joins.iter().map(|join| &join.relation);
        std::iter::once(&from.relation).chain(joined)
    });
    let wholes = factors.filter_map(|factor| {
        let (name, arguments, _, alias) = call_in(factor)?;
        let rows = rows_of(&name, &arguments)?;
        let alias = alias.filter(|alias| alias.columns.is_empty())?;
        let is_one = rows.is_named && rows.columns.len() == 1;
        is_one.then(|| (ident_name(&alias.name), rows.columns[0].name.clone()))
    });
    let wholes: Vec<(String, String)> = wholes.collect();
    if wholes.is_empty() {
        return;
    }
    let mut values = Values { wholes };
    _ = query.visit(&mut values);
}

struct Values {
    /// Names of relations, and of their columns.
    wholes: Vec<(String, String)>,
}

impl Values {
    fn value(&self, expression: &Expr) -> Option<Expr> {
        let Expr::Identifier(ident) = expression else {
            return None;
        };
        let name = ident_name(ident);
        let (_, column) = self.wholes.iter().find(|(whole, _)| *whole == name)?;
        let column = Ident::with_quote('"', column);
        Some(Expr::CompoundIdentifier(vec![ident.clone(), column]))
    }
}

impl VisitorMut for Values {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> std::ops::ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expression @ Expr::Identifier(_)) = item
                && let Some(expr) = self.value(expression)
                && let Expr::Identifier(alias) = expression.clone()
            {
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> std::ops::ControlFlow<()> {
        if let Some(value) = self.value(expression) {
            *expression = value;
        }
        std::ops::ControlFlow::Continue(())
    }
}
