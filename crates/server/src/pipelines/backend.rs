//! A session's way to the node: questions go to the engine's shard as messages.
//!
//! # Place       on the front thread; the catalog here is a copy, changed only after the node has changed

mod readers;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use arrow_array::{ArrayRef, RecordBatch};
use base::ShardId;
use broker::broker::Broker;
use cluster::{Change, Command, Refusal};
use runtime::{Class, ShardsHandle};
use sql::{
    backend::{
        Backend, BoxFuture, Changes, Permit, PermitSize, ReadAt, RegisteredSchema, Snapshot,
        SqlError, Subscription,
    },
    catalog::{Catalog, Relation, RelationId, RelationKind},
    planner,
    statement::parse,
};
use streams::{
    Definition, Delta,
    engine::{Engine, Found, NewRelation, PipelineReport, QuestionError, RowsOf, Views},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{engine_shard, start_on_shard, system};
use crate::{Programs, registry::SchemaStore};

/// A subscription asks the engine again after this long without news.
const SUBSCRIPTION_WAIT: Duration = Duration::from_secs(1);

/// Admin shutdown.
const STOPPING: [u8; 5] = *b"57P01";

/// See the module head.
pub struct NodeBackend {
    /// Itself: what is begun for a session ends without it.
    this: Weak<Self>,
    shards: ShardsHandle,
    schemas: Arc<SchemaStore>,
    catalog: Mutex<Arc<Catalog>>,
    /// Why the engine did not start, if it did not: the answer to whatever it is asked. The log is served all the same.
    failure: Option<String>,
    /// What is found without asking the engine.
    views: Arc<Views>,
    permits: Permits,
    /// For what makes or changes relations.
    changing: Arc<Semaphore>,
    /// For what drops them: that must be possible while all others wait.
    dropping: Arc<Semaphore>,
}

/// Changes of relations at once, also of sessions that are gone: each may build for long, or wait for another cluster. Others
/// wait.
const CHANGING_MAX: usize = 64;
const DROPPING_MAX: usize = 64;

/// Memory for questions: a quarter of what the process may use, half of it for small ones; and an eighth for answers.
struct Permits {
    bytes: usize,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// Of answers that clients have not taken yet, in units of [`ANSWER_UNIT_BYTES`].
    answers: Arc<Semaphore>,
}

/// Smaller answers count as this much: their share of buffers and bookkeeping.
const ANSWER_UNIT_BYTES: usize = 4 << 10;

/// Questions that run at once. Others wait, so that all of them together stay within their memory.
const SMALL_MAX: usize = 16;
const LARGE_MAX: usize = 2;

impl Permits {
    fn new(memory_bytes: usize) -> Self {
        Self {
            bytes: memory_bytes / 4,
            small: Arc::new(Semaphore::new(SMALL_MAX)),
            large: Arc::new(Semaphore::new(LARGE_MAX)),
            answers: Arc::new(Semaphore::new(
                (memory_bytes / 8 / ANSWER_UNIT_BYTES).min(Semaphore::MAX_PERMITS),
            )),
        }
    }

    fn take_answer(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(ANSWER_UNIT_BYTES)).ok()?;
        self.answers.clone().try_acquire_many_owned(units).ok()
    }

    async fn take(&self, size: PermitSize) -> Permit {
        let (places, count) = match size {
            PermitSize::Small => (&self.small, SMALL_MAX),
            PermitSize::Large => (&self.large, LARGE_MAX),
        };
        let held = places.clone().acquire_owned().await;
        Permit {
            bytes: self.bytes / 2 / count,
            held: Box::new(held.expect("it is never closed")),
        }
    }
}

