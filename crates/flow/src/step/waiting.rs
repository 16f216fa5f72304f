//! Rows that wait for the epoch's end, and come then by port, partition and offset.
//!
//! Rows come as they were read: stretches of a partition, each in its order. So they are not sorted; their stretches are
//! merged, row by row.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

use streams::Delta;

use crate::rows::{Origin, RowsView};

/// See the module head.
#[derive(Default)]
pub struct Waiting {
    chunks: Vec<RowsView>,
    /// Stretches whose rows stand in their order, by their next row.
    stretches: BinaryHeap<Reverse<Stretch>>,
    bytes: usize,
}

/// The order in which stretches are compared is that of their rows; those of one place come as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stretch {
    port: usize,
    partition: i32,
    offset: i64,
    chunk: usize,
    row: usize,
    end: usize,
}

/// The next row: its port, and where it is to be found.
pub struct Next {
    pub port: usize,
    chunk: usize,
    row: usize,
}

impl Waiting {
    pub fn push(&mut self, port: usize, delta: &Delta) {
        let rows = RowsView::of(delta.rows());
        let chunk = self.chunks.len();
        let place = |row| {
            let Origin {
                partition, offset, ..
            } = rows.origin(row);
            (partition, offset)
        };
        let before = self.stretches.len();
        let mut from = 0;
        for row in 1..=delta.len() {
            if row < delta.len() && place(row - 1) <= place(row) {
                continue;
            }
            let (partition, offset) = place(from);
            self.stretches.push(Reverse(Stretch {
                port,
                partition,
                offset,
                chunk,
                row: from,
                end: row,
            }));
            from = row;
        }
        let stretches = self.stretches.len() - before;
        self.bytes += rows.bytes() + stretches * size_of::<Stretch>();
        self.chunks.push(rows);
    }

    pub fn take_next(&mut self) -> Option<Next> {
        let mut first = self.stretches.peek_mut()?;
        let Reverse(stretch) = *first;
        let next = Next {
            port: stretch.port,
            chunk: stretch.chunk,
            row: stretch.row,
        };
        let row = stretch.row + 1;
        if row == stretch.end {
            PeekMut::pop(first);
        } else {
            let origin = self.chunks[stretch.chunk].origin(row);
            *first = Reverse(Stretch {
                partition: origin.partition,
                offset: origin.offset,
                row,
                ..stretch
            });
        }
        Some(next)
    }

    /// Key, value and origin of a row.
    pub fn row(&self, next: &Next) -> (&[u8], &[u8], Origin) {
        let rows = &self.chunks[next.chunk];
        (
            rows.key.value(next.row),
            rows.value.value(next.row),
            rows.origin(next.row),
        )
    }

    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use crate::rows::RowsBuilder;

    use super::*;

    fn delta(rows: &[(i32, i64, &str)]) -> Delta {
        let mut builder = RowsBuilder::default();
        for (partition, offset, value) in rows {
            let origin = Origin {
                time: 0,
                partition: *partition,
                offset: *offset,
            };
            builder.push(0, Some(b"k"), value.as_bytes(), origin, 1);
        }
        builder.finish()
    }

    #[test]
    fn rows_come_by_port_partition_and_offset_and_else_as_they_came() {
        let mut waiting = Waiting::default();
        waiting.push(1, &delta(&[(0, 0, "i")]));
        waiting.push(
            0,
            &delta(&[(1, 3, "g"), (1, 5, "h"), (0, 7, "c"), (0, 7, "d")]),
        );
        waiting.push(0, &delta(&[]));
        waiting.push(
            0,
            &delta(&[(0, 7, "e"), (0, 8, "f"), (0, 1, "a"), (0, 2, "b")]),
        );
        assert!(waiting.bytes() > 0);
        let mut values = String::new();
        while let Some(next) = waiting.take_next() {
            let (key, value, _) = waiting.row(&next);
            assert_eq!(key, b"k");
            assert_eq!(next.port, usize::from(value == b"i"));
            values.push_str(std::str::from_utf8(value).expect("text"));
        }
        assert_eq!(values, "abcdefghi");
        assert!(waiting.is_empty());
    }

    #[test]
    fn what_is_held_is_counted() {
        let rising: Vec<_> = (0..1000).map(|offset| (0, offset, "v")).collect();
        let falling: Vec<_> = rising.iter().rev().copied().collect();
        let bytes = |delta: &Delta| {
            let mut waiting = Waiting::default();
            waiting.push(0, delta);
            waiting.bytes()
        };
        let stretches = bytes(&delta(&falling)) - bytes(&delta(&rising));
        assert_eq!(stretches, 999 * size_of::<Stretch>());
        // One row keeps the chunk that it was cut from.
        let whole = delta(&rising);
        let one = Delta::new(whole.rows().slice(0, 1), vec![1]);
        assert!(bytes(&one) > 1000 * (8 + 8 + 4));
    }
}
