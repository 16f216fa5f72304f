//! Forebay beside Apache Kafka: not written yet.

use std::path::Path;

use anyhow::{Result, bail};

/// Runs the comparison and writes its document.
pub fn run(_root: &Path, _args: &[String]) -> Result<()> {
    bail!("the comparison is not written yet")
}
