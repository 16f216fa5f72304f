//! Runs on the node's storage as a store: what is in no other.
//!
//! # Cost
//! Whatever is asked of a version goes through it from its front: runs are read as a whole by restarts, and by nobody else yet.

use std::{collections::BTreeMap, io, path::Path};

use runtime::Class;

use super::{Changes, Doing, EntryName, ROWS, RUNS, Run, Scan, StateStore, TakeEntry, Version};
use crate::{
    engine::{
        checkpoint::{CheckpointDir, CheckpointError},
        runs::{Merge, weight},
        saving::beside,
    },
    graph::StateKey,
};

/// Sees an entry; `false`: no more.
type Visit<'a> = dyn FnMut(StateKey<'_>, &[u8]) -> Result<bool, CheckpointError> + 'a;

/// See the module head.
#[derive(Clone, Debug)]
pub struct RunStore {
    dir: CheckpointDir,
    /// See the engine's planted bugs.
    believes_removals: bool,
}

impl RunStore {
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self::with_planted(data_dir, false)
    }

    pub(in crate::engine) fn with_planted(data_dir: &Path, believes_removals: bool) -> Self {
        Self {
            dir: CheckpointDir::new(data_dir),
            believes_removals,
        }
    }

    /// Goes through rows, or all others, in their order, until it is told to stop by false.
    async fn each(
        &self,
        version: Version<'_>,
        has_rows: bool,
        take: &mut Visit<'_>,
    ) -> Result<(), CheckpointError> {
        let path_of = |run: &Run| self.dir.run_path(version.relation, run.number);
        let mut merge = Merge::open(path_of, version.runs, has_rows).await?;
        while let Some((key, value)) = merge.next().await? {
            let value = value.filter(|_| !has_rows || weight(value) != Some(0));
            if let Some(value) = value
                && !take(key, value)?
            {
                break;
            }
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        Ok(())
    }
}

impl RunStore {
    /// Writes a run and makes it last; `None` where nothing has changed. Pieces are sorted on the shard beside this one.
    async fn write_run(
        &self,
        relation: u64,
        number: u64,
        mut changes: Changes,
    ) -> io::Result<Option<Run>> {
        let believes = self.believes_removals;
        let mut out = None;
        if changes.is_all() {
            out = Some(self.dir.create_run(relation, number).await?);
        }
        while let Some(piece) = changes.next().await {
            let has_rows = piece.has_rows();
            let buffer = changes.buffers().take();
            let sort = move || piece.sorted(buffer, believes);
            let sorted = runtime::invoke_on(beside(), Class::Background, "checkpoint", sort);
            let (mut blocks, free) = sorted.await;
            changes.buffers().give_back(free);
            let out = match &mut out {
                Some(out) => out,
                none => none.insert(self.dir.create_run(relation, number).await?),
            };
            out.take(&mut blocks).await?;
            out.end_piece(has_rows);
            changes.buffers().give_back(blocks.bytes);
        }
        let Some(out) = out else {
            return Ok(None);
        };
        let run = out.finish().await?;
        self.dir.sync(relation).await?;
        Ok(Some(run))
    }
}

impl StateStore for RunStore {
    fn name(&self) -> &'static str {
        RUNS
    }

    fn write<'a>(
        &'a self,
        base: Version<'a>,
        number: u64,
        changes: Changes,
    ) -> Doing<'a, Vec<Run>> {
        let is_all = changes.is_all();
        Box::pin(async move {
            let written = self.write_run(base.relation, number, changes).await;
            let written = written.map_err(|error| {
                let path = self.dir.run_path(base.relation, number);
                CheckpointError::io(&path.display().to_string(), &error)
            });
            let mut runs = match is_all {
                true => Vec::new(),
                false => base.runs.to_vec(),
            };
            runs.extend(written?);
            Ok(runs)
        })
    }

    /// Each run is synced as it is written.
    fn sync(&self) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn read<'a>(&'a self, version: Version<'a>, take: &'a mut TakeEntry<'a>) -> Doing<'a, ()> {
        Box::pin(async move {
            let mut take = |key: StateKey<'_>, value: &[u8]| take(key, value).map(|()| true);
            self.each(version, false, &mut take).await?;
            self.each(version, true, &mut take).await
        })
    }

    fn get<'a>(
        &'a self,
        version: Version<'a>,
        names: Vec<EntryName>,
    ) -> Doing<'a, Vec<Option<Vec<u8>>>> {
        Box::pin(async move {
            let mut found: BTreeMap<&EntryName, Option<Vec<u8>>> =
                names.iter().map(|name| (name, None)).collect();
            let mut take = |key: StateKey<'_>, value: &[u8]| {
                let name = EntryName {
                    node: key.node.0 as u32,
                    table: key.table,
                    key: key.key.to_vec(),
                };
                if let Some(found) = found.get_mut(&name) {
                    *found = Some(value.to_vec());
                }
                Ok(true)
            };
            self.each(version, false, &mut take).await?;
            self.each(version, true, &mut take).await?;
            Ok(names.iter().map(|name| found[name].clone()).collect())
        })
    }

    fn scan<'a>(&'a self, version: Version<'a>, scan: Scan) -> Doing<'a, Vec<(Vec<u8>, Vec<u8>)>> {
        Box::pin(async move {
            let mut found = Vec::new();
            let mut take = |key: StateKey<'_>, value: &[u8]| {
                let is_in = (key.node.0 as u32, key.table) == (scan.node, scan.table)
                    && key.key.starts_with(&scan.prefix)
                    && scan.after.as_ref().is_none_or(|after| key.key > &**after);
                if is_in && found.len() < scan.entries_max {
                    found.push((key.key.to_vec(), value.to_vec()));
                }
                Ok(found.len() < scan.entries_max)
            };
            let has_rows = scan.node == ROWS.0 as u32;
            self.each(version, has_rows, &mut take).await?;
            Ok(found)
        })
    }

    fn sweep<'a>(&'a self, named: Vec<Version<'a>>) -> Doing<'a, ()> {
        Box::pin(async move {
            let swept = self.dir.sweep(&named, None).await;
            swept.map_err(|error| CheckpointError::io("runs", &error))
        })
    }
}