impl NodeBackend {
    /// Plans what the metadata holds, and starts the engine with it. `state_bytes_max`: what all pipelines together may
    /// hold; 0: half of what the process may use.
    pub async fn start(
        shards: ShardsHandle,
        programs: Programs,
        state_bytes_max: u64,
        schemas: Arc<SchemaStore>,
    ) -> Arc<Self> {
        let metadata = broker::broker::METADATA_SHARD;
        let kept = shards.call(metadata, Class::Admin, "relations", || async {
            Broker::local().with_metadata(|image| {
                let relations = image.relations();
                let mut relations: Vec<(u64, String, String)> = relations
                    .map(|(name, r)| (r.id, name.to_owned(), r.statement.clone()))
                    .collect();
                relations.sort();
                relations
            })
        });
        let kept = kept.await;
        // On a thread that has the stack for it.
        let planned = tokio::task::spawn_blocking(|| planned(kept, programs.relations));
        let (catalog, relations) = planned.await.expect("planning ends");
        let engine = engine_shard(shards.shard_count());
        let memory_bytes = memory_bytes();
        let permitted = match state_bytes_max {
            0 => memory_bytes / 2,
            set => usize::try_from(set).unwrap_or(usize::MAX),
        };
        let unread = schemas.check().err().filter(|_| name_writers(&relations));
        let started = match unread {
            // Records would be skipped that hold rows, and never be read again.
            Some(unread) => Err(unread.to_string()),
            None => {
                let start = move || async move {
                    let started = start_on_shard(relations, permitted).await;
                    let views = started.map(|engine| engine.views());
                    views.map_err(|error| error.to_string())
                };
                let started = shards.call(engine, Class::Admin, "start streams", start);
                started.await
            }
        };
        let (views, failure) = match started {
            Ok(views) => (views, None),
            Err(error) => (Arc::default(), Some(error)),
        };
        if let Some(error) = &failure {
            tracing::error!(error, "the stream engine does not start");
        }
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            shards,
            schemas,
            catalog: Mutex::new(Arc::new(catalog)),
            failure,
            views,
            permits: Permits::new(memory_bytes),
            changing: Arc::new(Semaphore::new(CHANGING_MAX)),
            dropping: Arc::new(Semaphore::new(DROPPING_MAX)),
        })
    }

    /// Does something to its end, also when nobody waits for it any more: a relation that one part of the node knows and
    /// another does not could be neither used nor dropped.
    async fn to_the_end<F>(
        &self,
        turns: &Arc<Semaphore>,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<(), SqlError>
    where
        F: Future<Output = Result<(), SqlError>> + Send + 'static,
    {
        let this = self.this.upgrade().expect("whoever asks holds it");
        let held = turns.clone().acquire_owned().await;
        let held = held.expect("it is never closed");
        let work = work(this);
        let done = tokio::spawn(async move {
            let done = work.await;
            drop(held);
            done
        });
        let done = done.await;
        done.unwrap_or_else(|error| Err(of_the_engine(error.to_string())))
    }

    fn copy_of_catalog(&self) -> Arc<Catalog> {
        let catalog = self.catalog.lock();
        catalog.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change_catalog(&self, change: impl FnOnce(&mut Catalog)) {
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut catalog));
    }

    /// Asks the engine on its shard.
    async fn ask<F, Fut, R>(&self, kind: &'static str, question: F) -> Result<R, SqlError>
    where
        F: FnOnce(Rc<Engine>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, QuestionError>> + 'static,
        R: Send + 'static,
    {
        if let Some(why) = &self.failure {
            return Err(of_the_engine(format!(
                "the stream engine did not start: {why}"
            )));
        }
        let shard = engine_shard(self.shards.shard_count());
        let asked = self.shards.call(shard, Class::Query, kind, || async move {
            match runtime::local::<Engine>() {
                Some(engine) => question(engine).await,
                None => Err(QuestionError::Stopping),
            }
        });
        asked.await.map_err(sql_error)
    }

    /// As `ask`, of what cannot fail.
    async fn tell(
        &self,
        kind: &'static str,
        order: impl FnOnce(&Engine) + Send + 'static,
    ) -> Result<(), SqlError> {
        self.ask(kind, |engine| async move {
            order(&engine);
            Ok(())
        })
        .await
    }

    /// Makes a command of the metadata last; what it did.
    async fn commit(&self, command: Command) -> Result<Change, SqlError> {
        let shard = broker::broker::METADATA_SHARD;
        let committed = self
            .shards
            .call(shard, Class::Admin, "relation", || async move {
                Broker::local().commit_one(command).await
            });
        match committed.await {
            Ok(Ok(change)) => Ok(change),
            Ok(Err(refusal)) => Err(refused(&refusal)),
            Err(error) => Err(of_the_engine(error.to_string())),
        }
    }

    async fn create_relation(
        &self,
        relation: Relation,
        definition: Definition,
    ) -> Result<(), SqlError> {
        let new = NewRelation {
            id: 0,
            name: relation.name.clone(),
            definition,
        };
        let name = new.name.clone();
        let wanted = new.clone();
        self.ask(
            "prepare",
            |engine| async move { engine.prepare(&wanted).await },
        )
        .await?;
        let committed = self.commit(Command::CreateRelation {
            name: name.clone(),
            statement: relation.definition.clone(),
        });
        let id = match committed.await {
            Ok(Change::RelationCreated(id)) => id,
            Ok(_) => unreachable!("the command creates a relation"),
            Err(error) => {
                self.tell("release", move |engine| engine.release(&name))
                    .await?;
                return Err(error);
            }
        };
        let new = NewRelation { id, ..new };
        let created = self.ask("create", |engine| async move { engine.create(new).await });
        if let Err(error) = created.await {
            // What a stopping node has begun, the next start takes up; what cannot be is not to be tried again there.
            if error.sqlstate != STOPPING {
                self.commit(Command::DropRelation { name }).await?;
            }
            return Err(error);
        }
        self.change_catalog(|catalog| {
            catalog.insert(Relation {
                id: RelationId(id),
                ..relation
            });
        });
        Ok(())
    }

    async fn remove_relation(&self, name: String) -> Result<(), SqlError> {
        let catalog = self.copy_of_catalog();
        let is_known = catalog
            .get(&name)
            .is_none_or(|found| found.failure.is_none());
        if self.failure.is_some() || !is_known {
            // It may be what keeps the engine from starting; that nothing else reads it is known from the catalog.
            self.commit(Command::DropRelation { name: name.clone() })
                .await?;
            self.change_catalog(|catalog| _ = catalog.remove(&name));
            return Ok(());
        }
        let dropped = name.clone();
        self.ask("prepare drop", |engine| async move {
            engine.prepare_drop(&dropped)
        })
        .await?;
        let (kept, dropped) = (name.clone(), name.clone());
        let committed = self.commit(Command::DropRelation { name: name.clone() });
        if let Err(error) = committed.await {
            self.tell("keep", move |engine| engine.keep_relation(&kept))
                .await?;
            return Err(error);
        }
        self.ask("drop", move |engine| async move {
            engine.drop_relation(&dropped).await;
            Ok(())
        })
        .await?;
        self.change_catalog(|catalog| _ = catalog.remove(&name));
        Ok(())
    }

    /// Builds the new view beside the old one, makes the metadata say so, and lets readers see it.
    async fn replace_view(
        &self,
        relation: Relation,
        definition: Definition,
    ) -> Result<(), SqlError> {
        let name = relation.name.clone();
        let new = NewRelation {
            id: 0,
            name: name.clone(),
            definition,
        };
        let built = self.ask("build beside", |engine| async move {
            engine.build_beside(new).await
        });
        built.await?;
        let committed = self.commit(altered(&name, &relation)).await;
        let Ok(id) = committed.as_ref().map(altered_id) else {
            self.tell("abandon", move |engine| engine.abandon(&name))
                .await?;
            return committed.map(|_| ());
        };
        let swapped = self.ask("swap", |engine| async move { engine.swap(&name).await });
        swapped.await?;
        self.change_catalog(|catalog| catalog.insert(Relation { id, ..relation }));
        Ok(())
    }

    async fn alter_source(
        &self,
        name: String,
        relation: Relation,
        definition: Definition,
    ) -> Result<(), SqlError> {
        let new = NewRelation {
            id: 0,
            name: relation.name.clone(),
            definition,
        };
        let (old, wanted) = (name.clone(), new.clone());
        let prepared = self.ask("prepare alter", |engine| async move {
            engine.prepare_alter(&old, &wanted).await
        });
        let readers = prepared.await?;
        let (catalog, over) = (self.copy_of_catalog(), relation.clone());
        let old = name.clone();
        let check = move || readers::check(&catalog, &old, over, &readers);
        // On a thread that has the stack for it.
        let checked = tokio::task::spawn_blocking(check).await;
        let ended = |error: tokio::task::JoinError| Err(of_the_engine(error.to_string()));
        let committed = match checked.unwrap_or_else(ended) {
            Ok(()) => self.commit(altered(&name, &relation)).await,
            Err(error) => Err(error),
        };
        let Ok(id) = committed.as_ref().map(altered_id) else {
            self.tell("keep", move |engine| engine.keep_relation(&name))
                .await?;
            return committed.map(|_| ());
        };
        let old = name.clone();
        let done = self.ask(
            "alter",
            |engine| async move { engine.alter(&old, new).await },
        );
        done.await?;
        self.change_catalog(|catalog| {
            catalog.remove(&name);
            catalog.insert(Relation { id, ..relation });
        });
        Ok(())
    }
}

/// What the engine does not know of.
fn failed(relation: &Arc<Relation>) -> Option<PipelineReport> {
    let failure = relation.failure.clone()?;
    Some(PipelineReport {
        failure: Some(failure),
        ..PipelineReport::new(&relation.name, relation.kind.name())
    })
}

/// Whether records of one of them tell which schema of the registry they were written with.
fn name_writers(relations: &[NewRelation]) -> bool {
    let mut definitions = relations.iter().map(|relation| &relation.definition);
    definitions.any(|definition| {
        matches!(definition, Definition::Source(source) if source.format.names_writers())
    })
}

fn of_the_engine(message: String) -> SqlError {
    SqlError::new(*b"58000", message)
}

/// The catalog, and what the engine starts with: programs' relations and those that the metadata keeps by id, name and
/// statement.
fn planned(
    kept: Vec<(u64, String, String)>,
    programs: Vec<NewRelation>,
) -> (Catalog, Vec<NewRelation>) {
    let mut catalog = Catalog::default();
    let mut relations = programs;
    for relation in system::relations().chain(tables_of(&relations)) {
        catalog.insert(relation);
    }
    for (id, name, statement) in kept {
        if catalog.get(&name).is_some() {
            tracing::error!(relation = name, "a table of a program has this name now");
            continue;
        }
        let id_in_catalog = RelationId(id);
        match define(&catalog, &statement) {
            Ok((relation, definition)) => {
                catalog.insert(Relation {
                    id: id_in_catalog,
                    ..relation
                });
                relations.push(NewRelation {
                    id,
                    name,
                    definition,
                });
            }
            // The log and the other relations are served all the same.
            Err(error) => {
                tracing::error!(relation = name, %error, "its statement cannot be planned");
                catalog.insert(Relation {
                    id: id_in_catalog,
                    ..planner::failed(&name, &statement, &error)
                });
            }
        }
    }
    (catalog, relations)
}

fn altered(name: &str, relation: &Relation) -> Command {
    Command::AlterRelation {
        name: name.to_owned(),
        to: relation.name.clone(),
        statement: relation.definition.clone(),
    }
}

fn altered_id(change: &Change) -> RelationId {
    match change {
        Change::RelationAltered(id) => RelationId(*id),
        _ => unreachable!("the command alters a relation"),
    }
}

/// What the machine has, or what the process may use of it where that is less.
fn memory_bytes() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = read("/proc/meminfo");
    let machine = machine.lines().find_map(|line| {
        let kibibytes = line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?;
        kibibytes.parse::<usize>().ok()?.checked_mul(1024)
    });
    let group = read("/sys/fs/cgroup/memory.max").trim().parse().ok();
    machine.into_iter().chain(group).min().unwrap_or(usize::MAX)
}

