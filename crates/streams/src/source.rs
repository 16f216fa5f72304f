//! Records as rows: what is done on the shard that has the partition.
//!
//! # Cost
//! A record is decoded once for each view that reads its source, and only the columns the view asks for. Batches that are not
//! compressed are read where they lie.

mod idle;
mod metadata;

use std::{fmt::Debug, sync::Arc};

use arrow_array::{Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{FieldRef, Schema, SchemaRef};
use base::Offset;
use kafka::batch::{self, BareRecord, BatchError, Records};

use crate::{
    Delta,
    changes::{ChangesDecoder, Damaged},
    definition::{Metadata, OnMalformed, Source, Watermark},
    format::{Format, FormatError, Known, Malformed, RecordView, WriterSchemas},
};
use idle::IdleDecoders;
use metadata::RowDecoder;
pub use metadata::check;

/// A batch may not expand beyond.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// A stretch ends behind the record with which those that hold no row have grown to this, where they are kept.
const MALFORMED_BYTES: usize = 4 << 20;

/// Records between two looks at the clock.
const CHECK_EVERY: usize = 64;

/// How to make rows of a source's records. The same on every shard.
#[derive(Clone, Debug)]
pub struct SourceReader {
    pub content: Content,
    /// Of all columns that the records' values hold.
    pub schema: SchemaRef,
    /// Those that are read, in this order.
    pub columns: Vec<usize>,
    /// Columns of the records themselves: their places among those that come out, ascending, and their fields.
    pub metadata: Vec<(usize, Metadata, FieldRef)>,
    /// Place of the event time among those that come out, and how far the watermark stays behind.
    pub watermark: Option<Watermark>,
    /// Records that hold no row come out too.
    pub keeps_malformed: bool,
    /// Of the schemas that records name by their numbers those that count as known; `None`: all that the shard knows.
    pub writers: Option<Known>,
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
#[derive(Clone, Debug, Default)]
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
    /// All of them, if they are wanted.
    pub malformed_records: Vec<MalformedRecord>,
    pub malformed_bytes: usize,
    /// Some of them were written with schemas that did not count as known: later they may hold rows.
    pub has_unknown_writers: bool,
}

/// A record that holds no row, as it lies in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedRecord {
    pub offset: Offset,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub why: String,
}

