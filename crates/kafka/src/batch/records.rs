//! Records inside a batch: the checking walk over them and their iteration.

use std::borrow::Cow;

use base::{Offset, TimestampMs};

use super::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, Compression, NO_TIMESTAMP, RecordFault,
    TimestampType,
    compression::Decompressor,
    varint::{VARLONG_BYTES_MAX, varint, varlong},
};

/// Output decompressed at a time: fits the second-level cache beside the codec's window.
pub(super) const CHUNK_BYTES: usize = 32 << 10;

/// Bytes of records, whole or as they come out of a decompressor.
pub(super) trait Source {
    /// Bytes consumed so far.
    fn position(&self) -> u64;
    fn byte(&mut self) -> Result<u8, Stop>;
    fn varint(&mut self) -> Result<i32, Stop>;
    fn varlong(&mut self) -> Result<i64, Stop>;
    fn skip(&mut self, bytes: u64) -> Result<(), Stop>;
    /// Whether all bytes are consumed.
    fn at_end(&mut self) -> Result<bool, BatchError>;
}

/// Why a walk stops: the record is at fault, or the source is.
pub(super) enum Stop {
    Record(RecordFault),
    Source(BatchError),
}

impl From<RecordFault> for Stop {
    fn from(fault: RecordFault) -> Self {
        Self::Record(fault)
    }
}

/// A batch's records, ready to be walked.
pub(super) enum Opened<'a> {
    Plain(Plain<'a>),
    Chunked(Chunked<'a>),
}

impl<'a> Opened<'a> {
    /// Out of a decompressor come at most `bytes_max`.
    pub fn new(
        compression: Compression,
        records: &'a [u8],
        bytes_max: usize,
    ) -> Result<Self, BatchError> {
        Ok(match compression {
            Compression::None => Self::Plain(Plain::new(records)),
            _ => {
                let decompressor = Decompressor::new(compression, records, bytes_max)?;
                Self::Chunked(Chunked::new(decompressor))
            }
        })
    }
}

/// Uncompressed records.
pub(super) struct Plain<'a> {
    bytes: &'a [u8],
    /// Not behind the end.
    at: usize,
}

impl<'a> Plain<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline(always)]
    fn left(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    #[inline(always)]
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], RecordFault> {
        let taken = self.left().get(..bytes).ok_or(RecordFault::Truncated)?;
        self.at += bytes;
        Ok(taken)
    }

    #[inline(always)]
    fn number(&mut self) -> Result<i32, RecordFault> {
        let (value, len) = varint(self.left())?;
        self.at += len;
        Ok(value)
    }

    #[inline(always)]
    fn long_number(&mut self) -> Result<i64, RecordFault> {
        let (value, len) = varlong(self.left())?;
        self.at += len;
        Ok(value)
    }
}

impl Source for Plain<'_> {
    #[inline]
    fn position(&self) -> u64 {
        self.at as u64
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?[0])
    }

    #[inline]
    fn varint(&mut self) -> Result<i32, Stop> {
        Ok(self.number()?)
    }

    #[inline]
    fn varlong(&mut self) -> Result<i64, Stop> {
        Ok(self.long_number()?)
    }

    #[inline]
    fn skip(&mut self, bytes: u64) -> Result<(), Stop> {
        let bytes = usize::try_from(bytes).map_err(|_| RecordFault::Truncated)?;
        self.take(bytes)?;
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, BatchError> {
        Ok(self.at == self.bytes.len())
    }
}

/// Records out of a decompressor, a chunk at a time.
pub(super) struct Chunked<'a> {
    decompressor: Decompressor<'a>,
    chunk: Box<[u8]>,
    from: usize,
    to: usize,
    position: u64,
    ended: bool,
}

impl<'a> Chunked<'a> {
    pub fn new(decompressor: Decompressor<'a>) -> Self {
        Self {
            decompressor,
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            from: 0,
            to: 0,
            position: 0,
            ended: false,
        }
    }

