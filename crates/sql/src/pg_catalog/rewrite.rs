//! Words of PostgreSQL's tools in words that the planner knows.

use datafusion_sql::sqlparser::ast;

use super::Asker;
use crate::backend::SqlError;

/// What is to be done beside the query.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// Settings that `set_config` sets.
    pub sets: Vec<(String, String)>,
}

pub fn rewrite(_query: &mut ast::Query, _asker: &Asker<'_>) -> Result<Rewritten, SqlError> {
    Ok(Rewritten::default())
}
