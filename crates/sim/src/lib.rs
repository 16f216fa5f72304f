//! Simulation harness: workloads, faults and checkers over raft groups, the real storage and whole nodes, one seed per run.
//!
//! A run is a function of its seed. `seeds` runs many; a plan draws what a run is like; a run drives the simulated
//! world through crashes; the model remembers what was promised; checkers compare.

pub mod log_checker;
pub mod log_model;
pub mod node_plan;
pub mod node_run;
mod node_work;
pub mod raft_run;
pub mod record_checker;
pub mod replication_checker;
pub mod replication_plan;
pub mod replication_run;
pub mod seeds;
pub mod storage_plan;
pub mod storage_run;
mod storage_work;
pub mod streams_checker;
pub mod streams_node;
pub mod streams_rows;
pub mod streams_run;
mod trace_checker;
