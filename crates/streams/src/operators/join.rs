//! Rows of two inputs that belong together.
//!
//! # Invariants
//! 1. Of each side all rows are kept, by key; they change as deltas come. What an epoch changed, A by a and B by b, gives
//!    `a * old B + new A * b` when it ends (Gupta and Mumick, 1995): each pair of rows once.
//! 2. With a condition, each row of a side that is shown without a partner has a count of the partners for which it holds.
//!    Without one the weight of its key on the other side is that count.
//! 3. Rows with a null in a key that no null equals are not kept: they have no partner, whatever comes.
//!
//! # Layout      of state: tables 0 and 1 have the rows of either side, key columns first, with weight and partners; behind a
//! row of an input that only grows stands its number, eight bytes big-endian
//! # Limits      a piece of work looks at SCANNED_MAX rows, about

mod aging;
mod null_aware;
mod side;

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, cast::AsArray, new_null_array,
};
use arrow_schema::{DataType, Schema, SchemaRef};

use super::{
    End, Output, Place, Running, Write,
    closing::{CLOCK_TABLE, Closing},
    evaluate, nullable,
};
use crate::{
    Delta, ExpressionRef,
    delta::CHUNK_ROWS,
    graph::PlanError,
    plan::{Join, JoinKind},
    row::Corrupt,
    state::{Slot, Table, Value},
};
use aging::Aging;
use side::{Going, Group, Side};

/// Rows looked at in a piece of work that gives few.
const SCANNED_MAX: usize = 4 * CHUNK_ROWS;

#[derive(Debug)]
struct HashJoin {
    kind: JoinKind,
    schema: SchemaRef,
    /// Of pairs: what the condition sees.
    pair_schema: SchemaRef,
    condition: Option<ExpressionRef>,
    sides: [Side; 2],
    groups: Table<Group>,
    null_aware: Option<null_aware::Totals>,
    /// The first one, if any.
    right_key: usize,
    finishing: Option<Finishing>,
    closing: Option<Closing>,
    aging: Option<Aging>,
    /// Of each side, rows out of a checkpoint of which those two do not know yet.
    restored: [Vec<Slot>; 2],
    is_closing: bool,
}

