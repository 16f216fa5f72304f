//! A node in the simulator, spoken to in frames made by hand.

mod admin;
mod bounds;
mod configs;
mod connections;
mod fetching;
mod groups;
mod harness;
mod hostile;
mod offsets;
mod producing;
mod restart;
mod versions;
mod windows;
