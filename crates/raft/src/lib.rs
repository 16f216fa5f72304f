//! Consensus over a partition's log: a pure core, events in, effects out.
//!
//! A `Replica` is one member of a raft group. The node calls a handler for each event (a message, a proposal, a completion
//! of the disk, a tick, news of another node's life), then `flush` once per loop turn, and carries out the `Effects`. The
//! core performs no I/O, reads no clock, starts no thread, draws no random number, and in the steady state allocates
//! nothing per entry. "Thesis" below is Diego Ongaro, *Consensus: Bridging Theory and Practice*, 2014.
//!
//! # Place
//! On the shard that owns the partition, one `Replica` per partition, one `Effects` per shard. Entries are 16-byte
//! `Descriptor`s (term, size, checksum, kind); payloads stay in the log's buffers and travel beside messages. The core
//! itself remembers the log as runs of terms, so it needs no read to compare logs of any length.
//!
//! # Invariants
//! What differs from the thesis, why, and whose lesson it is. The simulator's checkers hold each.
//!
//! 1. **Storage writes are messages** (etcd's asynchronous storage writes; thesis 10.2.1 only lets the leader's own write
//!    overlap). Nothing that is sent waits in the core for a disk, and nothing counts before the disk answered: a
//!    follower acknowledges, and a leader counts itself, when the completion comes back.
//! 2. **A completion is (log epoch, index).** Each truncation begins an epoch; a completion of an older one vouches for
//!    nothing (Redpanda 2327254c25 marked truncated data as flushed). After a truncation the disk reports anew.
//! 3. **One's own vote is a storage write too.** A candidate asks for votes after its own lasts; asking earlier, it could
//!    crash, come back in the old term with a shorter log, and count answers to the question it asked before. At most
//!    one vote is on its way to the disk: a disk that stalls makes no candidate.
//! 4. **An acknowledgement has three parts**: what lasts *and* was compared with this term's leader, what was received,
//!    and the round heard. Only the first is ever counted (Redpanda d0e45c0baf acknowledged a tail nobody had
//!    compared). It is sent at once and says "nothing lasts" rather than wait, so a slow disk does not look like a dead
//!    node (raft-rs holds heartbeat answers behind persistence, and leaders churn).
//! 5. **Acknowledgement in a term needs that the term lasts** (thesis figure 3.1 has it by writing before answering).
//! 6. **An append truncates only where terms differ**, never what it does not mention (Redpanda f0c5772188), never below
//!    the commit index; a leader that contradicts what is committed is reported, not obeyed.
//! 7. **Only entries of the leader's term commit by counting** (thesis 3.6.2). A single voter without other members is the
//!    exception and appends no entry to begin its term: nobody can lead without its vote, so what lasts on it is
//!    decided. Ten thousand groups of one restart with one write of their votes. It leads when its vote lasts, and
//!    commits what lasts, not what it holds (raft-rs #489).
//! 8. **Pre-votes** (thesis 9.6) and **leader stickiness** (4.2.3) keep a member that was cut off from unseating a leader;
//!    **check-quorum** (6.2) makes a leader that was cut off step back. An answer to a pre-vote counts whatever term its
//!    sender is in; the question names the term it is for.
//! 9. **Joint consensus for every change of voters** (thesis 4.3), in force as soon as it is in the log (4.1), rolled back
//!    with it. Whoever leads finishes a joint configuration it finds committed, also one it did not begin.
//! 10. **A replica that a configuration not yet committed leaves out still stands for election** (thesis 4.2.2): its log
//!     may be the only one that says so. So does a learner, when nobody else leads for long. A leader that does not vote
//!     counts others only, and steps back, naming an heir, when that is committed (raft-rs panics there).
//! 11. **A replica that lost its disk is a new replica** under a new id (as KRaft's directory ids): an id never forgets.
//! 12. **A snapshot is the log's start**, its configuration and a small state, followed by ordinary appends. Members that
//!     the configuration lacks take it: they are being added (raft-rs refuses, and they never catch up). A new replica
//!     takes one first, also of a log that begins at its beginning: no log is without the configuration it starts with.
//! 13. **Backtracking asks once per term** (thesis 3.5, end; etcd's hints on both sides) by the runs of terms.
//! 14. **Lost appends are found by rounds**: an answer to a later heartbeat tells how much arrived of what was sent before
//!     an earlier one. A queued append is never extended (raft-rs merged entries onto an empty one at another place).
//! 15. **Reads need a round, not a lease** (thesis 6.4), and an entry committed in the term.
//! 16. **Hibernation**: see `replica::hibernation`. No per-group heartbeats while idle; the node's word replaces them.
//! 17. **Timeouts are a function** of group, replica, term and attempt. Two candidates that collide once do not again.
//!
//! # Crash
//! What `Restored` says: hard state, the log's start with its configuration, entries, all durable. Log and hard state may
//! last in any order: entries prove their term, and no vote was sent that did not last. A commit index may be kept beside
//! them if it is `lasting_commit_index`.
//!
//! # Limits
//! `Settings`. Proposals beyond the bounds of uncommitted entries and bytes are `Full`; members that lag behind the tail
//! in memory are sent what `Effect::ReadEntries` brings; reads beyond the bound are `Full`.
//!
//! # Cost
//! Budgets: 2.5 KiB per idle replica, 10 us for a tick of ten thousand groups asleep, 0.5 us of CPU per committed batch in a
//! group of three at 64 proposals a turn and 1.5 us one at a time, no allocation per entry. `tests/it/cost.rs` holds them.
//!
//! # Instead of
//! Crates: `raft` 0.7 (needs protoc, allocates 14 to 20 times per entry, faults above), `openraft` (6 tasks and megabytes
//! per idle replica), `omnipaxos` (synchronous storage). A core with a log of its own: the payloads would exist twice.
//! Changes of one server at a time: see `configuration`. Leases: their safety is the clocks'; they can be added to reads
//! later without touching the rest.

mod awake;
mod configuration;
mod effects;
mod entry;
mod message;
mod peer;
mod replica;
mod settings;
mod terms;

/// A Raft term, which is Kafka's leader epoch of the partition.
pub use base::LeaderEpoch as Term;

pub use awake::AwakeSet;
pub use configuration::{Configuration, MEMBERS_MAX, MemberCount, MemberSet, ReplicaId};
pub use effects::{Effect, Effects, HardState};
pub use entry::{Descriptor, EntryKind, LogPosition};
pub use message::{Body, Message, Span};
pub use replica::{
    CONFIGURATIONS_HELD_MAX, Payload, ProposeError, ReadError, ReconfigureError, Replica, Restored,
    Role, TransferError,
};
pub use settings::{PlantedBugs, Settings};
