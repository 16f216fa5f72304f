//! One partition of the offsets topic at work: its group table, who waits for it, its clock.
//!
//! # Place
//! On the shard that owns the partition, from its opening to its deletion or the node's stop. Three tasks: loading and
//! then the timer, and the writer.
//!
//! # Invariants
//! 1. No borrow of the table lives across an await: an event is carried out whole.
//! 2. Writes go to the log in the order the table asked for them, and their outcomes come back in that order.
//! 3. Every ticket in `waiting` is answered, or its sender dropped at `close`, which the waiter reads as NotCoordinator.
//!
//! # Crash
//! The table is what a replay of the log gives; nothing is answered before it is committed (`write`).

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use base::TopicName;
use runtime::{
    Class, Instant,
    sync::{Notify, first, oneshot},
};

use super::{CoordinatorSettings, load, write::SnapshotProgress};
use crate::{
    group::{
        Answer, Effects, GroupError, GroupTable, Join, JoinRefused, Joined, Listed, Moment, Sync,
        Synced, Ticket, Write,
    },
    partition::Partition,
};

/// Groups per step of a walk over all of them, or of the timer: some 100 µs of work.
pub(super) const GROUPS_PER_STEP: usize = 64;

/// How long `stop` waits for writes under way.
const STOP_WAIT: Duration = Duration::from_secs(2);

pub(super) enum State {
    Loading,
    Serving(GroupTable),
    /// The log cannot be read or says what we do not understand.
    Unreadable,
}

/// See the module head.
pub(crate) struct OffsetsPartition {
    pub(super) partition: Rc<Partition>,
    pub(super) state: RefCell<State>,
    waiting: RefCell<BTreeMap<Ticket, oneshot::Sender<Answer>>>,
    next_ticket: Cell<u64>,
    pub(super) queue: RefCell<VecDeque<Write>>,
    pub(super) queued: Notify,
    /// Writes queued or on their way to the disk.
    pub(super) writes_open: Cell<usize>,
    pub(super) write_done: Notify,
    pub(super) snapshot: RefCell<SnapshotProgress>,
    /// What the timer sleeps until; an earlier deadline wakes it.
    armed_ms: Cell<u64>,
    timer_changed: Notify,
    is_closed: Cell<bool>,
}

pub(super) fn moment() -> Moment {
    Moment {
        at_ms: runtime::now().0 / 1_000_000,
        wall: runtime::wall(),
    }
}

impl OffsetsPartition {
    pub fn start(partition: Rc<Partition>, settings: &CoordinatorSettings) -> Rc<Self> {
        let this = Rc::new(Self {
            partition,
            state: RefCell::new(State::Loading),
            waiting: RefCell::default(),
            next_ticket: Cell::new(0),
            queue: RefCell::default(),
            queued: Notify::new(),
            writes_open: Cell::new(0),
            write_done: Notify::new(),
            snapshot: RefCell::default(),
            armed_ms: Cell::new(0),
            timer_changed: Notify::new(),
            is_closed: Cell::new(false),
        });
        let (loading, settings) = (this.clone(), settings.clone());
        runtime::spawn(Class::Background, "group load", async move {
            loading.load(settings).await;
        });
        this
    }

