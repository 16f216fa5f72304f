//! The `forebay` binary.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use server::{
    cli::{self, Cli, Command},
    demo, exit, output, start, trace,
};

/// A heap per thread: messages between shards are freed where they were not allocated, and no shard may wait for a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    trace::abort_on_panic();
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Start(args) => return start::run(&args).into(),
        Command::Demo(args) => return demo::run(&args).into(),
        Command::Config(args) => return start::print_config(&args).into(),
        Command::Completions { shell } => {
            let mut command = Cli::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "forebay", &mut script);
            output::print(format_args!("{}", String::from_utf8_lossy(&script)));
            Ok(())
        }
        Command::Topic(args) => cli::topic::run(args),
        Command::Produce(args) => cli::produce::run(args),
        Command::Consume(args) => cli::consume::run(args),
        Command::Group(args) => cli::group::run(args),
        Command::Status(args) => cli::status::run(args),
    };
    match result {
        Ok(()) => exit::OK.into(),
        Err(error) => {
            output::note(format_args!("forebay: {}\n", cli::shard::explain(&error)));
            exit::FAILED.into()
        }
    }
}