/// The state of programs, as the catalog has it.
#[must_use]
pub fn tables_of(relations: &[NewRelation]) -> Vec<Relation> {
    let views = relations.iter().filter_map(|relation| {
        let Definition::View(view) = &relation.definition else {
            return None;
        };
        let schema = view.plan.result().schema.clone();
        Some(Relation {
            id: RelationId(relation.id),
            key: view.key.clone(),
            ..Relation::new(&relation.name, RelationKind::View, schema)
        })
    });
    views.collect()
}

fn define(catalog: &Catalog, text: &str) -> Result<(Relation, Definition), SqlError> {
    match &parse(text)?[..] {
        [statement] => planner::define(catalog, statement),
        _ => Err(SqlError::new(*b"XX000", "not one statement")),
    }
}

fn sql_error(error: QuestionError) -> SqlError {
    let sqlstate = match &error {
        QuestionError::Unknown(_) => *b"42P01",
        QuestionError::Exists(_) => *b"42P07",
        QuestionError::IsRead { .. } | QuestionError::CannotRename { .. } => *b"2BP01",
        QuestionError::NotRows(_)
        | QuestionError::NotTable(_)
        | QuestionError::NotView(_)
        | QuestionError::NotSource(_) => *b"42809",
        QuestionError::Busy(_) => *b"55006",
        QuestionError::ReadsNewer { .. } => *b"0A000",
        QuestionError::CannotReplace { .. } => *b"2BP01",
        QuestionError::Duplicate { .. } => *b"23505",
        QuestionError::Conflict => *b"40001",
        QuestionError::TooLarge { .. } => *b"54000",
        QuestionError::Stopping => STOPPING,
        QuestionError::Pipeline(_) => *b"55000",
        QuestionError::Budget(_) => *b"53200",
        QuestionError::Failed { .. } | QuestionError::Log(_) | QuestionError::Start(_) => *b"58000",
    };
    SqlError::new(sqlstate, error.to_string())
}

