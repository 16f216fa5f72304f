//! Decided epochs on their way into other clusters.
//!
//! # Place
//! A task for each sink that writes elsewhere, beside the engine's loop: no epoch waits for another cluster.
//!
//! # Invariants
//! 1. An epoch is written only when it stands in the outbox, in the order in which they stand there, and none is left out:
//!    the outbox keeps what is not written (`trim_outbox`), and a restart reads it from its beginning.
//! 2. What an epoch has put out is there once: it is written together with its number, all or nothing, and before anything is
//!    written, at a start and after every error, the cluster is asked for the number (`settle`).
//! 3. Where the number cannot tell what was written, nothing more is written, and the sink says so.
//!
//! # Cost
//! While one transaction is on its way epochs pile up; the next takes all of them, up to `TRANSACTION_BYTES`.
//!
//! # Limits
//! When more than `BACKLOG_BYTES_MAX` of a sink wait, no epoch begins: views can be read as they are, and nothing is lost
//! (`holds_back`). DROP SINK lets go.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use base::{Offset, PartitionIndex, PartitionKey};
use runtime::Class;

use super::{
    Engine, Relation,
    outbox::{Assembly, Decided, OUTBOX_TOPIC},
};
use crate::{
    Definition,
    log::{EpochWriter, LogError, WriteError},
};

/// Of batches that wait, in the outbox, for one sink.
const BACKLOG_BYTES_MAX: u64 = 256 << 20;

/// Whole epochs are written together until they are this large.
const TRANSACTION_BYTES: usize = 4 << 20;

const READ_BYTES: usize = 1 << 20;

/// Between two tries; twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What waits for a delivery looks again after this long at the latest.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// One sink's way into another cluster.
pub(super) struct Delivery {
    relation: Rc<Relation>,
    writer: Rc<dyn EpochWriter>,
    /// What stands in the outbox before this is written.
    until: Cell<Offset>,
    /// The last epoch that is known to be written.
    written: Cell<Option<u64>>,
    /// The last of a transaction of which nobody knows how it ended.
    attempted: Cell<Option<u64>>,
    /// Epochs up to this one were decided before this start.
    decided_before: Cell<u64>,
    has_taken_over: Cell<bool>,
    /// The cluster has forgotten what it had said before this start.
    is_doubtful: Cell<bool>,
    /// The last epoch that has put something out here.
    decided: Cell<u64>,
    /// The last epoch that is not counted as waiting any more.
    settled: Cell<u64>,
    backlog_epochs: Cell<u64>,
    backlog_bytes: Cell<u64>,
    trouble: RefCell<Option<String>>,
    is_over: Cell<bool>,
}

/// A sink that writes into another cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReport {
    pub topic: String,
    /// The last epoch that is written.
    pub epoch: Option<u64>,
    /// Decided and not written.
    pub backlog_epochs: u64,
    pub backlog_bytes: u64,
    /// Why it is tried again.
    pub trouble: Option<String>,
    /// No epoch begins for as long as so much waits.
    pub holds_back: bool,
}

/// How deliveries stand, for all of them.
pub(super) struct Deliveries {
    /// By relation.
    pub all: RefCell<std::collections::BTreeMap<u64, Rc<Delivery>>>,
    /// Behind the last record of the outbox that is known to be committed.
    decided_until: Cell<Offset>,
    decided: runtime::sync::Notify,
    backlog_bytes_max: Cell<u64>,
    /// What a checkpoint says of them is not what it would say now.
    have_moved: Cell<bool>,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self {
            all: RefCell::default(),
            decided_until: Cell::new(Offset::ZERO),
            decided: runtime::sync::Notify::new(),
            backlog_bytes_max: Cell::new(BACKLOG_BYTES_MAX),
            have_moved: Cell::new(false),
        }
    }
}

impl Deliveries {
    /// Whether a checkpoint would say something else of them than one at the last call.
    pub fn take_moved(&self) -> bool {
        self.have_moved.take()
    }
}

/// Whole epochs on their way into one transaction.
struct Gathered {
    assembly: Assembly,
    next: Offset,
    /// Everything before this is gathered or was written.
    boundary: Offset,
    epochs: Vec<(u64, u64)>,
    batches: Vec<(PartitionIndex, Vec<u8>)>,
    bytes: usize,
}

impl Gathered {
    fn at(offset: Offset, relation: u64) -> Self {
        Self {
            assembly: Assembly::of([relation].into()),
            next: offset,
            boundary: offset,
            epochs: Vec::new(),
            batches: Vec::new(),
            bytes: 0,
        }
    }
}

