//! Checkers of one partition: what was recovered, read and looked up against the model. They panic on a violation.

use crate::log_model::LogModel;
use base::{LeaderEpoch, Offset, TimestampMs};
use storage::{Durable, ReadBatches, TimestampedOffset};

/// What a log says of itself right after the store was opened.
#[derive(Clone, Copy, Debug)]
pub struct Recovered {
    pub log_start_offset: Offset,
    pub next_offset: Offset,
    pub durable: Durable,
}

/// After recovery: everything acknowledged is there, and what is there was appended at that place.
///
/// The model then forgets what was lost rightfully and holds the rest for promised, as readers see it now.
pub fn on_recovered(model: &mut LogModel, found: Recovered) {
    let key = model.key;
    let promised = model.durable_next();
    assert!(
        found.next_offset >= promised,
        "{key:?}: acknowledged up to {promised}, recovered {found:?}"
    );
    assert!(
        (model.start_confirmed..=model.start_wanted).contains(&found.log_start_offset),
        "{key:?}: the log starts at {}, it was moved to {} and perhaps {}",
        found.log_start_offset,
        model.start_confirmed,
        model.start_wanted
    );
    assert!(
        found.next_offset <= model.next_offset.max(found.log_start_offset),
        "{key:?}: recovered {found:?}, but nothing was appended from {} on",
        model.next_offset
    );
    let is_boundary = found.next_offset == found.log_start_offset
        || found.next_offset == model.next_offset
        || model.entries.iter().any(|entry| {
            entry.last_offset.plus(1) == found.next_offset || entry.base_offset == found.next_offset
        });
    assert!(
        is_boundary,
        "{key:?}: recovered {found:?}, which is inside a batch"
    );
    assert_eq!(
        found.durable.next_offset, found.next_offset,
        "{key:?}: everything recovered is durable"
    );
    model
        .entries
        .retain(|entry| entry.base_offset < found.next_offset);
    for entry in &mut model.entries {
        entry.is_durable = true;
        entry.is_doubtful = false;
    }
    model.next_offset = found.next_offset;
    model.durable_seen = Some(found.durable);
    model.is_truncating = false;
    model.on_start_moved(found.log_start_offset);
    model.start_wanted = model.start_confirmed;
}

/// A read from `from` below `until` gave whole batches, the right ones, and at least one when there was one.
pub fn on_read(
    model: &LogModel,
    from: Offset,
    until: Offset,
    bytes_max: usize,
    read: &ReadBatches,
) {
    let key = model.key;
    let bytes = read.batches.to_vec();
    let Some(first) = model.find(from) else {
        assert!(
            bytes.is_empty(),
            "{key:?}: read {} bytes at {from}, where nothing is",
            bytes.len()
        );
        return;
    };
    let mut at = 0;
    let mut next = from;
    for entry in model.entries.iter().skip(first) {
        if at == bytes.len() {
            break;
        }
        let end = at + entry.bytes.len();
        assert!(
            bytes.len() >= end,
            "{key:?}: a read from {from} ends inside the batch at {}",
            entry.base_offset
        );
        assert!(
            bytes[at..end] == entry.bytes[..],
            "{key:?}: the batch at {} was read as other bytes (first read {:?}, expected {:?})",
            entry.base_offset,
            &bytes[at..end.min(at + 24)],
            &entry.bytes[..24]
        );
        assert!(
            entry.base_offset < until,
            "{key:?}: the batch at {} was read although only {until} was asked for",
            entry.base_offset
        );
        at = end;
        next = entry.last_offset.plus(1);
    }
    assert_eq!(
        at,
        bytes.len(),
        "{key:?}: a read from {from} gave bytes behind the log"
    );
    let first_end = model.entries[first].last_offset.plus(1);
    assert!(
        !bytes.is_empty() || first_end > until,
        "{key:?}: a read of {bytes_max} bytes from {from} below {until} gave nothing"
    );
    if !bytes.is_empty() {
        assert_eq!(read.next_offset, next, "{key:?}: a read from {from}");
    }
}

/// The first record at or after a timestamp.
pub fn on_time_lookup(
    model: &LogModel,
    at: TimestampMs,
    until: Offset,
    found: Option<TimestampedOffset>,
) {
    let expected = records(model)
        .take_while(|(offset, ..)| *offset < until)
        .find(|(_, timestamp, _)| *timestamp >= at.0);
    let found = found.map(|found| (found.offset, found.timestamp.0, found.leader_epoch));
    assert_eq!(
        found, expected,
        "{:?}: first record at or after {at} below {until}",
        model.key
    );
}

/// Offset, timestamp and leader epoch of each record.
fn records(model: &LogModel) -> impl Iterator<Item = (Offset, i64, LeaderEpoch)> {
    let start = model.start_confirmed;
    let all = model.entries.iter().flat_map(|entry| {
        let offsets = entry.base_offset.0..;
        let epoch = entry.leader_epoch;
        let records = offsets.zip(entry.timestamps.iter().copied());
        records.map(move |(offset, timestamp)| (Offset(offset), timestamp, epoch))
    });
    all.filter(move |(offset, ..)| *offset >= start)
}

/// The largest timestamp of any record.
pub fn newest_timestamp(model: &LogModel) -> Option<i64> {
    records(model).map(|(_, timestamp, _)| timestamp).max()
}
