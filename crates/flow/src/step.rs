//! A step at work: an operator of the engine around a process function.
//!
//! # Place       owned by a graph of the engine
//! # Invariants
//! 1. Rows are kept until the epoch ends and are worked off then, by port, partition and offset: what comes out does not
//!    depend on how they came.
//! 2. Then timers of the event time up to the watermark, then those of the clock up to the epoch's, by time and key. One
//!    that is set while they fire, for a time that is over, fires in the next epoch.
//! 3. The schema of the state is the first entry of the step in every run: it is looked at before any other.
//!
//! # Layout
//! Table 255, key `schema`: text of `evolution`. Table 0: timers, a byte for the clock, the time with its sign turned,
//! big-endian, and the key; no value. Table n: entries of the state with that number.

mod waiting;

use std::{collections::BTreeMap, fmt, ops::Bound, sync::Arc};

use streams::{Custom, Delta, End, Output, Running, Write, delta::CHUNK_ROWS, row::Corrupt};

use crate::{
    event::{DecodeError, Event, put_counted},
    evolution::StepSchema,
    process::{Clock, Context, Process, Timer},
    rows::{NOBODY, Origin, RowsBuilder},
    stage::{Branches, run_all},
    state::{State, Store},
};
use base::hash::fnv1a;
use waiting::Waiting;

const SCHEMA_TABLE: u8 = 255;
const SCHEMA_KEY: &[u8] = b"schema";
const TIMERS_TABLE: u8 = 0;

/// Timers that fire in one piece of work.
const TIMERS_AT_ONCE: usize = 256;

/// How rows of a port become what the function takes.
pub(crate) type DecodeInput<P> = fn(&[u8]) -> Result<<P as Process>::Input, DecodeError>;

/// A step of an app, as a plan names it.
pub(crate) struct Step<P: Process> {
    pub name: String,
    pub process: Arc<P>,
    pub ports: Vec<DecodeInput<P>>,
    pub branches: Branches<P::Output>,
    /// Of each state: its number, and the output that its rows are.
    pub tables: BTreeMap<u8, i32>,
    /// Whether a watermark speaks of its rows.
    pub has_time: bool,
}

/// The name is all that stays when a program changes.
impl<P: Process> fmt::Debug for Step<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("name", &self.name)
            .field("ports", &self.ports.len())
            .finish_non_exhaustive()
    }
}

impl<P: Process> Custom for Step<P> {
    fn name(&self) -> &'static str {
        "process"
    }

    fn is_append_only(&self) -> bool {
        false
    }

    fn start(&self) -> Box<dyn Running> {
        Box::new(StepRun::<P> {
            process: self.process.clone(),
            seed: fnv1a(self.name.as_bytes()),
            has_time: self.has_time,
            ports: self.ports.clone(),
            branches: self.branches.clone(),
            tables: self.tables.clone(),
            state: P::State::new(),
            timers: Timers::new(),
            schema: StepSchema::of::<P::Key, P::State>(),
            is_schema_new: true,
            is_evolved: false,
            refusal: None,
            waiting: Waiting::default(),
            phase: Phase::Rows,
            rows: RowsBuilder::default(),
            out: Vec::new(),
            number: 0,
            calls: 0,
            state_entries: 0,
            state_bytes: 0,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Rows,
    Timers(Clock),
    /// Rows of the state at that place.
    State(usize),
    EndTimers,
}

struct StepRun<P: Process> {
    process: Arc<P>,
    /// Of its random numbers.
    seed: u64,
    has_time: bool,
    ports: Vec<DecodeInput<P>>,
    branches: Branches<P::Output>,
    tables: BTreeMap<u8, i32>,
    state: P::State,
    timers: Timers,
    schema: StepSchema,
    /// No checkpoint has this schema yet.
    is_schema_new: bool,
    /// The views of the state begin anew: they are to be told all of it.
    is_evolved: bool,
    refusal: Option<String>,
    waiting: Waiting,
    phase: Phase,
    rows: RowsBuilder,
    out: Vec<(P::Output, i64)>,
    /// Of rows that this epoch has put out: their place in it.
    number: i64,
    /// Of the function, in this epoch.
    calls: u64,
    state_entries: usize,
    state_bytes: usize,
}

impl<P: Process> fmt::Debug for StepRun<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepRun").finish_non_exhaustive()
    }
}

