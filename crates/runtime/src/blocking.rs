//! Helper threads that carry out what the kernel only does while somebody waits.
//!
//! # Place       one per shard: metadata calls beside io_uring, all file operations beside epoll. Threads start with
//!               the first operation and end when the shard drops its end.
//! # Invariants  1. Each operation comes back as one completion, through the shard's `Remote`, buffers inside.
//!               2. The shard never waits here: channels are unbounded, and what is in them is bounded by the slab.

use crate::{
    ops::{Completion, Op, OpKey},
    remote::{Message, Remote},
    syscall,
};
use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

type Job = (OpKey, Op);

pub(crate) struct Blocking {
    remote: Arc<Remote>,
    workers: Vec<mpsc::Sender<Job>>,
    threads: usize,
    next: usize,
    /// Jobs that no thread could be started for; they come back as this error.
    refused: Vec<Completion>,
}

impl Blocking {
    pub(crate) fn new(remote: Arc<Remote>, threads: usize) -> Self {
        Self {
            remote,
            workers: Vec::new(),
            threads: threads.max(1),
            next: 0,
            refused: Vec::new(),
        }
    }

    /// Hands `op` to a thread; never waits.
    pub(crate) fn submit(&mut self, key: OpKey, op: Op) {
        let mut job = (key, op);
        if self.workers.len() < self.threads {
            match self.start_worker() {
                Ok(worker) => self.workers.push(worker),
                Err(error) if self.workers.is_empty() => return self.refuse(job, &error),
                // Fewer threads than wished for still do the work.
                Err(_) => self.threads = self.workers.len(),
            }
        }
        self.next = (self.next + 1) % self.workers.len();
        if let Err(mpsc::SendError(unsent)) = self.workers[self.next].send(job) {
            // A worker ends before its channel only by panicking, which ends the process.
            job = unsent;
            self.refuse(job, &io::Error::from_raw_os_error(libc::EIO));
        }
    }

    /// Completions that never reached a thread, for the driver to hand on.
    pub(crate) fn take_refused(&mut self, out: &mut Vec<Completion>) {
        out.append(&mut self.refused);
    }

    fn refuse(&mut self, (key, op): Job, error: &io::Error) {
        self.refused.push(Completion {
            key,
            op,
            outcome: Err(error.into()),
        });
    }

    fn start_worker(&self) -> io::Result<mpsc::Sender<Job>> {
        let (sender, jobs) = mpsc::channel::<Job>();
        let remote = Arc::clone(&self.remote);
        thread::Builder::new()
            .name("forebay-file".into())
            .spawn(move || {
                for (key, mut op) in jobs {
                    let outcome = syscall::carry_out(&mut op);
                    remote.push(Message::Completed(Box::new(Completion { key, op, outcome })));
                }
            })?;
        Ok(sender)
    }
}
