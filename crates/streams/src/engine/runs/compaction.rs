//! Runs merged into one, in the background: neither reading at a restart nor the disk may grow with the number of checkpoints.
//!
//! # Cost
//! An entry is written again each time that what is newer has grown to half of its run: a logarithmic number of times.

use std::ops::Range;

use base::ShardId;
use runtime::{Class, JoinHandle};

use super::{Blocks, Merge, Run, RunFile, WRITE_BYTES, discard, merge::is_removed, weight};
use crate::engine::checkpoint::{CheckpointDir, CheckpointError};

/// So many runs of like size are merged.
const RUNS_MIN: usize = 4;
/// The same of pieces: a run of more is sorted as a whole.
const PIECES_MIN: usize = 16;
/// Between two looks at the time.
const ENTRIES_AT_ONCE: usize = 64;

/// A merge under way.
pub struct Compaction {
    /// The relation.
    pub id: u64,
    /// The file in the making.
    pub number: u64,
    /// What it will stand for.
    replaced: Vec<Run>,
    task: JoinHandle<Result<Run, CheckpointError>>,
}

impl Compaction {
    /// The runs that are to be merged, the oldest first; a run that grew from little ones is left alone until they amount to
    /// half of it again.
    pub fn due(runs: &[Run]) -> Option<Range<usize>> {
        let mut from = runs.len();
        let (mut bytes, mut pieces) = (0, 0);
        while let Some(before) = from.checked_sub(1)
            && (from == runs.len() || runs[before].bytes <= 2 * bytes)
        {
            from = before;
            bytes += runs[from].bytes;
            pieces += runs[from].pieces.len();
        }
        let is_due = runs.len() - from >= RUNS_MIN || pieces >= PIECES_MIN;
        is_due.then_some(from..runs.len())
    }

    /// Begins to merge them, on another shard where there is one.
    pub fn begin(
        dir: &CheckpointDir,
        id: u64,
        runs: &[Run],
        range: Range<usize>,
        number: u64,
        on: ShardId,
    ) -> Self {
        let has_all = range.start == 0;
        let replaced = runs[range].to_vec();
        let (dir, sources) = (dir.clone(), replaced.clone());
        let there = move || async move {
            let merged = merged(&dir, id, &sources, number, has_all).await;
            if merged.is_err() {
                discard(&dir.run_path(id, number)).await;
            }
            merged
        };
        let call = runtime::invoke_parked(on, Class::Background, "compaction", there);
        Self {
            id,
            number,
            replaced,
            task: runtime::spawn(Class::Background, "compaction", call),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for the end.
    pub async fn end(self) -> Result<Merged, CheckpointError> {
        Ok(Merged {
            id: self.id,
            replaced: self.replaced,
            run: self.task.await.expect("nobody ends it early")?,
        })
    }
}

/// A run that stands for others. Those are what a restart reads until a checkpoint names this one.
pub struct Merged {
    /// The relation.
    pub id: u64,
    replaced: Vec<Run>,
    pub run: Run,
}

impl Merged {
    /// Puts it in the place of those that it stands for, if they are there.
    pub fn take_place(self, runs: &mut Vec<Run>) {
        let count = self.replaced.len();
        let at = runs.windows(count).position(|some| some == self.replaced);
        if let Some(at) = at {
            runs.splice(at..at + count, [self.run]);
        }
    }
}

/// `has_all`: nothing older is there, so what is removed need not be known any more.
async fn merged(
    dir: &CheckpointDir,
    id: u64,
    runs: &[Run],
    number: u64,
    has_all: bool,
) -> Result<Run, CheckpointError> {
    let path = dir.run_path(id, number);
    let name = path.display().to_string();
    let io = |error| CheckpointError::io(&name, &error);
    let mut out = RunFile::create(&path, number).await.map_err(io)?;
    let mut blocks = Blocks::default();
    for has_rows in [false, true] {
        let path_of = |run: &Run| dir.run_path(id, run.number);
        let mut merge = Merge::open(path_of, runs, has_rows).await?;
        let mut count = 0_usize;
        while let Some((_, value)) = merge.next().await? {
            let is_needless = match has_rows {
                true => weight(value) == Some(0),
                false => has_all && is_removed(merge.found()),
            };
            if !is_needless {
                blocks.put(merge.found());
            }
            if blocks.bytes.len() >= WRITE_BYTES {
                out.take(&mut blocks).await.map_err(io)?;
            }
            count += 1;
            if count.is_multiple_of(ENTRIES_AT_ONCE) && runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        out.take(&mut blocks).await.map_err(io)?;
        out.end_piece(has_rows);
    }
    let run = out.finish().await.map_err(io)?;
    dir.sync(id).await.map_err(io)?;
    Ok(run)
}
