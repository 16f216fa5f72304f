//! INSERT, UPDATE and DELETE as queries for the rows that come and go.

mod joined;

use std::{ops::ControlFlow, sync::Arc};

use arrow::{
    array::{Array, RecordBatch, RecordBatchOptions},
    datatypes::{Field, FieldRef, SchemaRef},
};
use datafusion_common::{Column, TableReference};
use datafusion_expr::{DmlStatement, Expr, LogicalPlan, LogicalPlanBuilder, WriteOp};
use datafusion_sql::sqlparser::ast::{self, Visit};

use super::{Planned, context, engine, operands, plan_query, planned, undefined_table};
use crate::{
    backend::SqlError,
    catalog::{Catalog, Relation, RelationKind},
    column_type::NOT_NULL_KEY,
    error::sqlstate,
    functions,
    statement::{StatementKind, parse, quoted, quoted_part},
    text,
};

/// What a statement does to a table.
#[derive(Clone, Debug)]
pub struct PlannedChange {
    pub table: String,
    /// Of the table.
    pub schema: SchemaRef,
    /// Gives the rows that go, in the table's columns.
    pub removed: Option<Planned>,
    /// Gives the rows that come.
    pub added: Option<Planned>,
    /// What RETURNING wants of the rows that come, or go by DELETE: a query that reads them in the table's place.
    pub returned: Option<Planned>,
    /// What is done with rows whose key is there already.
    pub conflict: Option<PlannedConflict>,
    /// Types of `$1`, `$2` and so on; all queries take all of them.
    pub parameters: Vec<FieldRef>,
}

pub use joined::{EXCLUDED, PlannedConflict};

/// Rows that come by COPY, to the INSERT that takes them.
pub const COPIED: &str = "forebay.copied";

