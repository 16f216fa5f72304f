//! Exit codes of the binary, as documented and as used.

/// Done; for `demo --exit` also: everything read back was what had been acknowledged.
pub const OK: u8 = 0;
/// The command failed; for `demo --exit`: or the log gave back something else.
pub const FAILED: u8 = 1;
/// Wrong arguments or settings: nothing was started.
pub const USAGE: u8 = 2;
/// Another process has the data directory.
pub const LOCKED: u8 = 3;
/// An address cannot be listened on.
pub const ADDRESS: u8 = 4;
/// The data directory cannot be used: damaged beyond quarantine, or written by a newer program.
pub const DIRECTORY: u8 = 5;

/// End of `--help` and the table in the documentation.
pub const HELP: &str = "\
Exit codes:
    0  done; a node: stopped by SIGTERM or SIGINT
    1  the command failed (the message says why); demo --exit: or the log gave back something else
    2  wrong arguments or settings, nothing was started
    3  another process uses the data directory
    4  an address cannot be listened on
    5  the data directory cannot be used (damaged, or written by a newer program)
   65  the node found damage it cannot go on with
   71  the node ran out of memory
   74  a write or sync of the disk failed: the node ended so that it never acknowledges what may be lost
  134  a bug: the node aborted with a message and a stack (please report it)";