/// How far the end of an epoch has come.
#[derive(Debug)]
struct Finishing {
    step: Step,
    /// In the step's list, and the partner that is next if its list of partners has been begun.
    at: usize,
    partner: Option<Slot>,
    /// Rows that the epoch itself touched on either side; those behind were touched by counting partners.
    touched: [usize; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Changed left rows with old right ones, and new left rows with changed right ones.
    Pairs(usize),
    /// Rows of a side of which only the weight changed, or, with a condition, whose partners did.
    Rows(usize),
    /// Rows of a side by keys of which the other side came or went.
    Groups(usize),
    /// All left rows: whether the right side has rows or nulls at all has changed.
    All,
    Done,
}

/// Two rows that may belong together, and what that changes.
#[derive(Clone, Copy, Debug)]
struct Pair {
    slots: [Slot; 2],
    weight: i64,
    partners: [i64; 2],
}

/// A row to be shown without partner, or that has one or none.
#[derive(Clone, Copy, Debug)]
struct Single {
    slot: Slot,
    mark: bool,
    weight: i64,
}

pub(super) fn make(place: &Place, join: &Join) -> Result<Box<dyn Running>, PlanError> {
    let mut join = join.clone();
    if join.kind == JoinKind::LeftAntiNullAware
        && (join.keys.len() != 1 || join.condition.is_some())
    {
        null_aware::by_condition(place, &mut join)?;
    }
    let columns = |side: usize| place.inputs[side].fields().iter();
    let types = |side: usize| columns(side).map(|field| field.data_type());
    match join.kind {
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
            place.expect_types(types(0).chain(types(1)))?;
        }
        JoinKind::LeftMark => place.expect_types(types(0).chain([&DataType::Boolean]))?,
        JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::LeftAntiNullAware => {
            place.expect_types(types(0))?
        }
        JoinKind::AsOf { .. } => {
            unreachable!("another operator");
        }
    }
    let (left_keys, right_keys): (Vec<usize>, Vec<usize>) = join.keys.iter().copied().unzip();
    if place.input_types(0, &left_keys)? != place.input_types(1, &right_keys)? {
        return Err(place.malformed("keys of the two sides are of different types"));
    }
    let is_null_aware = join.kind == JoinKind::LeftAntiNullAware;
    if is_null_aware && place.closes.is_some() {
        return Err(place.malformed("NOT IN needs all rows there ever were"));
    }
    let left_width = types(0).count();
    let pair_of = |column: usize| {
        let mut pairs = join.keys.iter();
        let pair = pairs.find(|(left, right)| *left == column || *right + left_width == column);
        pair.map(|(left, right)| vec![*left, *right])
    };
    let closing = Closing::new(place, pair_of)?;
    let aging = Aging::new(place)?;
    if aging.is_some() && (closing.is_some() || join.condition.is_none() || is_null_aware) {
        return Err(place.malformed("rows age by a condition, and by nothing else"));
    }
    let nulls_match = join.null_equals_null || is_null_aware;
    let shows_pairs = matches!(
        join.kind,
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full
    );
    // Of right rows that are neither shown nor seen by a condition, keys are enough.
    let keeps_right = shows_pairs || join.condition.is_some();
    let pair_fields: Vec<_> = columns(0).chain(columns(1)).cloned().collect();
    Ok(Box::new(HashJoin {
        kind: join.kind,
        schema: place.schema.clone(),
        pair_schema: nullable(&Arc::new(Schema::new(pair_fields))),
        condition: join.condition,
        right_key: right_keys.first().copied().unwrap_or(0),
        sides: [
            Side::new(place, 0, left_keys, true, nulls_match)?,
            Side::new(place, 1, right_keys, keeps_right, nulls_match)?,
        ],
        groups: Table::default(),
        null_aware: is_null_aware
            .then(|| null_aware::Totals::new(place, &join.keys))
            .transpose()?,
        finishing: None,
        closing,
        aging,
        restored: [Vec::new(), Vec::new()],
        is_closing: false,
    }))
}

impl Running for HashJoin {
    fn take(&mut self, port: usize, delta: &Delta, out: &mut Output) {
        self.place_restored();
        let admitted;
        let delta = match &self.closing {
            Some(closing) => {
                admitted = closing.admit(port, delta, out);
                &admitted
            }
            None => delta,
        };
        let in_time;
        let delta = match &self.aging {
            Some(aging) => {
                in_time = aging.admit(port, delta, out);
                &in_time
            }
            None => delta,
        };
        let going = match (&mut self.closing, &mut self.aging) {
            (Some(closing), _) => Going::Groups(closing),
            (None, Some(aging)) => Going::Rows(&mut aging.sides[port]),
            (None, None) => Going::Nothing,
        };
        let alone = self.sides[port].take(delta, port, &mut self.groups, going);
        if let (Some(totals), 1) = (&mut self.null_aware, port) {
            let key = delta.column(self.right_key);
            let weights = |is_counted: &dyn Fn(usize) -> bool| {
                let rows = (0..delta.len()).filter(|row| is_counted(*row));
                rows.map(|row| delta.weight(row)).sum()
            };
            totals.add(weights(&|_| true), weights(&|row| key.is_null(row)));
        }
        // Without any partner they are shown at once, if at all.
        let shows_alone = match self.kind {
            JoinKind::Inner | JoinKind::LeftSemi | JoinKind::AsOf { .. } => false,
            JoinKind::Full => true,
            JoinKind::Right => port == 1,
            JoinKind::Left
            | JoinKind::LeftAnti
            | JoinKind::LeftAntiNullAware
            | JoinKind::LeftMark => port == 0,
        };
        if let Some(alone) = alone
            && shows_alone
        {
            let alone = delta.filter(&alone).expect("a truth value for each row");
            let columns = self.widened(
                port,
                alone.rows().columns().to_vec(),
                &vec![false; alone.len()],
            );
            out.deltas
                .push(alone.with_columns(self.schema.clone(), columns));
        }
    }

