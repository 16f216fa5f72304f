//! Records as rows: what is done on the shard that has the partition.
//!
//! # Cost
//! A record is decoded once for each view that reads its source, and only the columns the view asks for. Batches that are not
//! compressed are read where they lie.

use std::{fmt::Debug, sync::Arc};

use arrow_array::{Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use base::Offset;
use kafka::batch::{self, BatchError, Records};

use crate::{
    Delta,
    changes::{ChangesDecoder, Damaged},
    definition::Watermark,
    format::{Decoder, Format, FormatError, Malformed, RecordView},
};

/// A batch may not expand beyond.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Records between two looks at the clock.
const CHECK_EVERY: usize = 64;

/// How to make rows of a source's records. The same on every shard.
#[derive(Clone, Debug)]
pub struct SourceReader {
    pub content: Content,
    /// Of all columns of the source.
    pub schema: SchemaRef,
    /// Those that are read, in this order.
    pub columns: Vec<usize>,
    /// Place of the event time among `columns`, and how far the watermark stays behind.
    pub watermark: Option<Watermark>,
}

/// What the records hold.
#[derive(Clone, Debug)]
pub enum Content {
    /// A row each, as somebody wrote it.
    Rows(Format),
    /// Changes of a table, as this engine writes them.
    Changes,
    /// Any number of rows each, by a program's own functions.
    Own(Arc<dyn RowReader>),
}

/// Makes rows of records by functions of a program; on the shard that has the partition.
pub trait RowReader: Debug + Send + Sync {
    fn start(&self) -> Box<dyn OwnRows>;
}

/// Rows of a stretch of one partition, while they are made.
pub trait OwnRows {
    /// The rows of one record more, or none of them.
    fn push(&mut self, record: RecordView<'_>) -> Result<(), Malformed>;

    fn is_full(&self) -> bool;

    /// The rows so far and the greatest event time, and from the start again.
    fn finish(&mut self) -> (RecordBatch, Option<i64>);
}

/// Rows of a stretch of one partition.
#[derive(Clone, Debug)]
pub struct Decoded {
    pub next_offset: Offset,
    pub deltas: Vec<Delta>,
    pub records: u64,
    pub bytes: u64,
    /// The greatest event time among the rows, in microseconds.
    pub time_max: Option<i64>,
    /// Records that hold no row.
    pub malformed: u64,
    /// The first of them, and why.
    pub malformed_first: Option<(Offset, String)>,
}

/// Why a reader cannot be made, or a batch not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{0}")]
    Format(#[from] FormatError),
    #[error("a batch cannot be read: {0}")]
    Batch(#[from] BatchError),
    #[error("nothing can be read of what stands from offset {from} to {until}")]
    Nothing { from: Offset, until: Offset },
    #[error("the table's log holds what is no change: {0}")]
    Changes(#[from] Damaged),
}

enum RowDecoder {
    Rows(Decoder),
    Changes(ChangesDecoder),
    Own(Box<dyn OwnRows>),
}

impl SourceReader {
    /// Rows of whole batches, of the records in `from..until`.
    pub async fn decode(
        &self,
        partition: i32,
        batches: &[u8],
        from: Offset,
        until: Offset,
    ) -> Result<Decoded, DecodeError> {
        let mut decoder = match &self.content {
            Content::Rows(format) => {
                RowDecoder::Rows(Decoder::new(format, &self.schema, &self.columns)?)
            }
            Content::Changes => RowDecoder::Changes(ChangesDecoder::new(&self.schema)?),
            Content::Own(reader) => RowDecoder::Own(reader.start()),
        };
        let mut decoded = Decoded {
            next_offset: from,
            deltas: Vec::new(),
            records: 0,
            bytes: 0,
            time_max: None,
            malformed: 0,
            malformed_first: None,
        };
        for item in batch::batches(batches) {
            let (header, bytes) = item?;
            decoded.bytes += bytes.len() as u64;
            if !header.is_control() {
                let mut records = Records::new(bytes, OUTPUT_BYTES_MAX)?;
                while self.decode_some(
                    &mut decoder,
                    &mut decoded,
                    partition,
                    &mut records,
                    from..until,
                )? {
                    if runtime::should_yield() {
                        runtime::yield_now().await;
                    }
                }
            }
            decoded.next_offset = Offset(header.last_offset().0 + 1)
                .min(until)
                .max(decoded.next_offset);
        }
        self.take_rows(&mut decoder, &mut decoded)?;
        // Or it would be asked for again and again.
        match decoded.next_offset > from {
            true => Ok(decoded),
            false => Err(DecodeError::Nothing { from, until }),
        }
    }

    /// Some more records; `false` when there are no more.
    fn decode_some(
        &self,
        decoder: &mut RowDecoder,
        decoded: &mut Decoded,
        partition: i32,
        records: &mut Records<'_>,
        wanted: std::ops::Range<Offset>,
    ) -> Result<bool, DecodeError> {
        for _ in 0..CHECK_EVERY {
            let Some(record) = records.next_record()? else {
                return Ok(false);
            };
            if !wanted.contains(&record.offset) {
                continue;
            }
            decoded.records += 1;
            let view = RecordView {
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                timestamp_ms: record.timestamp.0,
                partition,
                offset: record.offset.0,
            };
            let mut check = |pushed: Result<(), Malformed>| {
                if let Err(malformed) = pushed {
                    decoded.malformed += 1;
                    let first = || (record.offset, malformed.to_string());
                    decoded.malformed_first.get_or_insert_with(first);
                }
            };
            let is_full = match decoder {
                RowDecoder::Rows(rows) => {
                    check(rows.push(view));
                    rows.is_full()
                }
                RowDecoder::Own(rows) => {
                    check(rows.push(view));
                    rows.is_full()
                }
                RowDecoder::Changes(changes) => {
                    changes.push(record.value.as_deref().unwrap_or_default())?;
                    changes.is_full()
                }
            };
            if is_full {
                self.take_rows(decoder, decoded)?;
            }
        }
        Ok(true)
    }

    fn take_rows(
        &self,
        decoder: &mut RowDecoder,
        decoded: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let delta = match decoder {
            RowDecoder::Rows(rows) if rows.is_empty() => return Ok(()),
            RowDecoder::Rows(rows) => Delta::insert(rows.finish()),
            RowDecoder::Own(rows) => {
                let (rows, time_max) = rows.finish();
                decoded.time_max = decoded.time_max.max(time_max);
                if rows.num_rows() > 0 {
                    decoded.deltas.push(Delta::insert(rows));
                }
                return Ok(());
            }
            RowDecoder::Changes(changes) => match changes.finish()? {
                Some(delta) => delta.project(&self.columns),
                None => return Ok(()),
            },
        };
        if let Some(watermark) = self.watermark {
            let times = delta.column(watermark.column).as_any();
            let times = times.downcast_ref::<TimestampMicrosecondArray>();
            let newest = times.and_then(|times| times.iter().flatten().max());
            decoded.time_max = decoded.time_max.max(newest);
        }
        decoded.deltas.push(delta);
        Ok(())
    }
}