fn bytes_of(decided: &Decided, relation: u64) -> Option<u64> {
    let batches = decided.batches.iter();
    let mut own = batches.filter(|b| b.relation == relation).peekable();
    own.peek()?;
    Some(own.map(|outgoing| outgoing.batch.len() as u64).sum())
}

impl Delivery {
    pub fn new(
        relation: Rc<Relation>,
        writer: Rc<dyn EpochWriter>,
        written: Option<u64>,
        until: Offset,
    ) -> Self {
        Self {
            relation,
            writer,
            until: Cell::new(until),
            written: Cell::new(written),
            attempted: Cell::new(None),
            decided_before: Cell::new(0),
            has_taken_over: Cell::new(false),
            is_doubtful: Cell::new(false),
            decided: Cell::new(0),
            settled: Cell::new(0),
            backlog_epochs: Cell::new(0),
            backlog_bytes: Cell::new(0),
            trouble: RefCell::default(),
            is_over: Cell::new(false),
        }
    }

    /// The last epoch that is known to be written.
    pub fn written(&self) -> Option<u64> {
        self.written.get()
    }

    /// Nothing more is written.
    pub fn end(&self) {
        self.is_over.set(true);
    }

    /// Whether what its sink has put out is still to be written.
    pub fn goes_on(&self) -> bool {
        !self.is_over.get()
    }

    fn has_settled(&self, epoch: u64) -> bool {
        self.is_over.get() || self.settled.get() >= epoch
    }

    /// Nothing waits, or something was written just now.
    fn is_well(&self) {
        if self.trouble.take().is_some() {
            tracing::info!(sink = %self.relation.name, "its cluster can be written again");
        }
    }

    fn count_decided(&self, decided: &Decided) {
        if let Some(bytes) = bytes_of(decided, self.relation.id) {
            self.decided.set(decided.epoch);
            self.backlog_epochs.set(self.backlog_epochs.get() + 1);
            self.backlog_bytes.set(self.backlog_bytes.get() + bytes);
        }
    }

    /// An epoch waits no more; it may be met again.
    fn settle_epoch(&self, epoch: u64, bytes: u64) {
        if epoch > self.settled.get() {
            self.settled.set(epoch);
            let epochs = self.backlog_epochs.get();
            self.backlog_epochs.set(epochs.saturating_sub(1));
            let waiting = self.backlog_bytes.get();
            self.backlog_bytes.set(waiting.saturating_sub(bytes));
        }
    }

    /// Takes into account up to which epoch the cluster says that everything is written.
    fn settle(&self, found: Option<u64>) -> Result<(), WriteError> {
        let (written, attempted) = (self.written.get(), self.attempted.take());
        let refused = |why: String| Err(WriteError::Refused(why));
        if !self.has_taken_over.replace(true) {
            match found {
                Some(found) if found > self.decided_before.get() => {
                    return refused(format!(
                        "the other cluster has epoch {found} of it, which this node has never decided: its state is older \
                         than what it wrote"
                    ));
                }
                Some(found) if written.is_none_or(|written| found >= written) => {
                    self.written.set(Some(found));
                }
                _ => self.is_doubtful.set(written.is_some()),
            }
            return Ok(());
        }
        match found {
            found if found == written => Ok(()),
            Some(_) if found == attempted => {
                self.written.set(found);
                Ok(())
            }
            None if attempted.is_none() => Ok(()),
            found => refused(format!(
                "the other cluster says epoch {} of it, and {} was written last: somebody else writes under its name, or the \
                 committed offsets of its group were changed",
                said(found),
                said(written),
            )),
        }
    }

    fn gather(&self, gathered: &mut Gathered, ignore_marks: bool) -> Result<(), WriteError> {
        for decided in std::mem::take(&mut gathered.assembly.epochs) {
            let epoch = decided.epoch;
            let Some(bytes) = bytes_of(&decided, self.relation.id) else {
                continue;
            };
            let is_written = self.written.get().is_some_and(|written| epoch <= written);
            if is_written && !ignore_marks {
                self.settle_epoch(epoch, bytes);
                continue;
            }
            if self.is_doubtful.get() && epoch <= self.decided_before.get() {
                return Err(WriteError::Refused(format!(
                    "the other cluster has forgotten up to which epoch it was written, and nobody knows whether epoch \
                     {epoch} is there"
                )));
            }
            let own = decided.batches.into_iter();
            let own = own.map(|outgoing| (outgoing.partition.partition, outgoing.batch));
            gathered.batches.extend(own);
            gathered.bytes += usize::try_from(bytes).unwrap_or(usize::MAX);
            gathered.epochs.push((epoch, bytes));
        }
        if gathered.assembly.is_whole() {
            gathered.boundary = gathered.next;
        }
        Ok(())
    }
}

