//! What is asked of the engine from outside: relations are made and dropped, read, subscribed to and written.

use std::{collections::BTreeMap, future::Future, rc::Rc, sync::Arc, time::Duration};

use base::{Offset, PartitionIndex, PartitionKey, TimestampMs};
use kafka::batch::{BatchBuilder, Compression};
use runtime::{Instant, sync::first};

use super::{
    Cut, EPOCH_MAX, Engine, EngineError, NewRelation, OverBudget, RECORDS_PER_CATCH_UP, Relation,
    arrangement::Rows,
    pipeline::{Epoch, MISSING_MAX, Pipeline, PipelineError, whole_reader},
};
use crate::{
    Definition, Delta, changes,
    definition::{OnMalformed, Sink, Source, View},
    log::LogError,
    source::known_writers,
};

/// One read of a source for a question.
const READ_BYTES: usize = 1 << 20;

/// For so long a question, or who makes a view, waits for what another cluster has: one read of it, or any more of it.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks at partitions that do not show.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Rows of several relations as of one epoch; goes to any thread.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub epoch: u64,
    pub rows: BTreeMap<String, RowsOf>,
}

/// What a relation's rows are had from.
#[derive(Clone, Debug)]
pub enum RowsOf {
    View(Rows),
    Source(Vec<Delta>),
}

/// What a subscriber is told of one epoch in which something changed.
#[derive(Clone, Debug)]
pub struct Changes {
    pub epoch: u64,
    pub deltas: Vec<Delta>,
}

/// From when on a question may be answered.
#[derive(Clone, Debug, Default)]
pub struct ReadAt {
    /// Not before these records were read: topic, partition, offset.
    pub after: Vec<(String, i32, i64)>,
    /// Relations whose rows are taken as well, but for those that are gone or have stopped.
    pub beside: Vec<String>,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    #[error("relation \"{0}\" does not exist")]
    Unknown(String),
    #[error("relation \"{0}\" already exists")]
    Exists(String),
    #[error("cannot drop {name} because {by} reads it")]
    IsRead { name: String, by: String },
    #[error("{name} has stopped: {why}")]
    Failed { name: String, why: String },
    #[error("\"{0}\" cannot be read: sinks and streams keep no rows")]
    NotRows(String),
    #[error("\"{0}\" cannot be written: it is no table")]
    NotTable(String),
    #[error("{0}")]
    Pipeline(PipelineError),
    #[error("{0}")]
    Budget(#[from] OverBudget),
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("duplicate key value violates unique constraint \"{table}_pkey\"")]
    Duplicate { table: String },
    #[error("could not serialize access due to concurrent update")]
    Conflict,
    #[error("the change has {bytes} bytes, {bytes_max} fit into a batch")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("\"{0}\" is being made, replaced or dropped")]
    Busy(String),
    #[error("\"{0}\" is no materialized view")]
    NotView(String),
    #[error("\"{0}\" is no source")]
    NotSource(String),
    #[error("cannot rename {name} because {by} reads it")]
    CannotRename { name: String, by: String },
    #[error("cannot replace {name}: \"{newer}\", which it would read, was made after it")]
    ReadsNewer { name: String, newer: String },
    #[error("cannot replace {name} because {by} reads it: {why}")]
    CannotReplace {
        name: String,
        by: String,
        why: &'static str,
    },
    #[error("the stream engine did not start: {0}")]
    Start(EngineError),
    #[error("the node is stopping")]
    Stopping,
}

impl From<PipelineError> for QuestionError {
    fn from(error: PipelineError) -> Self {
        match error.is_of_the_node() {
            true => Self::Stopping,
            false => Self::Pipeline(error),
        }
    }
}

impl Engine {
    /// All relations.
    #[must_use]
    pub fn relations(&self) -> Vec<Rc<Relation>> {
        self.relations.borrow().values().cloned().collect()
    }

    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// Returns when what was decided before this start has been gone through; that may wait for other clusters.
    pub async fn started(&self) -> Result<(), QuestionError> {
        self.wait_until(|| self.has_taken_up.get()).await
    }

