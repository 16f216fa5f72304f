//! What the binary does: a command, and what becomes of it.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::{
    Programs,
    cli::{self, Cli, Command},
    demo, exit, output, start, trace,
};

/// The whole of the binary, with apps that are to run in its node.
#[must_use]
pub fn main(programs: Programs) -> ExitCode {
    trace::abort_on_panic();
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Start(args) => return start::run(&args, programs).into(),
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
