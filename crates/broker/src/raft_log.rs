//! A log behind consensus: one replica of a raft group, its entries and state on disk, and who waits for commits.
//!
//! # Place
//! One per log (partitions, the metadata log), on the shard that owns it. `raft::Replica` decides; this carries out what it
//! asks for on `storage::Log` and tells it what lasts. A node of one has groups of one voter, on the same path.
//!
//! # Invariants
//! 1. A payload is staged in the log before the core hears of it, so nothing is counted or acknowledged that is not there.
//! 2. The core's requests to storage are carried out in their order (`requests`), and the log's positions stay those that
//!    the core knows: the leader appends only while no request waits.
//! 3. The core hears that something lasts from the log's own report, under its log epoch, and of a state when the journal
//!    has it. Nobody leads, or is told "committed", by any other way.
//! 4. A configuration is durable in the state before its entry is staged.
//!
//! # Cost
//! Per batch of a leader: the core's proposal. Per log and journal write: one call of the core. Nothing is kept per entry:
//! the log turns indexes into offsets. A start writes one state per log, all in one or two journal writes.
//!
//! # Yields
//! Only the task that carries out requests which cannot be met at once: truncation, a journal without room, configurations.
//!
//! # Limits
//! What is staged and not yet durable is bounded by the home's cache; a group with other members by raft's `Settings`, of
//! which whoever carries messages takes the outbox in each loop turn. A group of one sends none.
//!
//! # Crash
//! `open` gives the core what the log and its state say; a single voter then leads in a new term, all others wait. While
//! nobody leads, how far the log is committed is not known, and nothing of it is served.

mod messages;
mod requests;
mod state;
mod waiting;

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::{Rc, Weak},
};

use base::{LeaderEpoch, LogEpoch, Offset, RaftIndex, TimestampMs};
use raft::{
    Configuration, Effect, Effects, LogPosition, Payload, ProposeError, ReconfigureError, Replica,
    ReplicaId, Restored, Role,
};
use runtime::sync::Notify;
use storage::{AppendError, Corrupt, Durable, Entry, Log, LogStart};

use messages::Payloads;
use requests::Requests;
use waiting::{Waiters, Watchers};

pub use messages::{Incoming, IncomingError, Outgoing};
pub use state::{Placed, SavedState, StateError};

/// Who a replica is in a group that is new to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Founding {
    pub replica: ReplicaId,
    /// Of the whole group, the same on all its first members; empty on a member that is added later.
    pub configuration: Configuration,
}

impl Founding {
    /// A group of one.
    #[must_use]
    pub fn alone() -> Self {
        let replica = ReplicaId(1);
        let alone = Configuration::new(&[replica], &[]);
        Self {
            replica,
            configuration: alone.expect("one member"),
        }
    }
}

/// How far a log is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub index: RaftIndex,
    /// The first offset that is not committed: Kafka's high watermark.
    pub next_offset: Offset,
}

/// Where an entry went: committed once `wait_committed` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposed {
    pub base_offset: Offset,
    pub next_offset: Offset,
    pub index: RaftIndex,
    pub leader_epoch: LeaderEpoch,
}

/// Why an entry was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RaftAppendError {
    #[error("this replica does not lead the partition")]
    NotLeader,
    #[error("{0}")]
    Log(#[from] AppendError),
}

impl From<ProposeError> for RaftAppendError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader { .. } => Self::NotLeader,
            // Whoever appends waits for room, as with a log that has none.
            ProposeError::Transferring | ProposeError::Full => Self::Log(AppendError::Busy),
        }
    }
}

/// What the core asks for, of all the groups of a shard in turn; empty between events.
#[derive(Default)]
struct ShardEffects(RefCell<Effects>);

impl ShardEffects {
    fn of_this_shard() -> Rc<Self> {
        runtime::local().unwrap_or_else(|| {
            let effects = Rc::new(Self::default());
            runtime::set_local(effects.clone());
            effects
        })
    }
}