fn refused(refusal: &Refusal) -> SqlError {
    let sqlstate = match refusal {
        Refusal::RelationExists(_) => *b"42P07",
        Refusal::RelationUnknown(_) => *b"42P01",
        _ => *b"54000",
    };
    SqlError::new(sqlstate, refusal.to_string())
}

fn deltas(rows: RowsOf) -> Vec<Delta> {
    match rows {
        RowsOf::View(rows) => rows.deltas(),
        RowsOf::Source(deltas) => deltas,
    }
}

fn snapshot(found: streams::engine::Snapshot) -> Snapshot {
    let rows = found.rows.into_iter();
    Snapshot {
        epoch: found.epoch,
        rows: rows.map(|(name, rows)| (name, deltas(rows))).collect(),
    }
}

impl Backend for NodeBackend {
    fn catalog(&self) -> BoxFuture<'_, Arc<Catalog>> {
        let catalog = self.copy_of_catalog();
        Box::pin(async move { catalog })
    }

    fn create(
        &self,
        relation: Relation,
        definition: Definition,
    ) -> BoxFuture<'_, Result<(), SqlError>> {
        let create =
            |this: Arc<Self>| async move { this.create_relation(relation, definition).await };
        Box::pin(self.to_the_end(&self.changing, create))
    }

    fn replace(
        &self,
        relation: Relation,
        definition: Definition,
    ) -> BoxFuture<'_, Result<(), SqlError>> {
        let replace =
            |this: Arc<Self>| async move { this.replace_view(relation, definition).await };
        Box::pin(self.to_the_end(&self.changing, replace))
    }

    fn alter(
        &self,
        name: String,
        relation: Relation,
        definition: Definition,
    ) -> BoxFuture<'_, Result<(), SqlError>> {
        let alter =
            |this: Arc<Self>| async move { this.alter_source(name, relation, definition).await };
        Box::pin(self.to_the_end(&self.changing, alter))
    }

    fn drop_relation(&self, name: String) -> BoxFuture<'_, Result<(), SqlError>> {
        let remove = |this: Arc<Self>| async move { this.remove_relation(name).await };
        Box::pin(self.to_the_end(&self.dropping, remove))
    }

    fn snapshot(
        &self,
        relations: Vec<String>,
        at: ReadAt,
    ) -> BoxFuture<'_, Result<Snapshot, SqlError>> {
        Box::pin(async move {
            let at = streams::engine::ReadAt {
                after: at.after,
                beside: at.beside,
            };
            let found = self.ask("snapshot", |engine| async move {
                engine.snapshot(relations, at).await
            });
            Ok(snapshot(found.await?))
        })
    }

    fn lookup(
        &self,
        relation: String,
        columns: Vec<usize>,
        keys: RecordBatch,
    ) -> BoxFuture<'_, Result<Snapshot, SqlError>> {
        Box::pin(async move {
            if let Some(found) = self.views.lookup(&relation, &columns, keys.columns()) {
                return Ok(snapshot(found));
            }
            let found = self.ask("lookup", |engine| async move {
                let keys = keys.columns();
                engine.lookup(&relation, &columns, keys).await
            });
            Ok(snapshot(found.await?))
        })
    }

    fn find(&self, relation: &str, columns: &[usize], key: &[ArrayRef]) -> Option<Option<Found>> {
        self.views.find(relation, columns, key)
    }

    fn write(
        &self,
        table: String,
        delta: Delta,
        as_of: Option<u64>,
    ) -> BoxFuture<'_, Result<(), SqlError>> {
        Box::pin(self.ask("write", move |engine| async move {
            engine.write(&table, delta, as_of).await
        }))
    }

    fn subscribe(
        &self,
        relation: String,
        with_snapshot: bool,
    ) -> BoxFuture<'_, Result<Box<dyn Subscription>, SqlError>> {
        Box::pin(async move {
            let number = self.ask("subscribe", move |engine| async move {
                engine.subscribe(&relation, with_snapshot).await
            });
            let subscription: Box<dyn Subscription> = Box::new(NodeSubscription {
                shards: self.shards.clone(),
                number: number.await?,
                waiting: Vec::new(),
            });
            Ok(subscription)
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), SqlError>> {
        Box::pin(self.ask("flush", |engine| async move { engine.flush().await }))
    }

    fn system(&self, table: String) -> BoxFuture<'_, Result<Vec<RecordBatch>, SqlError>> {
        Box::pin(async move {
            let report = self.ask("report", |engine| async move { engine.report().await });
            let mut report = report.await?;
            let catalog = self.copy_of_catalog();
            report
                .pipelines
                .extend(catalog.relations().filter_map(failed));
            let rows = system::rows(&format!("forebay.{table}"), &report);
            Ok(rows.into_iter().collect())
        })
    }

    fn answer_permit(&self, bytes: usize) -> Option<Box<dyn Send + Sync>> {
        let held = self.permits.take_answer(bytes)?;
        Some(Box::new(held))
    }

    fn permit(&self, size: PermitSize) -> BoxFuture<'_, Permit> {
        Box::pin(self.permits.take(size))
    }

    fn schema(&self, subject: String) -> BoxFuture<'_, Result<RegisteredSchema, SqlError>> {
        Box::pin(async move {
            let found = self.schemas.latest(subject.clone()).await;
            let found = found.map_err(|error| SqlError::new(*b"58000", error.to_string()))?;
            let found = found.ok_or_else(|| {
                let message = format!("the schema registry has no subject \"{subject}\"");
                SqlError::new(*b"42704", message)
            })?;
            Ok(RegisteredSchema {
                format: found.kind.name(),
                text: found.text,
                others: found.others,
            })
        })
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Err(error) = tokio::task::spawn_blocking(work).await {
                tracing::error!(%error, "a query's computation ended");
            }
        })
    }
}

