//! All of CI, on the machine one sits at.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{codegen, run, suites, tidy};

/// Format, lints, tidy, generated code, with `--miri` also Miri where it exists, then the tests. Stops at the first step
/// that fails.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let (own, args): (Vec<_>, Vec<_>) = args.iter().cloned().partition(|arg| arg == "--miri");
    if let Some(unknown) = args.iter().find(|arg| *arg != "--fast") {
        bail!("ci takes --fast, --miri, both or nothing, not {unknown:?}");
    }
    run::cargo(root, &["fmt", "--all", "--check"], &[])?;
    run::cargo(
        root,
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    )?;
    tidy::run(root)?;
    codegen::run(root, &["--check".to_owned()])?;
    if !own.is_empty() {
        miri(root)?;
    }
    suites::test(root, &args)
}

/// What Miri can run: the buffers, and those unsafe parts of the runtime that make no system calls.
const UNDER_MIRI: &[&[&str]] = &[
    &["--package", "iobuf", "--lib"],
    &[
        "--package",
        "runtime",
        "--lib",
        "--",
        "mesh::ring::",
        "task::tests::",
        "ready::tests::",
        "sync::tests::",
    ],
];

/// Miri over the unsafe code, when a nightly toolchain with Miri is installed. The product needs neither.
fn miri(root: &Path) -> Result<()> {
    let mut probe = Command::new("rustup");
    probe
        .args(["run", "nightly", "cargo", "miri", "--version"])
        .current_dir(root);
    probe.stdout(Stdio::null()).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        println!("miri: skipped, no nightly toolchain with the miri component");
        return Ok(());
    }
    for tests in UNDER_MIRI {
        let mut miri = Command::new("rustup");
        miri.args(["run", "nightly", "cargo", "miri", "test"])
            .args(*tests)
            .current_dir(root);
        // The pinned toolchain's variables would win over the nightly one.
        for pinned in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC"] {
            miri.env_remove(pinned);
        }
        // Page-aligned memory comes from the allocator under Miri too; isolation would only forbid reading the clock.
        miri.env("MIRIFLAGS", "-Zmiri-disable-isolation");
        run::checked(&mut miri)?;
    }
    Ok(())
}
