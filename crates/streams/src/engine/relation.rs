//! A source, table, view or sink of the engine, as those who ask see it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
};

use arrow_schema::{Field, Schema, SchemaRef};
use base::{Offset, PartitionKey};
use runtime::{Instant, sync::Notify};

use super::{
    arrangement::{Arrangement, Loaded, NotThere, Prepared, Rows},
    questions::Changes,
    shared::SharedRows,
    waiting::Turn,
};
use crate::{
    Definition, Delta, Operator, Plan,
    log::ExternalTopic,
    plan::{Input, Node},
    row::RowCodec,
    source::Decoded,
};

/// Epochs that a subscriber may be behind.
const CHANGES_MAX: usize = 1024;

/// Several views of one source find the same records malformed; so many are remembered, so that each is written once.
const DEAD_LETTERS_REMEMBERED: usize = 64 << 10;

/// What a relation is made of.
#[derive(Clone, Debug)]
pub struct NewRelation {
    /// Behind those of all that it reads, and never given twice.
    pub id: u64,
    pub name: String,
    pub definition: Definition,
}

/// Ids of relations that a program brings begin here: they come before all others, of which they read none, and among
/// themselves in the order in which they are given.
pub const PROGRAM_IDS: u64 = 1 << 63;

/// Relations are worked off in this order of their ids.
pub(super) fn rank(id: u64) -> u64 {
    if id >= PROGRAM_IDS { 0 } else { id }
}

/// What of a source's records was read for a relation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    pub records: u64,
    pub bytes: u64,
    pub malformed: u64,
    pub malformed_last: Option<String>,
    /// Of the malformed ones, those written to a topic of dead letters.
    pub dead_letters: u64,
}

/// See the module head.
pub struct Relation {
    pub id: u64,
    pub name: String,
    pub definition: Definition,
    /// Of tables and views.
    pub(super) arrangement: Option<Arc<SharedRows>>,
    pub watermark: Cell<Option<i64>>,
    /// Of the operators of its pipeline, while it has one.
    pub(super) state_bytes: Cell<usize>,
    /// Of an index that is being made, or rows that are taken up.
    making_bytes: Cell<usize>,
    /// Of what is different from the view whose place it takes.
    pub(super) difference_bytes: Cell<usize>,
    subscribers: RefCell<Vec<Rc<Subscriber>>>,
    /// Since when its pipeline waits for records.
    pub(super) reading_since: Cell<Option<Instant>>,
    failure: RefCell<Option<String>>,
    /// Writers of a table, one at a time.
    pub(super) writes: Rc<Turn>,
    /// The epoch of its last change.
    pub(super) changed_at: Cell<u64>,
    counts: RefCell<ReadCounts>,
    /// Of a source: its records that are dead letters.
    dead_letters: RefCell<Remembered>,
}

/// The newest of some records.
#[derive(Default)]
struct Remembered {
    all: BTreeSet<(PartitionKey, Offset)>,
    /// As they came.
    order: VecDeque<(PartitionKey, Offset)>,
}

/// Memory of what is being made, for as long as that is counted by itself.
pub(super) struct Making<'a>(&'a Cell<usize>);

