//! Fuzz targets, run for as long as asked.

use std::path::Path;

use anyhow::Result;

use crate::run;

/// Runs the named fuzz target, or all of them, for so many seconds each: `[TARGET] [--secs SECONDS] [--seed SEED]`.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    run::cargo(root, &["run", "--quiet", "--package", "fuzz", "--"], args)
}
