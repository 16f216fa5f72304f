//! The stream engine: exact, incremental answers over the log.
//!
//! A view at an epoch equals the batch answer of its program over an exact prefix of every input. What flows between
//! operators are deltas: rows with weights. See the modules in reading order.

pub mod changes;
pub mod definition;
pub mod delta;
pub mod engine;
pub mod expression;
pub mod format;
pub mod graph;
pub mod log;
mod operators;
pub mod plan;
pub mod row;
pub mod source;
pub mod state;

pub use definition::Definition;
pub use delta::Delta;
pub use expression::{Expression, ExpressionRef, Fault};
pub use operators::{End, Output, Running, Write};
pub use plan::{Custom, Node, NodeId, Operator, Plan};