impl Making<'_> {
    pub fn set(&self, bytes: usize) {
        self.0.set(bytes);
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

/// Somebody who is told of each change.
pub struct Subscriber {
    pub changes: RefCell<VecDeque<Changes>>,
    pub arrived: Notify,
    /// It fell too far behind, or the relation is gone.
    pub is_over: Cell<bool>,
}

impl Relation {
    pub fn new(new: NewRelation) -> Rc<Self> {
        let arrangement = match &new.definition {
            Definition::Table(table) => Some(Arrangement::new(
                nullable(&table.schema),
                table.key.as_deref(),
            )),
            Definition::View(view) => {
                let schema = nullable(&view.plan.result().schema);
                Some(Arrangement::new(schema, view.key.as_deref()))
            }
            Definition::Source(_)
            | Definition::Sink(_)
            | Definition::Index(_)
            | Definition::Stream(_) => None,
        };
        Rc::new(Self {
            id: new.id,
            name: new.name,
            definition: new.definition,
            arrangement: arrangement.map(SharedRows::new),
            watermark: Cell::new(None),
            state_bytes: Cell::new(0),
            making_bytes: Cell::new(0),
            difference_bytes: Cell::new(0),
            subscribers: RefCell::default(),
            reading_since: Cell::new(None),
            failure: RefCell::default(),
            writes: Rc::default(),
            changed_at: Cell::new(0),
            counts: RefCell::default(),
            dead_letters: RefCell::default(),
        })
    }

    pub(super) fn has_pipeline(&self) -> bool {
        !matches!(
            self.definition,
            Definition::Source(_) | Definition::Index(_)
        )
    }

    /// Whether its topic is another cluster's.
    pub(super) fn writes_elsewhere(&self) -> bool {
        let topic = self.definition.topic_written();
        topic.and_then(ExternalTopic::parse).is_some()
    }

    pub(super) fn keeps_rows(&self) -> bool {
        self.arrangement.is_some()
    }

    pub(super) fn plan(&self) -> Plan {
        match &self.definition {
            Definition::View(view) => view.plan.clone(),
            Definition::Sink(sink) => sink.plan.clone(),
            Definition::Stream(stream) => stream.plan.clone(),
            Definition::Table(table) => table_plan(&self.name, &table.schema),
            Definition::Source(_) | Definition::Index(_) => Plan::default(),
        }
    }

    /// The topic that keeps a table's changes.
    #[must_use]
    pub fn table_topic(&self) -> String {
        format!("__forebay_table_{}", self.name)
    }

    /// The same for equal plans.
    pub(super) fn fingerprint(&self) -> u64 {
        base::hash::fnv1a(format!("{:?}", self.definition).as_bytes())
    }

    /// Nothing more happens here; why, is told to whoever asks. Its rows, which nobody can read any more, go.
    pub(super) fn fail(&self, why: &str) {
        tracing::error!(relation = %self.name, why, "a pipeline has stopped");
        self.failure.replace(Some(why.to_owned()));
        if let Some(arrangement) = &self.arrangement {
            arrangement.end();
        }
        self.end_subscribers();
    }

    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    #[must_use]
    pub fn counts(&self) -> ReadCounts {
        self.counts.borrow().clone()
    }

    pub(super) fn count_read(&self, decoded: &Decoded) {
        let mut counts = self.counts.borrow_mut();
        counts.records += decoded.records;
        counts.bytes += decoded.bytes;
        counts.malformed += decoded.malformed;
        if let Some((offset, why)) = &decoded.malformed_first {
            counts.malformed_last = Some(format!("offset {offset}: {why}"));
        }
    }

    pub(super) fn count_dead_letters(&self, records: u64) {
        self.counts.borrow_mut().dead_letters += records;
    }

    /// Whether no view that reads this source has written that record to the dead letters, as far as is remembered; from
    /// now on one has.
    pub(super) fn is_first_dead_letter(&self, key: PartitionKey, offset: Offset) -> bool {
        let mut written = self.dead_letters.borrow_mut();
        let is_first = written.all.insert((key, offset));
        if is_first {
            written.order.push_back((key, offset));
            if written.order.len() > DEAD_LETTERS_REMEMBERED
                && let Some(oldest) = written.order.pop_front()
            {
                written.all.remove(&oldest);
            }
        }
        is_first
    }

    pub(super) fn forget_dead_letters(&self, key: PartitionKey, offsets: &[Offset]) {
        let mut written = self.dead_letters.borrow_mut();
        for offset in offsets {
            written.all.remove(&(key, *offset));
        }
        let Remembered { all, order } = &mut *written;
        order.retain(|record| all.contains(record));
    }

    /// `None` where nothing is kept: sources and sinks.
    #[must_use]
    pub fn rows(&self) -> Option<Rows> {
        let arrangement = self.arrangement.as_ref()?;
        Some(arrangement.read().rows())
    }

    pub(super) fn with_arrangement<R>(&self, read: impl FnOnce(&Arrangement) -> R) -> Option<R> {
        let arrangement = self.arrangement.as_ref()?;
        Some(read(&arrangement.read()))
    }

    /// Lets rows be found by these columns, unless `check`, which is asked again and again, says that it cannot be. The rows
    /// must not change meanwhile, unless all of them go.
    pub(super) async fn add_index<E>(
        &self,
        columns: &[usize],
        check: impl Fn() -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(arrangement) = &self.arrangement else {
            return Ok(());
        };
        check()?;
        let building = arrangement.write().begin_index(columns);
        let Some(mut building) = building else {
            return Ok(());
        };
        let making = self.making();
        while arrangement.read().index_some(&mut building) {
            making.set(building.bytes());
            check()?;
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        // It may have stopped meanwhile: its rows are gone then.
        check()?;
        arrangement.write().end_index(building);
        Ok(())
    }

    /// Memory of its rows and of its pipeline's state, about.
    pub(super) fn bytes(&self) -> usize {
        let rows = self.with_arrangement(Arrangement::bytes);
        let making = self.making_bytes.get() + self.difference_bytes.get();
        rows.unwrap_or(0) + self.state_bytes.get() + making
    }

    pub(super) fn remove_index(&self, columns: &[usize]) {
        if let Some(arrangement) = &self.arrangement {
            arrangement.write().remove_index(columns);
        }
    }

    /// `None` where no rows are kept.
    pub(super) fn prepare(&self, delta: &Delta) -> Option<Prepared> {
        self.with_arrangement(|rows| rows.prepare(delta))
    }

    /// Enters what comes with a change, which nobody finds before it is applied.
    pub(super) async fn stage(&self, change: &mut Prepared) {
        let Some(rows) = &self.arrangement else {
            return;
        };
        // Rows that have gone for good meanwhile are not those that the change was made for.
        while rows
            .change(|rows| self.failure().is_none() && rows.stage(change))
            .await
        {
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
    }

    /// Applies a change; see [`Arrangement::apply_some`].
    pub(super) async fn apply(&self, change: &mut Prepared, epoch: u64) -> Result<(), NotThere> {
        let Some(rows) = &self.arrangement else {
            return Ok(());
        };
        let mut some = |rows: &mut Arrangement| match self.failure() {
            None => rows.apply_some(change, epoch),
            Some(_) => Ok(false),
        };
        while rows.change(&mut some).await? {
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        Ok(())
    }

    /// Puts its rows in order, which nobody sees. Nothing may go through them meanwhile.
    pub(super) async fn tidy(&self) {
        let Some(rows) = &self.arrangement else {
            return;
        };
        while rows.tidy_some().await {
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
    }

    pub(super) fn making(&self) -> Making<'_> {
        Making(&self.making_bytes)
    }

    /// Rows that were taken up elsewhere, in the place of none.
    pub(super) fn set_arrangement(&self, rows: Arrangement) {
        if let Some(arrangement) = &self.arrangement {
            arrangement.replace(rows);
        }
    }

    /// Rows of a checkpoint; it has none of them.
    pub(super) fn load(&self, rows: Loaded) {
        if let Some(arrangement) = &self.arrangement {
            arrangement.write().load(rows);
        }
    }

    pub(super) fn subscribe(&self) -> Rc<Subscriber> {
        let subscriber = Rc::new(Subscriber {
            changes: RefCell::default(),
            arrived: Notify::new(),
            is_over: Cell::new(self.failure().is_some()),
        });
        self.subscribers.borrow_mut().push(subscriber.clone());
        subscriber
    }

    pub(super) fn unsubscribe(&self, gone: &Rc<Subscriber>) {
        let mut subscribers = self.subscribers.borrow_mut();
        subscribers.retain(|subscriber| !Rc::ptr_eq(subscriber, gone));
    }

    /// Tells subscribers what an epoch has changed.
    pub(super) fn tell(&self, epoch: u64, output: &[Delta]) {
        self.changed_at.set(epoch);
        self.subscribers.borrow_mut().retain(|subscriber| {
            let mut changes = subscriber.changes.borrow_mut();
            let is_behind = changes.len() >= CHANGES_MAX;
            subscriber
                .is_over
                .set(subscriber.is_over.get() || is_behind);
            if !is_behind {
                changes.push_back(Changes {
                    epoch,
                    deltas: output.to_vec(),
                });
            }
            drop(changes);
            subscriber.arrived.notify_all();
            !is_behind
        });
    }

    /// Whether rows of either can be rows of the other, under the same names.
    pub(super) fn has_columns_of(&self, other: &Self) -> bool {
        let columns = |of: &Self| of.with_arrangement(|rows| rows.schema().clone());
        columns(self) == columns(other)
    }

    /// Who was told of another's changes is told of its own; whoever knows other columns is told no more.
    pub(super) fn take_subscribers(&self, other: &Self) {
        if !self.has_columns_of(other) || self.failure().is_some() {
            return other.end_subscribers();
        }
        let mut taken = other.subscribers.take();
        self.subscribers.borrow_mut().append(&mut taken);
    }

    pub(super) fn has_subscribers(&self) -> bool {
        !self.subscribers.borrow().is_empty()
    }

    pub(super) fn end_subscribers(&self) {
        for subscriber in self.subscribers.take() {
            subscriber.is_over.set(true);
            subscriber.arrived.notify_all();
        }
    }

    pub(super) fn codec(schema: &SchemaRef) -> RowCodec {
        let types = schema.fields().iter().map(|field| field.data_type());
        RowCodec::ascending(types).expect("the arrangement has rows of these types")
    }
}

/// The schema of what a dataflow puts out: a value that cannot be computed is null.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter();
    let fields: Vec<Field> = fields
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

#[cfg(test)]
mod tests;

/// The plan of a table: its rows as they are.
fn table_plan(name: &str, schema: &SchemaRef) -> Plan {
    let input = Input {
        relation: name.to_owned(),
        columns: (0..schema.fields().len()).collect(),
        is_append_only: false,
        time: None,
    };
    Plan {
        nodes: vec![Node {
            operator: Operator::Input(input),
            inputs: Vec::new(),
            schema: schema.clone(),
            closes: None,
            ages: None,
        }],
    }
}