/// What of the epoch a call of the function is told.
struct Call<'a> {
    key: &'a [u8],
    origin: Origin,
    end: &'a End,
    /// Up to where timers have fired already, if it is further.
    watermark: Option<i64>,
}

impl<P: Process> StepRun<P> {
    /// Calls the function, and sends what it puts out on its way.
    fn call(
        &mut self,
        call: &Call<'_>,
        output: &mut Output,
        function: impl FnOnce(&P, &mut P::State, &mut Context<'_, P::Key, P::Output>),
    ) -> Result<(), DecodeError> {
        let key = P::Key::decode(call.key)?;
        self.state.each(&mut |_, state| state.enter(call.key));
        self.calls += 1;
        let mut context = Context {
            key: &key,
            key_bytes: call.key,
            origin: call.origin,
            now: call.end.now,
            watermark: self.timers.watermark.max(call.watermark),
            out: &mut self.out,
            timers: &mut self.timers,
            has_time: self.has_time,
            output,
            seed: self.seed ^ self.calls,
            draws: 0,
        };
        function(&self.process, &mut self.state, &mut context);
        for (item, time) in self.out.drain(..) {
            let origin = Origin {
                time,
                partition: 0,
                offset: self.number,
            };
            self.number += 1;
            run_all(&self.branches, item, origin, &mut self.rows);
        }
        Ok(())
    }

    /// A piece of the rows that wait; true while there are more.
    fn work_rows(&mut self, end: &End, out: &mut Output) -> bool {
        let mut waiting = std::mem::take(&mut self.waiting);
        for _ in 0..CHUNK_ROWS {
            let Some(next) = waiting.take_next() else {
                break;
            };
            let (key, value, origin) = waiting.row(&next);
            let call = Call {
                key,
                origin,
                end,
                watermark: None,
            };
            let decoded = self.ports[next.port](value);
            let done = decoded.and_then(|event| {
                self.call(&call, out, |process, state, context| {
                    process.on_event(state, event, context);
                })
            });
            // Bytes of this program's own; a newer one may have written them.
            if let Err(error) = done {
                out.fault(streams::Fault {
                    sqlstate: *b"22P03",
                    message: error.to_string(),
                });
            }
            self.give_if_full(out);
        }
        if waiting.is_empty() {
            return false;
        }
        self.waiting = waiting;
        true
    }

    fn work_timers(&mut self, clock: Clock, end: &End, out: &mut Output) -> bool {
        let limit = match clock {
            Clock::Event => end.watermark,
            Clock::Processing => Some(end.now),
        };
        let Some(limit) = limit else { return false };
        for _ in 0..TIMERS_AT_ONCE {
            let Some((at, key)) = self.timers.take_due(clock, limit) else {
                return false;
            };
            // Somebody sees to it that this epoch is decided: it changed something.
            let origin = Origin {
                time: at,
                partition: i32::MAX,
                offset: self.number,
            };
            self.rows.push(NOBODY, None, &[], origin, 1);
            let timer = Timer {
                clock,
                at: crate::event::Timestamp(at),
            };
            let call = Call {
                key: &key,
                origin,
                end,
                watermark: end.watermark,
            };
            let done = self.call(&call, out, |process, state, context| {
                process.on_timer(state, timer, context);
            });
            if let Err(error) = done {
                out.fault(streams::Fault {
                    sqlstate: *b"22P03",
                    message: error.to_string(),
                });
            }
            self.give_if_full(out);
        }
        true
    }

    /// A piece of the rows of the state at a place; true while it has more.
    fn work_state(&mut self, at: usize, out: &mut Output) -> bool {
        let everything = self.is_evolved;
        let (rows, tables) = (&mut self.rows, &self.tables);
        let (mut place, mut has_more) = (0, false);
        self.state.each(&mut |number, state| {
            place += 1;
            if place != at + 1 {
                return;
            }
            let output = tables.get(&number).copied().unwrap_or(NOBODY);
            has_more = state.end_epoch(everything, &mut |key, entry, value, weight| {
                let row = state_row(key, entry, value);
                let origin = Origin {
                    time: 0,
                    partition: 0,
                    offset: 0,
                };
                rows.push(output, None, &row, origin, weight);
                if rows.is_full() {
                    out.deltas.push(rows.finish());
                }
            });
        });
        has_more
    }

    /// Ends the epoch, once all of the state has.
    fn end_state(&mut self) {
        self.is_evolved = false;
        let mut counts = (0, 0);
        self.state.each(&mut |_, state| {
            counts = (counts.0 + state.entries(), counts.1 + state.bytes());
        });
        (self.state_entries, self.state_bytes) = counts;
        (self.number, self.calls) = (0, 0);
    }

    fn state_count(&mut self) -> usize {
        let mut count = 0;
        self.state.each(&mut |_, _| count += 1);
        count
    }

    fn give_if_full(&mut self, out: &mut Output) {
        if self.rows.is_full() {
            out.deltas.push(self.rows.finish());
        }
    }

    fn take_schema(&mut self, value: &[u8]) -> Result<(), Corrupt> {
        let text = std::str::from_utf8(value).map_err(|_| Corrupt)?;
        let before = StepSchema::from_text(text).ok_or(Corrupt)?;
        self.is_evolved = !self.schema.is_same(&before);
        match std::mem::take(&mut self.schema).after(&before) {
            Ok(schema) => {
                self.schema = schema;
                self.is_schema_new = self.is_evolved;
                Ok(())
            }
            Err(why) => {
                self.refusal = Some(why);
                Err(Corrupt)
            }
        }
    }
}

/// The message of which a state's rows are made: key, entry, value, numbers 1 to 3.
fn state_row(key: &[u8], entry: Option<&[u8]>, value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(key.len() + value.len() + 16);
    for (number, part) in [(1, Some(key)), (2, entry), (3, Some(value))] {
        if let Some(part) = part {
            put_counted(number, part, &mut row);
        }
    }
    row
}

impl<P: Process> Running for StepRun<P> {
    fn take(&mut self, port: usize, delta: &Delta, _out: &mut Output) {
        self.waiting.push(port, delta);
    }

