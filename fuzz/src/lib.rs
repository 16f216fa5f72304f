//! Fuzz targets of every decoder, with a mutation loop of their own that needs no nightly compiler.
//!
//! # Invariants
//! 1. The same target, seed and number of rounds try the same inputs.
//! 2. A run's input never makes a decoder panic, loop, or allocate beyond the target's bound; canaries prove that each
//!    of these is noticed (`tests/smoke.rs`).
//!
//! # Examples
//! A decoder joins by one [`Target`] in [`targets::TARGETS`]: a name, seeds, a function that feeds it bytes, and how much
//! it may allocate. The smoke run and `cargo xtask fuzz` then include it.

pub mod arbitrary;
pub mod memory;
mod mutate;
mod run;
pub mod targets;

pub use mutate::Mutator;
pub use run::{Finding, Limit, Outcome, fuzz};
pub use targets::{TARGETS, Target};