    fn check_started(&self) -> Result<(), QuestionError> {
        let failure = self.failure.borrow().clone();
        failure.map_or(Ok(()), |error| Err(QuestionError::Start(error)))
    }

    /// Whether such a relation could be made now; makes its topic where it needs one of its own.
    pub async fn prepare(&self, new: &NewRelation) -> Result<(), QuestionError> {
        // Epochs of before would take it for one of their own.
        self.started().await?;
        if self.is_taken(&new.name) {
            return Err(QuestionError::Exists(new.name.clone()));
        }
        let reads: Vec<String> = match &new.definition {
            Definition::View(View { plan, .. }) | Definition::Sink(Sink { plan, .. }) => {
                plan.relations()
            }
            Definition::Index(index) => vec![index.relation.clone()],
            // Those of programs are there from the start.
            Definition::Table(_) | Definition::Source(_) | Definition::Stream(_) => Vec::new(),
        };
        self.may_be_read(&reads)?;
        self.reserved.borrow_mut().insert(new.name.clone(), reads);
        let checked = self.check(new).await;
        if checked.is_err() {
            self.release(&new.name);
            self.release_topic(&Relation::new(new.clone()));
        }
        checked
    }

    async fn check(&self, new: &NewRelation) -> Result<(), QuestionError> {
        let relation = Relation::new(new.clone());
        match &new.definition {
            Definition::Source(source) => {
                may_be_decoded(source)?;
                let topic = self.log.find_topic(source.topic.clone()).await?;
                topic.ok_or_else(|| PipelineError::TopicUnknown(source.topic.clone()))?;
                if let OnMalformed::DeadLetter { topic } = &source.on_malformed {
                    self.log.ensure_topic(topic.clone(), 1, false).await?;
                }
            }
            Definition::Index(index) => {
                let of = self.relation(&index.relation)?;
                if of.rows().is_none() {
                    return Err(QuestionError::NotRows(index.relation.clone()));
                }
            }
            Definition::Table(_) => {
                let topic = relation.table_topic();
                // One that a crash has left between the drop of its table and its own end: nobody's rows any more.
                self.log.delete_topic(topic.clone()).await?;
                self.log.ensure_topic(topic, 1, true).await?;
            }
            Definition::View(_) | Definition::Stream(_) => {
                Pipeline::new(relation, &self.relations.borrow(), &*self.log)?;
            }
            Definition::Sink(sink) => {
                if let Some(topic) = &sink.topic {
                    self.log.ensure_topic(topic.clone(), 0, false).await?;
                }
                Pipeline::new(relation, &self.relations.borrow(), &*self.log)?;
            }
        }
        Ok(())
    }

    /// Gives a name back that `prepare` has reserved.
    pub fn release(&self, name: &str) {
        self.reserved.borrow_mut().remove(name);
    }

    /// Begins the work of a relation that `prepare` has found good; returns when it has read what there was. One that cannot
    /// do that is not there afterwards.
    pub async fn create(self: &Rc<Self>, new: NewRelation) -> Result<(), QuestionError> {
        let name = new.name.clone();
        let created = self.create_prepared(new).await;
        self.release(&name);
        // A node that stops has the relation in its metadata, and makes it when it starts.
        if let Err(error) = &created
            && *error != QuestionError::Stopping
        {
            self.remove(&name);
        }
        created
    }

    async fn create_prepared(self: &Rc<Self>, new: NewRelation) -> Result<(), QuestionError> {
        let relation = Relation::new(new);
        self.budget.count(&relation);
        if relation.has_pipeline() {
            let pipeline = Pipeline::new(relation.clone(), &self.relations.borrow(), &*self.log);
            let pipeline = self.catch_up(pipeline?).await?;
            self.joining.borrow_mut().push(pipeline);
        }
        self.index(&relation).await?;
        self.deliver_new(&relation);
        self.insert(relation.clone());
        self.wake.notify_one();
        if relation.has_pipeline() {
            self.wait_read(&relation).await?;
        }
        Ok(())
    }

