//! A node in the simulator, spoken to in frames made by hand.

mod admin;
mod fetching;
mod groups;
mod harness;
mod hostile;
mod producing;
mod restart;
