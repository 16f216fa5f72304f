//! Casts as Postgres makes them.

use arrow::datatypes::DataType;
use datafusion_expr::{Cast, Expr};

/// `CAST(expression AS to)`.
pub fn explicit(expression: Expr, _from: &DataType, to: &DataType) -> Expr {
    Expr::Cast(Cast::new(Box::new(expression), to.clone()))
}