impl PlannedChange {
    /// The rows as their table keeps them. Fails when one lacks a value that is wanted, or has one that does not fit its column.
    pub fn stored(&self, added: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, SqlError> {
        added
            .into_iter()
            .map(|rows| self.stored_rows(&rows))
            .collect()
    }

    fn stored_rows(&self, added: &RecordBatch) -> Result<RecordBatch, SqlError> {
        let mut columns = Vec::with_capacity(added.num_columns());
        for (field, column) in self.schema.fields().iter().zip(added.columns()) {
            if field.metadata().contains_key(NOT_NULL_KEY) && column.logical_null_count() > 0 {
                return Err(null_violation(field.name(), &self.table));
            }
            columns.push(text::stored(field, column)?);
        }
        // A table may have no columns.
        let rows = RecordBatchOptions::new().with_row_count(Some(added.num_rows()));
        let schema = added.schema();
        Ok(RecordBatch::try_new_with_options(schema, columns, &rows)?)
    }
}

/// Plans a change. `types` are those that a client has named for its parameters.
pub fn plan_change(
    catalog: &Catalog,
    kind: &StatementKind,
    types: &[Option<FieldRef>],
) -> Result<PlannedChange, SqlError> {
    let mut conflict = None;
    let (statement, returning) = match kind {
        StatementKind::Insert(insert) => {
            let mut insert = insert.as_ref().clone();
            if let ast::TableObject::TableName(table) = &insert.table
                && let Some(relation) = relation_named(catalog, table)
            {
                let relation = relation.clone();
                with_default_row(&relation, &mut insert)?;
                name_columns_of(catalog, &mut insert)?;
                with_defaults_of(&relation, &mut insert)?;
            }
            refuse(insert.source.is_none(), "INSERT without rows")?;
            conflict = insert.on.take();
            let returning = insert.returning.take();
            (ast::Statement::Insert(insert), returning)
        }
        StatementKind::Update(update) => {
            let mut update = update.as_ref().clone();
            for assignment in &mut update.assignments {
                fold(&mut assignment.target);
            }
            if let ast::TableFactor::Table { name, .. } = &update.table.relation {
                let names = update.assignments.iter();
                let names = names.filter_map(|assignment| match &assignment.target {
                    ast::AssignmentTarget::ColumnName(name) => Some(name),
                    ast::AssignmentTarget::Tuple(_) => None,
                });
                has_columns(catalog, name, names)?;
                if let Some(relation) = relation_named(catalog, name) {
                    assign_defaults(relation, &mut update.assignments)?;
                }
            }
            let returning = update.returning.take();
            (ast::Statement::Update(update), returning)
        }
        StatementKind::Delete(delete) => {
            let mut delete = delete.as_ref().clone();
            let returning = delete.returning.take();
            (ast::Statement::Delete(delete), returning)
        }
        _ => return Err(SqlError::unsupported("this statement changes no rows")),
    };
    let returned = match returning {
        Some(items) => Some(planned_returning(catalog, &statement, items)?),
        None => None,
    };
    let change = match (&statement, &conflict) {
        (ast::Statement::Update(update), _) if update.from.is_some() => {
            joined::update(catalog, update, types)?
        }
        (ast::Statement::Delete(delete), _) if delete.using.is_some() || is_aliased(delete) => {
            joined::delete(catalog, delete, types)?
        }
        (ast::Statement::Insert(insert), Some(on)) => {
            let insert = insert.clone();
            joined::insert(catalog, insert, on, types)?
        }
        _ => of_statement(catalog, statement, types)?,
    };
    Ok(PlannedChange { returned, ..change })
}

/// Plans an INSERT of all rows of [`COPIED`], which has these columns of the table.
pub fn plan_copy(
    catalog: &Catalog,
    table: &str,
    columns: &SchemaRef,
) -> Result<PlannedChange, SqlError> {
    let catalog = joined::with_relation(catalog, COPIED, columns);
    let names = columns.fields().iter();
    let names: Vec<String> = names.map(|field| quoted_part(field.name())).collect();
    let names = names.join(", ");
    let text = format!(
        "INSERT INTO {} ({names}) SELECT {names} FROM {COPIED}",
        quoted(table)
    );
    let insert = parse(&text)?.pop();
    let no_insert = || SqlError::new(sqlstate::INTERNAL_ERROR, "an INSERT was made");
    let insert = insert.ok_or_else(no_insert)?;
    plan_change(&catalog, &insert.kind, &[]).map_err(SqlError::unplaced)
}

pub fn null_violation(column: &str, table: &str) -> SqlError {
    SqlError::new(
        sqlstate::NOT_NULL_VIOLATION,
        format!(
            "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
        ),
    )
}

/// `RETURNING a, b` of a change as `SELECT a, b FROM` its table.
fn planned_returning(
    catalog: &Catalog,
    statement: &ast::Statement,
    items: Vec<ast::SelectItem>,
) -> Result<Planned, SqlError> {
    let table = match statement {
        ast::Statement::Insert(insert) => match &insert.table {
            ast::TableObject::TableName(name) => Some(plain_table(name)),
            _ => None,
        },
        ast::Statement::Update(update) => Some(update.table.clone()),
        ast::Statement::Delete(delete) => {
            let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) =
                &delete.from;
            from.first().cloned()
        }
        _ => None,
    };
    let query = crate::statement::select_nothing();
    let (Some(table), Some(mut query)) = (table, query) else {
        return Err(SqlError::unsupported("RETURNING is not supported here"));
    };
    of_one_row(&items, "RETURNING")?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items;
        select.from = vec![table];
    }
    let planned = plan_query(catalog, &query, &[])?;
    refuse(!planned.parameters.is_empty(), "RETURNING with parameters")?;
    Ok(planned)
}

/// The engine forgets the name that a DELETE gives its table.
fn is_aliased(delete: &ast::Delete) -> bool {
    let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) =
        &delete.from;
    let is_aliased = |table: &ast::TableWithJoins| {
        matches!(
            &table.relation,
            ast::TableFactor::Table { alias: Some(_), .. }
        )
    };
    tables.iter().any(is_aliased)
}

