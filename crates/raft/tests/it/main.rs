//! The consensus core under a simulated network and disks, with checkers, planted bugs and costs.

mod cost;
mod hostile;
mod planted;
mod scenarios;
mod seeds;
mod storms;
