//! NOT IN: a null on the right side is unequal to nothing, and a null on the left side to nothing but an empty right side.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, cast::AsArray, new_null_array};

use super::side::Group;
use crate::{
    Expression, ExpressionRef, Fault,
    graph::PlanError,
    operators::Place,
    plan::{Join, JoinKind},
    row::RowCodec,
    state::{Slot, Table},
};

/// The weight of all right rows, before the epoch and now, and the key that is null.
#[derive(Debug)]
pub(super) struct Totals {
    old: i64,
    new: i64,
    old_nulls: i64,
    nulls: i64,
    null_key: Vec<u8>,
}

impl Totals {
    pub(super) fn new(place: &Place, keys: &[(usize, usize)]) -> Result<Self, PlanError> {
        let right: Vec<usize> = keys.iter().map(|(_, right)| *right).collect();
        let types = place.input_types(1, &right)?;
        let null: Vec<ArrayRef> = types
            .iter()
            .map(|data_type| new_null_array(data_type, 1))
            .collect();
        Ok(Self {
            old: 0,
            new: 0,
            old_nulls: 0,
            nulls: 0,
            null_key: place.codec(1, &right)?.encode(&null, 1).row(0).to_vec(),
        })
    }

    pub(super) fn add(&mut self, weight: i64, nulls: i64) {
        self.new += weight;
        self.nulls += nulls;
    }

    pub(super) fn restore(&mut self, key: &[u8], weight: i64) {
        self.add(weight, if key == self.null_key { weight } else { 0 });
        self.end_epoch();
    }

    /// Whether rows on the left change that share their key with none on the right.
    pub(super) fn has_turned(&self) -> bool {
        (self.old > 0) != (self.new > 0) || (self.old_nulls > 0) != (self.nulls > 0)
    }

    pub(super) fn had_partners(
        &self,
        groups: &Table<Group>,
        group: Slot,
        weights: [i64; 2],
    ) -> (bool, bool) {
        let is_null = groups.keys().key(group) == self.null_key;
        let had = |total: i64, nulls: i64, weight: i64| {
            nulls > 0 || if is_null { total > 0 } else { weight > 0 }
        };
        (
            had(self.old, self.old_nulls, weights[0]),
            had(self.new, self.nulls, weights[1]),
        )
    }

    pub(super) fn end_epoch(&mut self) {
        self.old = self.new;
        self.old_nulls = self.nulls;
    }
}

/// The same by a condition alone, over all pairs: for several keys, or where there is another condition too.
pub(super) fn by_condition(place: &Place, join: &mut Join) -> Result<(), PlanError> {
    let left = place.inputs[0].fields().len();
    let mut keys = Vec::new();
    for (a, b) in std::mem::take(&mut join.keys) {
        keys.push((a, left + b, place.codec(0, &[a])?));
        if place.input_type(0, a)? != place.input_type(1, b)? {
            return Err(place.malformed("keys of the two sides are of different types"));
        }
    }
    join.kind = JoinKind::LeftAnti;
    join.condition = Some(Arc::new(NotUnequal {
        keys,
        condition: join.condition.take(),
    }));
    Ok(())
}

/// True where the condition is and no pair of keys is known to differ.
#[derive(Debug)]
struct NotUnequal {
    keys: Vec<(usize, usize, RowCodec)>,
    condition: Option<ExpressionRef>,
}

impl Expression for NotUnequal {
    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, Fault> {
        let count = rows.num_rows();
        let mut holds = vec![true; count];
        if let Some(condition) = &self.condition {
            let values = condition.evaluate(rows)?;
            let values: &BooleanArray = values.as_boolean();
            for (row, holds) in holds.iter_mut().enumerate() {
                *holds = values.is_valid(row) && values.value(row);
            }
        }
        for (a, b, codec) in &self.keys {
            let (a, b) = (rows.column(*a), rows.column(*b));
            let (a_rows, b_rows) = (
                codec.encode(std::slice::from_ref(a), count),
                codec.encode(std::slice::from_ref(b), count),
            );
            for (row, holds) in holds.iter_mut().enumerate() {
                *holds &= a.is_null(row) || b.is_null(row) || a_rows.row(row) == b_rows.row(row);
            }
        }
        Ok(Arc::new(BooleanArray::from(holds)))
    }

    // No plan has it: it is made of a join when that begins to run.
    fn is_same(&self, _other: &dyn Expression) -> bool {
        false
    }
}