/// Refuses what says something of other rows than one: a clause is planned over those that change as if they were all.
pub fn of_one_row(parts: &impl Visit, clause: &'static str) -> Result<(), SqlError> {
    match parts.visit(&mut OfOneRow { clause }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct OfOneRow {
    clause: &'static str,
}

impl ast::Visitor for OfOneRow {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<SqlError> {
        let message = format!("{} with subqueries is not supported", self.clause);
        ControlFlow::Break(SqlError::unsupported(message))
    }

    fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<SqlError> {
        let ast::Expr::Function(call) = expression else {
            return ControlFlow::Continue(());
        };
        let (sqlstate, what) = match column_name(&call.name).as_str() {
            _ if call.over.is_some() => (sqlstate::WINDOWING_ERROR, "window"),
            "generate_series" | "unnest" => (sqlstate::FEATURE_NOT_SUPPORTED, "set-returning"),
            name if functions::aggregate(name).is_some() => (sqlstate::GROUPING_ERROR, "aggregate"),
            _ => return ControlFlow::Continue(()),
        };
        let message = format!("{what} functions are not allowed in {}", self.clause);
        ControlFlow::Break(SqlError::new(sqlstate, message))
    }
}

fn plain_table(name: &ast::ObjectName) -> ast::TableWithJoins {
    ast::TableWithJoins {
        relation: ast::TableFactor::Table {
            name: name.clone(),
            alias: None,
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        },
        joins: Vec::new(),
    }
}

fn column_name(name: &ast::ObjectName) -> String {
    let last = name.0.last().and_then(ast::ObjectNamePart::as_ident);
    last.map(super::names::ident_name).unwrap_or_default()
}

fn relation_named<'c>(catalog: &'c Catalog, name: &ast::ObjectName) -> Option<&'c Arc<Relation>> {
    let parts = name.0.iter().filter_map(ast::ObjectNamePart::as_ident);
    let parts: Vec<String> = parts.map(super::names::ident_name).collect();
    let reference = match parts.as_slice() {
        [table] => TableReference::bare(table.as_str()),
        [schema, table] => TableReference::partial(schema.as_str(), table.as_str()),
        _ => return None,
    };
    context::find(catalog, &reference)
}

fn has_columns<'n>(
    catalog: &Catalog,
    table: &ast::ObjectName,
    names: impl Iterator<Item = &'n ast::ObjectName>,
) -> Result<(), SqlError> {
    let Some(relation) = relation_named(catalog, table) else {
        return Ok(());
    };
    for name in names.map(column_name) {
        if relation.schema.index_of(&name).is_err() {
            let table = &relation.name;
            return Err(SqlError::new(
                sqlstate::UNDEFINED_COLUMN,
                format!("column \"{name}\" of relation \"{table}\" does not exist"),
            ));
        }
    }
    Ok(())
}

/// VALUES may give fewer columns than the table has; the others are null.
fn name_columns_of(catalog: &Catalog, insert: &mut ast::Insert) -> Result<(), SqlError> {
    let ast::TableObject::TableName(table) = &insert.table else {
        return Ok(());
    };
    has_columns(catalog, table, insert.columns.iter())?;
    let Some(relation) = relation_named(catalog, table) else {
        return Ok(());
    };
    let Some(ast::SetExpr::Values(values)) =
        insert.source.as_ref().map(|source| source.body.as_ref())
    else {
        return Ok(());
    };
    let given = values.rows.first().map_or(0, |row| row.len());
    let fields = relation.schema.fields();
    let wanted = match insert.columns.len() {
        0 => fields.len(),
        named => named,
    };
    if values.rows.iter().any(|row| row.len() != given) {
        let message = "VALUES lists must all be the same length";
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
    }
    if given > wanted {
        let message = "INSERT has more expressions than target columns";
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
    }
    if given < wanted && !insert.columns.is_empty() {
        let message = "INSERT has more target columns than expressions";
        return Err(SqlError::new(sqlstate::SYNTAX_ERROR, message));
    }
    if given < wanted {
        let named = fields.iter().take(given);
        insert.columns = named.map(|field| quoted_name(field)).collect();
    }
    Ok(())
}

