//! The binary `forebay`: `Node` (all wiring), configuration, command line, HTTP front and demo.

#[macro_use]
pub mod output;

pub mod cli;
pub mod config;
pub mod demo;
mod entry;
pub mod exit;
pub mod front;
pub mod node;
#[cfg(feature = "pipelines")]
pub mod pipelines;
mod programs;
pub mod registry;
pub mod start;
pub mod time;
pub mod trace;

pub use entry::main;
pub use node::{Node, NodeConfig, NodeError};
pub use programs::Programs;
