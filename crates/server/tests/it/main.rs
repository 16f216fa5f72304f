//! Integration tests of the binary: what a running process takes, whom it lets in, and what it does without its stream
//! engine.

mod damage;
mod memory;
mod node;
mod registry;
mod secured;
mod sessions;