    fn finish(&mut self, end: &End, out: &mut Output) -> bool {
        self.place_restored();
        if self.is_closing {
            return match self.closing {
                Some(_) => self.close(end),
                None => self.age(end),
            };
        }
        let mut finishing = self.finishing.take().unwrap_or_else(|| Finishing {
            step: if self.needs_pairs() {
                Step::Pairs(0)
            } else {
                self.first_singles()
            },
            at: 0,
            partner: None,
            touched: [0, 1].map(|side: usize| self.sides[side].rows.touched().len()),
        });
        let is_through = match finishing.step {
            Step::Pairs(changed) => self.pairs(changed, &mut finishing, out),
            Step::Rows(side) => self.rows(side, &mut finishing, out),
            Step::Groups(side) => self.touched_groups(side, &mut finishing, out),
            Step::All => self.all(&mut finishing, out),
            Step::Done => true,
        };
        if is_through {
            finishing.step = self.next_step(finishing.step);
            finishing.at = 0;
            finishing.partner = None;
        }
        if finishing.step != Step::Done {
            self.finishing = Some(finishing);
            return true;
        }
        self.end_epoch();
        self.is_closing = self.closing.is_some() || self.aging.is_some();
        self.is_closing
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        let mut has_more = false;
        for (table, side) in self.sides.iter_mut().enumerate() {
            has_more |= side.rows.checkpoint(all, |key, row| {
                let Some(row) = row else {
                    return write(table as u8, key, None);
                };
                let mut value = [0; 16];
                value[..8].copy_from_slice(&row.weight.to_le_bytes());
                value[8..].copy_from_slice(&row.partners.to_le_bytes());
                write(table as u8, key, Some(&value));
            });
        }
        if let Some(closing) = &mut self.closing {
            closing.checkpoint(all, write);
        }
        if let Some(aging) = &mut self.aging {
            aging.checkpoint(all, write);
        }
        has_more
    }

    fn reserve(&mut self, table: u8, entries: usize) {
        if let Some(side) = self.sides.get_mut(usize::from(table)) {
            side.reserve(entries);
        }
    }

    fn restore(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        if let (CLOCK_TABLE, Some(closing)) = (table, &mut self.closing) {
            return closing.restore(key, value);
        }
        if let (CLOCK_TABLE, Some(aging)) = (table, &mut self.aging) {
            return aging.restore(key, value);
        }
        let side = self.sides.get_mut(usize::from(table)).ok_or(Corrupt)?;
        let (slot, weight) = side.restore(usize::from(table), key, value, &mut self.groups)?;
        if self.closing.is_some() || self.aging.is_some() {
            let restored = &mut self.restored[usize::from(table)];
            restored.push(slot);
            if restored.len() == CHUNK_ROWS {
                self.place_restored();
            }
        }
        if let (Some(totals), 1) = (&mut self.null_aware, table) {
            totals.restore(key, weight);
        }
        Ok(())
    }

    fn entries(&self) -> usize {
        self.sides.iter().map(|side| side.rows.keys().len()).sum()
    }

    fn bytes(&self) -> usize {
        let sides = self.sides.iter().map(Side::bytes).sum::<usize>();
        let closing = self.closing.as_ref().map_or(0, Closing::bytes);
        let aging = self.aging.as_ref().map_or(0, Aging::bytes);
        sides + self.groups.bytes() + closing + aging
    }
}

impl HashJoin {
    /// Rows out of a checkpoint go in their time, too. A chunk of them at once: to find their times, columns are made of them.
    fn place_restored(&mut self) {
        for (at, restored) in self.restored.iter_mut().enumerate() {
            if restored.is_empty() {
                continue;
            }
            let slots = std::mem::take(restored);
            let side = &self.sides[at];
            if let Some(closing) = &mut self.closing {
                let column = side.key_column(&slots, closing.column(at));
                let groups = slots.iter().map(|slot| side.rows.get(*slot).group);
                closing.put_values(&groups.collect::<Vec<_>>(), column.as_ref());
            }
            if let Some(aging) = &mut self.aging {
                let rows = &mut aging.sides[at];
                let columns = side.columns(&slots);
                rows.put_all(&slots, columns[rows.column()].as_ref());
            }
        }
    }

