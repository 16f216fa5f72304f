//! Child processes: cargo and other tools, run in the repository's root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The repository's root, wherever the task was started.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// A cargo command in `root`. The variables cargo sets for `cargo run` are removed, because with them in the
/// environment a second cargo would see other fingerprints and build the tree anew.
pub fn cargo_command(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_")
            || text == "CARGO_MANIFEST_DIR"
            || text == "CARGO_MANIFEST_PATH"
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs cargo and fails with the command line when it fails.
pub fn cargo(root: &Path, args: &[&str], more: &[String]) -> Result<()> {
    checked(cargo_command(root).args(args).args(more))
}

/// Builds the binary, in the tests' profile unless `flags` say otherwise, and gives its path.
pub fn build_binary(root: &Path, flags: &[&str]) -> Result<PathBuf> {
    let mut build = cargo_command(root);
    build
        .args([
            "build",
            "--package",
            "server",
            "--bin",
            "forebay",
            "--message-format=json-render-diagnostics",
        ])
        .args(flags);
    let output = build
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "{}: {}",
        spell(&build),
        output.status
    );
    let artifacts = String::from_utf8(output.stdout)?;
    let executable = artifacts
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let executable = executable
        .filter_map(|artifact| Some(PathBuf::from(artifact["executable"].as_str()?)))
        .next_back();
    executable.context("cargo named no executable")
}

/// Runs a command to its end, its output going where ours goes.
pub fn checked(command: &mut Command) -> Result<()> {
    let line = spell(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}

/// The command as one would type it.
pub fn spell(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}
