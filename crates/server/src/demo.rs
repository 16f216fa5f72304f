//! `forebay demo`: a node with real data in it.

use crate::{cli::DemoArgs, exit};

pub fn run(_args: &DemoArgs) -> u8 {
    eprintln!("forebay: the demo is not built yet");
    exit::FAILED
}