    /// If it is an index, makes it; epochs wait with what they change.
    pub(super) async fn index(&self, relation: &Relation) -> Result<(), QuestionError> {
        let Definition::Index(index) = &relation.definition else {
            return Ok(());
        };
        let of = self.relation(&index.relation)?;
        let _turn = self.rows_turn.take().await;
        of.add_index(&index.columns, || {
            self.check_running(&of)?;
            Ok(self.budget.check()?)
        })
        .await
    }

    pub(super) fn insert(&self, relation: Rc<Relation>) {
        if let Some(rows) = &relation.arrangement {
            self.views.put(&relation.name, rows);
        }
        let mut relations = self.relations.borrow_mut();
        relations.insert(relation.name.clone(), relation);
    }

    /// Lets a new view read most of what there is before it takes part in epochs: they would be long.
    pub(super) async fn catch_up(&self, mut pipeline: Pipeline) -> Result<Pipeline, QuestionError> {
        // What is put out is decided in epochs, unless it goes nowhere.
        let goes_nowhere =
            matches!(&pipeline.relation.definition, Definition::Sink(sink) if sink.topic.is_none());
        if !pipeline.relation.keeps_rows() && !goes_nowhere {
            return Ok(pipeline);
        }
        let there = self.ends_there(&mut pipeline).await?;
        let mut moved_at = runtime::now();
        loop {
            let mut alone = [pipeline];
            let Cut { cuts, seen, .. } = self.cut(&mut alone, RECORDS_PER_CATCH_UP).await;
            [pipeline] = alone;
            self.check_running(&pipeline.relation)?;
            let is_near = seen.iter().all(|(key, end)| cuts.get(key) == Some(end));
            let is_fetched =
                |(key, end): (&PartitionKey, &Offset)| cuts.get(key).is_none_or(|cut| cut >= end);
            if (is_near && there.iter().all(is_fetched)) || self.stopping.get() {
                return Ok(pipeline);
            }
            let writers = known_writers().ok();
            let epoch = Epoch {
                number: self.epoch.get(),
                now: self.now.get(),
                cuts: &cuts,
                outputs: None,
                watermarks: None,
                writers: writers.as_ref(),
                is_stopping: &self.stopping,
            };
            self.budget.permit(&mut pipeline);
            let relation = pipeline.relation.clone();
            let run = pipeline.run_epoch(epoch, &*self.log);
            let Some(records) = self.unless_stuck(&relation, run).await else {
                let read = pipeline.positions().map(|p| (p.key, p.next_offset));
                return Err(self.unreadable(&pipeline, &cuts, &read.collect()).into());
            };
            let records = records?;
            let output = std::mem::take(&mut pipeline.output);
            for delta in &output {
                if let Some(mut change) = pipeline.relation.prepare(delta) {
                    let applied = pipeline.relation.apply(&mut change, self.epoch.get()).await;
                    applied.map_err(|error| PipelineError::Restore(error.to_string()))?;
                }
                pipeline.relation.tidy().await;
                self.budget.check()?;
                if runtime::should_yield() {
                    runtime::yield_now().await;
                }
            }
            let now = runtime::now();
            if records > 0 {
                moved_at = now;
            } else if now.since(moved_at) >= READ_WITHIN {
                return Err(self.unreadable(&pipeline, &there, &cuts).into());
            } else {
                self.log.wait(seen, now.plus(EPOCH_MAX)).await;
            }
        }
    }

    /// Where the partitions end that a new view is to read.
    async fn ends_there(
        &self,
        pipeline: &mut Pipeline,
    ) -> Result<BTreeMap<PartitionKey, Offset>, QuestionError> {
        let began = runtime::now();
        loop {
            pipeline.note_partitions(&*self.log)?;
            let keys = pipeline.positions().map(|position| position.key);
            let keys: Vec<PartitionKey> = keys.collect();
            let extents = self.log.extents_there(keys.clone()).await;
            let found = keys.into_iter().zip(&extents);
            let found = found.filter_map(|(key, extent)| Some((key, (*extent)?.high_watermark)));
            let found: BTreeMap<_, _> = found.collect();
            if extents.iter().all(Option::is_some) {
                return Ok(found);
            }
            if self.stopping.get() {
                return Err(QuestionError::Stopping);
            }
            if runtime::now().since(began) >= MISSING_MAX {
                return Err(self.unreadable(pipeline, &BTreeMap::new(), &found).into());
            }
            runtime::sleep(LOOK_AGAIN).await;
        }
    }