    /// Lets some of the keys go whose windows are closed, with their rows on both sides.
    fn close(&mut self, end: &End) -> bool {
        let due = self.closing.as_mut().and_then(|c| c.due(end.watermark));
        let Some(due) = due else {
            self.is_closing = false;
            return false;
        };
        for group in due {
            if !self.groups.keys().is_live(group) {
                continue;
            }
            let heads = self.groups.get(group).heads;
            for (side, head) in self.sides.iter_mut().zip(heads) {
                side.forget(head);
            }
            self.groups.remove(group);
        }
        // No checkpoint has them.
        self.groups.checkpoint(false, |_, _: Option<Group>| {});
        true
    }

    /// Lets some of the rows go that nothing can be joined with any more.
    fn age(&mut self, end: &End) -> bool {
        let due = self.aging.as_mut().and_then(|a| a.due(end.watermark));
        let Some((at, due)) = due else {
            self.is_closing = false;
            return false;
        };
        let side = &mut self.sides[at];
        for slot in due {
            if !side.rows.keys().is_live(slot) {
                continue;
            }
            let group = side.rows.get(slot).group;
            side.let_go(slot, at, self.groups.at_rest(group));
            if self.groups.get(group).is_empty() {
                self.groups.remove(group);
            }
        }
        // No checkpoint has them.
        self.groups.checkpoint(false, |_, _: Option<Group>| {});
        true
    }

    fn shows_pairs(&self) -> bool {
        matches!(
            self.kind,
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full
        )
    }

    fn needs_pairs(&self) -> bool {
        self.shows_pairs() || self.condition.is_some()
    }

    /// Whether rows of a side are shown by whether they have partners.
    fn is_tracked(&self, side: usize) -> bool {
        match self.kind {
            JoinKind::Inner | JoinKind::AsOf { .. } => false,
            JoinKind::Full => true,
            JoinKind::Right => side == 1,
            _ => side == 0,
        }
    }

    fn first_singles(&self) -> Step {
        if self.is_tracked(0) {
            if self
                .null_aware
                .as_ref()
                .is_some_and(null_aware::Totals::has_turned)
            {
                Step::All
            } else {
                Step::Rows(0)
            }
        } else if self.is_tracked(1) {
            Step::Rows(1)
        } else {
            Step::Done
        }
    }

    fn next_step(&self, step: Step) -> Step {
        match step {
            Step::Pairs(0) => Step::Pairs(1),
            Step::Pairs(_) => self.first_singles(),
            Step::Rows(side) if self.condition.is_none() => Step::Groups(side),
            Step::Rows(0) | Step::Groups(0) if self.is_tracked(1) => Step::Rows(1),
            Step::Rows(_) | Step::Groups(_) | Step::All | Step::Done => Step::Done,
        }
    }

    /// Pairs of one side's changed rows with rows of the other: the old ones first, then the new ones.
    fn pairs(&mut self, changed: usize, finishing: &mut Finishing, out: &mut Output) -> bool {
        let mut pairs = Vec::new();
        let mut scanned = 0;
        let other = 1 - changed;
        while finishing.at < finishing.touched[changed] {
            let slot = self.sides[changed].rows.touched()[finishing.at];
            let (old, new) = (
                self.sides[changed].rows.old(slot).weight,
                self.sides[changed].rows.get(slot).weight,
            );
            let group = self.sides[changed].rows.get(slot).group;
            let first = || self.groups.get(group).heads[other];
            let mut next = finishing
                .partner
                .take()
                .or_else(first)
                .filter(|_| old != new);
            while let Some(partner) = next {
                if pairs.len() == CHUNK_ROWS || scanned == SCANNED_MAX {
                    finishing.partner = Some(partner);
                    self.take_pairs(&pairs, out);
                    return false;
                }
                scanned += 1;
                let rows = &self.sides[other].rows;
                // The first time the other side as it was, the second time as it is.
                let weight = if changed == 0 {
                    rows.old(partner).weight
                } else {
                    rows.get(partner).weight
                };
                if weight != 0 {
                    let mut partners = [0; 2];
                    partners[other] = new - old;
                    partners[changed] = if old == 0 { weight } else { 0 };
                    let slots = if changed == 0 {
                        [slot, partner]
                    } else {
                        [partner, slot]
                    };
                    pairs.push(Pair {
                        slots,
                        weight: (new - old) * weight,
                        partners,
                    });
                }
                next = self.sides[other].next(partner);
            }
            finishing.at += 1;
            scanned += 1;
            if scanned >= SCANNED_MAX {
                break;
            }
        }
        self.take_pairs(&pairs, out);
        finishing.at >= finishing.touched[changed]
    }

