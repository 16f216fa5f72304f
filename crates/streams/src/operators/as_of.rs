//! To each left row the right one of the same key that is nearest below it, or nulls when there is none.
//!
//! Of right rows that are equal in what is compared the one that sorts last counts. A key that the epoch touched is gone through
//! as a whole.
//!
//! # Layout      of state: tables 0 and 1 have the rows of either side

use std::collections::BTreeMap;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, SchemaRef};

use super::{
    End, Output, Place, Running, Write,
    grouped::{GroupedRows, When},
};
use crate::{
    Delta,
    delta::CHUNK_ROWS,
    graph::PlanError,
    plan::{Join, JoinKind},
    row::{ColumnOrder, Corrupt},
    state::{Keys, Slot},
};

#[derive(Debug)]
struct AsOf {
    schema: SchemaRef,
    /// Of each side the columns without which a row has no partner.
    needed: [Vec<usize>; 2],
    right_types: Vec<DataType>,
    sides: [GroupedRows; 2],
    /// Keys that either side has changed.
    touched: Keys,
    finishing: usize,
}

/// A left row with its right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    left: Slot,
    right: Option<Slot>,
    weight: i64,
}

pub(super) fn make(place: &Place, join: &Join) -> Result<Box<dyn Running>, PlanError> {
    let JoinKind::AsOf { left, right } = join.kind else {
        unreachable!("the caller has looked")
    };
    let types = |side: usize| {
        place.inputs[side]
            .fields()
            .iter()
            .map(|field| field.data_type())
    };
    place.expect_types(types(0).chain(types(1)))?;
    let (left_keys, right_keys): (Vec<usize>, Vec<usize>) = join.keys.iter().copied().unzip();
    let same_keys = place.input_types(0, &left_keys)? == place.input_types(1, &right_keys)?;
    if !same_keys || place.input_type(0, left)? != place.input_type(1, right)? {
        return Err(place.malformed("keys of the two sides are of different types"));
    }
    if join.condition.is_some() {
        return Err(place.malformed("a join by the nearest value has no further condition"));
    }
    let needed = |column: usize, keys: &[usize]| {
        let keys = keys.iter().filter(|_| !join.null_equals_null);
        keys.copied().chain([column]).collect()
    };
    let order = ColumnOrder::default();
    Ok(Box::new(AsOf {
        schema: place.schema.clone(),
        needed: [needed(left, &left_keys), needed(right, &right_keys)],
        right_types: types(1).cloned().collect(),
        sides: [
            GroupedRows::new(place, 0, &left_keys, &[(left, order)])?,
            GroupedRows::new(place, 1, &right_keys, &[(right, order)])?,
        ],
        touched: Keys::default(),
        finishing: 0,
    }))
}

impl Running for AsOf {
    fn take(&mut self, port: usize, delta: &Delta, out: &mut Output) {
        let needed = self.needed[port].iter();
        let nulls = needed.fold(None, |nulls: Option<NullBuffer>, column| {
            NullBuffer::union(
                nulls.as_ref(),
                delta.column(*column).logical_nulls().as_ref(),
            )
        });
        let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
            return self.sides[port].take(delta);
        };
        let known = BooleanArray::new(nulls.inner().clone(), None);
        let unknown = BooleanArray::new(!nulls.inner(), None);
        self.sides[port].take(&delta.filter(&known).expect("a truth value for each row"));
        if port == 0 {
            let alone = delta.filter(&unknown).expect("a truth value for each row");
            let mut columns = alone.rows().columns().to_vec();
            columns.extend(
                self.right_types
                    .iter()
                    .map(|of| new_null_array(of, alone.len())),
            );
            out.deltas
                .push(alone.with_columns(self.schema.clone(), columns));
        }
    }

    fn finish(&mut self, _end: &End, out: &mut Output) -> bool {
        if self.finishing == 0 {
            for side in &self.sides {
                for group in side.touched() {
                    let (slot, _) = self.touched.insert(side.group_key(*group));
                    self.touched.touch(slot);
                }
            }
        }
        let mut pairs = Vec::new();
        while self.finishing < self.touched.touched().len() && pairs.len() < CHUNK_ROWS {
            let key = self.touched.key(self.touched.touched()[self.finishing]);
            let (old, new) = (self.pairs(key, When::Old), self.pairs(key, When::New));
            // Each left row is in either of them once at most.
            let by_left = |pairs: &[Pair]| -> BTreeMap<Slot, Pair> {
                pairs.iter().map(|pair| (pair.left, *pair)).collect()
            };
            let (was, is) = (by_left(&old), by_left(&new));
            let gone = old.iter().filter(|pair| is.get(&pair.left) != Some(pair));
            pairs.extend(gone.map(|pair| Pair {
                weight: -pair.weight,
                ..*pair
            }));
            pairs.extend(new.iter().filter(|pair| was.get(&pair.left) != Some(pair)));
            self.finishing += 1;
        }
        for pairs in pairs.chunks(CHUNK_ROWS) {
            self.emit(pairs, out);
        }
        if self.finishing < self.touched.touched().len() {
            return true;
        }
        self.finishing = 0;
        self.touched.end_epoch(|_| false);
        self.touched.forget_dirty();
        self.sides.iter_mut().for_each(GroupedRows::end_epoch);
        false
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        let mut has_more = false;
        for (table, side) in self.sides.iter_mut().enumerate() {
            has_more |= side.checkpoint(all, |key, value| write(table as u8, key, value));
        }
        has_more
    }

    fn restore(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        self.sides
            .get_mut(usize::from(table))
            .ok_or(Corrupt)?
            .restore(key, value)
            .map(drop)
    }

    fn entries(&self) -> usize {
        self.sides.iter().map(GroupedRows::entries).sum()
    }

    fn bytes(&self) -> usize {
        self.sides.iter().map(GroupedRows::bytes).sum()
    }
}

impl AsOf {
    /// All left rows of a key with their right ones.
    fn pairs(&self, key: &[u8], when: When) -> Vec<Pair> {
        let Some(group) = self.sides[0].find_group(key) else {
            return Vec::new();
        };
        let right_group = self.sides[1].find_group(key);
        let right = right_group
            .into_iter()
            .flat_map(|group| self.sides[1].rows(group, when));
        let mut right = right.map(|(slot, _)| slot).peekable();
        let mut nearest = None;
        let mut pairs = Vec::new();
        for (left, weight) in self.sides[0].rows(group, when) {
            let limit = self.sides[0].sorted(left);
            while let Some(slot) = right.next_if(|slot| self.sides[1].sorted(*slot) <= limit) {
                nearest = Some(slot);
            }
            pairs.push(Pair {
                left,
                right: nearest,
                weight,
            });
        }
        pairs
    }

    fn emit(&self, pairs: &[Pair], out: &mut Output) {
        let left: Vec<Option<Slot>> = pairs.iter().map(|pair| Some(pair.left)).collect();
        let right: Vec<Option<Slot>> = pairs.iter().map(|pair| pair.right).collect();
        let columns: Vec<ArrayRef> =
            [self.sides[0].columns(&left), self.sides[1].columns(&right)].concat();
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        let weights = pairs.iter().map(|pair| pair.weight).collect();
        out.deltas
            .push(Delta::new(rows.expect("both sides' columns"), weights));
    }
}
