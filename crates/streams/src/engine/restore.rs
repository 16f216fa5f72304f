//! State taken up as a checkpoint names it: from runs, or from another store.
//!
//! # Place
//! Runs are read and merged on the shard beside the engine's, which also makes a whole table of the rows, while the engine's
//! puts the entries into the operators' tables. Another store hands all of its entries to the engine's shard.
//!
//! # Cost
//! An entry: a turn of the merge, and one insertion. A row: the same, decoded in between with thousands of others. Stretches
//! of entries stand in memory that is used again.
//!
//! # Limits      three stretches of `STRETCH_BYTES` on their way, beside what `Merge` holds

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use base::ShardId;
use runtime::{Class, JoinHandle};

use super::{
    Engine, EngineError,
    arrangement::{Arrangement, Loaded, Loader, NotThere},
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

/// What is ready.
struct Stretch {
    /// Some more, as they stand in a run.
    entries: Vec<u8>,
    /// Memory of the rows so far.
    rows_bytes: usize,
    /// All of them, once.
    rows: Option<Box<Arrangement>>,
    is_last: bool,
}

/// The runs of one pipeline, on the shard that reads them.
struct Reading {
    entries: Option<Merge>,
    rows: Option<RowsReading>,
}

struct RowsReading {
    merge: Merge,
    loader: Loader,
    table: Box<Arrangement>,
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
        table: Option<Box<Arrangement>>,
    ) -> Result<Self, CheckpointError> {
        let path_of = |run: &Run| dir.run_path(id, run.number);
        let entries = Merge::open(path_of, runs, false).await?;
        let rows = match table {
            Some(table) => Some(RowsReading {
                merge: Merge::open(path_of, runs, true).await?,
                loader: table.loader(),
                table,
            }),
            None => None,
        };
        Ok(Self {
            entries: Some(entries),
            rows,
        })
    }

    /// Entries, and at least as many rows, so that both shards have work.
    async fn next(&mut self, mut entries: Vec<u8>) -> Result<Stretch, CheckpointError> {
        entries.clear();
        let mut count = 0;
        if let Some(merge) = &mut self.entries {
            count = read_entries(merge, &mut entries).await?;
            if count == 0 {
                self.entries = None;
            }
        }
        let mut whole = None;
        let mut read = 0;
        while let Some(rows) = &mut self.rows {
            match read_rows(&mut rows.merge, &rows.loader).await? {
                Some(more) => {
                    read += more.count();
                    rows.table.load(more);
                }
                None => whole = self.rows.take().map(|rows| rows.table),
            }
            if read >= count {
                break;
            }
        }
        let table = whole
            .as_ref()
            .or(self.rows.as_ref().map(|rows| &rows.table));
        Ok(Stretch {
            rows_bytes: table.map_or(0, |table| table.bytes()),
            is_last: self.entries.is_none() && self.rows.is_none(),
            rows: whole,
            entries,
        })
    }
}

/// Says how many.
async fn read_entries(merge: &mut Merge, entries: &mut Vec<u8>) -> Result<usize, CheckpointError> {
    let (mut count, mut looked) = (0, 0);
    while entries.len() < STRETCH_BYTES {
        let Some((_, value)) = merge.next().await? else {
            break;
        };
        let is_there = value.is_some();
        if is_there {
            entries.extend_from_slice(merge.found());
            count += 1;
        }
        pause(&mut looked).await;
    }
    Ok(count)
}

async fn read_rows(merge: &mut Merge, loader: &Loader) -> Result<Option<Loaded>, CheckpointError> {
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

/// The next stretch, made ready while the one before is put in its place; it takes the memory of an earlier one.
fn ahead(on: ShardId, id: u64, memory: Vec<u8>) -> JoinHandle<Result<Stretch, CheckpointError>> {
    let there = move || async move {
        let readings = Readings::here();
        let reading = readings.0.borrow_mut().remove(&id);
        let mut reading = reading.expect("it was opened, and one asks at a time");
        let next = reading.next(memory).await?;
        if !next.is_last {
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
        let largest = runs.iter().max_by_key(|run| run.bytes).cloned();
        let mut table = relation.with_arrangement(|rows| Box::new(rows.emptied()));
        if let Some(largest) = &largest {
            make_room(&mut pipeline, table.as_deref_mut(), largest);
        }
        let open = move || async move {
            let reading = Reading::open(&dir, id, &runs, table).await?;
            Readings::here().0.borrow_mut().insert(id, reading);
            Ok::<(), CheckpointError>(())
        };
        runtime::invoke_on(on, Class::Streams, "restore", open).await?;
        let mut coming = Some(ahead(on, id, Vec::with_capacity(STRETCH_BYTES)));
        let taken = self.take_stretches(&mut pipeline, &mut coming, on).await;
        if let Err(error) = taken {
            // What is read by then goes as well.
            if let Some(coming) = coming {
                drop(coming.await);
            }
            let close = move || async move { drop(Readings::here().0.borrow_mut().remove(&id)) };
            runtime::invoke_on(on, Class::Streams, "restore", close).await;
            return Err(match error {
                EngineError::Checkpoint(error) => of_relation(error).into(),
                other => other,
            });
        }
        pipeline.restore_positions(state, self.planted);
        Ok(pipeline)
    }

    /// Takes stretches, and asks for others, until the last.
    async fn take_stretches(
        &self,
        pipeline: &mut Pipeline,
        coming: &mut Option<JoinHandle<Result<Stretch, CheckpointError>>>,
        on: ShardId,
    ) -> Result<(), EngineError> {
        let relation = pipeline.relation.clone();
        let making = relation.making();
        let mut memory = Vec::with_capacity(STRETCH_BYTES);
        while let Some(next) = coming.take() {
            let stretch = next.await.expect("nobody ends it early")?;
            if !stretch.is_last {
                *coming = Some(ahead(on, relation.id, memory));
            }
            // It is asked for before the work here begins.
            runtime::yield_now().await;
            making.set(stretch.rows_bytes);
            if let Some(rows) = stretch.rows {
                making.set(0);
                relation.set_arrangement(*rows);
            }
            let put = put_entries(pipeline, &stretch.entries).await;
            put.map_err(|found| CheckpointError::Row { found })?;
            memory = stretch.entries;
            pipeline.note_state();
            self.budget.check().map_err(|error| EngineError::Budget {
                relation: relation.name.clone(),
                error,
            })?;
        }
        Ok(())
    }
}

/// Tables that grow as they are filled are copied again and again. A length that no disk has is not believed.
fn make_room(pipeline: &mut Pipeline, mut rows: Option<&mut Arrangement>, run: &Run) {
    for held in &run.tables {
        let most = run.bytes / runs::ENTRY_BYTES_MIN;
        let entries = held.entries.min(most) as usize;
        match (NodeId(held.node as usize), &mut rows) {
            (runs::ROWS, Some(rows)) => rows.reserve(entries),
            (node, _) => pipeline.reserve(node, held.table, entries),
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