    /// Those of the pairs for which the condition holds change what their rows count, and are shown.
    fn take_pairs(&mut self, pairs: &[Pair], out: &mut Output) {
        if pairs.is_empty() {
            return;
        }
        let columns = [0, 1].map(|side| {
            let slots: Vec<Slot> = pairs.iter().map(|pair| pair.slots[side]).collect();
            self.sides[side].columns(&slots)
        });
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        let batch =
            RecordBatch::try_new_with_options(self.pair_schema.clone(), columns.concat(), &options);
        let batch = batch.expect("both sides' columns");
        let weights = pairs.iter().map(|pair| pair.weight).collect();
        let mut delta = Delta::new(batch, weights);
        if let Some(condition) = &self.condition {
            let holds = evaluate(condition, delta.rows(), &DataType::Boolean, out);
            let holds: &BooleanArray = holds.as_boolean();
            for (row, pair) in pairs.iter().enumerate() {
                if holds.is_valid(row) && holds.value(row) {
                    self.count_partners(pair);
                }
            }
            delta = delta.filter(holds).expect("a truth value for each pair");
        }
        if self.shows_pairs() {
            out.deltas
                .push(delta.with_columns(self.schema.clone(), delta.rows().columns().to_vec()));
        }
    }

    fn count_partners(&mut self, pair: &Pair) {
        for side in 0..2 {
            if pair.partners[side] != 0 && self.is_tracked(side) {
                self.sides[side].rows.change(pair.slots[side]).partners += pair.partners[side];
            }
        }
    }

    /// Rows that were touched and whose key's other side neither came nor went.
    fn rows(&mut self, side: usize, finishing: &mut Finishing, out: &mut Output) -> bool {
        let mut singles = Vec::new();
        let touched = self.sides[side].rows.touched();
        let until = (finishing.at + CHUNK_ROWS).min(touched.len());
        for slot in &touched[finishing.at..until] {
            let (old, new) = (
                self.sides[side].rows.old(*slot),
                self.sides[side].rows.get(*slot),
            );
            if self.condition.is_some() {
                self.show(
                    *slot,
                    (old.weight, old.partners > 0),
                    (new.weight, new.partners > 0),
                    &mut singles,
                );
                continue;
            }
            let (had, has) = self.had_partners(side, new.group);
            if had == has {
                self.show(*slot, (old.weight, had), (new.weight, has), &mut singles);
            }
        }
        finishing.at = until;
        let is_through = until == touched.len();
        self.emit(side, &singles, out);
        is_through
    }

    /// All rows of keys whose other side came or went.
    fn touched_groups(&mut self, side: usize, finishing: &mut Finishing, out: &mut Output) -> bool {
        let mut singles = Vec::new();
        let mut scanned = 0;
        while finishing.at < self.groups.touched().len() && scanned < SCANNED_MAX {
            let group = self.groups.touched()[finishing.at];
            let (had, has) = self.had_partners(side, group);
            let first = || self.groups.get(group).heads[side];
            let mut next = finishing
                .partner
                .take()
                .or_else(first)
                .filter(|_| had != has);
            while let Some(slot) = next {
                if singles.len() >= CHUNK_ROWS {
                    finishing.partner = Some(slot);
                    self.emit(side, &singles, out);
                    return false;
                }
                let rows = &self.sides[side].rows;
                self.show(
                    slot,
                    (rows.old(slot).weight, had),
                    (rows.get(slot).weight, has),
                    &mut singles,
                );
                next = self.sides[side].next(slot);
                scanned += 1;
            }
            finishing.at += 1;
            scanned += 1;
        }
        self.emit(side, &singles, out);
        finishing.at == self.groups.touched().len()
    }

