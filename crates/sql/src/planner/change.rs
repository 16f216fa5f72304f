//! INSERT, UPDATE and DELETE as queries for the rows that come and go.

use datafusion_sql::sqlparser::ast;

use super::Planned;
use crate::{backend::SqlError, catalog::Catalog, statement::StatementKind};

/// What a statement does to a table.
#[derive(Clone, Debug)]
pub struct PlannedChange {
    pub table: String,
    /// Gives the rows that go, in the table's columns.
    pub removed: Option<Planned>,
    /// Gives the rows that come.
    pub added: Option<Planned>,
}

pub fn plan_change(_catalog: &Catalog, _kind: &StatementKind) -> Result<PlannedChange, SqlError> {
    let _: Option<ast::Query> = None;
    Err(SqlError::unsupported("changes"))
}