    /// Tries to have at least `bytes` (far fewer than a chunk) in the chunk; fewer only at the end.
    #[inline]
    fn want(&mut self, bytes: usize) -> Result<&[u8], Stop> {
        if self.to - self.from < bytes && !self.ended {
            self.fill(bytes).map_err(Stop::Source)?;
        }
        Ok(&self.chunk[self.from..self.to])
    }

    fn fill(&mut self, bytes: usize) -> Result<(), BatchError> {
        self.chunk.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        while self.to < bytes && !self.ended {
            let filled = self.decompressor.read(&mut self.chunk[self.to..])?;
            self.to += filled;
            self.ended = filled == 0;
        }
        Ok(())
    }

    #[inline]
    fn consume(&mut self, bytes: usize) {
        self.from += bytes;
        self.position += bytes as u64;
    }
}

impl Source for Chunked<'_> {
    #[inline]
    fn position(&self) -> u64 {
        self.position
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = *self.want(1)?.first().ok_or(RecordFault::Truncated)?;
        self.consume(1);
        Ok(byte)
    }

    fn varint(&mut self) -> Result<i32, Stop> {
        let (value, len) = varint(self.want(VARLONG_BYTES_MAX)?)?;
        self.consume(len);
        Ok(value)
    }

    fn varlong(&mut self) -> Result<i64, Stop> {
        let (value, len) = varlong(self.want(VARLONG_BYTES_MAX)?)?;
        self.consume(len);
        Ok(value)
    }

    fn skip(&mut self, mut bytes: u64) -> Result<(), Stop> {
        while bytes > 0 {
            let here = self.want(1)?.len();
            if here == 0 {
                return Err(RecordFault::Truncated.into());
            }
            let skipped = usize::try_from(bytes).map_or(here, |bytes| bytes.min(here));
            self.consume(skipped);
            bytes -= skipped as u64;
        }
        Ok(())
    }

    fn at_end(&mut self) -> Result<bool, BatchError> {
        if self.from == self.to && !self.ended {
            self.fill(1)?;
        }
        Ok(self.from == self.to)
    }
}

/// The walk over all records of a batch that holds them to the header.
pub(super) struct Walk {
    pub record_count: i32,
    pub base_timestamp: i64,
    /// Bounds of record timestamps, both inclusive.
    pub earliest: i64,
    pub latest: i64,
    pub next: i32,
    /// Newest timestamp so far; -1 without any.
    pub max_timestamp: i64,
}

impl Walk {
    /// Walks on until `bytes` more bytes are consumed or the records end; whether they ended.
    pub fn advance<S: Source>(&mut self, source: &mut S, bytes: u64) -> Result<bool, BatchError> {
        let until = source.position().saturating_add(bytes);
        while self.next < self.record_count {
            let index = self.next;
            let timestamp =
                record(source, index, self.base_timestamp).map_err(|stop| match stop {
                    Stop::Record(fault) => BatchError::Record { index, fault },
                    Stop::Source(error) => error,
                })?;
            let bounded = (self.earliest..=self.latest).contains(&timestamp);
            if !bounded && timestamp != NO_TIMESTAMP {
                return Err(BatchError::Timestamp {
                    index,
                    timestamp,
                    earliest: self.earliest,
                    latest: self.latest,
                });
            }
            self.max_timestamp = self.max_timestamp.max(timestamp);
            self.next += 1;
            if source.position() >= until && self.next < self.record_count {
                return Ok(false);
            }
        }
        if !source.at_end()? {
            return Err(BatchError::RecordsLeft);
        }
        Ok(true)
    }
}

/// Checks one record; its timestamp.
#[inline]
fn record<S: Source>(source: &mut S, index: i32, base_timestamp: i64) -> Result<i64, Stop> {
    let length = source.varint()?;
    let length = u64::try_from(length).map_err(|_| RecordFault::Negative)?;
    let end = source.position() + length;
    source.byte()?;
    let timestamp_delta = source.varlong()?;
    if source.varint()? != index {
        return Err(RecordFault::OffsetDelta.into());
    }
    skip_bytes(source, end)?;
    skip_bytes(source, end)?;
    let headers = source.varint()?;
    if headers != 0 {
        skip_headers(source, headers, end)?;
    }
    if source.position() != end {
        return Err(RecordFault::Length.into());
    }
    base_timestamp
        .checked_add(timestamp_delta)
        .ok_or(RecordFault::Timestamp.into())
}