/// `DEFAULT VALUES` as a row that gives one column its own.
fn with_default_row(relation: &Relation, insert: &mut ast::Insert) -> Result<(), SqlError> {
    let (None, Some(first)) = (&insert.source, relation.schema.fields().first()) else {
        return Ok(());
    };
    let Some(mut row) = crate::statement::select_nothing() else {
        return Ok(());
    };
    *row.body = ast::SetExpr::Values(ast::Values {
        explicit_row: false,
        value_keyword: false,
        rows: vec![ast::Parens::with_empty_span(vec![default_for(first)?])],
    });
    insert.columns = vec![quoted_name(first)];
    insert.source = Some(Box::new(row));
    Ok(())
}

/// What DEFAULT stands for in the rows, and in what is done in conflict.
fn with_defaults_of(relation: &Relation, insert: &mut ast::Insert) -> Result<(), SqlError> {
    if let Some(ast::OnInsert::OnConflict(on)) = &mut insert.on
        && let ast::OnConflictAction::DoUpdate(update) = &mut on.action
    {
        assign_defaults(relation, &mut update.assignments)?;
    }
    let Some(ast::SetExpr::Values(values)) =
        insert.source.as_mut().map(|source| source.body.as_mut())
    else {
        return Ok(());
    };
    let fields = relation.schema.fields();
    let field = |place: usize| match insert.columns.get(place) {
        Some(name) => fields.find(&column_name(name)).map(|(_, field)| field),
        None => fields.get(place),
    };
    for row in &mut values.rows {
        for (place, value) in row.iter_mut().enumerate() {
            if is_default(value)
                && let Some(field) = field(place)
            {
                *value = default_for(field)?;
            }
        }
    }
    Ok(())
}

fn assign_defaults(
    relation: &Relation,
    assignments: &mut [ast::Assignment],
) -> Result<(), SqlError> {
    for assignment in assignments {
        if let ast::AssignmentTarget::ColumnName(name) = &assignment.target
            && is_default(&assignment.value)
            && let Some((_, field)) = relation.schema.fields().find(&column_name(name))
        {
            assignment.value = default_for(field)?;
        }
    }
    Ok(())
}

