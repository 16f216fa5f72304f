//! Answers of other engines to more queries than every run has time for.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use e2e::toolchain;

use crate::run;

/// Cases of one file: so many fit the memory of a test several times over.
const PART: u64 = 1000;
/// Seeds that one file may use: some give a query that the other engine refuses, and are left out.
const SEEDS: u64 = 2 * PART;

/// Random cases, SQLite's files, or Nexmark's answers that are published.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let (mut cases, mut base) = (10_000, 1_000_000);
    let (mut write, mut sqlite, mut only, mut nexmark) = (false, false, None, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--cases" => cases = value()?.parse::<u64>()?,
            "--base" => base = value()?.parse::<u64>()?,
            "--write" => write = true,
            "--sqlite" => sqlite = true,
            "--nexmark" => nexmark = Some(value()?.clone()),
            "--only" => only = Some(value()?.clone()),
            other => {
                bail!(
                    "exactness takes --cases N, --base N, --write, --sqlite, --only PLACE and --nexmark FOLDER, not {other:?}"
                )
            }
        }
    }
    if sqlite {
        return sqlite_files(root, only.as_deref());
    }
    if let Some(folder) = nexmark {
        let folder = std::fs::canonicalize(folder).context("no such folder")?;
        return tested(root, "nexmark::published", "NEXMARK_PUBLISHED", &folder);
    }
    let generator = Generator::new(root)?;
    if write {
        let file = root.join("crates/sql/tests/exactness/cases.slt.zst");
        generator.write(1, PART, &file)?;
        return generator.nexmark(&root.join("crates/sql/tests/nexmark/answers.txt"));
    }
    let place = toolchain::cache_dir().join("exactness");
    std::fs::create_dir_all(&place)?;
    let parts = cases.div_ceil(PART);
    let seed = |part: u64| base + part * SEEDS;
    let file = |part: u64| place.join(format!("{}.slt", seed(part)));
    generator.write(seed(0), PART.min(cases), &file(0))?;
    for part in 0..parts {
        // The next ones are made while these run.
        std::thread::scope(|scope| -> Result<()> {
            let next = part + 1;
            let made = (next < parts).then(|| {
                let count = PART.min(cases - next * PART);
                let (generator, path, seed) = (&generator, file(next), seed(next));
                scope.spawn(move || generator.write(seed, count, &path))
            });
            tested(root, "exactness::answers", "EXACTNESS_CASES", &file(part))
                .with_context(|| format!("kept for a look: {}", file(part).display()))?;
            match made {
                Some(made) => made
                    .join()
                    .unwrap_or_else(|_| bail!("the generator panicked")),
                None => Ok(()),
            }
        })?;
        std::fs::remove_file(file(part))?;
        println!(
            "{} of {cases} cases, no difference",
            (PART * (part + 1)).min(cases)
        );
    }
    Ok(())
}

/// Runs one test of the SQL crate over a file or folder.
fn tested(root: &Path, test: &str, variable: &str, path: &Path) -> Result<()> {
    let mut command = run::cargo_command(root);
    command.args([
        "test",
        "--quiet",
        "--package",
        "sql",
        "--test",
        "it",
        "--",
        test,
    ]);
    run::checked(command.arg("--nocapture").env(variable, path))
}

/// All of SQLite's sqllogictest files, or those of one folder, or one.
fn sqlite_files(root: &Path, only: Option<&str>) -> Result<()> {
    let home = toolchain::cache_dir().join("sqllogictest");
    let jars = toolchain::maven_jars(&home, &root.join("crates/sql/tests/sqlite/pom.xml"))?;
    let files = home.join("test");
    if !files.is_dir() {
        let jar = std::fs::read_dir(&jars)?
            .next()
            .context("Maven fetched nothing")??;
        toolchain::run(
            Command::new("jar")
                .arg("xf")
                .arg(jar.path())
                .arg("test")
                .current_dir(&home),
        )?;
    }
    let place = only.map_or(files.clone(), |only| files.join(only));
    if !place.exists() {
        bail!("{} is not there", place.display());
    }
    tested(root, "sqlite::sqlite", "SLT_SQLITE", &place)
}

/// Makes cases with the answers of DuckDB.
struct Generator {
    python: std::path::PathBuf,
    script: std::path::PathBuf,
}

impl Generator {
    fn new(root: &Path) -> Result<Generator> {
        toolchain::on_path("python3")?;
        let home = toolchain::cache_dir().join("exactness-python");
        let oracle = root.join("crates/sql/tests/oracle");
        toolchain::virtual_environment(&home, &oracle.join("requirements.txt"))?;
        Ok(Generator {
            python: home.join("bin/python"),
            script: oracle.join("generate.py"),
        })
    }

    fn nexmark(&self, file: &Path) -> Result<()> {
        let script = self.script.with_file_name("nexmark.py");
        toolchain::run(Command::new(&self.python).arg(script).arg(file))
    }

    fn write(&self, seed: u64, count: u64, file: &Path) -> Result<()> {
        let numbers = [seed.to_string(), count.to_string()];
        toolchain::run(
            Command::new(&self.python)
                .arg(&self.script)
                .args(numbers)
                .arg(file),
        )
    }
}
