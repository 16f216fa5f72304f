//! Checker of what the product traces in a run: an ERROR is a violation, and so is a WARN that no fault of the run justifies.

use std::{
    cell::{Cell, RefCell},
    fmt::{Debug, Write},
    sync::Once,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// More of one run say nothing new.
const KEPT_MAX: usize = 16;

thread_local! {
    /// A run is under way on this thread.
    static LISTENS: Cell<bool> = const { Cell::new(false) };
    /// What is heard is told, for a seed that is looked at.
    static TELLS: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what the thread's run says at WARN or ERROR.
struct Listener;

/// The fields of an event in words, its message among them.
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A `String` takes everything.
        let _ = write!(self.0, "{} {value:?} ", field.name());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        if !LISTENS.get() {
            return;
        }
        let mut words = Words(String::new());
        event.record(&mut words);
        if TELLS.get() {
            eprintln!("{} {}", event.metadata().level(), words.0);
        }
        SAID.with_borrow_mut(|said| {
            if said.len() < KEPT_MAX {
                said.push((*event.metadata().level(), words.0));
            }
        });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A run begins on this thread.
pub(crate) fn listen(tells: bool) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Another one that was there first only means that nothing is heard.
        let _ = tracing::subscriber::set_global_default(Listener);
    });
    LISTENS.set(true);
    TELLS.set(tells);
    SAID.take();
}

/// Panics when something was said that no fault justifies; forgets the rest.
pub(crate) fn check(warnings_are_justified: bool) {
    for (level, words) in SAID.take() {
        let is_justified = level == Level::WARN && warnings_are_justified;
        assert!(
            is_justified,
            "traced without a fault that justifies it: {level} {words}"
        );
    }
}

#[cfg(test)]
mod tests;
