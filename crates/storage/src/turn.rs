//! Taking turns: one task at a time changes a log's segments.

use std::{cell::Cell, rc::Rc};

use runtime::sync::Notify;

/// A queue for one seat. Waiting tasks are woken together and the first polled takes it, which is fair enough for
/// the two or three tasks that ever want it.
#[derive(Default)]
pub(crate) struct Turn {
    taken: Cell<bool>,
    freed: Notify,
}

/// Gives the turn back when dropped.
pub(crate) struct Taken(Rc<Turn>);

impl Turn {
    pub(crate) async fn take(self: &Rc<Self>) -> Taken {
        while self.taken.replace(true) {
            self.freed.notified().await;
        }
        Taken(Rc::clone(self))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.set(false);
        self.0.freed.notify_all();
    }
}
