//! What must hold in every simulated run: one property per file, and what they share.

pub mod acknowledgement;
pub mod durability;
pub mod election_safety;
pub mod leader_completeness;
pub mod liveness;
pub mod log_matching;
pub mod membership;
pub mod monotonic;
pub mod proposals;
pub mod reads;
pub mod state_machine;

/// `Err` says what was violated.
pub type Verdict = Result<(), String>;

/// The state of all checkers of one run.
#[derive(Default)]
pub struct Checkers {
    pub elections: election_safety::ElectionSafety,
    pub logs: log_matching::LogMatching,
    pub machines: state_machine::StateMachines,
    pub monotonic: monotonic::Monotonic,
    pub proposals: proposals::Proposals,
    pub reads: reads::Reads,
}