    /// Because of the first partition that is not where it ends there, or has no end.
    fn unreadable(
        &self,
        pipeline: &Pipeline,
        there: &BTreeMap<PartitionKey, Offset>,
        found: &BTreeMap<PartitionKey, Offset>,
    ) -> PipelineError {
        let is_missing = |key: PartitionKey| {
            let at = found.get(&key);
            at.is_none_or(|at| there.get(&key).is_some_and(|end| at < end))
        };
        let mut places = pipeline.places(&[], &*self.log).into_iter();
        let place = places.find(|place| is_missing(place.partition));
        let (topic, partition) = place
            .map(|place| (place.topic, place.partition.partition.0))
            .unwrap_or_default();
        PipelineError::Unreadable { topic, partition }
    }

    /// Until all that stands in the log now has been read.
    pub(super) async fn wait_read(&self, relation: &Relation) -> Result<(), QuestionError> {
        let second = self.epoch.get() + 2;
        let read = async {
            self.wait_until(|| self.epoch.get() >= second).await?;
            self.wait_shown().await
        };
        // All others wait with it, and nobody can drop it yet.
        let read = self.unless_stuck(relation, read).await;
        read.unwrap_or_else(|| {
            Err(QuestionError::Failed {
                name: relation.name.clone(),
                why: "what it reads cannot be read now".to_owned(),
            })
        })?;
        self.check_running(relation)
    }

    /// What comes of something; nothing where the relation's pipeline waits for records for too long meanwhile.
    async fn unless_stuck<T>(
        &self,
        relation: &Relation,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let is_stuck = |since: Instant| runtime::now().since(since) >= READ_WITHIN;
        let stuck = async {
            while !relation.reading_since.get().is_some_and(is_stuck) {
                runtime::sleep(LOOK_AGAIN).await;
            }
        };
        let mut done = None;
        first(async { done = Some(work.await) }, stuck).await;
        done
    }

    pub(super) fn check_running(&self, relation: &Relation) -> Result<(), QuestionError> {
        match relation.failure() {
            Some(why) => Err(QuestionError::Failed {
                name: relation.name.clone(),
                why,
            }),
            None => Ok(()),
        }
    }

    /// Whether a relation may go; until `drop_relation` or `keep_relation` nothing is made that reads it.
    pub fn prepare_drop(&self, name: &str) -> Result<(), QuestionError> {
        self.check_started()?;
        let relation = self.relation(name)?;
        if self.is_replaced(name) || self.is_altered(name) {
            return Err(QuestionError::Busy(name.to_owned()));
        }
        // What is built beside another reads it, too.
        for (by, beside) in &*self.beside.borrow() {
            if beside.reads(name) {
                let (name, by) = (name.to_owned(), by.clone());
                return Err(QuestionError::IsRead { name, by });
            }
        }
        if let Some((by, _)) = self
            .reserved
            .borrow()
            .iter()
            .find(|(_, reads)| reads.iter().any(|read| read == name))
        {
            return Err(QuestionError::IsRead {
                name: name.to_owned(),
                by: by.clone(),
            });
        }
        for other in self.relations.borrow().values() {
            let plan = other.plan();
            let reads = plan.inputs().any(|(_, input)| input.relation == name);
            if other.id != relation.id && reads {
                return Err(QuestionError::IsRead {
                    name: name.to_owned(),
                    by: other.name.clone(),
                });
            }
        }
        match self.dropping.borrow_mut().insert(name.to_owned()) {
            true => Ok(()),
            false => Err(QuestionError::Unknown(name.to_owned())),
        }
    }

    /// It stays as it is, after all.
    pub fn keep_relation(&self, name: &str) {
        self.dropping.borrow_mut().remove(name);
        self.altering.borrow_mut().remove(name);
    }