/// Called with each new role.
type OnRole = Box<dyn Fn(Role)>;

/// See the module head. In the order of their use, as `storage`'s logs and `raft`'s replicas: what each batch needs first.
#[repr(C)]
pub struct RaftLog {
    log: Rc<Log>,
    effects: Rc<ShardEffects>,
    committed: Cell<Committed>,
    /// The term in which this replica leads, as far as the node was told.
    leads: Cell<Option<LeaderEpoch>>,
    is_closed: Cell<bool>,
    /// A flush of what was proposed is about to come.
    flush_queued: Cell<bool>,
    waiters: Waiters,
    watchers: Watchers,
    requests: Requests,
    core: RefCell<Replica>,
    this: Weak<RaftLog>,
    on_role: RefCell<Option<OnRole>>,
    /// Another role or term, or the end.
    changed: Notify,
    /// Those that may be on disk, in the state or with their entries.
    configurations: RefCell<Vec<Placed>>,
    /// Where the log begins by the snapshot in hand.
    snapshot_start: Cell<LogStart>,
    outbox: RefCell<Vec<Outgoing>>,
}

impl RaftLog {
    /// Takes over an open log; `founding` counts where nothing was ever kept in it. A single voter stands for election at
    /// once: `wait_to_lead`. A log that was refused, or is now because its state makes no sense, gives a closed replica.
    pub fn open(log: Rc<Log>, founding: &Founding, settings: raft::Settings) -> Rc<Self> {
        let start = log.start();
        let resumed = resume(&log, founding, settings);
        if let Err(error) = &resumed
            && log.quarantined().is_none()
        {
            log.quarantine(Corrupt {
                file: format!("the state of log {}", log.key()),
                at: 0,
                expected: "the state of a raft replica".to_owned(),
                found: error.to_string(),
            });
        }
        let (core, saved) = resumed.unwrap_or_else(|_| nobody(founding, settings));
        let committed = Committed {
            index: core.commit_index(),
            next_offset: start.offset,
        };
        let raft_log = Rc::new_cyclic(|this: &Weak<Self>| Self {
            this: this.clone(),
            core: RefCell::new(core),
            effects: ShardEffects::of_this_shard(),
            committed: Cell::new(committed),
            leads: Cell::new(None),
            waiters: Waiters::default(),
            watchers: Watchers::default(),
            changed: Notify::new(),
            requests: Requests::default(),
            configurations: RefCell::new(saved.configurations),
            snapshot_start: Cell::default(),
            outbox: RefCell::default(),
            flush_queued: Cell::new(false),
            is_closed: Cell::new(log.quarantined().is_some()),
            on_role: RefCell::default(),
            log,
        });
        raft_log.listen();
        // The first flush asks for the vote of a single voter.
        raft_log.step(|_, _| ());
        raft_log
    }

    /// The log reports to this, and lets go of it with its last report.
    fn listen(&self) {
        let told = self.this.clone();
        self.log.on_durable(Rc::new(move |durable| {
            if let Some(raft_log) = told.upgrade() {
                raft_log.report(durable);
            }
        }));
        let told = self.this.clone();
        self.log.on_refused(Box::new(move || {
            if let Some(raft_log) = told.upgrade() {
                raft_log.close();
            }
        }));
    }

