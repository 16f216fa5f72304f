//! Rows by group and in an order of their own within it.
//!
//! # Layout      of a row's key: the group's columns, those that it is sorted by, and the others; of its value: the weight

use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;

use super::Place;
use crate::{
    Delta,
    graph::PlanError,
    row::{ColumnOrder, Corrupt, RowCodec, Rows},
    state::{Keys, OrderedSlots, Slot, Table, Value},
};

/// A row's weight and group, and how much of its key says group and order: equal there, equal in rank.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Placed {
    pub weight: i64,
    pub group: Slot,
    prefix: u32,
}

impl Value for Placed {
    fn is_empty(self) -> bool {
        self.weight == 0
    }
}

#[derive(Debug)]
pub(super) struct GroupedRows {
    /// Columns of the input, in the order in which a key has them, in three parts.
    parts: [Vec<usize>; 3],
    codecs: [RowCodec; 3],
    encoded: [Rows; 3],
    /// Of all parts.
    codec: RowCodec,
    columns: usize,
    rows: Table<Placed>,
    groups: Keys,
    ordered: Vec<OrderedSlots>,
    /// Of a group whose rows never go, the weight of the first rows that are kept; by group, how much it has.
    kept: Option<i64>,
    weights: Vec<i64>,
    key: Vec<u8>,
}

/// Before the epoch, or now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Old,
    New,
}

impl GroupedRows {
    pub(super) fn new(
        place: &Place,
        input: usize,
        group: &[usize],
        order: &[(usize, ColumnOrder)],
    ) -> Result<Self, PlanError> {
        let columns = place.inputs[input].fields().len();
        let sorted: Vec<usize> = order.iter().map(|(column, _)| *column).collect();
        let others =
            (0..columns).filter(|column| !group.contains(column) && !sorted.contains(column));
        let others = others.collect();
        let parts = [group.to_vec(), sorted, others];
        let orders = |part: usize| {
            order
                .iter()
                .map(|(_, order)| *order)
                .filter(move |_| part == 1)
        };
        let codec = |parts_wanted: &[usize]| {
            let mut typed = Vec::new();
            for part in parts_wanted {
                let mut orders = orders(*part);
                for data_type in place.input_types(input, &parts[*part])? {
                    typed.push((data_type, orders.next().unwrap_or_default()));
                }
            }
            RowCodec::new(typed).map_err(|source| place.unsupported(source))
        };
        Ok(Self {
            codecs: [codec(&[0])?, codec(&[1])?, codec(&[2])?],
            codec: codec(&[0, 1, 2])?,
            encoded: Default::default(),
            parts,
            columns,
            rows: Table::default(),
            groups: Keys::default(),
            ordered: Vec::new(),
            kept: None,
            weights: Vec::new(),
            key: Vec::new(),
        })
    }

    /// Keeps the first rows of each group only, up to that weight; for an input whose rows never go.
    pub(super) fn keep_first(&mut self, weight: u64) {
        self.kept = i64::try_from(weight).ok();
    }

    pub(super) fn take(&mut self, delta: &Delta) {
        self.take_noting(delta, |_, _| {});
    }

    /// Tells of each row, by its place, which group it is in.
    pub(super) fn take_noting(&mut self, delta: &Delta, mut note: impl FnMut(usize, Slot)) {
        for ((part, codec), encoded) in self.parts.iter().zip(&self.codecs).zip(&mut self.encoded) {
            let columns: Vec<ArrayRef> = part
                .iter()
                .map(|column| delta.column(*column).clone())
                .collect();
            codec.encode_into(&columns, delta.len(), encoded);
        }
        for row in 0..delta.len() {
            let [group, sorted, others] = self.encoded.each_ref().map(|rows| rows.row(row));
            self.key.clear();
            self.key.extend_from_slice(group);
            self.key.extend_from_slice(sorted);
            let prefix = u32::try_from(self.key.len()).expect("rows are far smaller");
            self.key.extend_from_slice(others);
            let (group, _) = self.groups.insert(group);
            note(row, group);
            if self.is_behind(group) {
                continue;
            }
            self.groups.touch(group);
            let (slot, is_new) = self.rows.insert(&self.key);
            let placed = self.rows.change(slot);
            placed.weight += delta.weight(row);
            placed.group = group;
            placed.prefix = prefix;
            if is_new {
                self.order(group, slot);
            }
            if let Some(kept) = self.kept {
                self.keep(group, delta.weight(row), kept);
            }
        }
    }

