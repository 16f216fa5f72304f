//! Of each partition the rows at some places of its order, with their numbers if wanted.
//!
//! # Limits      a partition whose rows are all shown is gone through as a whole when it is touched

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_schema::{DataType, SchemaRef};

use super::{
    End, Output, Place, Running, Write,
    closing::{CLOCK_TABLE, Closing},
    first,
    grouped::{GroupedRows, When},
};
use crate::{
    Delta, Operator,
    delta::CHUNK_ROWS,
    graph::PlanError,
    plan::Ties,
    row::{ColumnOrder, Corrupt},
    state::Slot,
};

#[derive(Debug)]
struct Top {
    schema: SchemaRef,
    ties: Ties,
    /// Places that are shown, counted from zero.
    from: u64,
    until: u64,
    emits_number: bool,
    /// Rows never go, so that one behind the last place never comes back.
    forgets: bool,
    rows: GroupedRows,
    finishing: usize,
    closing: Option<Closing>,
    is_closing: bool,
}

/// A row that is shown with a number, so many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    slot: Slot,
    number: u64,
    weight: i64,
}

pub(super) fn make(place: &Place, operator: &Operator) -> Result<Box<dyn Running>, PlanError> {
    let Operator::Top {
        partition,
        order,
        ties,
        offset,
        limit,
        emits_number,
    } = operator
    else {
        unreachable!("the caller has looked")
    };
    let number = place
        .schema
        .fields()
        .last()
        .map_or(DataType::Null, |field| field.data_type().clone());
    let input = place.inputs[0]
        .fields()
        .iter()
        .map(|field| field.data_type());
    if *emits_number {
        if !matches!(number, DataType::Int64 | DataType::UInt64) {
            return Err(place.malformed("a row's number is a bigint"));
        }
        place.expect_types(input.chain([&number]))?;
    } else {
        place.expect_types(input)?;
    }
    let order: Vec<(usize, ColumnOrder)> = order
        .iter()
        .map(|key| {
            let order = ColumnOrder {
                descending: key.descending,
                nulls_first: key.nulls_first,
            };
            (key.column, order)
        })
        .collect();
    let until = limit.map_or(u64::MAX, |limit| offset.saturating_add(limit));
    let forgets = place.append_only[0] && limit.is_some();
    let has_values = (0..place.inputs[0].fields().len()).any(|at| !partition.contains(&at));
    let is_first = *ties == Ties::Numbered && (*offset, *limit) == (0, Some(1));
    if forgets && is_first && has_values && place.closes.is_none() {
        return first::make(place, partition, &order, *emits_number);
    }
    let mut rows = GroupedRows::new(place, 0, partition, &order)?;
    if forgets && *ties == Ties::Numbered {
        rows.keep_first(until);
    }
    Ok(Box::new(Top {
        schema: place.schema.clone(),
        ties: *ties,
        from: *offset,
        until,
        emits_number: *emits_number,
        forgets,
        rows,
        finishing: 0,
        closing: Closing::new(place, |column| {
            partition.contains(&column).then(|| vec![column])
        })?,
        is_closing: false,
    }))
}

impl Running for Top {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        let Some(closing) = &mut self.closing else {
            return self.rows.take(delta);
        };
        let delta = closing.admit(0, delta, out);
        let mut groups = Vec::with_capacity(delta.len());
        self.rows.take_noting(&delta, |_, group| groups.push(group));
        closing.put_rows(0, &delta, &groups);
    }

    fn finish(&mut self, end: &End, out: &mut Output) -> bool {
        if let (true, Some(closing)) = (self.is_closing, &mut self.closing) {
            let due = closing.due(end.watermark);
            self.is_closing = due.is_some();
            let groups = due.into_iter().flatten();
            groups.for_each(|group| self.rows.forget_group(group));
            return self.is_closing;
        }
        let mut changes = Vec::new();
        while self.finishing < self.rows.touched().len() && changes.len() < CHUNK_ROWS {
            let group = self.rows.touched()[self.finishing];
            let (old, _) = self.shown(group, When::Old);
            let (new, behind) = self.shown(group, When::New);
            if old != new {
                add_difference(&old, &new, &mut changes);
            }
            for slot in behind {
                self.rows.forget(slot);
            }
            self.finishing += 1;
        }
        self.emit(&changes, out);
        if self.finishing < self.rows.touched().len() {
            return true;
        }
        self.finishing = 0;
        self.rows.end_epoch();
        self.is_closing = self.closing.is_some();
        self.is_closing
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        let has_more = self.rows.checkpoint(all, |key, value| write(0, key, value));
        if let Some(closing) = &mut self.closing {
            closing.checkpoint(all, write);
        }
        has_more
    }

    fn restore(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        match (table, &mut self.closing) {
            (0, None) => self.rows.restore(key, value).map(drop),
            (0, Some(closing)) => {
                let (slot, group) = self.rows.restore(key, value)?;
                let columns = self.rows.columns(&[Some(slot)]);
                closing.put_values(&[group], columns[closing.column(0)].as_ref());
                Ok(())
            }
            (CLOCK_TABLE, Some(closing)) => closing.restore(key, value),
            _ => Err(Corrupt),
        }
    }

    fn entries(&self) -> usize {
        self.rows.entries()
    }

    fn bytes(&self) -> usize {
        self.rows.bytes() + self.closing.as_ref().map_or(0, Closing::bytes)
    }
}

