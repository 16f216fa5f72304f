//! The stream engine: exact, incremental answers over the log.
//!
//! A view at an epoch equals the batch answer of its program over an exact prefix of every input. What flows between
//! operators are deltas: rows with weights. See the modules in reading order.

pub mod delta;
pub mod expression;
pub mod plan;
pub mod graph;
mod operators;
pub mod row;
pub mod state;
pub mod definition;
pub mod format;
pub mod changes;
pub mod log;
pub mod source;
pub mod engine;

pub use definition::Definition;
pub use delta::Delta;
pub use expression::{Expression, ExpressionRef, Fault};
pub use plan::{Node, NodeId, Operator, Plan};
