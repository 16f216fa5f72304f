//! A raft group under a simulated network and disks: the real core, storms of faults, a checker per property.
//!
//! A run is a function of its seed. `run` is one: a storm, then healing, then everybody must agree, sleep and wake. It
//! performs no I/O of its own and takes its time from nobody, so the core's tests and the simulator's suites share it.
//! `group` is the same core with a network and disks that take no time, for what the core itself costs.

pub mod checkers;
pub mod disk;
pub mod faults;
pub mod group;
pub mod rng;
mod run;
pub mod world;

pub use run::{Outcome, run, run_caught};
