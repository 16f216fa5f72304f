//! Command that runs fuzz targets: `cargo xtask fuzz`.

use std::{path::Path, process::ExitCode, time::Duration};

use fuzz::{Limit, TARGETS, Target, fuzz};

const USAGE: &str = "usage: fuzz [TARGET] [--secs SECONDS] [--seed SEED] [--input FILE]

Tries mutated inputs on the target, or on every target, for so many seconds each (60 unless told otherwise).
A finding's input is written to fuzz/findings; --input tries such a file again.";

struct Arguments {
    target: Option<String>,
    seconds: u64,
    seed: u64,
    input: Option<String>,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let targets: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| {
            arguments
                .target
                .as_deref()
                .is_none_or(|name| name == target.name)
        })
        .collect();
    if targets.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("no such target; there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    if let Some(path) = &arguments.input {
        let input = match std::fs::read(path) {
            Ok(input) => input,
            Err(error) => {
                eprintln!("{path}: {error}");
                return ExitCode::from(2);
            }
        };
        for target in targets {
            (target.run)(&input);
        }
        return ExitCode::SUCCESS;
    }
    // A panic is a finding, printed once at the end.
    std::panic::set_hook(Box::new(|_| ()));
    let mut found = false;
    for target in targets {
        found |= run(target, &arguments);
    }
    ExitCode::from(u8::from(found))
}

/// Whether there was a finding.
fn run(target: &Target, arguments: &Arguments) -> bool {
    let time = Duration::from_secs(arguments.seconds);
    let outcome = fuzz(target, arguments.seed, Limit::Time(time));
    let Some(finding) = outcome.finding else {
        println!("{}: {} inputs, no finding", target.name, outcome.rounds);
        return false;
    };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
    let path = directory.join(format!("{}-{}", target.name, arguments.seed));
    let written =
        std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, &finding.input));
    println!(
        "{}: input {}: {:?}",
        target.name, outcome.rounds, finding.fault
    );
    match written {
        Ok(()) => println!("  written to {}", path.display()),
        Err(error) => println!("  {:02x?}, not written: {error}", finding.input),
    }
    true
}

fn arguments() -> Option<Arguments> {
    let mut arguments = Arguments {
        target: None,
        seconds: 60,
        seed: 1,
        input: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--secs" => arguments.seconds = words.next()?.parse().ok()?,
            "--seed" => arguments.seed = words.next()?.parse().ok()?,
            "--input" => arguments.input = Some(words.next()?),
            flag if flag.starts_with('-') => return None,
            name if arguments.target.is_none() => arguments.target = Some(name.to_owned()),
            _ => return None,
        }
    }
    Some(arguments)
}
