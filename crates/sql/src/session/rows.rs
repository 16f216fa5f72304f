//! Rows of an answer: all there, or coming as they change.

use std::{collections::VecDeque, fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use streams::Delta;

use crate::backend::{SqlError, Subscription};

/// What a client is told when a statement is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `BEGIN`.
    Fixed(&'static str),
    /// `SELECT 3`.
    Counted(&'static str, u64),
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(words) => f.write_str(words),
            Self::Counted(words, count) => write!(f, "{words} {count}"),
        }
    }
}

/// See the module head.
pub struct Rows {
    schema: SchemaRef,
    batches: VecDeque<RecordBatch>,
    changes: Option<Box<dyn Subscription>>,
    tag: &'static str,
    is_counted: bool,
    /// Memory of the batches.
    held: Option<Box<dyn Send + Sync>>,
}

impl Rows {
    #[must_use]
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self {
            schema,
            batches: batches.into(),
            changes: None,
            tag: "SELECT",
            is_counted: true,
            held: None,
        }
    }

    /// The memory is held until the rows are dropped.
    pub(super) fn holding(mut self, held: Box<dyn Send + Sync>) -> Self {
        self.held = Some(held);
        self
    }

    /// Rows of a relation whose schema this is, with epoch and weight before them.
    pub(super) fn subscribed(relation: &Schema, changes: Box<dyn Subscription>) -> Self {
        Self {
            changes: Some(changes),
            ..Self::new(changes_schema(relation), Vec::new()).with_tag("SUBSCRIBE")
        }
    }

    pub(super) fn with_tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    /// `SHOW` and the like tell no count.
    pub(super) fn uncounted(mut self, tag: &'static str) -> Self {
        self.is_counted = false;
        self.with_tag(tag)
    }

    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows that are there.
    pub(super) fn count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    #[must_use]
    pub fn tag(&self, count: u64) -> Tag {
        if self.is_counted {
            Tag::Counted(self.tag, count)
        } else {
            Tag::Fixed(self.tag)
        }
    }

    /// More rows come by themselves, as time goes on.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.changes.is_some()
    }

    /// At most `max` of the next rows, at least one; `None`: there are no more. Giving the future up loses nothing.
    pub async fn next(&mut self, max: usize) -> Result<Option<RecordBatch>, SqlError> {
        loop {
            while let Some(batch) = self.batches.pop_front() {
                if batch.num_rows() > max {
                    let rest = batch.slice(max, batch.num_rows() - max);
                    self.batches.push_front(rest);
                    return Ok(Some(batch.slice(0, max)));
                }
                if batch.num_rows() > 0 {
                    return Ok(Some(batch));
                }
            }
            let Some(changes) = &mut self.changes else {
                return Ok(None);
            };
            let Some(changed) = changes.next().await else {
                self.changes = None;
                return Ok(None);
            };
            let changed = changed?;
            for delta in &changed.deltas {
                let batch = with_change(&self.schema, changed.epoch, delta)?;
                self.batches.push_back(batch);
            }
        }
    }

    /// The next rows as an answer of their own.
    pub(super) async fn split(&mut self, count: usize) -> Result<Self, SqlError> {
        let mut batches = Vec::new();
        let mut left = count;
        while left > 0
            && let Some(batch) = self.next(left).await?
        {
            left -= batch.num_rows();
            batches.push(batch);
        }
        Ok(Self::new(self.schema.clone(), batches))
    }
}

/// Epoch and weight, and the columns of the relation.
pub(super) fn changes_schema(relation: &Schema) -> SchemaRef {
    let mut fields = vec![
        Arc::new(Field::new("epoch", DataType::Int64, false)),
        Arc::new(Field::new("weight", DataType::Int64, false)),
    ];
    fields.extend(relation.fields().iter().cloned());
    Arc::new(Schema::new(fields))
}

fn with_change(schema: &SchemaRef, epoch: u64, delta: &Delta) -> Result<RecordBatch, SqlError> {
    let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    let epochs: ArrayRef = Arc::new(Int64Array::from(vec![epoch; delta.len()]));
    let weights = (0..delta.len()).map(|row| delta.weight(row));
    let weights: ArrayRef = Arc::new(weights.collect::<Int64Array>());
    let mut columns = vec![epochs, weights];
    columns.extend(delta.rows().columns().iter().cloned());
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
