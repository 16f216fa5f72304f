//! One side of a join: its rows, and by key a list of them.

use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use arrow_select::take::take;

use super::aging::AgingSide;
use crate::{
    Delta,
    graph::PlanError,
    operators::{Place, closing::Closing},
    row::{Corrupt, RowCodec, Rows},
    state::{Slot, Table, Value},
};

/// A row's weight, for how much weight of the other side the condition holds with it, and its key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    pub weight: i64,
    pub partners: i64,
    pub group: Slot,
}

impl Value for Row {
    fn is_empty(self) -> bool {
        self.weight == 0
    }
}

/// A key's rows on both sides: their weights, and the first of each list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub weights: [i64; 2],
    pub heads: [Option<Slot>; 2],
}

impl Value for Group {
    fn is_empty(self) -> bool {
        self.heads == [None, None]
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    previous: Option<Slot>,
    next: Option<Slot>,
}

const NUMBER_BYTES: usize = 8;

/// What is told of rows that come, because they go by themselves.
pub(super) enum Going<'a> {
    Nothing,
    Groups(&'a mut Closing),
    Rows(&'a mut AgingSide),
}

#[derive(Debug)]
pub(super) struct Side {
    keys: Vec<usize>,
    /// What a row has behind its key.
    others: Vec<usize>,
    types: Vec<DataType>,
    key_codec: RowCodec,
    others_codec: RowCodec,
    /// Of both.
    codec: RowCodec,
    nulls_match: bool,
    /// Of rows that never go none is looked for: instead of all equal ones being one entry, each has its number behind it.
    appended: Option<u64>,
    pub rows: Table<Row>,
    links: Vec<Link>,
    key_rows: Rows,
    other_rows: Rows,
    /// Of a delta, the rows that are kept, and their groups.
    kept: Vec<(usize, Slot)>,
    row: Vec<u8>,
}

impl Side {
    pub(super) fn new(
        place: &Place,
        side: usize,
        keys: Vec<usize>,
        keeps_all: bool,
        nulls_match: bool,
    ) -> Result<Self, PlanError> {
        let types: Vec<DataType> = place.inputs[side]
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let others = (0..types.len()).filter(|column| keeps_all && !keys.contains(column));
        let others: Vec<usize> = others.collect();
        let has_others = !others.is_empty();
        Ok(Self {
            key_codec: place.codec(side, &keys)?,
            others_codec: place.codec(side, &others)?,
            codec: place.codec(side, &[keys.clone(), others.clone()].concat())?,
            keys,
            others,
            types,
            nulls_match,
            appended: (place.append_only[side] && has_others).then_some(0),
            rows: Table::default(),
            links: Vec::new(),
            key_rows: Rows::default(),
            other_rows: Rows::default(),
            kept: Vec::new(),
            row: Vec::new(),
        })
    }

    pub(super) fn types(&self) -> impl Iterator<Item = &DataType> {
        self.types.iter()
    }

    /// Adds a delta's rows; gives which of them can have no partner, if any.
    pub(super) fn take(
        &mut self,
        delta: &Delta,
        side: usize,
        groups: &mut Table<Group>,
        mut going: Going<'_>,
    ) -> Option<BooleanArray> {
        let keys: Vec<ArrayRef> = self
            .keys
            .iter()
            .map(|column| delta.column(*column).clone())
            .collect();
        let others: Vec<ArrayRef> = self
            .others
            .iter()
            .map(|column| delta.column(*column).clone())
            .collect();
        let mut alone: Option<NullBuffer> = None;
        if !self.nulls_match {
            for key in &keys {
                alone = NullBuffer::union(alone.as_ref(), key.logical_nulls().as_ref());
            }
        }
        self.key_codec
            .encode_into(&keys, delta.len(), &mut self.key_rows);
        self.others_codec
            .encode_into(&others, delta.len(), &mut self.other_rows);
        let mut placed = matches!(going, Going::Groups(_)).then(Vec::new);
        let ends = match &going {
            Going::Rows(waiting) => waiting.ends(delta.column(waiting.column()).as_ref()),
            _ => Vec::new(),
        };
        let is_kept = |row: &usize| alone.as_ref().is_none_or(|valid| valid.is_valid(*row));
        // In a loop of their own the processor waits for the memory of several at once.
        let mut kept = std::mem::take(&mut self.kept);
        let rows = (0..delta.len()).filter(is_kept);
        kept.extend(rows.map(|row| (row, groups.insert(self.key_rows.row(row)).0)));
        for (row, group) in kept.drain(..) {
            self.row.clear();
            self.row.extend_from_slice(self.key_rows.row(row));
            self.row.extend_from_slice(self.other_rows.row(row));
            if let Some(placed) = &mut placed {
                placed.push((row as u32, group));
            }
            let (slot, is_new) = match &mut self.appended {
                Some(count) => {
                    self.row.extend_from_slice(&count.to_be_bytes());
                    *count += 1;
                    (self.rows.append(&self.row), true)
                }
                None => self.rows.insert(&self.row),
            };
            if let (Going::Rows(waiting), Some(end)) = (&mut going, ends.get(row)) {
                waiting.put(slot, *end);
            }
            let value = self.rows.change(slot);
            value.weight += delta.weight(row);
            value.group = group;
            groups.change(group).weights[side] += delta.weight(row);
            if is_new {
                self.link(slot, side, groups.change(group));
            }
        }
        self.kept = kept;
        if let (Going::Groups(closing), Some(placed)) = (going, placed) {
            let (rows, slots): (Vec<u32>, Vec<Slot>) = placed.into_iter().unzip();
            closing.put_rows(side, &delta.take(&rows.into()), &slots);
        }
        alone
            .filter(|valid| valid.null_count() > 0)
            .map(|valid| BooleanArray::new(!valid.inner(), None))
    }

    /// The row behind this one in its key's list.
    pub(super) fn next(&self, slot: Slot) -> Option<Slot> {
        self.links[slot.index()].next
    }

    /// Columns of rows, as the input has them; of those that are not kept none.
    pub(super) fn columns(&self, slots: &[Slot]) -> Vec<ArrayRef> {
        // One row often stands in many pairs, one behind the other.
        let mut once: Vec<Slot> = slots.to_vec();
        once.dedup();
        let decoded = self.codec.decode(once.iter().map(|slot| {
            let key = self.rows.keys().key(*slot);
            &key[..key.len() - self.number_bytes()]
        }));
        let mut decoded =
            decoded.expect("rows are what the codec encoded, or were looked at when restored");
        if once.len() < slots.len() {
            let mut place = 0;
            let places = slots.iter().map(|slot| {
                place += u32::from(once[place as usize] != *slot);
                place
            });
            let places: UInt32Array = places.collect::<Vec<u32>>().into();
            for column in &mut decoded {
                *column = take(column, &places, None).expect("places lie in the column");
            }
        }
        let kept: Vec<usize> = self.keys.iter().chain(&self.others).copied().collect();
        let column =
            |column| Some(decoded[kept.iter().position(|other| *other == column)?].clone());
        (0..self.types.len()).filter_map(column).collect()
    }

    pub(super) fn end_epoch(&mut self, side: usize, groups: &mut Table<Group>) {
        let links = &mut self.links;
        self.rows.end_epoch(|_, slot, row| {
            let link = std::mem::take(&mut links[slot.index()]);
            match link.previous {
                Some(previous) => links[previous.index()].next = link.next,
                None => groups.change(row.group).heads[side] = link.next,
            }
            if let Some(next) = link.next {
                links[next.index()].previous = link.previous;
            }
        });
    }

    pub(super) fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows);
        self.links.reserve(rows);
    }

