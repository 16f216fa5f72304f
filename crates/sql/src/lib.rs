//! SQL: statements to dataflows, questions to live state, and the Postgres protocol.
//!
//! Statements are parsed (`statement`), names looked up (`catalog`), queries planned with the query engine's planner and
//! optimiser and turned into a `streams::Plan` (`planner`). A view keeps its plan running; a SELECT runs its plan once, over
//! snapshots of what it reads: one engine gives both answers. `backend` is what a session needs of the node it runs in.

pub mod backend;
pub mod catalog;
pub mod column_type;
pub mod error;
pub mod execute;
pub mod functions;
mod pg_catalog;
pub mod planner;
pub mod postgres;
pub mod session;
pub mod statement;
pub mod text;
mod zone;

/// What planning and binding a statement takes of the stack: the query engine's passes recurse over expressions and queries,
/// some ten kilobytes a level in the worst case, of which `statement` lets a bounded number through. With room to spare for
/// the frames around them; only touched pages count.
pub const STACK_BYTES: usize = 128 << 20;
