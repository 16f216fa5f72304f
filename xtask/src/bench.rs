//! Benchmarks beside others, on one machine in one run.

mod kafka;
mod streams;

use std::path::Path;

use anyhow::{Result, bail};

/// Runs one comparison.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let words = args.split_first();
    match words.map(|(first, rest)| (first.as_str(), rest)) {
        Some(("kafka", rest)) => kafka::run(root, rest),
        Some(("streams", rest)) => streams::run(root, rest),
        _ => bail!("bench kafka|streams [FLAG]..."),
    }
}
