//! Room for what recurses over a statement.
//!
//! The query engine's passes recurse over expressions, some ten kilobytes of stack a level in the worst case, and a chain of
//! operators is as deep as it is long. A statement has a bounded number of operators, and is planned on a stack that holds
//! that many levels; a short thread costs less than planning does.

use std::thread;

use crate::{backend::SqlError, error::sqlstate};

/// As many levels as `statement::OPERATORS_MAX` says, with room to spare for the frames around them. Only touched pages count.
const STACK_BYTES: usize = 128 * 1024 * 1024;

/// Runs it to its end.
pub fn with_room<T: Send>(
    work: impl FnOnce() -> Result<T, SqlError> + Send,
) -> Result<T, SqlError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work);
        let Ok(thread) = thread else {
            let message = "out of memory for planning a statement";
            return Err(SqlError::new(sqlstate::OUT_OF_MEMORY, message));
        };
        match thread.join() {
            Ok(answer) => answer,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