/// Skips nullable bytes that must end at or before `end`; whether they were there.
#[inline]
fn skip_bytes<S: Source>(source: &mut S, end: u64) -> Result<bool, Stop> {
    let length = source.varint()?;
    let Ok(bytes) = u64::try_from(length) else {
        return match length {
            -1 => Ok(false),
            _ => Err(RecordFault::Negative.into()),
        };
    };
    if bytes > end.saturating_sub(source.position()) {
        return Err(RecordFault::Length.into());
    }
    source.skip(bytes)?;
    Ok(true)
}

fn skip_headers<S: Source>(source: &mut S, headers: i32, end: u64) -> Result<(), Stop> {
    let headers = u64::try_from(headers).map_err(|_| RecordFault::Negative)?;
    // A header takes two bytes at least.
    if headers > end.saturating_sub(source.position()) / 2 {
        return Err(RecordFault::Length.into());
    }
    for _ in 0..headers {
        if !skip_bytes(source, end)? {
            return Err(RecordFault::HeaderKey.into());
        }
        skip_bytes(source, end)?;
    }
    Ok(())
}

/// Key and value of a record header.
pub type RecordHeader<'a> = (Cow<'a, str>, Option<Cow<'a, [u8]>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    /// The record's own, or the batch's under LogAppendTime.
    pub timestamp: TimestampMs,
    pub key: Option<Cow<'a, [u8]>>,
    pub value: Option<Cow<'a, [u8]>>,
    /// Keys that are not UTF-8 are read with replacement characters, as Kafka's clients do.
    pub headers: Vec<RecordHeader<'a>>,
}

/// A record whose headers are sound and have not been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BareRecord<'a> {
    pub offset: Offset,
    /// The record's own, or the batch's under LogAppendTime.
    pub timestamp: TimestampMs,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
}

impl<'a> BareRecord<'a> {
    #[must_use]
    pub fn headers(&self) -> Vec<RecordHeader<'a>> {
        let mut fields = Plain::new(self.headers);
        let mut headers = Vec::new();
        while let Ok(Some(key)) = read_bytes(&mut fields) {
            let value = read_bytes(&mut fields).ok().flatten().map(Cow::Borrowed);
            headers.push((String::from_utf8_lossy(key), value));
        }
        headers
    }
}

impl<'a> From<BareRecord<'a>> for Record<'a> {
    fn from(bare: BareRecord<'a>) -> Self {
        Self {
            offset: bare.offset,
            timestamp: bare.timestamp,
            key: bare.key.map(Cow::Borrowed),
            value: bare.value.map(Cow::Borrowed),
            headers: bare.headers(),
        }
    }
}

/// The records of a batch, one after the other: for readers that pause.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: BatchHeader,
    bytes: Cow<'a, [u8]>,
    at: usize,
    index: i32,
}

impl<'a> Records<'a> {
    /// Decompresses, output at most `output_bytes_max`, all of it in memory. The CRC is not checked.
    pub fn new(batch: &'a [u8], output_bytes_max: usize) -> Result<Self, BatchError> {
        let header = BatchHeader::decode(batch)?;
        let records =
            batch
                .get(BATCH_HEADER_BYTES..header.size_bytes())
                .ok_or(BatchError::Truncated {
                    needed: header.size_bytes(),
                    left: batch.len(),
                })?;
        let bytes = match header.compression()? {
            Compression::None => Cow::Borrowed(records),
            compression => {
                let mut output = Vec::new();
                Decompressor::new(compression, records, output_bytes_max)?.read_all(&mut output)?;
                Cow::Owned(output)
            }
        };
        Ok(Self {
            header,
            bytes,
            at: 0,
            index: 0,
        })
    }

