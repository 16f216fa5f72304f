//! What the program prints, when nobody reads it (any more) too.

use std::{
    fmt,
    io::{self, Write},
};

use crate::exit;

/// As `print!`, but a reader that has enough (`| head`) ends the command quietly.
macro_rules! out {
    ($($text:tt)+) => { $crate::output::print(format_args!($($text)+)) };
}

/// As `println!`, otherwise as `out!`.
macro_rules! outln {
    ($($text:tt)+) => { $crate::output::print(format_args!("{}\n", format_args!($($text)+))) };
}

/// As `eprintln!`, but that nobody reads it is no failure.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::note(format_args!("{}\n", format_args!($($text)*))) };
}

/// To standard output. Ends the process when that is impossible: with success when its reader has gone.
pub fn print(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) else {
        return;
    };
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(exit::OK.into());
    }
    note(format_args!(
        "forebay: writing to standard output: {error}\n"
    ));
    std::process::exit(exit::FAILED.into());
}

/// To standard error; a node goes on when nobody reads that.
pub fn note(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}