impl Top {
    /// What of a group is shown, in order; and, if such are forgotten, the rows behind.
    fn shown(&self, group: Slot, when: When) -> (Vec<Shown>, Vec<Slot>) {
        let mut shown = Vec::new();
        let mut behind = Vec::new();
        // Rows before this one, and groups of equal ones; then the place of this one.
        let mut rows = 0_u64;
        let mut ranks = 0_u64;
        let mut place = 0;
        let mut last: Option<Slot> = None;
        for (slot, weight) in self.rows.rows(group, when) {
            let ties = self.ties != Ties::Numbered
                && last.is_some_and(|last| self.rows.prefix(last) == self.rows.prefix(slot));
            if !ties {
                place = if self.ties == Ties::DenselyRanked {
                    ranks
                } else {
                    rows
                };
                ranks += 1;
            }
            last = Some(slot);
            rows += weight.unsigned_abs();
            if place >= self.until {
                if !self.forgets || when == When::Old {
                    break;
                }
                behind.push(slot);
                continue;
            }
            if self.ties != Ties::Numbered {
                if place >= self.from {
                    let number = if self.emits_number { place + 1 } else { 0 };
                    shown.push(Shown {
                        slot,
                        number,
                        weight,
                    });
                }
                continue;
            }
            let places = place.max(self.from)..rows.min(self.until);
            if self.emits_number {
                shown.extend(places.map(|place| Shown {
                    slot,
                    number: place + 1,
                    weight: 1,
                }));
            } else if !places.is_empty() {
                let weight = (places.end - places.start).cast_signed();
                shown.push(Shown {
                    slot,
                    number: 0,
                    weight,
                });
            }
        }
        (shown, behind)
    }

    fn emit(&self, changes: &[Shown], out: &mut Output) {
        for changes in changes.chunks(CHUNK_ROWS) {
            let slots: Vec<Option<Slot>> = changes.iter().map(|change| Some(change.slot)).collect();
            let mut columns = self.rows.columns(&slots);
            if self.emits_number {
                let numbers = changes.iter().map(|change| change.number);
                let is_signed = self
                    .schema
                    .fields()
                    .last()
                    .is_some_and(|field| field.data_type() == &DataType::Int64);
                columns.push(if is_signed {
                    Arc::new(Int64Array::from_iter_values(numbers.map(u64::cast_signed)))
                        as ArrayRef
                } else {
                    Arc::new(UInt64Array::from_iter_values(numbers))
                });
            }
            let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
            let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
            let weights = changes.iter().map(|change| change.weight).collect();
            out.deltas.push(Delta::new(
                rows.expect("the columns of the schema"),
                weights,
            ));
        }
    }
}

/// Lists this long are looked through rather than indexed.
const LISTED_MAX: usize = 16;

/// What goes, in its order, and then what comes. A row has each number once.
fn add_difference(old: &[Shown], new: &[Shown], changes: &mut Vec<Shown>) {
    add_excess(old, new, -1, changes);
    add_excess(new, old, 1, changes);
}

/// What there is more of in the first.
fn add_excess(these: &[Shown], those: &[Shown], sign: i64, changes: &mut Vec<Shown>) {
    let is_listed = those.len() <= LISTED_MAX;
    let indexed = those
        .iter()
        .filter(|_| !is_listed)
        .map(|shown| ((shown.slot, shown.number), shown.weight));
    let indexed: BTreeMap<(Slot, u64), i64> = indexed.collect();
    for shown in these {
        let found = if is_listed {
            let same = those
                .iter()
                .find(|other| (other.slot, other.number) == (shown.slot, shown.number));
            same.map(|other| other.weight)
        } else {
            indexed.get(&(shown.slot, shown.number)).copied()
        };
        let excess = shown.weight - found.unwrap_or(0);
        if excess > 0 {
            changes.push(Shown {
                weight: sign * excess,
                ..*shown
            });
        }
    }
}