/// Why a reader cannot be made, or a batch not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{0}")]
    Format(#[from] FormatError),
    #[error("a batch cannot be read: {0}")]
    Batch(#[from] BatchError),
    #[error("{0}")]
    SchemasUnread(#[from] SchemasUnread),
    #[error("nothing can be read of what stands from offset {from} to {until}")]
    Nothing { from: Offset, until: Offset },
    #[error("the table's log holds what is no change: {0}")]
    Changes(#[from] Damaged),
}

/// No shard was told of any schema, so no record that names one can be told from one that holds no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the schema registry was not read, and records name their schemas in it")]
pub struct SchemasUnread;

/// What this shard knows of the schemas that records name by their numbers.
pub(crate) fn known_writers() -> Result<Known, SchemasUnread> {
    let writers = runtime::local::<WriterSchemas>().ok_or(SchemasUnread)?;
    Ok(writers.known())
}

enum Values {
    Rows(Box<RowDecoder>),
    Changes(ChangesDecoder),
    Own(Box<dyn OwnRows>),
}

impl SourceReader {
    /// Whether each record tells which schema it was written with.
    #[must_use]
    pub fn names_writers(&self) -> bool {
        matches!(&self.content, Content::Rows(format) if format.names_writers())
    }

    /// Of a source, these columns in this order.
    #[must_use]
    pub fn of(source: &Source, columns: &[usize]) -> Self {
        let is_payload = |at: &usize| !source.metadata.contains_key(at);
        let fields = source.schema.fields();
        let payload: Vec<usize> = (0..fields.len()).filter(is_payload).collect();
        let in_payload = |at: &usize| payload.iter().position(|other| other == at);
        let metadata = columns.iter().enumerate().filter_map(|(place, at)| {
            let metadata = source.metadata.get(at)?;
            Some((place, *metadata, fields[*at].clone()))
        });
        // The watermark's column is named by its place in the rows that come out.
        let watermark = source.watermark.and_then(|watermark| {
            let place = columns.iter().position(|at| *at == watermark.column);
            place.map(|column| Watermark {
                column,
                ..watermark
            })
        });
        Self {
            content: Content::Rows(source.format.clone()),
            schema: Arc::new(Schema::new_with_metadata(
                payload
                    .iter()
                    .map(|at| fields[*at].clone())
                    .collect::<Vec<_>>(),
                source.schema.metadata().clone(),
            )),
            columns: columns.iter().filter_map(in_payload).collect(),
            metadata: metadata.collect(),
            watermark,
            keeps_malformed: matches!(source.on_malformed, OnMalformed::DeadLetter { .. }),
            writers: None,
        }
    }

    /// Rows of whole batches, of the records in `from..until`.
    pub async fn decode(
        self: &Arc<Self>,
        partition: i32,
        batches: &[u8],
        from: Offset,
        until: Offset,
    ) -> Result<Decoded, DecodeError> {
        let mut decoder = match &self.content {
            Content::Rows(format) => {
                let mut rows = match IdleDecoders::here().take(self) {
                    Some(rows) => rows,
                    None => Box::new(RowDecoder::new(self, format)?),
                };
                if format.names_writers() {
                    rows.know_writers(match &self.writers {
                        Some(known) => known.clone(),
                        None => known_writers()?,
                    });
                }
                Values::Rows(rows)
            }
            Content::Changes => Values::Changes(ChangesDecoder::new(&self.schema)?),
            Content::Own(reader) => Values::Own(reader.start()),
        };
        let mut decoded = Decoded {
            next_offset: from,
            deltas: Vec::new(),
            records: 0,
            bytes: 0,
            time_max: None,
            malformed: 0,
            malformed_first: None,
            malformed_records: Vec::new(),
            malformed_bytes: 0,
            has_unknown_writers: false,
        };
        for item in batch::batches(batches) {
            let (header, bytes) = item?;
            if header.base_offset >= until {
                decoded.next_offset = until;
                break;
            }
            if !header.is_control() {
                let mut records = Records::new(bytes, OUTPUT_BYTES_MAX)?;
                let (decoder, decoded) = (&mut decoder, &mut decoded);
                while self.decode_some(decoder, decoded, partition, &mut records, from..until)? {
                    if runtime::should_yield() {
                        runtime::yield_now().await;
                    }
                }
            }
            if decoded.malformed_bytes >= MALFORMED_BYTES {
                break;
            }
            let behind = Offset(header.last_offset().0 + 1);
            // One that goes on behind the end is read again, and counts then.
            if behind <= until {
                decoded.bytes += bytes.len() as u64;
            }
            decoded.next_offset = behind.min(until).max(decoded.next_offset);
        }
        self.take_rows(&mut decoder, &mut decoded)?;
        if let Values::Rows(rows) = decoder {
            IdleDecoders::here().keep(self, rows);
        }
        // Or it would be asked for again and again.
        match decoded.next_offset > from {
            true => Ok(decoded),
            false => Err(DecodeError::Nothing { from, until }),
        }
    }

    /// Some more records; `false` when there are no more, or when the stretch ends: behind `next_offset` then.
    fn decode_some(
        &self,
        decoder: &mut Values,
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
                key: record.key,
                value: record.value,
                timestamp_ms: record.timestamp.0,
                partition,
                offset: record.offset.0,
            };
            let is_full = match decoder {
                Values::Rows(rows) => {
                    if let Err(malformed) = rows.push(view) {
                        self.note_malformed(decoded, &record, &malformed);
                    }
                    rows.is_full()
                }
                Values::Own(rows) => {
                    if let Err(malformed) = rows.push(view) {
                        self.note_malformed(decoded, &record, &malformed);
                    }
                    rows.is_full()
                }
                Values::Changes(changes) => {
                    changes.push(record.value.unwrap_or_default())?;
                    changes.is_full()
                }
            };
            if is_full {
                self.take_rows(decoder, decoded)?;
            }
            if decoded.malformed_bytes >= MALFORMED_BYTES {
                decoded.next_offset = record.offset.plus(1);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take_rows(&self, decoder: &mut Values, decoded: &mut Decoded) -> Result<(), DecodeError> {
        let delta = match decoder {
            Values::Rows(rows) if rows.is_empty() => return Ok(()),
            Values::Rows(rows) => Delta::insert(rows.finish()),
            Values::Own(rows) => {
                let (rows, time_max) = rows.finish();
                decoded.time_max = decoded.time_max.max(time_max);
                if rows.num_rows() > 0 {
                    decoded.deltas.push(Delta::insert(rows));
                }
                return Ok(());
            }
            Values::Changes(changes) => match changes.finish()? {
                Some(delta) => delta.project(&self.columns),
                None => return Ok(()),
            },
        };
        let newest = self.newest_time(&delta, i64::MAX);
        decoded.time_max = decoded.time_max.max(newest);
        decoded.deltas.push(delta);
        Ok(())
    }

    /// The greatest event time of some rows, of those that are not above this; in microseconds.
    #[must_use]
    pub fn newest_time(&self, delta: &Delta, time_max: i64) -> Option<i64> {
        let times = delta.column(self.watermark?.column).as_any();
        let times = times.downcast_ref::<TimestampMicrosecondArray>()?;
        times
            .iter()
            .flatten()
            .filter(|time| *time <= time_max)
            .max()
    }

    fn note_malformed(
        &self,
        decoded: &mut Decoded,
        record: &BareRecord<'_>,
        malformed: &Malformed,
    ) {
        decoded.malformed += 1;
        decoded.has_unknown_writers |= malformed.is_of_unknown_writer();
        let first = || (record.offset, malformed.to_string());
        decoded.malformed_first.get_or_insert_with(first);
        if !self.keeps_malformed {
            return;
        }
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers = record.headers();
        let headers_bytes: usize = headers
            .iter()
            .map(|(key, value)| key.len() + length(value.as_deref()))
            .sum();
        decoded.malformed_bytes += size_of::<MalformedRecord>()
            + length(record.key)
            + length(record.value)
            + headers_bytes;
        decoded.malformed_records.push(MalformedRecord {
            offset: record.offset,
            timestamp_ms: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers
                .iter()
                .map(|(key, value)| (key.to_string(), value.as_deref().map(<[u8]>::to_vec)))
                .collect(),
            why: malformed.to_string(),
        });
    }
}

#[cfg(test)]
mod tests;