    #[must_use]
    pub fn log(&self) -> &Rc<Log> {
        &self.log
    }

    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.core.borrow().id()
    }

    /// Kafka's leader epoch.
    #[must_use]
    pub fn term(&self) -> LeaderEpoch {
        self.core.borrow().term()
    }

    #[must_use]
    pub fn is_leader(&self) -> bool {
        !self.is_closed.get() && self.leads.get().is_some()
    }

    #[must_use]
    pub fn committed(&self) -> Committed {
        self.committed.get()
    }

    /// What `read` gives of the core.
    pub fn with_core<R>(&self, read: impl FnOnce(&Replica) -> R) -> R {
        read(&self.core.borrow())
    }

    /// Returns when this replica leads, or `false` when it is closed. Others than single voters may never lead.
    pub async fn wait_to_lead(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            if self.is_closed.get() {
                return false;
            }
            if self.is_leader() {
                return true;
            }
            changed.await;
        }
    }

    /// Wakes `watcher` once, at the next move of the high watermark or end of the lead, while somebody still holds it.
    pub fn wake_once(&self, watcher: &Rc<Notify>) {
        self.watchers.add(watcher);
    }

    /// Told of each change of role from now on.
    pub fn on_role(&self, callback: OnRole) {
        self.on_role.replace(Some(callback));
    }

    /// Why nothing is appended or read here any more.
    #[must_use]
    pub fn refusal(&self) -> Option<AppendError> {
        self.is_closed.get().then(|| match self.log.quarantined() {
            Some(corrupt) => AppendError::Quarantined(corrupt),
            None => AppendError::Closed,
        })
    }

    /// Appends a batch on the leader: its place is decided when this returns.
    pub fn append(&self, entry: Batch<'_>) -> Result<Proposed, RaftAppendError> {
        self.append_with(entry, Log::append)
    }

    /// As `append`, also while the disk is nearly full: for what frees space.
    pub fn append_from_reserve(&self, entry: Batch<'_>) -> Result<Proposed, RaftAppendError> {
        self.append_with(entry, Log::append_from_reserve)
    }

    fn append_with(
        &self,
        batch: Batch<'_>,
        append: impl FnOnce(&Log, Entry<'_>) -> Result<storage::Appended, AppendError>,
    ) -> Result<Proposed, RaftAppendError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal.into());
        }
        let mut core = self.core.borrow_mut();
        core.may_propose()?;
        if !self.requests.is_empty() {
            return Err(AppendError::Busy.into());
        }
        let leader_epoch = core.term();
        let entry = Entry {
            kind: storage::EntryKind::Records,
            leader_epoch,
            batch: batch.bytes,
            record_count: batch.record_count,
            max_timestamp: batch.max_timestamp,
        };
        let appended = append(&self.log, entry)?;
        let payload = Payload {
            bytes: u32::try_from(batch.bytes.len()).expect("a batch is far smaller than 4 GiB"),
            checksum: appended.checksum,
        };
        let proposed = core.propose_staged(payload);
        assert_eq!(
            proposed.index, appended.index,
            "log and core agree on places"
        );
        if core.has_peers() {
            self.flush_soon();
        }
        Ok(Proposed {
            base_offset: appended.base_offset,
            next_offset: appended.next_offset,
            index: appended.index,
            leader_epoch,
        })
    }

    /// `true` when the entry proposed in that term is committed; `false` when leadership or the log was lost before, and
    /// it may or may not be some day.
    pub fn wait_committed(
        &self,
        leader_epoch: LeaderEpoch,
        index: RaftIndex,
    ) -> impl Future<Output = bool> + 'static {
        let leads = self.leads.get() == Some(leader_epoch);
        let is_decided = self.committed.get().index >= index;
        // What was trimmed meanwhile was committed before, by the leader who asks.
        let is_its_term = |term| term == leader_epoch;
        let is_there =
            is_decided && (leads || self.core.borrow().term_at(index).is_none_or(is_its_term));
        let may_come = !is_decided && leads && !self.is_closed.get();
        let waits = may_come.then(|| self.waiters.wait(index));
        async move {
            match waits {
                None => is_there,
                Some(waits) => waits.await.unwrap_or(false),
            }
        }
    }

    /// `true` when everything that stands in the log now is committed; `false` as `wait_committed`.
    pub async fn wait_all_committed(&self) -> bool {
        let last = RaftIndex(self.log.next_index().0 - 1);
        if self.committed.get().index >= last {
            return true;
        }
        if !self.is_leader() {
            return false;
        }
        self.waiters.wait(last).await.unwrap_or(false)
    }

    /// Changes who belongs to the group.
    pub fn reconfigure(&self, target: &Configuration) -> Result<RaftIndex, ReconfigureError> {
        let begun = self.step(|core, out| core.reconfigure(target, out));
        begun.unwrap_or(Err(ReconfigureError::NotLeader { leader: None }))
    }

    /// `Log::trim`; the core hears of it.
    pub async fn trim(&self, log_start_offset: Offset) -> Result<Offset, AppendError> {
        let trimmed = self.log.trim(log_start_offset).await;
        self.note_start();
        trimmed
    }

    /// `Log::apply_retention`; the core hears of it.
    pub async fn apply_retention(&self, now: TimestampMs) -> Result<usize, AppendError> {
        let removed = self.log.apply_retention(now).await;
        self.note_start();
        removed
    }

    /// The log may begin later than the core knows.
    fn note_start(&self) {
        self.core.borrow_mut().trim(self.log.start().index);
    }

    /// One tick of the node's clock, for a group that is awake.
    pub fn tick(&self) {
        self.step(Replica::tick);
    }

    /// The node's word on another replica's node.
    pub fn on_liveness(&self, id: ReplicaId, is_alive: bool) {
        self.step(|core, _| core.on_liveness(id, is_alive));
    }

    /// Nothing is appended or committed here any more; whoever waits is told so.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.waiters.fail();
        self.watchers.wake();
        self.changed.notify_all();
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    fn report(&self, durable: Durable) {
        let Durable {
            log_epoch,
            next_index,
            ..
        } = durable;
        self.step(|core, _| core.on_durable(log_epoch, RaftIndex(next_index.0 - 1)));
    }

    /// Hands an event to the core, and carries out what follows. A closed replica takes no part in anything.
    fn step<R>(&self, act: impl FnOnce(&mut Replica, &mut Effects) -> R) -> Option<R> {
        self.step_with(act, Payloads::NONE)
    }

    /// As `step`, with the payloads of the entries that the event brings.
    fn step_with<R>(
        &self,
        act: impl FnOnce(&mut Replica, &mut Effects) -> R,
        payloads: Payloads<'_>,
    ) -> Option<R> {
        if self.is_closed.get() {
            return None;
        }
        let mut effects = self.effects.0.take();
        let result = {
            let mut core = self.core.borrow_mut();
            let result = act(&mut core, &mut effects);
            core.flush(&mut effects);
            result
        };
        for effect in &effects.list {
            if self.is_closed.get() {
                break;
            }
            self.carry_out(effect, &effects, payloads);
        }
        effects.clear();
        self.effects.0.replace(effects);
        Some(result)
    }

    fn carry_out(&self, effect: &Effect, effects: &Effects, payloads: Payloads<'_>) {
        match *effect {
            Effect::Send(message) => self.send(message, effects),
            Effect::SaveHardState(hard) => self.save(hard),
            Effect::Append {
                first,
                entries,
                configurations,
                ..
            } => self.store(
                first,
                effects.entries(entries),
                effects.configurations(configurations),
                payloads,
            ),
            Effect::Truncate { from, .. } => self.truncate(from),
            Effect::Reset {
                at, configurations, ..
            } => self.reset(at, effects.configurations(configurations)),
            Effect::ReadEntries {
                to,
                term,
                from,
                entries_max,
                bytes_max,
            } => self.read_for(to, term, from, entries_max, bytes_max),
            Effect::Committed(_) => self.settle(),
            Effect::Role { role, term, .. } => self.take_role(role, term),
            Effect::Configuration { .. } => {}
            Effect::ReadReady { .. } | Effect::ReadFailed { .. } => {
                unreachable!("nobody begins a read with the core")
            }
            Effect::Contradiction { index } => {
                tracing::error!(partition = %self.log.key(), index = index.0, "the leader's log contradicts what is committed here: this replica is fenced");
                self.close();
            }
        }
    }

    fn take_role(&self, role: Role, term: LeaderEpoch) {
        let leads = role == Role::Leader;
        self.leads.set(leads.then_some(term));
        if !leads {
            self.waiters.fail();
        }
        if let Some(callback) = &*self.on_role.borrow() {
            callback(role);
        }
        if !leads {
            self.watchers.wake();
        }
        self.changed.notify_all();
    }

    /// Takes note of what the core has committed, as far as the log holds it: a follower may hear of entries that wait to
    /// be staged, or that will stand where the log still has what is about to be truncated.
    fn settle(&self) {
        let index = self
            .core
            .borrow()
            .commit_index()
            .min(self.requests.held(&self.log));
        let before = self.committed.get();
        if index <= before.index {
            return;
        }
        // A log may begin, by what clients see, behind the first entry that it holds.
        let next_offset = self.log.set_committed(index.next()).max(before.next_offset);
        self.committed.set(Committed { index, next_offset });
        // Entries without offsets move nothing that anybody watches.
        if next_offset > before.next_offset {
            self.watchers.wake();
        }
        self.waiters.reached(index);
    }

    /// The log begins anew behind `start`.
    fn restart_at(&self, start: LogStart) {
        self.committed.set(Committed {
            index: self.committed.get().index.max(start.index),
            next_offset: start.offset,
        });
        self.watchers.wake();
    }

    /// Once per loop turn in which something was proposed: others are sent to.
    fn flush_soon(&self) {
        if self.flush_queued.replace(true) {
            return;
        }
        let this = self.this.clone();
        runtime::spawn(runtime::Class::Produce, "raft flush", async move {
            if let Some(raft_log) = this.upgrade() {
                raft_log.flush_queued.set(false);
                raft_log.step(|_, _| ());
            }
        });
    }
}

