//! Linearizable reads: a read sees everything that was committed anywhere before it was asked (thesis 6.4).

use std::collections::BTreeMap;

use base::RaftIndex;

use super::Verdict;

#[derive(Default)]
pub struct Reads {
    asked: BTreeMap<u64, RaftIndex>,
    next: u64,
    pub answered: u64,
}

impl Reads {
    /// A read is asked while `committed` is committed; its ticket.
    pub fn on_asked(&mut self, committed: RaftIndex) -> u64 {
        self.next += 1;
        self.asked.insert(self.next, committed);
        self.next
    }

    pub fn on_ready(&mut self, ticket: u64, index: RaftIndex) -> Verdict {
        self.answered += 1;
        match self.asked.remove(&ticket) {
            Some(committed) if index >= committed => Ok(()),
            Some(committed) => Err(format!(
                "reads: answered as of {index}, {committed} was committed"
            )),
            None => Err(format!("reads: ticket {ticket} is answered twice")),
        }
    }

    pub fn on_failed(&mut self, ticket: u64) {
        self.asked.remove(&ticket);
    }
}