    fn finish(&mut self, end: &End, out: &mut Output) -> bool {
        let phase = self.phase;
        match phase {
            Phase::Rows => {
                if !self.work_rows(end, out) {
                    self.timers.begin();
                    self.phase = Phase::Timers(Clock::Event);
                }
                true
            }
            Phase::Timers(clock) => {
                if !self.work_timers(clock, end, out) {
                    self.phase = match clock {
                        Clock::Event => Phase::Timers(Clock::Processing),
                        Clock::Processing => Phase::State(0),
                    };
                }
                true
            }
            Phase::State(at) if at < self.state_count() => {
                if !self.work_state(at, out) {
                    self.phase = Phase::State(at + 1);
                }
                true
            }
            Phase::State(_) => {
                if !self.rows.is_empty() {
                    out.deltas.push(self.rows.finish());
                }
                self.timers.end_epoch(end.watermark);
                self.end_state();
                self.phase = Phase::EndTimers;
                true
            }
            Phase::EndTimers => {
                let has_more = self.timers.store.end_epoch(false, |_, _, _| {});
                if !has_more {
                    self.phase = Phase::Rows;
                }
                has_more
            }
        }
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        let text = self.schema.to_text();
        let mut is_told = std::mem::take(&mut self.is_schema_new) || all;
        if is_told {
            write(SCHEMA_TABLE, SCHEMA_KEY, Some(text.as_bytes()));
        }
        let mut told = |table: u8, key: &[u8], value: Option<&[u8]>| {
            if !is_told {
                is_told = true;
                write(SCHEMA_TABLE, SCHEMA_KEY, Some(text.as_bytes()));
            }
            write(table, key, value);
        };
        let timers = &mut self.timers.store;
        let mut has_more = timers.checkpoint(all, &mut |key, value| told(TIMERS_TABLE, key, value));
        self.state.each(&mut |number, state| {
            has_more |= state.checkpoint(all, &mut |key, value| told(number, key, value));
        });
        has_more
    }