fn said(epoch: Option<u64>) -> String {
    epoch.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string())
}

impl Engine {
    /// How a sink reaches another cluster, if that is where its topic is.
    pub(super) fn delivery_of(
        &self,
        relation: &Rc<Relation>,
        written: Option<u64>,
        until: Offset,
    ) -> Option<Rc<Delivery>> {
        let Definition::Sink(sink) = &relation.definition else {
            return None;
        };
        let writer = self.log.epoch_writer(sink.topic.as_ref()?, relation.id)?;
        let delivery = Delivery::new(relation.clone(), writer, written, until);
        let delivery = Rc::new(delivery);
        let mut all = self.deliveries.all.borrow_mut();
        all.insert(relation.id, delivery.clone());
        Some(delivery)
    }

    /// A new sink's: it has put nothing out yet.
    pub(super) fn deliver_new(self: &Rc<Self>, relation: &Rc<Relation>) {
        let until = self.deliveries.decided_until.get();
        if let Some(delivery) = self.delivery_of(relation, None, until) {
            delivery.decided_before.set(self.epoch.get());
            self.spawn_delivery(delivery);
        }
    }

    /// Those of before this start, once all epochs that were decided then are known.
    pub(super) fn start_deliveries(self: &Rc<Self>, decided_until: Offset) {
        self.deliveries.decided_until.set(decided_until);
        let all: Vec<Rc<Delivery>> = self.deliveries.all.borrow().values().cloned().collect();
        for delivery in all {
            delivery.decided_before.set(self.epoch.get());
            self.spawn_delivery(delivery);
        }
    }

    fn spawn_delivery(self: &Rc<Self>, delivery: Rc<Delivery>) {
        let engine = self.clone();
        runtime::spawn(Class::Streams, "delivery", async move {
            engine.deliver(&delivery).await;
        });
    }

    /// Epochs that wait from now on.
    pub(super) fn count_decided(&self, decided: &Decided) {
        for delivery in self.deliveries.all.borrow().values() {
            delivery.count_decided(decided);
        }
    }

    /// Everything before this place of the outbox is decided.
    pub(super) fn tell_deliveries(&self, decided_until: Offset) {
        self.deliveries.decided_until.set(decided_until);
        self.deliveries.decided.notify_all();
    }

    /// Nothing more of a sink that is dropped.
    pub(super) fn end_delivery(&self, relation: u64) {
        if let Some(delivery) = self.deliveries.all.borrow_mut().remove(&relation) {
            delivery.end();
        }
        self.deliveries.decided.notify_all();
    }

    /// Whether so much waits for another cluster that no epoch may begin.
    pub(super) fn holds_back(&self) -> bool {
        let most = self.deliveries.backlog_bytes_max.get();
        let all = self.deliveries.all.borrow();
        all.values()
            .any(|delivery| !delivery.is_over.get() && delivery.backlog_bytes.get() > most)
    }

    /// What may wait for one sink's cluster, in bytes, about; beyond that no epoch begins.
    pub fn set_backlog_bytes_max(&self, bytes: u64) {
        self.deliveries.backlog_bytes_max.set(bytes);
    }

    /// Whether all that is decided now is written; epochs that come later do not count.
    pub(super) fn all_delivered(&self) -> impl Fn() -> bool {
        let all = self.deliveries.all.borrow();
        let all = all.values().cloned();
        let wanted: Vec<_> = all
            .map(|delivery| (delivery.decided.get(), delivery))
            .collect();
        move || {
            wanted
                .iter()
                .all(|(epoch, delivery)| delivery.has_settled(*epoch))
        }
    }

    /// Where the outbox is needed from, for what is not written.
    pub(super) fn undelivered_from(&self) -> Offset {
        let all = self.deliveries.all.borrow();
        let needed = all.values().filter(|delivery| !delivery.is_over.get());
        let needed = needed.map(|delivery| delivery.until.get()).min();
        needed.unwrap_or(Offset(i64::MAX))
    }

    pub(super) fn delivery_report(&self, relation: u64) -> Option<DeliveryReport> {
        let delivery = self.deliveries.all.borrow().get(&relation)?.clone();
        let Definition::Sink(sink) = &delivery.relation.definition else {
            return None;
        };
        let most = self.deliveries.backlog_bytes_max.get();
        Some(DeliveryReport {
            topic: sink.topic.clone().unwrap_or_default(),
            epoch: delivery.written.get(),
            backlog_epochs: delivery.backlog_epochs.get(),
            backlog_bytes: delivery.backlog_bytes.get(),
            trouble: delivery.trouble.borrow().clone(),
            holds_back: !delivery.is_over.get() && delivery.backlog_bytes.get() > most,
        })
    }

