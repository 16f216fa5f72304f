//! Words of PostgreSQL's tools in words that the planner knows.
//!
//! Functions whose answer is the same for every row here become that answer; what asks for things that do not exist in
//! this system becomes a query without rows; what the planner has other words for is said in those. Nothing here looks for
//! a certain tool's query, but for `_pg_expandarray`, which only the JDBC driver uses, and asyncpg's walk over types.

mod answers;
mod empty;

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::{
    ast::{
        self, AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr,
        FunctionArguments, ObjectName, Query, SelectItem, SetExpr, TableFactor, Value, Visit,
        VisitMut, Visitor, VisitorMut,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use super::{Asker, objects::identifiers};
use crate::{backend::SqlError, planner::name_columns};

/// What is to be done beside the query.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// Settings that `set_config` sets.
    pub sets: Vec<(String, String)>,
}

/// Says a query in the planner's words.
pub fn rewrite(query: &mut Query, asker: &Asker<'_>) -> Result<Rewritten, SqlError> {
    let mut relations = Relations::default();
    _ = Visit::visit(query, &mut relations);
    // Columns keep the names that what was written gives them.
    let mut statement = ast::Statement::Query(Box::new(query.clone()));
    name_columns(&mut statement);
    if let ast::Statement::Query(named) = statement {
        *query = *named;
    }
    let mut rewriter = Rewriter {
        asker,
        is_about_system: relations.are_system || relations.count == 0,
        sets: Vec::new(),
        has_elements: false,
    };
    if let ControlFlow::Break(error) = VisitMut::visit(query, &mut rewriter) {
        return Err(error);
    }
    show_names(&mut query.body);
    Ok(Rewritten {
        sets: rewriter.sets,
    })
}

/// Which relations a query names.
#[derive(Default)]
struct Relations {
    count: usize,
    are_system: bool,
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        self.count += 1;
        let text = bare_name(name);
        let schema = schema_name(name);
        self.are_system |= text.starts_with("pg_")
            || matches!(schema.as_deref(), Some("pg_catalog" | "information_schema"));
        ControlFlow::Continue(())
    }
}

/// Without its schema, in lower case unless quoted.
fn bare_name(name: &ObjectName) -> String {
    let last = name.0.last().and_then(ast::ObjectNamePart::as_ident);
    last.map(ident_text).unwrap_or_default()
}

fn schema_name(name: &ObjectName) -> Option<String> {
    let at = name.0.len().checked_sub(2)?;
    name.0
        .get(at)
        .and_then(ast::ObjectNamePart::as_ident)
        .map(ident_text)
}

fn ident_text(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// An expression as it is written.
fn parsed(text: &str) -> Result<Expr, SqlError> {
    let dialect = PostgreSqlDialect {};
    let parser = Parser::new(&dialect).try_with_sql(text);
    let found = parser.and_then(|mut parser| parser.parse_expr());
    found.map_err(|error| SqlError::new(*b"42601", error.to_string()))
}

fn literal(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

fn null() -> Result<Expr, SqlError> {
    parsed("CAST(NULL AS text)")
}

/// Arguments that are plain expressions.
fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else {
        return Vec::new();
    };
    let plain = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
        _ => None,
    });
    plain.collect()
}

/// The text of a literal, also of one that is cast.
fn literal_text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            Value::Number(text, _) => Some(text),
            Value::Boolean(true) => Some("true"),
            Value::Boolean(false) => Some("false"),
            _ => None,
        },
        Expr::Cast { expr, .. } | Expr::Nested(expr) => literal_text(expr),
        _ => None,
    }
}

struct Rewriter<'a> {
    asker: &'a Asker<'a>,
    /// No rows of users can be in the answer, so what suffices for system relations suffices.
    is_about_system: bool,
    sets: Vec<(String, String)>,
    /// `_pg_expandarray` gave rows of elements, not whether a certain one is among them.
    has_elements: bool,
}

