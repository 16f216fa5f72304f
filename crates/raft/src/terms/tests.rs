//! Tests of the term table against a plain list of terms.

use base::RaftIndex;

use super::TermTable;
use crate::{LogPosition, Term};

/// The plain list: terms of the entries after `start`.
struct Plain {
    start: LogPosition,
    terms: Vec<Term>,
}

impl Plain {
    fn last(&self) -> u64 {
        self.start.index.0 + self.terms.len() as u64
    }

    fn term(&self, index: u64) -> Option<Term> {
        if index == self.start.index.0 {
            return Some(self.start.term);
        }
        let at = index.checked_sub(self.start.index.0 + 1)?;
        self.terms.get(at as usize).copied()
    }

    fn last_up_to(&self, index: u64, term: Term) -> LogPosition {
        let found = (self.start.index.0 + 1..=index.min(self.last()))
            .rev()
            .find(|at| self.term(*at).is_some_and(|known| known <= term));
        let index = found.unwrap_or(self.start.index.0);
        LogPosition {
            term: self.term(index).expect("it was found"),
            index: RaftIndex(index),
        }
    }
}

fn compare(table: &TermTable, plain: &Plain) {
    assert_eq!(table.start(), plain.start);
    assert_eq!(table.last().0, plain.last());
    for index in 0..plain.last() + 3 {
        assert_eq!(
            table.term(RaftIndex(index)),
            plain.term(index),
            "at {index}"
        );
        for term in 0..6 {
            let (index, term) = (index.max(plain.start.index.0), Term(term));
            if term >= plain.start.term {
                let found = table.last_up_to(RaftIndex(index), term);
                assert_eq!(found, plain.last_up_to(index, term), "{index} {term}");
            }
        }
    }
}

#[test]
fn agrees_with_a_plain_list() {
    let mut chance = 7u64;
    let mut below = |end: u64| {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (chance >> 33) % end
    };
    for _ in 0..300 {
        let mut table = TermTable::new(LogPosition::default(), &[], RaftIndex::ZERO);
        let mut plain = Plain {
            start: LogPosition::default(),
            terms: Vec::new(),
        };
        for _ in 0..20 {
            let last = plain.last();
            match below(5) {
                0..=2 => {
                    let term = table.last_term().0.max(1) + below(2) as i32;
                    let count = below(4);
                    table.append(Term(term), count);
                    plain.terms.extend((0..count).map(|_| Term(term)));
                }
                3 if last > plain.start.index.0 => {
                    let from = plain.start.index.0 + 1 + below(last - plain.start.index.0);
                    table.truncate(RaftIndex(from));
                    plain
                        .terms
                        .truncate((from - plain.start.index.0 - 1) as usize);
                }
                _ => {
                    let index = plain.start.index.0 + below(last - plain.start.index.0 + 1);
                    let term = plain.term(index).expect("in the log");
                    plain.terms.drain(..(index - plain.start.index.0) as usize);
                    plain.start = LogPosition {
                        term,
                        index: RaftIndex(index),
                    };
                    table.trim(RaftIndex(index));
                }
            }
            compare(&table, &plain);
        }
    }
}
