//! Ends of the process that nobody recovers from.

use crate::shard::Shard;
use std::fmt;

/// What ends the process with an exit code of its own; in simulation it ends the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// A write or sync failed: what is on media is unknown, and asking again would be told "ok".
    Io {
        what: &'static str,
        error: String,
    },
    /// What the node needs to start is damaged.
    Corrupt(String),
    OutOfMemory(String),
}

impl Fatal {
    /// From sysexits.h where it has one that fits.
    pub fn exit_code(&self) -> i32 {
        match self {
            Fatal::Io { .. } => 74,
            Fatal::Corrupt(_) => 65,
            Fatal::OutOfMemory(_) => 71,
        }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fatal::Io { what, error } => write!(f, "{what} failed: {error}"),
            Fatal::Corrupt(what) => write!(f, "damaged: {what}"),
            Fatal::OutOfMemory(what) => write!(f, "out of memory: {what}"),
        }
    }
}

/// Ends the process (simulated: the host) at once, without running any destructor: nothing may be written any more.
pub fn fatal(reason: Fatal) -> ! {
    if Shard::try_current().is_some_and(|shard| shard.clock().is_virtual()) {
        crate::sim::on_fatal(reason);
    }
    eprintln!("fatal: {reason}");
    // SAFETY: ends the process; no memory is touched afterwards.
    unsafe { libc::_exit(reason.exit_code()) }
}