impl VisitorMut for Rewriter<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let found = match is_walk_over_types(query) {
            true => parsed_query(TYPES_AND_ELEMENTS).map(Some),
            false => empty::search_path(query),
        };
        match found {
            Ok(Some(new)) => *query = new,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        if let SetExpr::Select(select) = query.body.as_mut()
            && let Err(error) = self.expand_in_rows(select)
        {
            return ControlFlow::Break(error);
        }
        self.post_visit_query(query)
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<SqlError> {
        match self.replaced(expression) {
            Ok(Some(new)) => *expression = new,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        if self.is_about_system || matches!(factor, TableFactor::Table { args: Some(_), .. }) {
            match empty::table_function(factor, self.asker) {
                Ok(Some(new)) => *factor = new,
                Ok(None) => {}
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if self.is_about_system
            && let Err(error) = empty::empty_what_is(query)
        {
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }
}

/// asyncpg follows types to those they are made of by WITH RECURSIVE. Here only lists are made of others, and those of
/// plain types, so one step is all there is.
fn is_walk_over_types(query: &Query) -> bool {
    query.with.as_ref().is_some_and(|with| {
        with.recursive
            && with
                .cte_tables
                .first()
                .is_some_and(|table| table.alias.name.value == "typeinfo_tree")
    })
}

const TYPES_AND_ELEMENTS: &str = "(
    SELECT t.oid AS oid, n.nspname AS ns, t.typname AS name, t.typtype AS kind, CAST(NULL AS oid) AS basetype,
           t.typelem AS elemtype, e.typdelim AS elemdelim, CAST(NULL AS oid) AS range_subtype,
           CAST(NULL AS oid[]) AS attrtypoids, CAST(NULL AS text[]) AS attrnames, 0 AS depth,
           CAST(NULL AS text) AS basetype_name, e.typname AS elemtype_name, CAST(NULL AS text) AS range_subtype_name
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
         LEFT JOIN pg_catalog.pg_type e ON t.typlen = -1 AND t.typelem = e.oid
    WHERE t.oid = ANY($1::oid[])
    UNION
    SELECT e.oid, n.nspname, e.typname, e.typtype, CAST(NULL AS oid), e.typelem, CAST(NULL AS text), CAST(NULL AS oid),
           CAST(NULL AS oid[]), CAST(NULL AS text[]), 1, CAST(NULL AS text), CAST(NULL AS text), CAST(NULL AS text)
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_type e ON t.typlen = -1 AND t.typelem = e.oid
         JOIN pg_catalog.pg_namespace n ON n.oid = e.typnamespace
    WHERE t.oid = ANY($1::oid[])
    ORDER BY depth DESC)";

fn parsed_query(text: &str) -> Result<Query, SqlError> {
    match parsed(text)? {
        Expr::Subquery(query) => Ok(*query),
        _ => Err(SqlError::unsupported("a query was expected")),
    }
}

impl Rewriter<'_> {
    /// The same in other words; `None`: as it is.
    fn replaced(&mut self, expression: &Expr) -> Result<Option<Expr>, SqlError> {
        match expression {
            Expr::Collate { expr, .. } => Ok(Some(expr.as_ref().clone())),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::PGCustomBinaryOperator(parts),
                right,
            } => Ok(operator(parts).map(|op| Expr::BinaryOp {
                left: left.clone(),
                op,
                right: right.clone(),
            })),
            Expr::Function(function) => self.function(function),
            Expr::Cast {
                expr, data_type, ..
            } => cast(expr, data_type),
            Expr::BinaryOp {
                left,
                op: op @ (BinaryOperator::Eq | BinaryOperator::NotEq),
                right,
            } if is_typeof(left) || is_typeof(right) => Ok(types_compared(left, op, right)),
            Expr::InList {
                expr,
                list,
                negated,
            } if is_typeof(expr) => {
                let names: Option<Vec<Expr>> = list.iter().map(type_name).collect();
                Ok(names.map(|list| Expr::InList {
                    expr: expr.clone(),
                    list,
                    negated: *negated,
                }))
            }
            Expr::Identifier(ident) if ident.quote_style.is_none() => {
                // The standard's functions without parentheses, where the parser takes them for columns.
                let words = [
                    "current_schema",
                    "current_catalog",
                    "session_user",
                    "current_role",
                ];
                let name = ident.value.to_lowercase();
                match words.contains(&name.as_str()) {
                    true => answers::constant(&name, &[], self.asker),
                    false => Ok(None),
                }
            }
            _ if !self.is_about_system => Ok(None),
            Expr::AnyOp {
                left,
                compare_op,
                right,
                ..
            } => any(left, compare_op, right),
            Expr::AllOp {
                left,
                compare_op: BinaryOperator::NotEq,
                right,
            } => {
                let found = any(left, &BinaryOperator::Eq, right)?;
                found
                    .map(|found| parsed(&format!("NOT ({found})")))
                    .transpose()
            }
            // The number of the relation that a row stands in; what compares it finds nothing here.
            Expr::CompoundIdentifier(parts)
                if parts.last().is_some_and(|part| part.value == "tableoid") =>
            {
                Ok(Some(Expr::value(Value::Number("0".to_owned(), false))))
            }
            Expr::Subquery(query) => scalar(query),
            Expr::Exists { subquery, negated } if empty::is_empty(subquery) => {
                Ok(Some(Expr::value(Value::Boolean(*negated))))
            }
            Expr::InSubquery {
                subquery, negated, ..
            } if empty::is_empty(subquery) => Ok(Some(Expr::value(Value::Boolean(*negated)))),
            Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => Ok(empty::only_value(subquery).map(|value| Expr::InList {
                expr: expr.clone(),
                list: vec![value],
                negated: *negated,
            })),
            Expr::CompoundFieldAccess { root, access_chain } => {
                match expanded(root, access_chain)? {
                    None => from_zero(root, access_chain),
                    found => Ok(found),
                }
            }
            Expr::BinaryOp {
                op: BinaryOperator::Eq,
                left,
                right,
            } => Ok(expanded_place(right).map(|found| match self.has_elements {
                true => Expr::BinaryOp {
                    left: left.clone(),
                    op: BinaryOperator::Eq,
                    right: Box::new(found),
                },
                false => found,
            })),
            _ => Ok(None),
        }
    }

    /// `_pg_expandarray` where no column `a.attnum` is at hand to be looked for: a row for each element, or for its place.
    fn expand_in_rows(&mut self, select: &mut ast::Select) -> Result<(), SqlError> {
        let relations = select.from.iter().flat_map(|from| {
            let joined = from.joins.iter().map(|join| &join.relation);
            std::iter::once(&from.relation).chain(joined)
        });
        let has_a = relations.into_iter().any(|factor| {
            matches!(factor, TableFactor::Table { alias: Some(alias), .. } if alias.name.value == "a")
        });
        if has_a {
            return Ok(());
        }
        for item in &mut select.projection {
            let SelectItem::ExprWithAlias { expr, .. } = item else {
                continue;
            };
            let (call, is_place) = match &*expr {
                Expr::CompoundFieldAccess { root, .. } => (root.as_ref(), true),
                other => (other, false),
            };
            let call = match call {
                Expr::Nested(inner) => inner.as_ref(),
                other => other,
            };
            let Expr::Function(function) = call else {
                continue;
            };
            if bare_name(&function.name) != "_pg_expandarray" {
                continue;
            }
            let [list] = arguments(function)[..] else {
                continue;
            };
            let rows = if is_place {
                format!("unnest(generate_series(1, array_length({list}, 1)))")
            } else {
                self.has_elements = true;
                format!("unnest({list})")
            };
            *expr = parsed(&rows)?;
        }
        Ok(())
    }

    fn function(&mut self, function: &Function) -> Result<Option<Expr>, SqlError> {
        let name = bare_name(&function.name);
        if let (true, FunctionArguments::Subquery(query)) = (name == "array", &function.args) {
            return array_of(query);
        }
        let arguments = arguments(function);
        if name == "_pg_expandarray"
            && let [list, ..] = arguments[..]
        {
            // Of the columns of an index, that one whose row it is (see `expanded`).
            return Ok(Some(parsed(&format!("array_has({list}, a.attnum)"))?));
        }
        if name == "pg_get_expr"
            && let [expression, ..] = arguments[..]
        {
            // It is kept as it is shown.
            return parsed(&format!("CAST({expression} AS text)")).map(Some);
        }
        if name == "set_config"
            && let [name, value, _] = arguments[..]
            && let (Some(name), Some(value)) = (literal_text(name), literal_text(value))
        {
            self.sets.push((name.to_owned(), value.to_owned()));
            return Ok(Some(literal(value)));
        }
        if name == "parse_ident"
            && let Some(parts) = arguments
                .first()
                .and_then(|name| literal_text(name))
                .and_then(identifiers)
        {
            let parts: Vec<String> = parts.iter().map(|part| literal(part).to_string()).collect();
            return parsed(&format!("ARRAY[{}]", parts.join(", "))).map(Some);
        }
        answers::constant(&name, &arguments, self.asker)
    }
}

/// `OPERATOR(pg_catalog.~)`.
fn operator(parts: &[String]) -> Option<BinaryOperator> {
    Some(match parts.last()?.as_str() {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "||" => BinaryOperator::StringConcat,
        _ => return None,
    })
}

/// Casts to and from the types that are names of things.
fn cast(inner: &Expr, data_type: &ast::DataType) -> Result<Option<Expr>, SqlError> {
    let written = data_type.to_string().to_lowercase().replace('"', "");
    let name = written.strip_prefix("pg_catalog.").unwrap_or(&written);
    let call = |function: &str| Ok(Some(parsed(&format!("{function}({inner})"))?));
    match name {
        "regclass" => call("forebay_regclass"),
        "regtype" => call("forebay_regtype"),
        "regnamespace" => call("forebay_regnamespace"),
        "regproc" | "regprocedure" | "regoper" => match literal_text(inner) {
            Some(text) => Ok(Some(answers::function_oid(text))),
            None => Ok(Some(inner.clone())),
        },
        // `pg_typeof` gives a name here.
        "oid" | "int" | "int4" | "integer" if is_typeof(inner) => call("forebay_regtype"),
        "regrole" => Ok(Some(inner.clone())),
        "text" | "name" | "varchar" | "character varying" => {
            shown(inner).map(|shown| parsed(&shown)).transpose()
        }
        // Types of the system's own columns that are lists or numbers here.
        "int2vector"
        | "oidvector"
        | "aclitem[]"
        | "xid"
        | "anyarray"
        | "pg_node_tree"
        | "information_schema.sql_identifier"
        | "information_schema.cardinal_number"
        | "information_schema.character_data" => Ok(Some(inner.clone())),
        _ => Ok(None),
    }
}

/// The text of a number that names a thing.
fn shown(inner: &Expr) -> Option<String> {
    let inner = match inner {
        Expr::Nested(inner) => inner.as_ref(),
        other => other,
    };
    let Expr::Function(function) = inner else {
        return None;
    };
    let names = match bare_name(&function.name).as_str() {
        "forebay_regclass" | "to_regclass" => "forebay_regclass_text",
        "forebay_regtype" | "to_regtype" => "forebay_regtype_text",
        "forebay_regnamespace" => "forebay_regnamespace_text",
        _ => return None,
    };
    Some(format!("{names}({inner})"))
}

fn is_typeof(expression: &Expr) -> bool {
    matches!(expression, Expr::Function(function) if bare_name(&function.name) == "pg_typeof")
}

/// What `pg_typeof` is compared with, as the name that it would give.
fn type_name(expression: &Expr) -> Option<Expr> {
    match expression {
        Expr::Nested(inner) => type_name(inner),
        Expr::Value(_) => {
            let text = literal_text(expression)?;
            parsed(&format!(
                "forebay_regtype_text(forebay_regtype({}))",
                literal(text)
            ))
            .ok()
        }
        _ if is_typeof(expression) => Some(expression.clone()),
        _ => parsed(&shown(expression)?).ok(),
    }
}

fn types_compared(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    Some(Expr::BinaryOp {
        left: Box::new(type_name(left)?),
        op: op.clone(),
        right: Box::new(type_name(right)?),
    })
}

/// What a query gives of such numbers is told as their names.
fn show_names(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                let (SelectItem::UnnamedExpr(expression)
                | SelectItem::ExprWithAlias {
                    expr: expression, ..
                }) = item
                else {
                    continue;
                };
                if let Some(Ok(new)) = shown(expression).map(|text| parsed(&text)) {
                    *expression = new;
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            show_names(left);
            show_names(right);
        }
        SetExpr::Query(query) => show_names(&mut query.body),
        _ => {}
    }
}