    /// All left rows, by their slots.
    fn all(&mut self, finishing: &mut Finishing, out: &mut Output) -> bool {
        let mut singles = Vec::new();
        let rows = &self.sides[0].rows;
        let until = (finishing.at + CHUNK_ROWS).min(rows.keys().slots());
        for slot in rows.keys().live(finishing.at..until) {
            let (had, has) = self.had_partners(0, rows.get(slot).group);
            self.show(
                slot,
                (rows.old(slot).weight, had),
                (rows.get(slot).weight, has),
                &mut singles,
            );
        }
        finishing.at = until;
        let is_through = until == rows.keys().slots();
        self.emit(0, &singles, out);
        is_through
    }

    /// Whether rows of a side with this key had partners before the epoch, and whether they have now; without a condition.
    fn had_partners(&self, side: usize, group: Slot) -> (bool, bool) {
        let weights =
            [self.groups.old(group), self.groups.get(group)].map(|group| group.weights[1 - side]);
        match &self.null_aware {
            Some(totals) => totals.had_partners(&self.groups, group, weights),
            None => (weights[0] > 0, weights[1] > 0),
        }
    }

    /// What a row's weights, and whether it had partners, change in the output.
    fn show(&self, slot: Slot, old: (i64, bool), new: (i64, bool), singles: &mut Vec<Single>) {
        let wanted: &[bool] = match self.kind {
            JoinKind::LeftMark => &[false, true],
            JoinKind::LeftSemi => &[true],
            _ => &[false],
        };
        for mark in wanted {
            let weight_if =
                |(weight, has_partner): (i64, bool)| if has_partner == *mark { weight } else { 0 };
            let weight = weight_if(new) - weight_if(old);
            if weight != 0 {
                singles.push(Single {
                    slot,
                    mark: *mark,
                    weight,
                });
            }
        }
    }

    fn emit(&self, side: usize, singles: &[Single], out: &mut Output) {
        if singles.is_empty() {
            return;
        }
        // What goes comes first.
        let mut singles = singles.to_vec();
        singles.sort_by_key(|single| single.weight > 0);
        let slots: Vec<Slot> = singles.iter().map(|single| single.slot).collect();
        let marks: Vec<bool> = singles.iter().map(|single| single.mark).collect();
        let columns = self.widened(side, self.sides[side].columns(&slots), &marks);
        let options = RecordBatchOptions::new().with_row_count(Some(singles.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        let weights = singles.iter().map(|single| single.weight).collect();
        out.deltas.push(Delta::new(
            rows.expect("the columns of the schema"),
            weights,
        ));
    }

    /// Columns of one side with what the output has beside them.
    fn widened(&self, side: usize, mut columns: Vec<ArrayRef>, marks: &[bool]) -> Vec<ArrayRef> {
        let nulls = |side: usize| {
            let types = self.sides[side].types();
            types.map(|data_type| new_null_array(data_type, marks.len()))
        };
        match self.kind {
            JoinKind::LeftMark => columns.push(Arc::new(BooleanArray::from(marks.to_vec()))),
            JoinKind::Left | JoinKind::Right | JoinKind::Full if side == 0 => {
                columns.extend(nulls(1))
            }
            JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                columns = nulls(0).chain(columns).collect()
            }
            _ => {}
        }
        columns
    }

    fn end_epoch(&mut self) {
        for (at, side) in self.sides.iter_mut().enumerate() {
            side.end_epoch(at, &mut self.groups);
        }
        self.groups.end_epoch(|_, _, _| {});
        // Groups are made of rows; no checkpoint has them.
        self.groups.checkpoint(false, |_, _: Option<Group>| {});
        if let Some(totals) = &mut self.null_aware {
            totals.end_epoch();
        }
    }
}
