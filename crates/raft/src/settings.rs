//! Settings of a group: times in ticks, bounds of messages, windows and queues.

/// Times in ticks of the node's clock, and the bounds of everything that could grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Least time without a leader before an election; the most is just below twice this. A leader that does not hear
    /// from a quorum for this long steps down.
    pub election_ticks: u16,
    pub heartbeat_ticks: u16,
    /// Idle time after which a group hibernates; 0 is never.
    pub hibernate_ticks: u16,
    /// Of one message. A larger entry travels alone.
    pub append_entries_max: u32,
    pub append_bytes_max: u32,
    /// Sent to one follower and not acknowledged as lasting.
    pub in_flight_messages_max: u16,
    pub in_flight_entries_max: u32,
    pub in_flight_bytes_max: u32,
    /// Not committed; from there on proposals are refused as `Full`. A single voter without other members is exempt from
    /// this and the next: what is not committed there is what is on its way to its own disk, which the node bounds.
    pub uncommitted_entries_max: u32,
    /// Payload of what this leader has appended and not committed; from there on proposals are refused as `Full`. One
    /// call of `propose` is taken whole, so its last may go beyond.
    pub uncommitted_bytes_max: u64,
    /// Descriptors a leader keeps so that sending needs no read, beside those that are not committed; 16 bytes each.
    pub tail_entries_max: u32,
    /// Reads that wait for their round at once.
    pub reads_max: u16,
    /// Test-only switches that plant a bug each (the harness must find them); all off in production.
    pub planted: PlantedBugs,
}

impl Default for Settings {
    /// For ticks of 100 ms on a local network.
    fn default() -> Self {
        Self {
            election_ticks: 10,
            heartbeat_ticks: 2,
            hibernate_ticks: 20,
            append_entries_max: 256,
            append_bytes_max: 1 << 20,
            in_flight_messages_max: 128,
            in_flight_entries_max: 1024,
            in_flight_bytes_max: 8 << 20,
            uncommitted_entries_max: 2048,
            uncommitted_bytes_max: 64 << 20,
            tail_entries_max: 2048,
            reads_max: 256,
            planted: PlantedBugs::default(),
        }
    }
}

/// Bugs a test may switch on, to prove that the harness finds them. Most are faults other implementations had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PlantedBugs {
    /// New entries join an empty append that is still queued, whatever its place (raft-rs `try_batching`).
    pub merge_onto_empty_append: bool,
    /// A follower acknowledges its own tail, which the leader never compared (Redpanda d0e45c0baf).
    pub acknowledge_unverified: bool,
    /// A follower acknowledges what is staged.
    pub acknowledge_unsynced: bool,
    /// A leader counts its own entries before they last.
    pub count_unsynced_own: bool,
    /// Votes are sent, and counted, before they last.
    pub vote_before_durable: bool,
    /// A single voter commits its whole log when it takes the lead (raft-rs #489).
    pub lone_voter_leads_early: bool,
    /// A leader that is no longer a member goes on.
    pub removed_leader_goes_on: bool,
    /// A snapshot whose configuration lacks the receiver is refused (raft-rs `restore`).
    pub refuse_snapshot_if_absent: bool,
    /// A completion counts whatever its log epoch (Redpanda 2327254c25).
    pub believe_stale_completion: bool,
    /// An append cuts off what follows its entries, also when they match (Redpanda f0c5772188).
    pub delayed_append_truncates: bool,
    /// Entries of earlier terms commit by counting (thesis figure 3.7).
    pub commit_older_term: bool,
    /// A joint configuration needs the majority of the new voters only.
    pub joint_counts_new_half: bool,
    /// A configuration stays in force when its entry is truncated.
    pub keep_truncated_configuration: bool,
    /// A commit index is kept for a restart although its entries do not last here.
    pub keep_volatile_commit_index: bool,
    /// Agreement with the last leader is taken for agreement with the next.
    pub keep_matched_across_terms: bool,
    /// A read is answered without asking whether somebody else leads by now.
    pub read_without_round: bool,
    /// A leader goes to sleep while a live member lags, and so does that member.
    pub hibernate_early: bool,
    /// A vote is granted whatever the candidate's log lacks.
    pub vote_for_shorter_log: bool,
}
