//! Checkers of one partition: what was recovered, read and looked up against the model. They panic on a violation.

use crate::log_model::LogModel;
use base::{LeaderEpoch, Offset, RaftIndex, TimestampMs};
use storage::{Durable, LogStart, ReadBatches, ReadEntry, TimestampedOffset};

/// What a log says of itself right after the store was opened.
#[derive(Clone, Debug)]
pub struct Recovered {
    pub start: LogStart,
    pub next_index: RaftIndex,
    pub next_offset: Offset,
    pub durable: Durable,
    pub leader_epochs: Vec<(LeaderEpoch, RaftIndex, Offset)>,
    pub state: Option<Vec<u8>>,
}

/// After recovery: everything acknowledged is there, and what is there was appended at that place.
///
/// The model then forgets what was lost rightfully and holds the rest for promised, as readers see it now.
pub fn on_recovered(model: &mut LogModel, found: &Recovered) {
    let key = model.key;
    if let Some(at) = model.reset_wanted.take()
        && found.start == at
    {
        model.on_reset_end(at);
    }
    let promised = model.durable_next().0;
    assert!(
        (promised..=model.next_index).contains(&found.next_index),
        "{key:?}: {promised} was acknowledged and {} appended, recovered {found:?}",
        model.next_index
    );
    assert_eq!(
        found.next_offset,
        model.offset_at(found.next_index),
        "{key:?}: {found:?}"
    );
    assert!(
        (model.start.offset..=model.start_wanted).contains(&found.start.offset),
        "{key:?}: the log starts at {:?}, it was moved to {:?} and perhaps {}",
        found.start,
        model.start,
        model.start_wanted
    );
    assert_eq!(
        (found.durable.next_index, found.durable.next_offset),
        (found.next_index, found.next_offset),
        "{key:?}: everything recovered is durable"
    );
    model.entries.retain(|entry| entry.index < found.next_index);
    for entry in &mut model.entries {
        entry.is_durable = true;
        entry.is_doubtful = false;
    }
    model.next_index = found.next_index;
    model.next_offset = found.next_offset;
    model.durable_seen = Some(found.durable);
    model.is_truncating = false;
    model.on_start_moved(found.start);
    model.start_wanted = found.start.offset;
    on_leader_epochs(model, &found.leader_epochs);
    model
        .state
        .on_found(key, "state of the owner", found.state.as_ref());
}

/// The log knows the runs of its entries' leader epochs.
pub fn on_leader_epochs(model: &LogModel, found: &[(LeaderEpoch, RaftIndex, Offset)]) {
    assert_eq!(found, model.leader_epochs(), "{:?}: epochs", model.key);
}

/// Entries of all kinds from an index on, as they were appended, and at least one.
pub fn on_read_entries(model: &LogModel, from: RaftIndex, found: &[ReadEntry]) {
    let key = model.key;
    assert!(
        !found.is_empty() || from >= model.next_index,
        "{key:?}: no entry was read at {from}"
    );
    let known = model.entries.iter().skip_while(|entry| entry.index < from);
    let mut count = 0;
    for (found, entry) in found.iter().zip(known) {
        assert_eq!(
            (
                found.index,
                found.kind,
                found.leader_epoch,
                found.base_offset
            ),
            (
                entry.index,
                entry.kind,
                entry.leader_epoch,
                entry.base_offset
            ),
            "{key:?}: entries from {from}"
        );
        assert_eq!(found.record_count as usize, entry.timestamps.len());
        assert!(
            found.batch[..] == entry.bytes[..],
            "{key:?}: the entry at {} was read as other bytes",
            entry.index
        );
        count += 1;
    }
    assert_eq!(count, found.len(), "{key:?}: entries behind the log's end");
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
    let served = model.entries.iter().skip(first);
    for entry in served.filter(|entry| !entry.timestamps.is_empty()) {
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
        next = entry.next_offset;
    }
    assert_eq!(
        at,
        bytes.len(),
        "{key:?}: a read from {from} gave bytes behind the log"
    );
    let first_end = model.entries[first].next_offset;
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
    let start = model.start.offset;
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
