//! State taken up as a checkpoint names it: from runs, or from another store.
//!
//! # Place
//! Runs are read and merged, and rows made columns of, on the shard beside the engine's; the engine's puts what comes from there
//! into tables, while the next is made ready. Another store hands its entries to the engine's shard.
//!
//! # Cost
//! An entry: a turn of the merge, and one insertion. A row: the same, decoded in between with thousands of others.
//!
//! # Limits      two stretches of `STRETCH_BYTES` on their way, beside what `Merge` holds

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use base::ShardId;
use runtime::{Class, JoinHandle};

use super::{
    Engine, EngineError,
    arrangement::{Loaded, Loader, NotThere},
    checkpoint::{CheckpointDir, CheckpointError, PipelineState},
    pipeline::{Pipeline, PipelineError},
    relation::Relation,
    runs::{self, Merge, Run},
    saving::beside,
    store::StateStore,
};
use crate::{NodeId, graph::StateKey};

/// Of entries on their way between shards.
const STRETCH_BYTES: usize = 1 << 20;
/// Of one chunk.
const ROWS: usize = 8 << 10;
/// Between two looks at the time.
const ENTRIES_AT_ONCE: usize = 64;

/// What comes at once.
enum Stretch {
    /// As they stand in a run.
    Entries(Vec<u8>),
    Rows(Loaded),
}

/// The runs of one pipeline, on the shard that reads them.
struct Reading {
    entries: Option<Merge>,
    rows: Option<(Merge, Loader)>,
}

/// Readings of a shard, by relation.
#[derive(Default)]
struct Readings(RefCell<BTreeMap<u64, Reading>>);

impl Readings {
    fn here() -> Rc<Self> {
        runtime::local().unwrap_or_else(|| {
            let readings = Rc::new(Self::default());
            runtime::set_local(readings.clone());
            readings
        })
    }
}

impl Reading {
    async fn open(
        dir: &CheckpointDir,
        id: u64,
        runs: &[Run],
        loader: Option<Loader>,
    ) -> Result<Self, CheckpointError> {
        let path_of = |run: &Run| dir.run_path(id, run.number);
        let entries = Merge::open(path_of, runs, false).await?;
        let rows = match loader {
            Some(loader) => Some((Merge::open(path_of, runs, true).await?, loader)),
            None => None,
        };
        Ok(Self {
            entries: Some(entries),
            rows,
        })
    }

    /// Entries and rows by turns, so that both shards have work.
    async fn next(&mut self) -> Result<Vec<Stretch>, CheckpointError> {
        let mut all = Vec::new();
        if let Some(merge) = &mut self.entries {
            let entries = entries(merge).await?;
            match entries.is_empty() {
                true => self.entries = None,
                false => all.push(Stretch::Entries(entries)),
            }
        }
        if let Some((merge, loader)) = &mut self.rows {
            match rows(merge, loader).await? {
                Some(loaded) => all.push(Stretch::Rows(loaded)),
                None => self.rows = None,
            }
        }
        Ok(all)
    }
}

async fn entries(merge: &mut Merge) -> Result<Vec<u8>, CheckpointError> {
    let mut entries = Vec::new();
    let mut count = 0_usize;
    while entries.len() < STRETCH_BYTES {
        let Some((_, value)) = merge.next().await? else {
            break;
        };
        if value.is_some() {
            entries.extend_from_slice(merge.found());
        }
        pause(&mut count).await;
    }
    Ok(entries)
}

async fn rows(merge: &mut Merge, loader: &Loader) -> Result<Option<Loaded>, CheckpointError> {
    let mut rows = Rows::default();
    let mut count = 0_usize;
    while !rows.is_full() {
        let Some((key, value)) = merge.next().await? else {
            break;
        };
        rows.push(key.key, value);
        pause(&mut count).await;
    }
    rows.loaded(loader)
}

/// Rows on their way into columns.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    weights: Vec<i64>,
}

impl Rows {
    fn push(&mut self, row: &[u8], weight: Option<&[u8]>) {
        let weight = runs::weight(weight).unwrap_or(0);
        if weight != 0 {
            self.bytes.extend_from_slice(row);
            self.ends.push(self.bytes.len());
            self.weights.push(weight);
        }
    }

    fn is_full(&self) -> bool {
        self.weights.len() >= ROWS || self.bytes.len() >= STRETCH_BYTES
    }

    fn loaded(self, loader: &Loader) -> Result<Option<Loaded>, CheckpointError> {
        let state = |found: String| CheckpointError::Row { found };
        if self.weights.iter().any(|weight| *weight < 0) {
            return Err(state(NotThere.to_string()));
        }
        if self.weights.is_empty() {
            return Ok(None);
        }
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        let rows = begins
            .zip(&self.ends)
            .map(|(from, end)| &self.bytes[from..*end]);
        loader.load(rows, self.weights).map(Some).map_err(state)
    }
}

async fn pause(count: &mut usize) {
    *count += 1;
    if count.is_multiple_of(ENTRIES_AT_ONCE) && runtime::should_yield() {
        runtime::yield_now().await;
    }
}

