//! Writes of an offsets partition: what groups ask for, batched, and now and then a snapshot that bounds the log.
//!
//! While one round is on its way to the disk the next one piles up, so that one sync serves every commit of a moment.
//!
//! # Crash
//! A snapshot's records repeat what the log already says. Only when its last one is committed is the log trimmed before
//! its first one; a crash before that finds the whole log.
//!
//! # Limits
//! The log is at most `SNAPSHOT_LOG_BYTES_MIN`, or `SNAPSHOT_FACTOR` times the last snapshot, longer than its live
//! records, plus a segment.

use base::Offset;
use kafka::batch::{BatchBuilder, Compression};

use super::offsets_partition::OffsetsPartition;
use crate::{
    group::{GroupError, GroupTable, KeyValue, SnapshotCursor, WriteToken},
    raft_log::Proposed,
};

/// A batch of records is closed at this size: replaying one is a short slice of work.
const BATCH_BYTES: usize = 64 << 10;

/// Records of one round: what one sync makes durable.
const ROUND_BYTES: usize = 1 << 20;

/// Records per step of a snapshot.
const SNAPSHOT_STEP_RECORDS: usize = 512;

/// Log appended before a snapshot is worth it: half a second of replay at most.
const SNAPSHOT_LOG_BYTES_MIN: u64 = 16 << 20;

/// Log appended in terms of the last snapshot: the snapshots cost a fourth of the writes at most.
const SNAPSHOT_FACTOR: u64 = 4;

/// Where the snapshots stand.
#[derive(Default)]
pub(super) struct SnapshotProgress {
    /// Log since the start of the last snapshot; that snapshot included.
    log_bytes: u64,
    last_snapshot_bytes: u64,
    under_way: Option<UnderWay>,
}

#[derive(Clone)]
struct UnderWay {
    start: Offset,
    cursor: Option<SnapshotCursor>,
    bytes: u64,
}

/// Writes of one round, and how many of their records are appended.
struct Round {
    records: Vec<KeyValue>,
    /// Each write with the index behind its last record.
    writes: Vec<(WriteToken, usize)>,
}

impl OffsetsPartition {
    pub(super) async fn write_all(&self) {
        self.snapshot.borrow_mut().log_bytes = self.partition.log().size_bytes();
        loop {
            let queued = self.queued.notified();
            let round = self.take_round();
            let is_idle = round.writes.is_empty();
            if !is_idle {
                self.write_round(round).await;
            }
            if self.snapshot_is_due() {
                self.snapshot_step().await;
            } else if is_idle {
                if self.is_closed() {
                    return;
                }
                queued.await;
            }
        }
    }

    fn take_round(&self) -> Round {
        let mut queue = self.queue.borrow_mut();
        let mut round = Round {
            records: Vec::new(),
            writes: Vec::new(),
        };
        let mut bytes = 0;
        while bytes < ROUND_BYTES {
            let Some(write) = queue.pop_front() else {
                break;
            };
            bytes += write
                .records
                .iter()
                .map(KeyValue::size_bytes)
                .sum::<usize>();
            round.records.extend(write.records);
            round.writes.push((write.token, round.records.len()));
        }
        round
    }

    async fn write_round(&self, round: Round) {
        let (appended, outcome) = self.append(&round.records).await;
        for (token, end) in round.writes {
            let outcome = if end <= appended { Ok(()) } else { outcome };
            let _ = self.event(|table, now, fx| table.on_written(now, token, outcome, fx));
            self.writes_open.set(self.writes_open.get() - 1);
        }
        self.write_done.notify_all();
    }

    /// How many of the records are committed, and why not all.
    async fn append(&self, records: &[KeyValue]) -> (usize, Result<(), GroupError>) {
        let mut appended: Option<Proposed> = None;
        let mut done = 0;
        let mut outcome = Ok(());
        while done < records.len() {
            let (batch, end) = build(records, done);
            match self.partition.append_own(&batch).await {
                Ok(proposed) => appended = Some(proposed),
                Err(error) => {
                    outcome = Err(error.into());
                    break;
                }
            }
            self.snapshot.borrow_mut().log_bytes += batch.len() as u64;
            done = end;
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        if let Some(last) = appended {
            let committed = self
                .partition
                .raft()
                .wait_committed(last.leader_epoch, last.index);
            if !committed.await {
                return (0, Err(GroupError::NotCoordinator));
            }
        }
        (done, outcome)
    }

    fn snapshot_is_due(&self) -> bool {
        let progress = self.snapshot.borrow();
        let bound = SNAPSHOT_LOG_BYTES_MIN.max(progress.last_snapshot_bytes * SNAPSHOT_FACTOR);
        !self.is_closed() && (progress.under_way.is_some() || progress.log_bytes > bound)
    }

    async fn snapshot_step(&self) {
        let log_end = self.partition.log().next_offset();
        let progress = self.snapshot.borrow_mut().under_way.take();
        let mut under_way = progress.unwrap_or(UnderWay {
            start: log_end,
            cursor: None,
            bytes: 0,
        });
        let step =
            |table: &GroupTable| table.snapshot(under_way.cursor.take(), SNAPSHOT_STEP_RECORDS);
        let Ok((records, cursor)) = self.read(step) else {
            return;
        };
        under_way.bytes += records.iter().map(|r| r.size_bytes() as u64).sum::<u64>();
        let (_, outcome) = self.append(&records).await;
        if let Err(error) = outcome {
            // The whole log still says the same. More of it has to come before the next attempt.
            tracing::debug!(partition = %self.partition.key(), %error, "a snapshot of groups was given up");
            self.snapshot.borrow_mut().log_bytes = 0;
        } else if cursor.is_some() {
            under_way.cursor = cursor;
            self.snapshot.borrow_mut().under_way = Some(under_way);
        } else {
            self.finish_snapshot(&under_way).await;
        }
    }

    async fn finish_snapshot(&self, done: &UnderWay) {
        if let Err(error) = self.partition.raft().trim(done.start).await {
            tracing::debug!(partition = %self.partition.key(), %error, "the log of groups was not trimmed");
        }
        let mut progress = self.snapshot.borrow_mut();
        progress.log_bytes = done.bytes;
        progress.last_snapshot_bytes = done.bytes;
    }
}

/// A batch of the records from `from` on, and where it ends.
fn build(records: &[KeyValue], from: usize) -> (Vec<u8>, usize) {
    let now = runtime::wall();
    let mut builder = BatchBuilder::new(Compression::None);
    let mut end = from;
    for record in &records[from..] {
        if end > from && builder.size_estimate() + record.size_bytes() > BATCH_BYTES {
            break;
        }
        builder.push(now, Some(&record.key), record.value.as_deref(), &[]);
        end += 1;
    }
    (builder.finish(), end)
}