/// A batch to append, as `storage::Entry` without what the leader decides.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub bytes: &'a [u8],
    pub record_count: u32,
    pub max_timestamp: TimestampMs,
}

/// A replica that takes no part: its log was refused.
fn nobody(founding: &Founding, settings: raft::Settings) -> (Replica, SavedState) {
    let saved = SavedState::founding(&Founding {
        configuration: Configuration::default(),
        ..*founding
    });
    let found = Restored {
        hard_state: saved.hard,
        start: LogPosition::default(),
        configurations: &[],
        terms: &[],
        last: RaftIndex::ZERO,
        log_epoch: LogEpoch(0),
        commit_index: RaftIndex::ZERO,
    };
    (Replica::new(saved.replica, 0, settings, &found), saved)
}

/// What the log and its state say.
fn resume(
    log: &Log,
    founding: &Founding,
    settings: raft::Settings,
) -> Result<(Replica, SavedState), StateError> {
    let saved = match log.state() {
        Some(bytes) => SavedState::decode(&bytes)?,
        None if log.next_index().0 == 1 => SavedState::founding(founding),
        None => return Err(StateError::Missing),
    };
    let start = log.start();
    let start = LogPosition {
        term: start.leader_epoch,
        index: start.index,
    };
    let last = RaftIndex(log.next_index().0 - 1);
    let runs: Vec<_> = log
        .leader_epochs()
        .into_iter()
        .map(|(term, first, _)| (term, first))
        .collect();
    let term_at = |index: RaftIndex| {
        let after = runs.partition_point(|(_, first)| *first <= index);
        let run = after.checked_sub(1).map(|at| runs[at].0);
        run.filter(|_| index <= last)
    };
    let configurations = state::in_log(&saved.configurations, start, term_at);
    // Differs from group to group, and is the same on every member.
    let key = log.key();
    let jitter = key
        .topic
        .0
        .iter()
        .fold(u64::from(key.partition.0.unsigned_abs()), |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
    let found = Restored {
        hard_state: saved.hard,
        start,
        configurations: &configurations,
        terms: &runs,
        last,
        log_epoch: log.log_epoch(),
        commit_index: start.index,
    };
    match found.is_well_formed() {
        true => Ok((Replica::new(saved.replica, jitter, settings, &found), saved)),
        false => Err(StateError::Contradiction),
    }
}
