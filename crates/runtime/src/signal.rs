//! Termination signals, taken in by one thread.

use std::{io, mem::MaybeUninit};

fn termination_signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `set` is a valid place for an empty set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: `sigemptyset` initialised it.
    let mut set = unsafe { set.assume_init() };
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: a valid set and a valid signal.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    set
}

/// Keeps SIGTERM and SIGINT for `wait_for_termination`. Call it first, before any thread starts: threads inherit it.
/// SIGPIPE is ignored, too: a closed peer is an error of the write, not the end of the process.
pub fn block_termination() {
    let set = termination_signals();
    // SAFETY: a valid set; the old one is not asked for.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    assert_eq!(result, 0, "blocking valid signals does not fail");
    // SAFETY: ignoring a signal installs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Blocks the calling (non-shard) thread until SIGTERM or SIGINT, and says which.
pub fn wait_for_termination() -> &'static str {
    let set = termination_signals();
    loop {
        let mut signal = 0;
        // SAFETY: both are valid places.
        let result = unsafe { libc::sigwait(&set, &mut signal) };
        match (result, signal) {
            (0, libc::SIGTERM) => return "SIGTERM",
            (0, libc::SIGINT) => return "SIGINT",
            (libc::EINTR, _) => {}
            _ => panic!(
                "sigwait of valid signals: {}",
                io::Error::from_raw_os_error(result)
            ),
        }
    }
}