/// The next stretches, made ready while those before are put in their places; none at the end.
fn ahead(on: ShardId, id: u64) -> JoinHandle<Result<Vec<Stretch>, CheckpointError>> {
    let there = move || async move {
        let readings = Readings::here();
        let reading = readings.0.borrow_mut().remove(&id);
        let mut reading = reading.expect("it was opened, and one asks at a time");
        let next = reading.next().await?;
        if !next.is_empty() {
            readings.0.borrow_mut().insert(id, reading);
        }
        Ok(next)
    };
    let call = runtime::invoke_on(on, Class::Streams, "restore", there);
    runtime::spawn(Class::Streams, "restore", call)
}

impl Engine {
    pub(super) async fn restored(
        self: &Rc<Self>,
        state: &PipelineState,
        mut pipeline: Pipeline,
    ) -> Result<Pipeline, EngineError> {
        let relation = pipeline.relation.clone();
        let of_relation = |error| match error {
            CheckpointError::Row { found } => CheckpointError::State {
                relation: relation.name.clone(),
                found,
            },
            other => other,
        };
        if let Some(store) = self.store_with(state, &relation)? {
            let taken = take_from(&**store, state, &mut pipeline).await;
            taken.map_err(of_relation)?;
            pipeline.restore_positions(state, self.planted);
            return Ok(pipeline);
        }
        let on = beside();
        let (dir, id) = (self.checkpoints.clone(), relation.id);
        let mut runs = state.runs.clone();
        if self.planted.skip_newest_run && runs.len() > 1 {
            runs.pop();
        }
        // The largest has nearly all that there is, and nothing twice.
        if let Some(largest) = runs.iter().max_by_key(|run| run.bytes) {
            make_room(&mut pipeline, largest);
        }
        let loader = relation.with_arrangement(|rows| rows.loader());
        let open = move || async move {
            let reading = Reading::open(&dir, id, &runs, loader).await?;
            Readings::here().0.borrow_mut().insert(id, reading);
            Ok::<(), CheckpointError>(())
        };
        runtime::invoke_on(on, Class::Streams, "restore", open).await?;
        let mut coming = ahead(on, id);
        loop {
            let stretches = coming.await.expect("nobody ends it early");
            let stretches = stretches.map_err(of_relation)?;
            if stretches.is_empty() {
                break;
            }
            coming = ahead(on, id);
            // It is asked for before the work here begins.
            runtime::yield_now().await;
            for stretch in stretches {
                match stretch {
                    Stretch::Entries(entries) => {
                        let restored = put_entries(&mut pipeline, &entries).await;
                        restored.map_err(|found| of_relation(CheckpointError::Row { found }))?;
                    }
                    Stretch::Rows(rows) => relation.load(rows),
                }
            }
            pipeline.note_state();
            self.budget.check().map_err(|error| EngineError::Budget {
                relation: relation.name.clone(),
                error,
            })?;
        }
        pipeline.restore_positions(state, self.planted);
        Ok(pipeline)
    }
}

/// Tables that grow as they are filled are copied again and again. A length that no disk has is not believed.
fn make_room(pipeline: &mut Pipeline, run: &Run) {
    for held in &run.tables {
        let most = run.bytes / runs::ENTRY_BYTES_MIN;
        let entries = held.entries.min(most) as usize;
        match NodeId(held.node as usize) {
            runs::ROWS => pipeline.relation.reserve(entries),
            node => pipeline.reserve(node, held.table, entries),
        }
    }
}

async fn put_entries(pipeline: &mut Pipeline, entries: &[u8]) -> Result<(), String> {
    let mut count = 0_usize;
    for (key, value) in runs::entries(entries) {
        put_entry(pipeline, key, value.unwrap_or_default())?;
        pause(&mut count).await;
    }
    Ok(())
}

fn put_entry(pipeline: &mut Pipeline, key: StateKey<'_>, value: &[u8]) -> Result<(), String> {
    let restored = pipeline.restore(key, value);
    restored.map_err(|error| match error {
        PipelineError::Restore(why) => why,
        other => other.to_string(),
    })
}

/// Takes up state from another store than runs.
async fn take_from(
    store: &dyn StateStore,
    state: &PipelineState,
    pipeline: &mut Pipeline,
) -> Result<(), CheckpointError> {
    let relation = pipeline.relation.clone();
    let loader = relation.with_arrangement(|rows| rows.loader());
    let mut rows = Rows::default();
    let mut take = |key: StateKey<'_>, value: &[u8]| {
        if key.node != runs::ROWS {
            let put = put_entry(pipeline, key, value);
            return put.map_err(|found| CheckpointError::Row { found });
        }
        rows.push(key.key, Some(value));
        match rows.is_full() {
            true => load(&relation, loader.as_ref(), std::mem::take(&mut rows)),
            false => Ok(()),
        }
    };
    store.read(state.version(), &mut take).await?;
    load(&relation, loader.as_ref(), rows)
}

fn load(relation: &Relation, loader: Option<&Loader>, rows: Rows) -> Result<(), CheckpointError> {
    if let Some(loader) = loader
        && let Some(loaded) = rows.loaded(loader)?
    {
        relation.load(loaded);
    }
    Ok(())
}