/// The word, which no column can have for its name.
fn is_default(value: &ast::Expr) -> bool {
    matches!(value, ast::Expr::Identifier(ident)
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

fn default_for(field: &Field) -> Result<ast::Expr, SqlError> {
    let null = || Ok(ast::Expr::value(ast::Value::Null));
    context::default_of(field).unwrap_or_else(null)
}

fn quoted_name(field: &Field) -> ast::ObjectName {
    ast::ObjectName::from(vec![ast::Ident::with_quote('"', field.name())])
}

fn of_statement(
    catalog: &Catalog,
    statement: ast::Statement,
    types: &[Option<FieldRef>],
) -> Result<PlannedChange, SqlError> {
    // The engine forgets those of an INSERT.
    let mut types = operands::with_written_types(&statement, types);
    if let ast::Statement::Insert(insert) = &statement {
        types_of_columns(catalog, insert, &mut types);
    }
    let types = &types;
    let LogicalPlan::Dml(dml) = engine::planned_statement(catalog, statement, types)? else {
        return Err(SqlError::new(
            sqlstate::INTERNAL_ERROR,
            "a change was expected",
        ));
    };
    of_dml(catalog, &dml, types)
}

/// `INSERT INTO t SELECT $1`: a parameter has the type of the column that it is for, unless something else says one.
fn types_of_columns(catalog: &Catalog, insert: &ast::Insert, types: &mut Vec<Option<FieldRef>>) {
    let (ast::TableObject::TableName(table), Some(source)) = (&insert.table, &insert.source) else {
        return;
    };
    let (Some(relation), ast::SetExpr::Select(select)) =
        (relation_named(catalog, table), source.body.as_ref())
    else {
        return;
    };
    let fields = relation.schema.fields();
    for (place, item) in select.projection.iter().enumerate() {
        let (ast::SelectItem::UnnamedExpr(value)
        | ast::SelectItem::ExprWithAlias { expr: value, .. }) = item
        else {
            // What stands behind is for other columns than it seems.
            return;
        };
        let field = match insert.columns.get(place) {
            Some(name) => fields.find(&column_name(name)).map(|(_, field)| field),
            None => fields.get(place),
        };
        if let (Some(at), Some(field)) = (operands::parameter_in(value), field)
            && at < operands::PARAMETERS_MAX
        {
            let count = types.len().max(at + 1);
            types.resize(count, None);
            types[at].get_or_insert_with(|| field.clone());
        }
    }
}

fn refuse(is_there: bool, what: &str) -> Result<(), SqlError> {
    if is_there {
        return Err(SqlError::unsupported(format!("{what} is not supported")));
    }
    Ok(())
}

/// The engine takes names of assigned columns as they are written.
fn fold(target: &mut ast::AssignmentTarget) {
    let ast::AssignmentTarget::ColumnName(name) = target else {
        return;
    };
    for part in &mut name.0 {
        if let ast::ObjectNamePart::Identifier(ident) = part
            && ident.quote_style.is_none()
        {
            *ident = ast::Ident::with_quote('"', ident.value.to_lowercase());
        }
    }
}

fn of_dml(
    catalog: &Catalog,
    dml: &DmlStatement,
    types: &[Option<FieldRef>],
) -> Result<PlannedChange, SqlError> {
    let relation = context::find(catalog, &dml.table_name)
        .ok_or_else(|| undefined_table(&dml.table_name.to_string()))?;
    if relation.kind != RelationKind::Table {
        return Err(SqlError::new(
            sqlstate::WRONG_OBJECT_TYPE,
            format!("cannot change \"{}\": it is no table", relation.name),
        ));
    }
    let whole = dml.input.as_ref();
    let (removed, added) = match &dml.op {
        WriteOp::Insert(_) => (None, Some(whole.clone())),
        WriteOp::Delete => (Some(rows_of(whole, &relation.schema)?), None),
        WriteOp::Update => {
            let LogicalPlan::Projection(projection) = whole else {
                return Err(SqlError::new(
                    sqlstate::INTERNAL_ERROR,
                    "an update projects",
                ));
            };
            (
                Some(rows_of(&projection.input, &relation.schema)?),
                Some(whole.clone()),
            )
        }
        _ => return Err(SqlError::unsupported("this change is not supported")),
    };
    let whole = engine::analyze(whole.clone())?;
    let parameters = engine::parameters(&whole, types)?;
    let all: Vec<Option<FieldRef>> = parameters.iter().cloned().map(Some).collect();
    let plan = |logical: Option<LogicalPlan>| -> Result<Option<Planned>, SqlError> {
        let Some(logical) = logical else {
            return Ok(None);
        };
        planned(engine::analyze(logical)?, &all).map(Some)
    };
    Ok(PlannedChange {
        table: relation.name.clone(),
        schema: relation.schema.clone(),
        removed: plan(removed)?,
        added: plan(added)?,
        returned: None,
        conflict: None,
        parameters,
    })
}

/// The table's own columns of the rows that are touched.
fn rows_of(source: &LogicalPlan, schema: &SchemaRef) -> Result<LogicalPlan, SqlError> {
    let columns = source.schema().iter().take(schema.fields().len());
    let columns: Vec<Expr> = columns
        .map(|field| Expr::Column(Column::from(field)))
        .collect();
    Ok(LogicalPlanBuilder::from(Arc::new(source.clone()))
        .project(columns)?
        .build()?)
}
