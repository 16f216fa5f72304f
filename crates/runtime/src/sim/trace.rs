//! What happened in a simulated run, as a hash and, on demand, as its last lines in words.

use crate::ops::{Op, Outcome};
use std::collections::VecDeque;

/// Order-sensitive 64-bit hash of numbers; not for untrusted input.
#[derive(Clone, Copy, Debug)]
pub(super) struct TraceHash(u64);

impl TraceHash {
    pub(super) fn add(&mut self, value: u64) {
        let mixed = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.0 = mixed ^ (mixed >> 32);
    }

    pub(super) fn get(self) -> u64 {
        self.0
    }
}

/// The trace of a run.
pub(super) struct Trace {
    hash: TraceHash,
    lines: VecDeque<String>,
    lines_max: usize,
}

impl Trace {
    pub(super) fn new(lines_max: usize) -> Self {
        Self {
            hash: TraceHash(0xcbf2_9ce4_8422_2325),
            lines: VecDeque::new(),
            lines_max,
        }
    }

    pub(super) fn hash(&self) -> TraceHash {
        self.hash
    }

    /// Notes a decision by its numbers.
    pub(super) fn note(&mut self, what: &'static str, first: u64, second: u64) {
        self.hash.add(first);
        self.hash.add(second ^ what.len() as u64);
        if self.lines_max > 0 {
            self.line(format!("{what} {first} {second}"));
        }
    }

    /// Notes which of how many things that could happen did.
    pub(super) fn choice(&mut self, nth: u64, of: u64) {
        self.hash.add((of << 32) | nth);
    }

    pub(super) fn completion(
        &mut self,
        now: u64,
        from: u64,
        code: u64,
        op: &Op,
        outcome: &Outcome,
    ) {
        self.hash.add(now);
        self.hash.add(from);
        self.hash.add(code);
        if self.lines_max > 0 {
            let op = describe(op);
            self.line(format!(
                "{now} host {} shard {}: {op} -> {outcome:?}",
                from >> 48,
                (from >> 32) & 0xffff
            ));
        }
    }

    fn line(&mut self, line: String) {
        if self.lines.len() == self.lines_max {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

/// An operation without its buffers' contents.
fn describe(op: &Op) -> String {
    match op {
        Op::Read { fd, pos, bytes, .. } => format!("read fd {} at {pos}, {bytes} bytes", fd.0),
        Op::Write {
            fd,
            pos,
            data,
            is_durable,
        } => format!(
            "write fd {} at {pos}, {} bytes, durable {is_durable}",
            fd.0,
            data.len()
        ),
        Op::Receive { fd, .. } => format!("receive fd {}", fd.0),
        Op::Send { fd, data } => format!("send fd {}, {} bytes", fd.0, data.len()),
        other => format!("{other:?}"),
    }
}
