//! State of the log's owner: a few bytes that are replaced as a whole and must outlast a crash.
//!
//! # Invariants
//! 1. After a crash the state is the last one whose save resolved, or one asked for later: states are staged in the order
//!    of their calls, the journal is replayed in order, and the manifest's record has it before a ring file with the
//!    only copy is written over. Held by the simulator's log checker.
//!
//! # Layout
//! A frame of its own kind in the journal (`docs/formats/frame.md`), then a field of the log's record in the manifest.
//!
//! # Limits
//! `STATE_BYTES_MAX` each. Saves that find no room in the journal wait for some; of those of one log only the newest does.
use std::{collections::VecDeque, future::Future, rc::Rc};

use base::{LeaderEpoch, Offset, RaftIndex};
use runtime::{Class, sync::oneshot};

use crate::{
    AppendError, Log,
    frame::{BATCH_PREFIX_BYTES, FrameHeader, FrameKind, empty_batch},
    home::Home,
    journal::Touched,
    log::LogState,
    manifest::edit::SavedState,
};

/// So large may a state be: it is written again with each change of the log's record.
pub const STATE_BYTES_MAX: usize = 32 << 10;

/// Until when to wait for room before the next try, should nobody tell of it.
const ROOM_WAIT: std::time::Duration = std::time::Duration::from_millis(10);

type Done = oneshot::Sender<Result<(), AppendError>>;

/// What a log knows of its owner's states. Numbers count the calls.
pub(crate) struct OwnerState {
    asked: u64,
    /// Waits for room in the journal, with its number.
    wanted: Option<(u64, Rc<[u8]>)>,
    /// In commits that do not last yet, by number.
    staged: VecDeque<(u64, SavedState)>,
    durable: Option<SavedState>,
    waiters: VecDeque<(u64, Done)>,
}

impl OwnerState {
    pub(crate) fn new(durable: Option<SavedState>) -> Self {
        Self {
            asked: 0,
            wanted: None,
            staged: VecDeque::new(),
            durable,
            waiters: VecDeque::new(),
        }
    }

    /// The newest that lasts.
    pub(crate) fn lasting(&self) -> Option<SavedState> {
        self.durable.clone()
    }
}