    /// The next record; `None` behind the last.
    #[inline(always)]
    pub fn next_record(&mut self) -> Result<Option<BareRecord<'_>>, BatchError> {
        if self.index == self.header.record_count {
            return match self.at == self.bytes.len() {
                true => Ok(None),
                false => Err(BatchError::RecordsLeft),
            };
        }
        let index = self.index;
        let mut left = Plain::new(&self.bytes[self.at..]);
        let read = read_record(&mut left, &self.header)
            .map_err(|fault| BatchError::Record { index, fault })?;
        self.at += left.at;
        self.index += 1;
        Ok(Some(read))
    }
}

/// Decompresses (output at most `output_bytes_max`, all of it in memory) and hands each record to `each`, until that
/// returns false. Offsets come from the records, so a compacted batch may have gaps. The CRC is not checked.
pub fn for_each_record(
    batch: &[u8],
    output_bytes_max: usize,
    mut each: impl FnMut(Record<'_>) -> bool,
) -> Result<(), BatchError> {
    let header = BatchHeader::decode(batch)?;
    let records =
        batch
            .get(BATCH_HEADER_BYTES..header.size_bytes())
            .ok_or(BatchError::Truncated {
                needed: header.size_bytes(),
                left: batch.len(),
            })?;
    match header.compression()? {
        Compression::None => each_record(&header, records, &mut each),
        compression => {
            let mut output = Vec::new();
            Decompressor::new(compression, records, output_bytes_max)?.read_all(&mut output)?;
            each_record(&header, &output, &mut each)
        }
    }
}

fn each_record(
    header: &BatchHeader,
    records: &[u8],
    each: &mut impl FnMut(Record<'_>) -> bool,
) -> Result<(), BatchError> {
    let mut left = Plain::new(records);
    for index in 0..header.record_count {
        let read =
            read_record(&mut left, header).map_err(|fault| BatchError::Record { index, fault })?;
        if !each(read.into()) {
            return Ok(());
        }
    }
    if left.left().is_empty() {
        Ok(())
    } else {
        Err(BatchError::RecordsLeft)
    }
}

#[inline(always)]
fn read_record<'a>(
    left: &mut Plain<'a>,
    header: &BatchHeader,
) -> Result<BareRecord<'a>, RecordFault> {
    let length = usize::try_from(left.number()?).map_err(|_| RecordFault::Negative)?;
    let mut fields = Plain::new(left.take(length)?);
    fields.take(1)?;
    let timestamp_delta = fields.long_number()?;
    let offset_delta = fields.number()?;
    if !(0..=header.last_offset_delta).contains(&offset_delta) {
        return Err(RecordFault::OffsetDelta);
    }
    let timestamp = match header.timestamp_type() {
        TimestampType::LogAppendTime => header.max_timestamp,
        TimestampType::CreateTime => TimestampMs(
            header
                .base_timestamp
                .0
                .checked_add(timestamp_delta)
                .ok_or(RecordFault::Timestamp)?,
        ),
    };
    let key = read_bytes(&mut fields)?;
    let value = read_bytes(&mut fields)?;
    let count = fields.number()?;
    let headers = fields.left();
    if count != 0 {
        pass_headers(&mut fields, count)?;
    }
    if !fields.left().is_empty() {
        return Err(RecordFault::Length);
    }
    Ok(BareRecord {
        offset: header.base_offset.plus(offset_delta.into()),
        timestamp,
        key,
        value,
        headers,
    })
}

#[cold]
fn pass_headers(fields: &mut Plain<'_>, count: i32) -> Result<(), RecordFault> {
    let count = usize::try_from(count).map_err(|_| RecordFault::Negative)?;
    // A header takes two bytes at least.
    if count > fields.left().len() / 2 {
        return Err(RecordFault::Length);
    }
    for _ in 0..count {
        read_bytes(fields)?.ok_or(RecordFault::HeaderKey)?;
        read_bytes(fields)?;
    }
    Ok(())
}

#[inline(always)]
fn read_bytes<'a>(fields: &mut Plain<'a>) -> Result<Option<&'a [u8]>, RecordFault> {
    match fields.number()? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| RecordFault::Negative)?;
            Ok(Some(fields.take(length)?))
        }
    }
}