    /// Gives its slot and weight.
    pub(super) fn restore(
        &mut self,
        side: usize,
        key: &[u8],
        value: &[u8],
        groups: &mut Table<Group>,
    ) -> Result<(Slot, i64), Corrupt> {
        let (weight, partners) = value.split_first_chunk::<8>().ok_or(Corrupt)?;
        let weight = i64::from_le_bytes(*weight);
        let partners = i64::from_le_bytes(partners.try_into().map_err(|_| Corrupt)?);
        let row_bytes = key.len().checked_sub(self.number_bytes()).ok_or(Corrupt)?;
        self.codec.check(&key[..row_bytes])?;
        let (_, rest) = self.key_codec.decode_front([key])?;
        let group_key = &key[..key.len() - rest[0].len()];
        let (group, _) = groups.insert(group_key);
        let row = Row {
            weight,
            partners,
            group,
        };
        let slot = if let Some(count) = &mut self.appended {
            let number: [u8; NUMBER_BYTES] = key[row_bytes..].try_into().map_err(|_| Corrupt)?;
            *count = u64::from_be_bytes(number).saturating_add(1).max(*count);
            self.rows.restore_appended(key, row)
        } else {
            let (slot, is_new) = self.rows.restore(key, row);
            if !is_new {
                return Err(Corrupt);
            }
            slot
        };
        let value = groups.at_rest(group);
        value.weights[side] += weight;
        self.link(slot, side, value);
        Ok((slot, weight))
    }

    /// One of the key's columns, of some rows.
    pub(super) fn key_column(&self, slots: &[Slot], column: usize) -> ArrayRef {
        let place = self.keys.iter().position(|key| *key == column);
        let keys = slots.iter().map(|slot| self.rows.keys().key(*slot));
        let decoded = self.key_codec.decode_front(keys);
        let (columns, _) = decoded.expect("the rows were looked at when restored");
        columns[place.expect("what closes is a key")].clone()
    }

    /// Lets a whole list of rows go; the epoch has ended.
    pub(super) fn forget(&mut self, head: Option<Slot>) {
        let mut next = head;
        while let Some(slot) = next {
            next = std::mem::take(&mut self.links[slot.index()]).next;
            self.rows.remove(slot);
        }
    }

    /// Lets one row go; the epoch has ended.
    pub(super) fn let_go(&mut self, slot: Slot, side: usize, group: &mut Group) {
        group.weights[side] -= self.rows.get(slot).weight;
        let link = std::mem::take(&mut self.links[slot.index()]);
        match link.previous {
            Some(previous) => self.links[previous.index()].next = link.next,
            None => group.heads[side] = link.next,
        }
        if let Some(next) = link.next {
            self.links[next.index()].previous = link.previous;
        }
        self.rows.remove(slot);
    }

    /// Of what a key has behind the row.
    fn number_bytes(&self) -> usize {
        if self.appended.is_some() {
            NUMBER_BYTES
        } else {
            0
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + self.links.capacity() * size_of::<Link>()
    }

    fn link(&mut self, slot: Slot, side: usize, group: &mut Group) {
        if self.links.len() <= slot.index() {
            self.links.resize(slot.index() + 1, Link::default());
        }
        let next = group.heads[side].replace(slot);
        self.links[slot.index()] = Link {
            previous: None,
            next,
        };
        if let Some(next) = next {
            self.links[next.index()].previous = Some(slot);
        }
    }
}
