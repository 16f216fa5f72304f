//! Distinct rows, differences and intersections: by how often equal rows are in either input.
//!
//! # Layout      of state: table 0 has for each row how often it is in the first input and in the second

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;

use super::{
    End, Output, Place, Running, Write,
    closing::{CLOCK_TABLE, Closing},
};
use crate::{
    Delta, Operator,
    delta::CHUNK_ROWS,
    graph::PlanError,
    row::{Corrupt, RowCodec, Rows},
    state::{Slot, Table, Value},
};

/// In either input.
#[derive(Clone, Copy, Debug, Default)]
struct Counts([i64; 2]);

impl Value for Counts {
    fn is_empty(self) -> bool {
        self.0 == [0, 0]
    }
}

/// How often a row is in the result.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Distinct,
    Difference { all: bool },
    Intersection { all: bool },
}

#[derive(Debug)]
struct Counted {
    rule: Rule,
    schema: SchemaRef,
    codec: RowCodec,
    table: Table<Counts>,
    finishing: usize,
    closing: Option<Closing>,
    is_closing: bool,
    rows: Rows,
    slots: Vec<Slot>,
}

pub(super) fn make(place: &Place, operator: &Operator) -> Result<Box<dyn Running>, PlanError> {
    let rule = match operator {
        Operator::SetDifference { all } => Rule::Difference { all: *all },
        Operator::SetIntersection { all } => Rule::Intersection { all: *all },
        _ => Rule::Distinct,
    };
    for input in &place.inputs {
        place.expect_types(input.fields().iter().map(|field| field.data_type()))?;
    }
    let columns: Vec<usize> = (0..place.schema.fields().len()).collect();
    Ok(Box::new(Counted {
        rule,
        schema: place.schema.clone(),
        codec: place.codec(0, &columns)?,
        table: Table::default(),
        finishing: 0,
        closing: Closing::new(place, |column| Some(vec![column; place.inputs.len()]))?,
        is_closing: false,
        rows: Rows::default(),
        slots: Vec::new(),
    }))
}

impl Rule {
    fn times(self, counts: Counts) -> i64 {
        let [first, second] = counts.0.map(|count| count.max(0));
        match self {
            Self::Distinct => first.min(1),
            Self::Difference { all: true } => (first - second).max(0),
            Self::Difference { all: false } => i64::from(first > 0 && second == 0),
            Self::Intersection { all: true } => first.min(second),
            Self::Intersection { all: false } => i64::from(first > 0 && second > 0),
        }
    }
}

impl Running for Counted {
    fn take(&mut self, port: usize, delta: &Delta, out: &mut Output) {
        let admitted;
        let delta = match &self.closing {
            Some(closing) => {
                admitted = closing.admit(port, delta, out);
                &admitted
            }
            None => delta,
        };
        self.codec
            .encode_into(delta.rows().columns(), delta.len(), &mut self.rows);
        self.slots.clear();
        for row in 0..delta.len() {
            let (slot, _) = self.table.insert(self.rows.row(row));
            self.table.change(slot).0[port] += delta.weight(row);
            self.slots.push(slot);
        }
        if let Some(closing) = &mut self.closing {
            closing.put_rows(port, delta, &self.slots);
        }
    }

    fn finish(&mut self, end: &End, out: &mut Output) -> bool {
        if let (true, Some(closing)) = (self.is_closing, &mut self.closing) {
            let due = closing.due(end.watermark);
            self.is_closing = due.is_some();
            for slot in due.into_iter().flatten() {
                if self.table.keys().is_live(slot) {
                    self.table.remove(slot);
                }
            }
            return self.is_closing;
        }
        let touched = self.table.touched();
        let until = (self.finishing + CHUNK_ROWS).min(touched.len());
        let changes = touched[self.finishing..until].iter().filter_map(|slot| {
            let weight =
                self.rule.times(self.table.get(*slot)) - self.rule.times(self.table.old(*slot));
            (weight != 0).then_some((self.table.keys().key(*slot), weight))
        });
        let (rows, weights): (Vec<&[u8]>, Vec<i64>) = changes.unzip();
        if !rows.is_empty() {
            let columns = self.codec.decode(rows);
            let columns =
                columns.expect("rows are what the codec encoded, or were looked at when restored");
            let options = RecordBatchOptions::new().with_row_count(Some(weights.len()));
            let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
            out.deltas.push(Delta::new(
                rows.expect("the columns of the schema"),
                weights,
            ));
        }
        self.finishing = until;
        if until < self.table.touched().len() {
            return true;
        }
        self.finishing = 0;
        self.table.end_epoch(|_, _, _| {});
        self.is_closing = self.closing.is_some();
        self.is_closing
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        let has_more = self.table.checkpoint(all, |key, counts| {
            let Some(Counts([first, second])) = counts else {
                return write(0, key, None);
            };
            let mut value = [0; 16];
            value[..8].copy_from_slice(&first.to_le_bytes());
            value[8..].copy_from_slice(&second.to_le_bytes());
            write(0, key, Some(&value));
        });
        if let Some(closing) = &mut self.closing {
            closing.checkpoint(all, write);
        }
        has_more
    }

    fn restore(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        if let (CLOCK_TABLE, Some(closing)) = (table, &mut self.closing) {
            return closing.restore(key, value);
        }
        let (first, second) = value.split_first_chunk::<8>().ok_or(Corrupt)?;
        let second = second.try_into().map_err(|_| Corrupt)?;
        if table != 0 {
            return Err(Corrupt);
        }
        let columns = self.codec.decode([key])?;
        let (slot, _) = self.table.restore(
            key,
            Counts([i64::from_le_bytes(*first), i64::from_le_bytes(second)]),
        );
        if let Some(closing) = &mut self.closing {
            closing.put_values(&[slot], columns[closing.column(0)].as_ref());
        }
        Ok(())
    }

    fn entries(&self) -> usize {
        self.table.keys().len()
    }

    fn bytes(&self) -> usize {
        self.table.bytes() + self.closing.as_ref().map_or(0, Closing::bytes)
    }
}