/// `x = ANY(list)`.
fn any(left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Option<Expr>, SqlError> {
    if matches!(right, Expr::Subquery(_)) {
        return Ok(None);
    }
    if let Some(text) = literal_text(right) {
        let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
        let words = inner.split(',').map(|word| word.trim().trim_matches('"'));
        let list: Vec<Expr> = words.filter(|word| !word.is_empty()).map(literal).collect();
        if list.is_empty() {
            return Ok(Some(Expr::value(Value::Boolean(false))));
        }
        return Ok((*op == BinaryOperator::Eq).then(|| Expr::InList {
            expr: Box::new(left.clone()),
            list,
            negated: false,
        }));
    }
    let inner = match right {
        Expr::Nested(inner) => inner.as_ref(),
        Expr::Cast { expr, .. } if matches!(expr.as_ref(), Expr::Array(_)) => expr.as_ref(),
        other => other,
    };
    match (inner, op) {
        (Expr::Array(list), BinaryOperator::Eq) => Ok(Some(Expr::InList {
            expr: Box::new(left.clone()),
            list: list.elem.clone(),
            negated: false,
        })),
        (_, BinaryOperator::Eq) => Ok(Some(parsed(&format!("array_has({right}, {left})"))?)),
        _ => Ok(None),
    }
}

/// A subquery for one value: of those that have one at most, the greatest is that one.
fn scalar(query: &Query) -> Result<Option<Expr>, SqlError> {
    if empty::is_empty(query) {
        return null().map(Some);
    }
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Ok(None);
    };
    let is_plain = select.distinct.is_none()
        && empty::is_ungrouped(select)
        && query.limit_clause.is_none()
        && !select.from.is_empty();
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        &select.projection[..]
    else {
        return Ok(None);
    };
    if !is_plain || empty::is_aggregate(value) {
        return Ok(None);
    }
    let mut query = query.clone();
    query.order_by = None;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![SelectItem::UnnamedExpr(parsed(&format!("max({value})"))?)];
        let is_default = |from: &ast::TableWithJoins| match &from.relation {
            TableFactor::Table { name, .. } => bare_name(name) == "pg_attrdef",
            _ => false,
        };
        if select.from.iter().any(is_default) {
            select.selection = select.selection.take().and_then(without_atthasdef);
        }
    }
    Ok(Some(Expr::Subquery(Box::new(query))))
}