impl Log {
    /// Replaces the state of the log's owner. It is staged now, or as soon as the journal has room, and lasts when the
    /// future resolves; a later call replaces it, also while it waits. Works on a full disk.
    pub fn save_state(
        &self,
        bytes: &[u8],
    ) -> impl Future<Output = Result<(), AppendError>> + 'static {
        let waits = self.begin_save(bytes);
        async move {
            match waits?.await {
                Some(outcome) => outcome,
                None => Err(AppendError::Closed),
            }
        }
    }

    fn begin_save(
        &self,
        bytes: &[u8],
    ) -> Result<oneshot::Receiver<Result<(), AppendError>>, AppendError> {
        self.check_writable()?;
        if bytes.len() > STATE_BYTES_MAX {
            return Err(AppendError::TooLarge {
                bytes: bytes.len(),
                bytes_max: STATE_BYTES_MAX,
            });
        }
        let (done, waits) = oneshot::channel();
        let mut state = self.state.borrow_mut();
        state.owner.asked += 1;
        let number = state.owner.asked;
        state.owner.waiters.push_back((number, done));
        let was_waiting = state.owner.wanted.replace((number, bytes.into())).is_some();
        if !self.stage_wanted(&mut state) && !was_waiting {
            drop(state);
            self.wait_for_room();
        }
        Ok(waits)
    }

    /// The newest state that lasts: what recovery found, or what was saved since.
    #[must_use]
    pub fn state(&self) -> Option<Rc<[u8]>> {
        let state = self.state.borrow();
        Some(Rc::clone(&state.owner.durable.as_ref()?.bytes))
    }

    /// False when the journal has no room for the state that waits.
    fn stage_wanted(&self, state: &mut LogState) -> bool {
        let Some((number, bytes)) = state.owner.wanted.take() else {
            return true;
        };
        let batch = empty_batch(&bytes);
        let header = FrameHeader {
            kind: FrameKind::State,
            follows_direct: false,
            follows_state: false,
            log_id: self.log_id,
            log_epoch: state.log_epoch,
            record_count: 0,
            raft_index: RaftIndex(0),
            body_bytes: u32::try_from(batch.len()).expect("bounded by the caller"),
            base_offset: Offset(0),
            leader_epoch: LeaderEpoch(-1),
        };
        let front = header.encode(&batch);
        let touched = Touched {
            log: self.this.clone(),
            log_epoch: state.log_epoch,
            next_index: state.next_index,
        };
        let parts = [&front[..], &batch[BATCH_PREFIX_BYTES..]];
        let Some((_, sequence)) = self.home.journal.stage(parts, &mut state.member, touched) else {
            state.owner.wanted = Some((number, bytes));
            return false;
        };
        state.follows_state = true;
        let staged = SavedState { sequence, bytes };
        state.owner.staged.push_back((number, staged));
        state.has_staged_states = true;
        true
    }

    fn wait_for_room(&self) {
        let home = &self.home;
        home.waiting_states
            .borrow_mut()
            .push_back(self.this.clone());
        if !home.staging_states.replace(true) {
            let staging = stage_waiting(Rc::clone(home));
            runtime::spawn(Class::Produce, "states", staging);
        }
    }

    /// A journal commit lasts: so do the states in it.
    pub(crate) fn settle_states(&self, durable_sequence: u64) {
        let mut settled = Vec::new();
        {
            let mut state = self.state.borrow_mut();
            if !state.has_staged_states {
                return;
            }
            let state: &mut LogState = &mut state;
            let owner = &mut state.owner;
            while let Some((number, staged)) = owner.staged.front()
                && staged.sequence <= durable_sequence
            {
                let number = *number;
                owner.durable = owner.staged.pop_front().map(|(_, staged)| staged);
                state.record_stale |= !self.home.config.planted.forget_state_at_ring_reuse;
                while let Some((asked, _)) = owner.waiters.front()
                    && *asked <= number
                {
                    settled.extend(owner.waiters.pop_front());
                }
            }
            state.has_staged_states = !owner.staged.is_empty();
        }
        for (_, done) in settled {
            done.send(Ok(()));
        }
    }

    /// Tells all that wait for a save that it will not happen.
    pub(crate) fn fail_states(&self) {
        let failed = {
            let mut state = self.state.borrow_mut();
            state.owner.wanted = None;
            std::mem::take(&mut state.owner.waiters)
        };
        if failed.is_empty() {
            return;
        }
        let error = self.check_writable().err().unwrap_or(AppendError::Closed);
        for (_, done) in failed {
            done.send(Err(error.clone()));
        }
    }

    /// Recovery found this state in the journal, behind all that were found before.
    pub(crate) fn recovered_state(&self, saved: SavedState) {
        let mut state = self.state.borrow_mut();
        let known = state.owner.durable.as_ref();
        if known.is_none_or(|known| known.sequence <= saved.sequence && *known != saved) {
            state.owner.durable = Some(saved);
            state.record_stale = true;
        }
    }
}

/// Stages the states that found no room, in turn, until none waits.
pub(crate) async fn stage_waiting(home: Rc<Home>) {
    loop {
        let log = home.waiting_states.borrow_mut().pop_front();
        let Some(log) = log else {
            home.staging_states.set(false);
            return;
        };
        while let Some(log) = log.upgrade() {
            let is_over = log.check_writable().is_err();
            if is_over || log.stage_wanted(&mut log.state.borrow_mut()) {
                break;
            }
            drop(log);
            home.flush.consider(&home);
            let _ = runtime::timeout(ROOM_WAIT, home.room.notified()).await;
        }
        if runtime::should_yield() {
            runtime::yield_now().await;
        }
    }
}