    /// Takes a relation away that `prepare_drop` has let go. By now the metadata must be without it: it would begin anew at
    /// the next start, and a sink would write everything twice.
    pub async fn drop_relation(&self, name: &str) {
        let table = self.relation(name).ok();
        let table = table.filter(|relation| matches!(relation.definition, Definition::Table(_)));
        self.remove(name);
        if let Some(table) = table {
            let topic = table.table_topic();
            if let Err(error) = self.log.delete_topic(topic.clone()).await {
                tracing::warn!(topic, %error, "a dropped table's topic stays until there is a table of this name again");
            }
        }
        self.keep_relation(name);
    }

    fn remove(&self, name: &str) {
        let Some(relation) = self.relations.borrow_mut().remove(name) else {
            return;
        };
        self.views.remove(name);
        if let Definition::Index(index) = &relation.definition
            && relation.failure().is_none()
            && let Ok(of) = self.relation(&index.relation)
        {
            of.remove_index(&index.columns);
            self.remove_index_beside(index);
        }
        self.end_delivery(relation.id);
        self.leaving.borrow_mut().insert(relation.id);
        self.left.notify_all();
        relation.end_subscribers();
        self.wake.notify_one();
        self.release_topic(&relation);
    }

    /// What comes of a pipeline's work; nothing when its relation is dropped meanwhile, or not to take another's place any
    /// more: what it waits for may never come.
    pub(super) async fn unless_dropped<T>(
        &self,
        relation: &Rc<Relation>,
        is_beside: bool,
        work: impl Future<Output = Result<T, PipelineError>>,
    ) -> Option<Result<T, PipelineError>> {
        let has_left = || {
            let is_dropped = self.leaving.borrow().contains(&relation.id);
            is_dropped || (is_beside && !self.is_beside(relation))
        };
        let mut done = None;
        let dropped = async {
            loop {
                let left = self.left.notified();
                if has_left() {
                    return;
                }
                left.await;
            }
        };
        first(async { done = Some(work.await) }, dropped).await;
        // Nobody is to be told why it stopped.
        done.filter(|done| done.is_ok() || !has_left())
    }

    /// Tells the log that nobody names a topic any more, if so.
    fn release_topic(&self, gone: &Relation) {
        let Some(topic) = topic_of(gone) else { return };
        let is_named = {
            let relations = self.relations.borrow();
            relations
                .values()
                .any(|other| topic_of(other) == Some(topic))
        };
        // What is being made may name it: then it is known until the next start.
        if !is_named && self.reserved.borrow().is_empty() {
            self.log.release_topic(topic);
        }
    }

    pub(super) fn relation(&self, name: &str) -> Result<Rc<Relation>, QuestionError> {
        let relations = self.relations.borrow();
        let relation = relations.get(name).cloned();
        relation.ok_or_else(|| QuestionError::Unknown(name.to_owned()))
    }

    /// Waits for epochs until it is so.
    pub(super) async fn wait_until(
        &self,
        mut is_so: impl FnMut() -> bool,
    ) -> Result<(), QuestionError> {
        loop {
            let progressed = self.progressed.notified();
            self.check_started()?;
            if self.stopping.get() {
                return Err(QuestionError::Stopping);
            }
            if is_so() && !self.applying.get() {
                return Ok(());
            }
            progressed.await;
        }
    }

    /// Rows of relations, all as of the newest epoch.
    pub async fn snapshot(
        &self,
        names: Vec<String>,
        at: ReadAt,
    ) -> Result<Snapshot, QuestionError> {
        let wanted = self.partitions_after(&at);
        self.wait_until(|| {
            let cuts = self.cuts.borrow();
            let is_read = |(key, offset): &(PartitionKey, Offset)| {
                cuts.get(key).is_none_or(|cut| cut > offset)
            };
            self.is_ready.get() && wanted.iter().all(is_read)
        })
        .await?;
        let mut snapshot = Snapshot {
            epoch: self.epoch.get(),
            rows: BTreeMap::new(),
        };
        let mut sources = Vec::new();
        for name in names {
            let relation = self.relation(&name)?;
            self.check_running(&relation)?;
            match (&relation.definition, relation.rows()) {
                (Definition::Source(source), _) => sources.push((name, source.clone())),
                (_, Some(rows)) => {
                    snapshot.rows.insert(name, RowsOf::View(rows));
                }
                (_, None) => return Err(QuestionError::NotRows(name)),
            }
        }
        for name in at.beside {
            let running = self.relation(&name).ok();
            let running = running.filter(|relation| relation.failure().is_none());
            if let Some(rows) = running.and_then(|relation| relation.rows()) {
                snapshot.rows.insert(name, RowsOf::View(rows));
            }
        }
        let cuts = self.cuts.borrow().clone();
        for (name, source) in sources {
            let rows = self.read_source(&source, &cuts).await?;
            snapshot.rows.insert(name, RowsOf::Source(rows));
        }
        Ok(snapshot)
    }