/// Columns of which there is a DEFAULT have one: that their own row says so, too, is no equality to look it up by.
fn without_atthasdef(condition: Expr) -> Option<Expr> {
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => match (without_atthasdef(*left), without_atthasdef(*right)) {
            (Some(left), Some(right)) => Some(Expr::BinaryOp {
                left: Box::new(left),
                op: BinaryOperator::And,
                right: Box::new(right),
            }),
            (left, right) => left.or(right),
        },
        Expr::CompoundIdentifier(parts)
            if parts.last().is_some_and(|part| part.value == "atthasdef") =>
        {
            None
        }
        other => Some(other),
    }
}

/// `ARRAY(SELECT x … ORDER BY y)`.
fn array_of(query: &Query) -> Result<Option<Expr>, SqlError> {
    if empty::is_empty(query) {
        return Ok(Some(parsed("CAST(NULL AS text[])")?));
    }
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Ok(None);
    };
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        &select.projection[..]
    else {
        return Ok(None);
    };
    let order = match &query.order_by {
        Some(ast::OrderBy {
            kind: ast::OrderByKind::Expressions(order),
            ..
        }) => {
            let words = order.iter().map(|part| match literal_text(&part.expr) {
                Some("1") => value.to_string(),
                _ => part.to_string(),
            });
            format!(" ORDER BY {}", words.collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    };
    let mut query = query.clone();
    let value = parsed(&format!("array_agg({value}{order})"))?;
    query.order_by = None;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![SelectItem::UnnamedExpr(value)];
    }
    Ok(Some(Expr::Subquery(Box::new(query))))
}