    /// Whether a group has as many rows as it keeps, all of them before the one whose key has been made.
    fn is_behind(&self, group: Slot) -> bool {
        let Some(kept) = self.kept else { return false };
        let is_full = self
            .weights
            .get(group.index())
            .is_some_and(|weight| *weight >= kept);
        is_full
            && self
                .last(group)
                .is_none_or(|last| self.rows.keys().key(last) < self.key.as_slice())
    }

    /// The last row that a group has.
    fn last(&self, group: Slot) -> Option<Slot> {
        let slots = self.ordered.get(group.index())?.iter().rev();
        slots
            .into_iter()
            .find(|slot| self.rows.get(*slot).weight > 0)
    }

    /// Counts a row that has come, and lets those go that are behind what is kept.
    fn keep(&mut self, group: Slot, weight: i64, kept: i64) {
        if self.weights.len() <= group.index() {
            self.weights.resize(group.index() + 1, 0);
        }
        self.weights[group.index()] += weight;
        while let Some(last) = self.last(group) {
            let rest = self.weights[group.index()] - self.rows.get(last).weight;
            if rest < kept {
                return;
            }
            self.weights[group.index()] = rest;
            self.forget(last);
            // What came in this epoch was never shown; the others are still needed to tell what was.
            if self.rows.old(last).weight == 0 {
                self.ordered[group.index()].remove(self.rows.keys(), last);
            }
        }
    }

    fn order(&mut self, group: Slot, slot: Slot) {
        if self.ordered.len() <= group.index() {
            self.ordered
                .resize_with(group.index() + 1, OrderedSlots::default);
        }
        self.ordered[group.index()].insert(self.rows.keys(), slot);
    }

    /// Groups whose rows the epoch changed.
    pub(super) fn touched(&self) -> &[Slot] {
        self.groups.touched()
    }

    /// The group of that key, if it has rows.
    pub(super) fn find_group(&self, key: &[u8]) -> Option<Slot> {
        self.groups.find(key)
    }

    pub(super) fn group_key(&self, group: Slot) -> &[u8] {
        self.groups.key(group)
    }

    /// A group's rows in order, with their weights.
    pub(super) fn rows(&self, group: Slot, when: When) -> impl Iterator<Item = (Slot, i64)> {
        let slots = self
            .ordered
            .get(group.index())
            .into_iter()
            .flat_map(OrderedSlots::iter);
        let weighted = slots.map(move |slot| match when {
            When::Old => (slot, self.rows.old(slot).weight),
            When::New => (slot, self.rows.get(slot).weight),
        });
        weighted.filter(|(_, weight)| *weight > 0)
    }

    /// What a row is sorted by, with its group.
    pub(super) fn prefix(&self, slot: Slot) -> &[u8] {
        &self.rows.keys().key(slot)[..self.rows.get(slot).prefix as usize]
    }

    /// What a row is sorted by.
    pub(super) fn sorted(&self, slot: Slot) -> &[u8] {
        let group = self.rows.get(slot).group;
        &self.prefix(slot)[self.groups.key(group).len()..]
    }

    /// Lets a row go that can never be shown again.
    pub(super) fn forget(&mut self, slot: Slot) {
        self.rows.change(slot).weight = 0;
    }

