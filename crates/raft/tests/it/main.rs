//! The consensus core under a simulated network and disks, with checkers, planted bugs and costs.

mod checkers;
mod cost;
mod disk;
mod faults;
mod group;
mod hostile;
mod planted;
mod rng;
mod scenarios;
mod seeds;
mod storms;
mod world;
