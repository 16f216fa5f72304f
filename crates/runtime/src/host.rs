//! What a process asks of the system it runs on, so that its threads wait for less: memory that stays, small pages, short turns.
//!
//! # Place       the binary's, first thing in `main` and in threads that answer
//! # Limits      a wish the system does not know is left out without a word; nothing here needs a right

use std::time::Duration;

use libmimalloc_sys::{mi_option_get, mi_option_set_default, mi_option_t};

/// What is freed is used again by what comes next, if that comes so soon. Until then it is the process's.
const MEMORY_KEPT: Duration = Duration::from_secs(20);

/// `mi_option_purge_delay` of mimalloc 3, in milliseconds, which the crate has no name for.
const PURGE_DELAY: mi_option_t = 15;
/// What the allocator does unless it is told otherwise; another number shows that `PURGE_DELAY` is another option.
const PURGE_DELAY_MS: i64 = 1000;

/// Short beside what the scheduler gives to others.
const SHORT_TURN: Duration = Duration::from_micros(100);

/// Memory comes in pages of four kilobytes, and is kept for a while when it is freed. The environment may say otherwise of the
/// second (`MIMALLOC_PURGE_DELAY`).
///
/// A page of two megabytes is cleared at its first touch, at a stretch, and nobody else's turn comes on that shard meanwhile:
/// milliseconds where the host of a virtual machine must find the memory first.
pub fn settle_memory() {
    // SAFETY: the call changes an attribute of this process and touches no memory of it.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    // SAFETY: no other thread is there yet, which is all that the two calls ask for.
    unsafe {
        if mi_option_get(PURGE_DELAY) == PURGE_DELAY_MS {
            mi_option_set_default(PURGE_DELAY, MEMORY_KEPT.as_millis() as i64);
        }
    }
}

/// `struct sched_attr` of `sched_setattr(2)`, its first version.
#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime_ns: u64,
    deadline_ns: u64,
    period_ns: u64,
}

/// Has this thread run in short turns, for which the scheduler lets it begin sooner once it is woken (EEVDF, Linux 6.12): it
/// is no greater part of the processor's time.
pub fn run_in_short_turns() {
    let mut attr = SchedAttr::default();
    let size = size_of::<SchedAttr>();
    // SAFETY: the kernel writes no more than `size` bytes of a struct of that size.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) };
    if got != 0 || attr.policy != libc::SCHED_OTHER as u32 {
        return;
    }
    attr.size = size as u32;
    // Threads that this one starts are not meant.
    attr.flags |= libc::SCHED_FLAG_RESET_ON_FORK as u64;
    attr.runtime_ns = SHORT_TURN.as_nanos() as u64;
    // SAFETY: the kernel reads a struct of the size that it names.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A newer mimalloc may number its options anew.
    #[test]
    fn the_allocator_keeps_memory() {
        // SAFETY: nobody sets options meanwhile.
        let before = unsafe { mi_option_get(PURGE_DELAY) };
        assert!(
            before == PURGE_DELAY_MS || std::env::var_os("MIMALLOC_PURGE_DELAY").is_some(),
            "{before}"
        );
        settle_memory();
        // SAFETY: as above.
        let after = unsafe { mi_option_get(PURGE_DELAY) };
        assert!(before != PURGE_DELAY_MS || i128::from(after) == MEMORY_KEPT.as_millis() as i128);
    }
}
