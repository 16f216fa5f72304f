//! Pure functions of rows, a chunk at a time.

use std::{any::Any, fmt::Debug, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch};

/// Why a value could not be computed: division by zero, overflow, text that is no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Five characters as PostgreSQL gives them, `22012` for instance.
    pub sqlstate: [u8; 5],
    pub message: String,
}

/// A function of the columns of a row and of nothing else: the same rows give the same values, whenever and wherever.
pub trait Expression: Any + Debug + Send + Sync {
    /// One value for each row, of the type that the plan says. Fails when it fails for any of the rows.
    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, Fault>;

    /// Its place, when it is a column as it is.
    fn column(&self) -> Option<usize> {
        None
    }

    /// Whether the other one gives the same values for the same rows. `false` when it cannot tell.
    fn is_same(&self, other: &dyn Expression) -> bool;
}

impl PartialEq for dyn Expression {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

pub type ExpressionRef = Arc<dyn Expression>;

/// A column as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column(pub usize);

impl Expression for Column {
    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, Fault> {
        Ok(rows.column(self.0).clone())
    }

    fn column(&self) -> Option<usize> {
        Some(self.0)
    }

    fn is_same(&self, other: &dyn Expression) -> bool {
        other.column() == Some(self.0)
    }
}