    fn restore(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        match table {
            SCHEMA_TABLE if key == SCHEMA_KEY => return self.take_schema(value),
            SCHEMA_TABLE => return Err(Corrupt),
            TIMERS_TABLE => return self.timers.restore(key, value),
            _ => {}
        }
        let mut restored = Ok(());
        // Of a state that is gone nothing is taken.
        self.state.each(&mut |number, state| {
            if number == table {
                restored = state.restore(key, value);
            }
        });
        restored.map_err(|_| Corrupt)
    }

    fn refusal(&self) -> Option<String> {
        self.refusal.clone()
    }

    fn entries(&self) -> usize {
        self.timers.store.entries() + self.state_entries
    }

    fn bytes(&self) -> usize {
        self.timers.store.bytes() + self.state_bytes + self.waiting.bytes()
    }
}

/// A clock and a time in front of a timer's key.
const TIMER_BYTES: usize = 9;

/// Behind those of the clocks.
const WATERMARK: u8 = 2;

/// Timers of all keys, by clock, time and key.
pub(crate) struct Timers {
    store: Store<()>,
    /// They are firing: what is set for a time that is over waits for the next epoch.
    fired: Option<i64>,
    deferred: Vec<Vec<u8>>,
    /// Up to where those of the event time have fired. Kept as a timer of a third clock.
    watermark: Option<i64>,
}

impl Timers {
    fn new() -> Self {
        Self {
            store: Store::listed(),
            fired: None,
            deferred: Vec::new(),
            watermark: None,
        }
    }

    fn name(clock: Clock, at: i64, key: &[u8]) -> Vec<u8> {
        Self::name_of(u8::from(clock == Clock::Processing), at, key)
    }

    fn name_of(clock: u8, at: i64, key: &[u8]) -> Vec<u8> {
        let mut name = Vec::with_capacity(TIMER_BYTES + key.len());
        name.push(clock);
        name.extend((at ^ i64::MIN).to_be_bytes());
        name.extend_from_slice(key);
        name
    }

    pub fn set(&mut self, clock: Clock, at: i64, key: &[u8]) {
        let name = Self::name(clock, at, key);
        match self.fired.is_some_and(|fired| at <= fired) {
            true => self.deferred.push(name),
            false => self.store.insert(&name, ()),
        }
    }

    pub fn clear(&mut self, clock: Clock, at: i64, key: &[u8]) {
        let name = Self::name(clock, at, key);
        self.deferred.retain(|deferred| *deferred != name);
        self.store.remove(&name);
    }

    fn begin(&mut self) {
        self.fired = None;
    }

    /// The next that is due, and is none any more.
    fn take_due(&mut self, clock: Clock, limit: i64) -> Option<(i64, Vec<u8>)> {
        let from = [u8::from(clock == Clock::Processing)];
        let first = self
            .store
            .range(Bound::Included(&from), Bound::Unbounded)
            .next();
        let name = first.map(|(name, ())| name.to_vec())?;
        let (at, key) = name[1..].split_first_chunk::<8>()?;
        let at = i64::from_be_bytes(*at) ^ i64::MIN;
        if name[0] != from[0] || at > limit {
            return None;
        }
        let key = key.to_vec();
        self.store.remove(&name);
        self.fired = Some(at);
        Some((at, key))
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        let (clock, rest) = key.split_first().ok_or(Corrupt)?;
        let (at, _) = rest.split_first_chunk::<8>().ok_or(Corrupt)?;
        match *clock {
            0 | 1 => {}
            WATERMARK => self.watermark = Some(i64::from_be_bytes(*at) ^ i64::MIN),
            _ => return Err(Corrupt),
        }
        self.store.restore(key, value).map_err(|_| Corrupt)
    }

    /// What is left is to end the epoch of the store.
    fn end_epoch(&mut self, watermark: Option<i64>) {
        if watermark > self.watermark {
            if let Some(old) = self.watermark {
                self.store.remove(&Self::name_of(WATERMARK, old, &[]));
            }
            self.watermark = watermark;
            let name = watermark.map(|watermark| Self::name_of(WATERMARK, watermark, &[]));
            if let Some(name) = name {
                self.store.insert(&name, ());
            }
        }
        self.fired = None;
        for name in std::mem::take(&mut self.deferred) {
            self.store.insert(&name, ());
        }
    }
}

#[cfg(test)]
mod tests;