    async fn load(self: Rc<Self>, settings: CoordinatorSettings) {
        let loaded = load::replay(&self.partition, settings.group).await;
        if self.is_closed() {
            return;
        }
        match loaded {
            Ok((table, effects)) => {
                self.state.replace(State::Serving(table));
                self.carry_out(effects);
            }
            Err(error) => {
                tracing::error!(partition = %self.partition.key(), %error, "the groups of this partition cannot be loaded");
                self.state.replace(State::Unreadable);
                return;
            }
        }
        let writing = self.clone();
        runtime::spawn(Class::Produce, "group writer", async move {
            writing.write_all().await
        });
        runtime::spawn(
            Class::Produce,
            "group timer",
            self.keep_time(settings.sweep_interval),
        );
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Hands an event to the table and carries out what follows.
    pub fn event<R>(
        &self,
        act: impl FnOnce(&mut GroupTable, Moment, &mut Effects) -> R,
    ) -> Result<R, GroupError> {
        if self.is_closed() {
            return Err(GroupError::NotCoordinator);
        }
        let mut effects = Effects::default();
        let (result, wake_ms) = {
            let mut state = self.state.borrow_mut();
            let table = serving(&mut state)?;
            let result = act(table, moment(), &mut effects);
            (result, table.next_wake_ms())
        };
        self.carry_out(effects);
        if wake_ms.is_some_and(|wake| wake < self.armed_ms.get()) {
            self.timer_changed.notify_all();
        }
        Ok(result)
    }

    /// Reads the table.
    pub fn read<R>(&self, act: impl FnOnce(&GroupTable) -> R) -> Result<R, GroupError> {
        let mut state = self.state.borrow_mut();
        serving(&mut state).map(|table| act(table))
    }

    pub fn list(&self) -> Result<Vec<Listed>, GroupError> {
        self.read(GroupTable::list)
    }

    pub(super) fn carry_out(&self, effects: Effects) {
        for (ticket, answer) in effects.answers {
            let waiting = self.waiting.borrow_mut().remove(&ticket);
            if let Some(waiting) = waiting {
                waiting.send(answer);
            }
        }
        if !effects.writes.is_empty() {
            let count = effects.writes.len();
            self.writes_open.set(self.writes_open.get() + count);
            self.queue.borrow_mut().extend(effects.writes);
            self.queued.notify_one();
        }
    }

    /// Hands an event with a ticket to the table and waits for the ticket's answer. What `act` gives comes along.
    pub async fn ask<R>(
        &self,
        act: impl FnOnce(&mut GroupTable, Moment, Ticket, &mut Effects) -> R,
    ) -> Result<(R, Answer), GroupError> {
        let ticket = Ticket(self.next_ticket.get());
        self.next_ticket.set(ticket.0 + 1);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(ticket, sender);
        let result = self.event(|table, now, fx| act(table, now, ticket, fx));
        if result.is_err() {
            self.waiting.borrow_mut().remove(&ticket);
        }
        let result = result?;
        let answer = receiver.await.ok_or(GroupError::NotCoordinator)?;
        Ok((result, answer))
    }

    pub async fn join(&self, join: Join) -> Result<Result<Joined, JoinRefused>, GroupError> {
        let asked = self.ask(|table, now, ticket, fx| table.on_join(now, ticket, &join, fx));
        match asked.await? {
            ((), Answer::Join(outcome)) => Ok(outcome),
            ((), Answer::Sync(_) | Answer::Written(_)) => Err(GroupError::NotAvailable),
        }
    }

    pub async fn sync(&self, sync: Sync) -> Result<Synced, GroupError> {
        let asked = self.ask(|table, now, ticket, fx| table.on_sync(now, ticket, sync, fx));
        match asked.await? {
            ((), Answer::Sync(outcome)) => outcome,
            ((), Answer::Join(_) | Answer::Written(_)) => Err(GroupError::NotAvailable),
        }
    }

    /// Waits until a commit or deletion is committed to the log.
    pub async fn written(
        &self,
        act: impl FnOnce(&mut GroupTable, Moment, Ticket, &mut Effects),
    ) -> Result<(), GroupError> {
        match self.ask(act).await? {
            ((), Answer::Written(outcome)) => outcome,
            ((), Answer::Join(_) | Answer::Sync(_)) => Err(GroupError::NotAvailable),
        }
    }

    async fn keep_time(self: Rc<Self>, sweep_interval: Duration) {
        let mut sweep_at = runtime::now().plus(sweep_interval);
        while !self.is_closed() {
            let changed = self.timer_changed.notified();
            let wake_ms = self.read(GroupTable::next_wake_ms).ok().flatten();
            let wake = wake_ms.map_or(sweep_at, |ms| Instant(ms.saturating_mul(1_000_000)));
            let wake = wake.min(sweep_at);
            self.armed_ms.set(wake.0 / 1_000_000);
            if first(runtime::sleep_until(wake), changed).await.is_none() {
                continue;
            }
            let _ = self.event(|table, now, fx| table.on_tick(now, GROUPS_PER_STEP, fx));
            if runtime::now() >= sweep_at {
                self.sweep().await;
                sweep_at = runtime::now().plus(sweep_interval);
            }
            // More may be due than one step takes.
            runtime::yield_now().await;
        }
    }

    async fn sweep(&self) {
        let mut after = None;
        loop {
            let step = self
                .event(|table, now, fx| table.on_sweep(now, after.as_ref(), GROUPS_PER_STEP, fx));
            match step {
                Ok(Some(last)) => after = Some(last),
                Ok(None) | Err(_) => return,
            }
            runtime::yield_now().await;
        }
    }

    /// Forgets the offsets of a topic that was deleted.
    pub async fn forget_topic(&self, topic: &TopicName) {
        let mut after = None;
        loop {
            let step = self.event(|table, now, fx| {
                table.on_topic_deleted(now, topic, after.as_ref(), GROUPS_PER_STEP, fx)
            });
            match step {
                Ok(Some(last)) => after = Some(last),
                Ok(None) | Err(_) => return,
            }
            runtime::yield_now().await;
        }
    }

    /// Lets writes under way end, for a while, then closes.
    pub async fn stop(&self) {
        let drained = async {
            loop {
                let done = self.write_done.notified();
                if self.writes_open.get() == 0 {
                    break;
                }
                done.await;
            }
        };
        // What is not durable by then was never acknowledged.
        let _ = runtime::timeout(STOP_WAIT, drained).await;
        self.close();
    }

    /// Answers nobody any more; the tasks end.
    pub fn close(&self) {
        self.is_closed.set(true);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        drop(waiting);
        self.timer_changed.notify_all();
        self.queued.notify_one();
    }
}

fn serving(state: &mut State) -> Result<&mut GroupTable, GroupError> {
    match state {
        State::Loading => Err(GroupError::LoadInProgress),
        State::Unreadable => Err(GroupError::NotAvailable),
        State::Serving(table) => Ok(table),
    }
}