    fn partitions_after(&self, at: &ReadAt) -> Vec<(PartitionKey, Offset)> {
        let after = at.after.iter().filter_map(|(topic, partition, offset)| {
            let shape = self.log.topic(topic)?;
            let key = PartitionKey {
                topic: shape.id,
                partition: PartitionIndex(*partition),
            };
            Some((key, Offset(*offset)))
        });
        after.collect()
    }

    /// All rows of a source, up to the epoch's cuts where pipelines read it too.
    async fn read_source(
        &self,
        source: &Source,
        cuts: &BTreeMap<PartitionKey, Offset>,
    ) -> Result<Vec<Delta>, QuestionError> {
        let reader = Arc::new(whole_reader(source));
        let (keys, extents) = loop {
            let shape = self.log.topic(&source.topic);
            let shape = shape.ok_or_else(|| PipelineError::TopicUnknown(source.topic.clone()))?;
            let keys = (0..shape.partitions).map(|partition| PartitionKey {
                topic: shape.id,
                partition: PartitionIndex(partition),
            });
            let keys: Vec<PartitionKey> = keys.collect();
            let extents = self.log.extents_there(keys.clone()).await;
            // Asking may have shown that it has more partitions, or is another topic.
            if self.log.topic(&source.topic) == Some(shape) {
                break (keys, extents);
            }
        };
        let mut rows = Vec::new();
        for (key, extent) in keys.into_iter().zip(extents) {
            let unreadable = || PipelineError::Unreadable {
                topic: source.topic.clone(),
                partition: key.partition.0,
            };
            let extent = extent.ok_or_else(unreadable)?;
            let end = cuts.get(&key).copied().unwrap_or(extent.high_watermark);
            let mut from = extent.log_start_offset;
            while from < end {
                let read = self.log.read(key, from, end, READ_BYTES, reader.clone());
                let read = runtime::timeout(READ_WITHIN, read).await;
                let decoded = read.map_err(|_| unreadable())??;
                from = decoded.next_offset;
                rows.extend(decoded.deltas);
            }
        }
        Ok(rows)
    }

    /// Returns when all that was acknowledged before is in what readers see, and in what sinks have written.
    pub async fn flush(&self) -> Result<(), QuestionError> {
        self.wait_shown().await?;
        self.wait_until(self.all_delivered()).await
    }

    /// Returns when all that was acknowledged before is in what readers see.
    async fn wait_shown(&self) -> Result<(), QuestionError> {
        // Before the first epoch has ended nobody knows which partitions there are to wait for.
        self.wait_until(|| self.is_ready.get()).await?;
        let keys: Vec<PartitionKey> = self.cuts.borrow().keys().copied().collect();
        let extents = self.log.extents(keys.clone()).await;
        let wanted: Vec<(PartitionKey, Offset)> = keys
            .into_iter()
            .zip(extents)
            .filter_map(|(key, extent)| Some((key, extent?.high_watermark)))
            .collect();
        self.wait_until(|| {
            let cuts = self.cuts.borrow();
            let mut wanted = wanted.iter();
            wanted.all(|(key, end)| cuts.get(key).is_none_or(|cut| cut >= end))
        })
        .await
    }

