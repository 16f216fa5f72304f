//! Tasks of the repository: `cargo xtask TASK`.

mod bench;
mod ci;
mod codegen;
mod exactness;
mod fuzz;
mod run;
mod suites;
mod tidy;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask TASK

  test [--fast]            unit and simulation tests, the binary, then real clients against it;
                           --fast leaves the real clients out
  ci [--fast] [--miri]     format, lints, tidy, generated code, test; --miri: unsafe code under Miri as well, where a
                           nightly toolchain has it
  tidy                     the rules of the house that no lint of the compiler knows
  codegen [--check]        the Kafka codec from Kafka's message descriptors
  fuzz [TARGET] [--secs N]  fuzz targets, all of them when none is named
  sim [--raft] [--seeds N] [--base N]
                           simulated runs, 2000 seeds and planted bugs unless told otherwise;
                           --raft: raft groups alone, which take a million seeds in minutes
  e2e [SUITE...] [--against kafka] [--binary PATH]
                           real clients alone: matrix, groups, tools, sql, registry, crash, damage, full, hostile, epoll,
                           streams; --rounds N of kill -9 in crash and streams
  exactness [--cases N] [--base N] [--write] [--sqlite [--only PLACE] | --nexmark FOLDER]
                           random queries against DuckDB's answers, 10000 unless told otherwise; --write: those of every
                           test run anew; --sqlite: SQLite's own files instead
  crash [--rounds N]       kill -9 under load, 50 rounds unless told otherwise
  capture                  frames of real clients and Apache Kafka, into crates/kafka/tests/golden
  bench streams [--events N] [--runs N] [--only QUERY] [--skip PART]
                           Nexmark beside Apache Flink and what readers of a view wait for, into docs/benchmarks-streams.md
  bench kafka [--runs N] [--only ROW] [--skip VARIANT]
                           Forebay beside Apache Kafka, into docs/benchmarks.md
  demo                     what README's first command runs
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let root = run::root();
    let Some((task, rest)) = args.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    match task.as_str() {
        "test" => suites::test(&root, rest),
        "ci" => ci::run(&root, rest),
        "tidy" => tidy::run(&root),
        "codegen" => codegen::run(&root, rest),
        "fuzz" => fuzz::run(&root, rest),
        "e2e" => suites::e2e(&root, rest),
        "sim" => suites::sim(&root, rest),
        "exactness" => exactness::run(&root, rest),
        "crash" => suites::crash(&root, rest),
        "capture" => e2e::capture::run(&root, &root.join("crates/kafka/tests/golden")),
        "bench" => bench::run(&root, rest),
        "demo" => run::cargo(&root, &["run", "--release", "--", "demo"], rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("no task {other:?}; `cargo xtask help` lists them"),
    }
}