/// `(information_schema._pg_expandarray(list)).n`: for each element a row with its place, of which the JDBC driver takes
/// that one whose element is the number of column `a`. So it is the place of that number.
fn expanded(root: &Expr, chain: &[AccessExpr]) -> Result<Option<Expr>, SqlError> {
    let inner = match root {
        Expr::Nested(inner) => inner.as_ref(),
        other => other,
    };
    let (Expr::Function(function), [AccessExpr::Dot(Expr::Identifier(field))]) = (inner, chain)
    else {
        return Ok(None);
    };
    let is_expanded = bare_name(&function.name) == "array_has" && field.value == "n";
    match arguments(function)[..] {
        [list, place] if is_expanded => Ok(Some(parsed(&format!(
            "CAST(array_position({list}, {place}) AS int)"
        ))?)),
        _ => Ok(None),
    }
}

/// Columns whose elements PostgreSQL counts from 0, as those of no other list.
const VECTORS: [&str; 5] = [
    "indclass",
    "indcollation",
    "indkey",
    "indoption",
    "proargtypes",
];

fn is_vector(expression: &Expr) -> bool {
    let last = match expression {
        Expr::Identifier(ident) => ident,
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(last) => last,
            None => return false,
        },
        Expr::Nested(inner) => return is_vector(inner),
        _ => return false,
    };
    VECTORS.contains(&ident_text(last).as_str())
}