    /// Changes a table; returns when readers see it. `as_of`: nothing else may have changed it since that epoch.
    pub async fn write(
        &self,
        name: &str,
        delta: Delta,
        as_of: Option<u64>,
    ) -> Result<(), QuestionError> {
        let relation = self.relation(name)?;
        self.check_running(&relation)?;
        let Definition::Table(table) = &relation.definition else {
            return Err(QuestionError::NotTable(name.to_owned()));
        };
        let _turn = relation.writes.take().await;
        self.wait_until(|| self.is_ready.get()).await?;
        if as_of.is_some_and(|epoch| relation.changed_at.get() > epoch) {
            return Err(QuestionError::Conflict);
        }
        // In the log it would stop the table for good.
        if relation.with_arrangement(|a| a.lacks(&delta)) == Some(true) {
            return Err(QuestionError::Conflict);
        }
        if let Some(key) = &table.key {
            let violates = relation.with_arrangement(|a| a.violates_key(&delta, key));
            if violates == Some(true) {
                return Err(QuestionError::Duplicate {
                    table: name.to_owned(),
                });
            }
        }
        let values =
            changes::encode(&delta).map_err(|error| LogError::Refused(error.to_string()))?;
        let mut builder = BatchBuilder::new(Compression::None);
        let now = TimestampMs(runtime::wall().0);
        for value in values {
            builder.push(now, None, Some(&value), &[]);
        }
        let batch = builder.finish();
        let bytes_max = base::limits::BATCH_BYTES_MAX;
        if batch.len() > bytes_max {
            let bytes = batch.len();
            return Err(QuestionError::TooLarge { bytes, bytes_max });
        }
        let topic = self.log.topic(&relation.table_topic());
        let topic = topic.ok_or(LogError::Deleted)?;
        let key = PartitionKey {
            topic: topic.id,
            partition: PartitionIndex(0),
        };
        let end = self.log.append(key, batch).await?;
        self.wait_until(|| self.cuts.borrow().get(&key).is_some_and(|cut| *cut >= end))
            .await?;
        self.check_running(&relation)
    }

    /// Tells of each change of a view from now on; first, where asked for, of all its rows.
    pub async fn subscribe(&self, name: &str, with_snapshot: bool) -> Result<u64, QuestionError> {
        self.wait_until(|| self.is_ready.get()).await?;
        let relation = self.relation(name)?;
        self.check_running(&relation)?;
        let rows = relation.rows();
        let rows = rows.ok_or_else(|| QuestionError::NotRows(name.to_owned()))?;
        let subscriber = relation.subscribe();
        if with_snapshot {
            subscriber.changes.borrow_mut().push_back(Changes {
                epoch: self.epoch.get(),
                deltas: rows.deltas(),
            });
        }
        let number = self.next_subscription.get();
        self.next_subscription.set(number + 1);
        let mut subscriptions = self.subscriptions.borrow_mut();
        subscriptions.insert(number, (relation, subscriber));
        Ok(number)
    }

    /// What has changed since the last call, or by the deadline nothing; `None` when there will be no more.
    pub async fn next_changes(&self, subscription: u64, wait: Duration) -> Option<Vec<Changes>> {
        let (_, subscriber) = self.subscriptions.borrow().get(&subscription)?.clone();
        let deadline: Instant = runtime::now().plus(wait);
        loop {
            let arrived = subscriber.arrived.notified();
            let changes: Vec<Changes> = subscriber.changes.take().into();
            if !changes.is_empty() || runtime::now() >= deadline {
                return Some(changes);
            }
            if subscriber.is_over.get() {
                return None;
            }
            first(arrived, runtime::sleep_until(deadline)).await;
        }
    }

    pub fn unsubscribe(&self, subscription: u64) {
        let gone = self.subscriptions.borrow_mut().remove(&subscription);
        if let Some((relation, subscriber)) = gone {
            relation.unsubscribe(&subscriber);
        }
    }
}

/// Whether what its records name can be known: without that they would be skipped.
pub(super) fn may_be_decoded(source: &Source) -> Result<(), QuestionError> {
    if source.format.names_writers() {
        let known = known_writers().map(drop);
        known.map_err(|error| QuestionError::Pipeline(error.into()))?;
    }
    Ok(())
}

/// The topic that a relation reads or writes.
fn topic_of(relation: &Relation) -> Option<&str> {
    (relation.definition.topic_read()).or(relation.definition.topic_written())
}
