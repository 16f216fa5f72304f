//! One group in one process, with disks and a network that take no time: what the core itself costs.

use base::{LogEpoch, RaftIndex};
use raft::{
    Configuration, Effect, Effects, HardState, LogPosition, Message, Replica, ReplicaId, Restored,
    Settings,
};

pub struct Group {
    pub replicas: Vec<Replica>,
    effects: Vec<Effects>,
    dirty: Vec<bool>,
    /// Of each replica, the last commit index it reported.
    pub committed: Vec<RaftIndex>,
    /// Replicas whose node is dead: nothing reaches them, nothing leaves.
    pub dead: Vec<bool>,
    /// Messages since it was last set to 0.
    pub messages: u64,
}

impl Group {
    /// Voters 1 to `count` on empty disks.
    pub fn new(count: u32, jitter: u64, settings: Settings) -> Self {
        let ids: Vec<ReplicaId> = (1..=count).map(ReplicaId).collect();
        let first = Configuration::new(&ids, &[]).expect("a few");
        let found = Restored {
            hard_state: HardState::default(),
            start: LogPosition::default(),
            configurations: &[(RaftIndex::ZERO, first)],
            terms: &[],
            last: RaftIndex::ZERO,
            log_epoch: LogEpoch(0),
            commit_index: RaftIndex::ZERO,
        };
        let replicas: Vec<Replica> = ids
            .iter()
            .map(|id| Replica::new(*id, jitter, settings, &found))
            .collect();
        let count = replicas.len();
        let mut group = Self {
            replicas,
            effects: (0..count).map(|_| Effects::default()).collect(),
            dirty: vec![true; count],
            committed: vec![RaftIndex::ZERO; count],
            dead: vec![false; count],
            messages: 0,
        };
        group.settle();
        group
    }

    /// Replica 1 leads and everybody knows.
    pub fn elect(&mut self) {
        self.with(0, |replica, out| replica.campaign_now(out));
        self.settle();
    }

    pub fn with<T>(
        &mut self,
        at: usize,
        handler: impl FnOnce(&mut Replica, &mut Effects) -> T,
    ) -> T {
        self.dirty[at] = true;
        handler(&mut self.replicas[at], &mut self.effects[at])
    }

    /// Ends turns until nobody has anything to do.
    pub fn settle(&mut self) {
        while let Some(at) = self.dirty.iter().position(|dirty| *dirty) {
            self.dirty[at] = false;
            self.replicas[at].flush(&mut self.effects[at]);
            let mut effects = std::mem::take(&mut self.effects[at]);
            for effect in &effects.list {
                self.carry_out(at, effect, &effects);
            }
            effects.clear();
            if self.effects[at].is_empty() {
                self.effects[at] = effects;
            }
        }
    }

    fn carry_out(&mut self, at: usize, effect: &Effect, effects: &Effects) {
        match *effect {
            Effect::Send(message) => self.deliver(at, &message, effects),
            Effect::SaveHardState(hard) => {
                self.with(at, |replica, out| replica.on_hard_state_durable(hard, out));
            }
            Effect::Append {
                first,
                log_epoch,
                entries,
                ..
            } => {
                let last = RaftIndex(first.0 + u64::from(entries.count) - 1);
                self.with(at, |replica, _| replica.on_durable(log_epoch, last));
            }
            Effect::Committed(index) => self.committed[at] = index,
            _ => {}
        }
    }

    fn deliver(&mut self, from: usize, message: &Message, effects: &Effects) {
        let to = message.to.0 as usize - 1;
        self.messages += 1;
        if self.dead[from] || self.dead[to] {
            return;
        }
        let (entries, configurations) = effects.beside(message);
        self.with(to, |replica, out| {
            replica.receive(message, entries, configurations, out);
        });
    }
}
