//! Replay of an offsets partition into its group table.
//!
//! # Yields
//! After each batch that used up its slice: a long log loads in the background while requests are told to wait.
//!
//! # Limits
//! One read of `READ_BYTES` at a time beside the table itself.

use kafka::batch::{self, BatchError};
use storage::ReadError;

use super::offsets_partition::{GROUPS_PER_STEP, moment};
use crate::{
    group::{Effects, GroupConfig, GroupTable, RecordError},
    partition::Partition,
};

const READ_BYTES: usize = 1 << 20;

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Batch(#[from] BatchError),
    #[error("the record at offset {offset} is not one of a group: {error}")]
    Record {
        offset: base::Offset,
        error: RecordError,
    },
}

/// The table as of the end of the log, all of which is committed, and what its first event brought about.
pub(super) async fn replay(
    partition: &Partition,
    config: GroupConfig,
) -> Result<(GroupTable, Effects), LoadError> {
    let log = partition.log();
    let mut table = GroupTable::new(config);
    if !(partition.raft().wait_to_lead().await && partition.raft().wait_all_committed().await) {
        return Err(ReadError::Closed.into());
    }
    let end = partition.high_watermark();
    let mut at = log.log_start_offset();
    while at < end {
        let read = log.read(at, end, READ_BYTES, true).await?;
        if read.next_offset <= at {
            break;
        }
        for item in batch::batches(&read.batches.to_contiguous()) {
            let (_, bytes) = item?;
            replay_batch(&mut table, bytes, at)?;
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        at = read.next_offset;
    }
    let mut effects = Effects::default();
    let mut after = None;
    loop {
        after = table.on_loaded(moment(), after.as_ref(), GROUPS_PER_STEP, &mut effects);
        if after.is_none() {
            return Ok((table, effects));
        }
        runtime::yield_now().await;
    }
}

fn replay_batch(table: &mut GroupTable, bytes: &[u8], from: base::Offset) -> Result<(), LoadError> {
    let mut outcome = Ok(());
    // Batches of this topic are written uncompressed: their records are no larger than they are.
    batch::for_each_record(bytes, bytes.len(), |record| {
        if record.offset < from {
            // Below the log's start, in a batch that the trim left whole.
            return true;
        }
        let offset = record.offset;
        let key = record.key.as_deref().unwrap_or_default();
        let applied = table.replay(key, record.value.as_deref());
        outcome = applied.map_err(|error| LoadError::Record { offset, error });
        outcome.is_ok()
    })?;
    outcome
}
