//! Log matching: entries with the same index and term have the same payload and the same entry before them (thesis 3.5).

use base::RaftIndex;
use raft::{Descriptor, EntryKind, Term};

use super::Verdict;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    term: Term,
    before: Term,
    checksum: u32,
    kind: EntryKind,
}

#[derive(Default)]
pub struct LogMatching {
    /// By index.
    seen: Vec<Vec<Seen>>,
}

impl LogMatching {
    /// `entries` were staged from `first` on, behind an entry of term `before`.
    pub fn on_staged(
        &mut self,
        first: RaftIndex,
        mut before: Term,
        entries: &[Descriptor],
    ) -> Verdict {
        for (at, entry) in entries.iter().enumerate() {
            let index = first.0 as usize + at;
            if self.seen.len() <= index {
                self.seen.resize_with(index + 1, Vec::new);
            }
            let new = Seen {
                term: entry.term,
                before,
                checksum: entry.checksum,
                kind: entry.kind,
            };
            before = entry.term;
            match self.seen[index].iter().find(|seen| seen.term == new.term) {
                None => self.seen[index].push(new),
                Some(known) if *known == new => {}
                Some(_) => {
                    let term = new.term;
                    return Err(format!(
                        "log matching: two entries at index {index} of term {term}"
                    ));
                }
            }
        }
        Ok(())
    }
}
