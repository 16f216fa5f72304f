//! The memory that one request holds, and its return before the answer where the answer may be long in coming.
//!
//! # Invariants
//! 1. A connection's sum is what its requests hold that have not let go.

use std::{cell::Cell, rc::Rc};

use runtime::budget::Permit;

/// Granted for one request: its frame, and what its handler makes of it.
pub struct RequestMemory {
    permits: Cell<Option<(Permit, Option<Permit>)>>,
    bytes: u64,
    /// Of all requests of the connection.
    sum: Rc<Cell<u64>>,
}

impl RequestMemory {
    pub fn new(frame: Permit, building: Option<Permit>, sum: &Rc<Cell<u64>>) -> Self {
        let bytes = frame.bytes() + building.as_ref().map_or(0, Permit::bytes);
        sum.set(sum.get() + bytes);
        Self {
            permits: Cell::new(Some((frame, building))),
            bytes,
            sum: sum.clone(),
        }
    }

    pub fn let_go(&self) {
        if self.permits.take().is_some() {
            self.sum.set(self.sum.get() - self.bytes);
        }
    }

    pub fn is_let_go(&self) -> bool {
        let permits = self.permits.take();
        let is_let_go = permits.is_none();
        self.permits.set(permits);
        is_let_go
    }
}

impl Drop for RequestMemory {
    fn drop(&mut self) {
        self.let_go();
    }
}
