//! Records of a topic as events, on the shard that has the partition.

use std::{fmt, sync::Arc};

use arrow_array::RecordBatch;
use streams::{
    format::{Malformed, RecordView},
    source::{OwnRows, RowReader},
};

use crate::{
    event::Timestamp,
    rows::{Origin, RowsBuilder},
    stage::{Branches, run_all},
};

/// A record as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub time: Timestamp,
    pub partition: i32,
    pub offset: i64,
}

impl Record {
    pub(crate) fn of(record: &RecordView<'_>) -> Self {
        Self {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            time: Timestamp::from_millis(record.timestamp_ms),
            partition: record.partition,
            offset: record.offset,
        }
    }
}

pub(crate) type Decode<T> = fn(RecordView<'_>) -> Result<T, Malformed>;

pub(crate) type TimeOf<T> = Arc<dyn Fn(&T) -> Timestamp + Send + Sync>;

/// How an app reads a topic.
pub(crate) struct Reader<T> {
    pub decode: Decode<T>,
    pub time: Option<TimeOf<T>>,
    pub branches: Branches<T>,
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl<T: Clone + Send + 'static> RowReader for Reader<T> {
    fn start(&self) -> Box<dyn OwnRows> {
        Box::new(TopicRows {
            decode: self.decode,
            time: self.time.clone(),
            branches: self.branches.clone(),
            rows: RowsBuilder::default(),
            time_max: None,
        })
    }
}

struct TopicRows<T> {
    decode: Decode<T>,
    time: Option<TimeOf<T>>,
    branches: Branches<T>,
    rows: RowsBuilder,
    time_max: Option<i64>,
}

impl<T: Clone + Send> OwnRows for TopicRows<T> {
    fn push(&mut self, record: RecordView<'_>) -> Result<(), Malformed> {
        let event = (self.decode)(record)?;
        let time = match &self.time {
            Some(time) => time(&event),
            None => Timestamp::from_millis(record.timestamp_ms),
        };
        self.time_max = self.time_max.max(Some(time.0));
        let origin = Origin {
            time: time.0,
            partition: record.partition,
            offset: record.offset,
        };
        run_all(&self.branches, event, origin, &mut self.rows);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows.is_full()
    }

    fn finish(&mut self) -> (RecordBatch, Option<i64>) {
        let (rows, _) = self.rows.finish_rows();
        (rows, self.time_max.take())
    }
}
