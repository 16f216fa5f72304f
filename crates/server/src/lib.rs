//! The binary `forebay`: `Node` (all wiring), configuration, command line, HTTP front and demo.

#[macro_use]
pub mod output;

pub mod cli;
pub mod config;
pub mod demo;
pub mod exit;
pub mod front;
pub mod node;
#[cfg(feature = "pipelines")]
pub mod pipelines;
pub mod start;
pub mod time;
pub mod trace;

pub use node::{Node, NodeConfig, NodeError};