/// `i.indkey[0]`.
fn from_zero(root: &Expr, chain: &[AccessExpr]) -> Result<Option<Expr>, SqlError> {
    let [
        before @ ..,
        AccessExpr::Subscript(ast::Subscript::Index { index }),
    ] = chain
    else {
        return Ok(None);
    };
    let is_vector = match before {
        [] => is_vector(root),
        [.., AccessExpr::Dot(field)] => is_vector(field),
        _ => false,
    };
    if !is_vector {
        return Ok(None);
    }
    let index = parsed(&format!("({index}) + 1"))?;
    let mut access_chain = before.to_vec();
    access_chain.push(AccessExpr::Subscript(ast::Subscript::Index { index }));
    Ok(Some(Expr::CompoundFieldAccess {
        root: Box::new(root.clone()),
        access_chain,
    }))
}

/// `result.A_ATTNUM = (result.KEYS).x`, where the right side already says whether it is.
fn expanded_place(right: &Expr) -> Option<Expr> {
    let Expr::CompoundFieldAccess { root, access_chain } = right else {
        return None;
    };
    let [AccessExpr::Dot(Expr::Identifier(field))] = &access_chain[..] else {
        return None;
    };
    let is_place = field.value == "x" && root.to_string().to_lowercase().ends_with("keys)");
    is_place.then(|| root.as_ref().clone())
}