/// One subscriber, by the number that the engine knows it under.
struct NodeSubscription {
    shards: ShardsHandle,
    number: u64,
    /// Changes that came with others, newest first.
    waiting: Vec<streams::engine::Changes>,
}

impl NodeSubscription {
    fn engine(&self) -> ShardId {
        engine_shard(self.shards.shard_count())
    }
}

impl Subscription for NodeSubscription {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Changes, SqlError>>> {
        Box::pin(async move {
            while self.waiting.is_empty() {
                let number = self.number;
                let engine = self.engine();
                let asked = self
                    .shards
                    .call(engine, Class::Query, "changes", move || async move {
                        let engine = runtime::local::<Engine>()?;
                        engine.next_changes(number, SUBSCRIPTION_WAIT).await
                    });
                self.waiting = asked.await?;
                self.waiting.reverse();
            }
            let changes = self.waiting.pop()?;
            Some(Ok(Changes {
                epoch: changes.epoch,
                deltas: changes.deltas,
            }))
        })
    }
}

impl Drop for NodeSubscription {
    fn drop(&mut self) {
        let number = self.number;
        // Nobody waits for the answer; the call is under way when it is made.
        drop(self.shards.call(
            self.engine(),
            Class::Query,
            "unsubscribe",
            move || async move {
                if let Some(engine) = runtime::local::<Engine>() {
                    engine.unsubscribe(number);
                }
            },
        ));
    }
}
