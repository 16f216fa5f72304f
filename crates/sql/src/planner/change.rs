//! INSERT, UPDATE and DELETE as queries for the rows that come and go.

use std::sync::Arc;

use arrow::{
    array::{Array, RecordBatch},
    datatypes::{FieldRef, SchemaRef},
};
use datafusion_common::Column;
use datafusion_expr::{DmlStatement, Expr, LogicalPlan, LogicalPlanBuilder, WriteOp};
use datafusion_sql::sqlparser::ast;

use super::{Planned, context, engine, planned, undefined_table};
use crate::{
    backend::SqlError,
    catalog::{Catalog, RelationKind},
    column_type::NOT_NULL_KEY,
    error::sqlstate,
    stack::with_room,
    statement::StatementKind,
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
    /// Types of `$1`, `$2` and so on; both queries take all of them.
    pub parameters: Vec<FieldRef>,
}

impl PlannedChange {
    /// Fails when a row lacks a value that its table wants.
    pub fn check(&self, added: &RecordBatch) -> Result<(), SqlError> {
        for (field, column) in self.schema.fields().iter().zip(added.columns()) {
            if field.metadata().contains_key(NOT_NULL_KEY) && column.logical_null_count() > 0 {
                return Err(SqlError::new(
                    sqlstate::NOT_NULL_VIOLATION,
                    format!(
                        "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                        field.name(),
                        self.table
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Plans a change. `types` are those that a client has named for its parameters.
pub fn plan_change(
    catalog: &Catalog,
    kind: &StatementKind,
    types: &[Option<FieldRef>],
) -> Result<PlannedChange, SqlError> {
    let statement = match kind {
        StatementKind::Insert(insert) => {
            refuse(insert.returning.is_some(), "RETURNING")?;
            refuse(insert.on.is_some(), "ON CONFLICT")?;
            refuse(insert.source.is_none(), "INSERT without rows")?;
            ast::Statement::Insert(insert.as_ref().clone())
        }
        StatementKind::Update(update) => {
            refuse(update.returning.is_some(), "RETURNING")?;
            refuse(update.from.is_some(), "UPDATE FROM")?;
            let mut update = update.as_ref().clone();
            for assignment in &mut update.assignments {
                fold(&mut assignment.target);
            }
            ast::Statement::Update(update)
        }
        StatementKind::Delete(delete) => {
            refuse(delete.returning.is_some(), "RETURNING")?;
            refuse(delete.using.is_some(), "DELETE USING")?;
            ast::Statement::Delete(delete.as_ref().clone())
        }
        _ => return Err(SqlError::unsupported("this statement changes no rows")),
    };
    with_room(|| of_statement(catalog, statement, types))
}

fn of_statement(
    catalog: &Catalog,
    statement: ast::Statement,
    types: &[Option<FieldRef>],
) -> Result<PlannedChange, SqlError> {
    let LogicalPlan::Dml(dml) = engine::planned_statement(catalog, statement, types)? else {
        return Err(SqlError::new(
            sqlstate::INTERNAL_ERROR,
            "a change was expected",
        ));
    };
    of_dml(catalog, &dml, types)
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