    async fn deliver(&self, delivery: &Delivery) {
        let mut pause = PAUSE_MIN;
        while !self.stopping.get() && !delivery.is_over.get() {
            let written = delivery.written.get();
            match self.deliver_until_trouble(delivery).await {
                Ok(()) => return,
                Err(WriteError::Refused(why)) => {
                    delivery.end();
                    self.deliveries.have_moved.set(true);
                    if delivery.relation.failure().is_none() {
                        delivery.relation.fail(&why);
                    }
                    self.wake.notify_one();
                }
                Err(WriteError::Passing(why)) => {
                    let sink = &delivery.relation.name;
                    if delivery.trouble.replace(Some(why.clone())).is_none() {
                        tracing::warn!(sink, why, "its cluster cannot be written; trying again");
                    }
                    if delivery.written.get() != written {
                        pause = PAUSE_MIN;
                    }
                    runtime::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Returns when the sink is gone or the node stops.
    async fn deliver_until_trouble(&self, delivery: &Delivery) -> Result<(), WriteError> {
        let found = delivery.writer.take_over().await?;
        let before = delivery.written.get();
        delivery.settle(found)?;
        self.note_written(delivery, before);
        let mut gathered = Gathered::at(delivery.until.get(), delivery.relation.id);
        while !self.stopping.get() && !delivery.is_over.get() {
            let decided = self.deliveries.decided.notified();
            let decided_until = self.deliveries.decided_until.get();
            if gathered.next < decided_until && gathered.bytes < TRANSACTION_BYTES {
                self.gather(delivery, &mut gathered).await?;
                continue;
            }
            let Some((last, _)) = gathered.epochs.last().copied() else {
                delivery.until.set(gathered.boundary);
                delivery.is_well();
                // Elapsed or notified: both mean looking again.
                let _ = runtime::timeout(LOOK_AGAIN, decided).await;
                continue;
            };
            delivery.attempted.set(Some(last));
            let batches = std::mem::take(&mut gathered.batches);
            delivery.writer.write(last, batches).await?;
            delivery.attempted.set(None);
            let before = delivery.written.replace(Some(last));
            self.note_written(delivery, before);
            delivery.is_well();
            delivery.until.set(gathered.boundary);
            for (epoch, bytes) in std::mem::take(&mut gathered.epochs) {
                delivery.settle_epoch(epoch, bytes);
            }
            gathered.bytes = 0;
            self.progressed.notify_all();
        }
        Ok(())
    }

    /// What it has written is in the next checkpoint also when nothing else changes: where the cluster forgets, nobody else
    /// knows it.
    fn note_written(&self, delivery: &Delivery, before: Option<u64>) {
        if delivery.written.get() != before {
            self.deliveries.have_moved.set(true);
        }
    }

    async fn gather(&self, delivery: &Delivery, gathered: &mut Gathered) -> Result<(), WriteError> {
        let topic = self.log.topic(OUTBOX_TOPIC);
        let topic = topic.ok_or_else(|| WriteError::Passing("there is no outbox".to_owned()))?;
        let partition = PartitionKey {
            topic: topic.id,
            partition: PartitionIndex(0),
        };
        let read = self.log.batches(partition, gathered.next, READ_BYTES).await;
        let (from, bytes) = match read {
            Ok(read) => read,
            Err(error @ LogError::Trimmed { .. }) => {
                return Err(WriteError::Refused(format!("the outbox: {error}")));
            }
            Err(error) => return Err(WriteError::Passing(format!("the outbox: {error}"))),
        };
        if from > gathered.next && gathered.next > Offset::ZERO {
            let next = gathered.next;
            return Err(WriteError::Refused(format!(
                "the outbox begins at {from}, and what stood at {next} was not written"
            )));
        }
        if bytes.is_empty() && from == gathered.next {
            let why = "the outbox cannot be read to its end yet".to_owned();
            return Err(WriteError::Passing(why));
        }
        if bytes.is_empty() {
            // What stood before was needed no more at the last checkpoint.
            (gathered.next, gathered.boundary) = (from, from);
            return Ok(());
        }
        let read = gathered.assembly.read(&bytes, from);
        gathered.next =
            read.map_err(|error| WriteError::Refused(format!("the outbox: {error}")))?;
        delivery.gather(gathered, self.planted.ignore_marks)
    }
}