    /// Lets a group go with its rows; the epoch has ended.
    pub(super) fn forget_group(&mut self, group: Slot) {
        if !self.groups.is_live(group) {
            return;
        }
        if let Some(rows) = self.ordered.get_mut(group.index()).map(std::mem::take) {
            rows.iter().for_each(|slot| self.rows.remove(slot));
        }
        if let Some(weight) = self.weights.get_mut(group.index()) {
            *weight = 0;
        }
        self.groups.remove(group);
        // No checkpoint has groups.
        self.groups.forget_dirty();
    }

    /// Columns of rows as the input has them; null where there is no row.
    pub(super) fn columns(&self, slots: &[Option<Slot>]) -> Vec<ArrayRef> {
        let rows = slots
            .iter()
            .flatten()
            .map(|slot| self.rows.keys().key(*slot));
        let decoded = self.codec.decode(rows);
        let mut decoded =
            decoded.expect("rows are what the codec encoded, or were looked at when restored");
        if slots.contains(&None) {
            let mut found = 0;
            let places = slots.iter().map(|slot| {
                found += u32::from(slot.is_some());
                slot.is_some().then(|| found - 1)
            });
            let places: UInt32Array = places.collect();
            for column in &mut decoded {
                *column = take(column, &places, None).expect("places lie in the column");
            }
        }
        let order: Vec<usize> = self.parts.iter().flatten().copied().collect();
        let place = |column| {
            order
                .iter()
                .position(|other| *other == column)
                .expect("a key has all columns")
        };
        (0..self.columns)
            .map(|column| decoded[place(column)].clone())
            .collect()
    }

    pub(super) fn end_epoch(&mut self) {
        let ordered = &mut self.ordered;
        self.rows
            .end_epoch(|keys, slot, row| ordered[row.group.index()].remove(keys, slot));
        let ordered = &self.ordered;
        let has_rows = |group: Slot| {
            ordered
                .get(group.index())
                .is_some_and(|rows| !rows.is_empty())
        };
        let weights = &mut self.weights;
        self.groups.end_epoch(|group| {
            let stays = has_rows(group);
            if let (false, Some(weight)) = (stays, weights.get_mut(group.index())) {
                *weight = 0;
            }
            stays
        });
        // Groups are made of rows; no checkpoint has them.
        self.groups.forget_dirty();
    }

    pub(super) fn checkpoint(
        &mut self,
        all: bool,
        mut write: impl FnMut(&[u8], Option<&[u8]>),
    ) -> bool {
        self.rows.checkpoint(all, |key, row| {
            let weight = row.map(|row| row.weight.to_le_bytes());
            write(key, weight.as_ref().map(<[u8; 8]>::as_slice));
        })
    }

    /// The row's slot, and its group.
    pub(super) fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(Slot, Slot), Corrupt> {
        let weight = i64::from_le_bytes(value.try_into().map_err(|_| Corrupt)?);
        self.codec.check(key)?;
        let (_, behind_group) = self.codecs[0].decode_front([key])?;
        let (_, behind_order) = self.codecs[1].decode_front([behind_group[0]])?;
        let (group, _) = self
            .groups
            .insert(&key[..key.len() - behind_group[0].len()]);
        let placed = Placed {
            weight,
            group,
            prefix: u32::try_from(key.len() - behind_order[0].len()).map_err(|_| Corrupt)?,
        };
        let (slot, is_new) = self.rows.restore(key, placed);
        if is_new {
            self.order(group, slot);
            if let Some(kept) = self.kept {
                self.keep(group, weight, kept);
            }
        }
        Ok((slot, group))
    }

    pub(super) fn entries(&self) -> usize {
        self.rows.keys().len()
    }

    pub(super) fn bytes(&self) -> usize {
        // Runs are about three quarters full.
        let ordered = self.rows.keys().len() * size_of::<Slot>() * 4 / 3;
        let groups = self.groups.bytes() + self.ordered.capacity() * size_of::<OrderedSlots>();
        self.rows.bytes() + groups + ordered
    }
}
