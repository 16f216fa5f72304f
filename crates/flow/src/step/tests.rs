//! What a process function is given, and how much is done in one piece.

use std::collections::BTreeSet;

use super::*;
use crate::{
    Timestamp, ValueState,
    rows::{OUTPUT, RowsView},
    stage::{Branch, Start, ToTopic},
    steps::One,
};
use arrow_array::{cast::AsArray, types::Int32Type};

/// Puts a random number out for each event.
struct Draws;

impl Process for Draws {
    type Key = String;
    type Input = u64;
    type Output = u64;
    type State = One<ValueState<u64>>;

    fn on_event(
        &self,
        state: &mut Self::State,
        event: u64,
        context: &mut Context<'_, String, u64>,
    ) {
        state.0.set(event);
        context.set_timer(Clock::Event, Timestamp(1));
        let number = context.random_u64();
        context.emit(number);
    }
}

fn started(name: &str, has_time: bool) -> Box<dyn Running> {
    let branch: Box<dyn Branch<u64>> = Box::new(ToTopic {
        stage: Start::default(),
        record: |number: &u64| (None, number.to_bytes()),
        output: 0,
    });
    let decode: DecodeInput<Draws> = |bytes| u64::decode(bytes);
    let step = Step {
        name: name.to_owned(),
        process: Arc::new(Draws),
        ports: vec![decode],
        branches: Arc::new([branch]),
        tables: [(1, 1)].into(),
        has_time,
    };
    step.start()
}

fn events(keys: impl Iterator<Item = String>) -> Delta {
    let mut rows = RowsBuilder::default();
    for key in keys {
        let origin = Origin {
            time: 0,
            partition: 0,
            offset: 7,
        };
        rows.push(0, Some(&key.to_bytes()), &5u64.to_bytes(), origin, 1);
    }
    rows.finish()
}

/// Ends an epoch; what came out, piece by piece.
fn end(step: &mut dyn Running) -> Vec<Output> {
    let end = End {
        now: 9,
        watermark: None,
    };
    let mut pieces = Vec::new();
    loop {
        let mut out = Output::default();
        let has_more = step.finish(&end, &mut out);
        pieces.push(out);
        if !has_more {
            return pieces;
        }
    }
}

fn numbers(name: &str) -> Vec<Vec<u8>> {
    let mut step = started(name, true);
    let mut out = Output::default();
    let same = ["key", "key", "other"].map(str::to_owned);
    step.take(0, &events(same.into_iter()), &mut out);
    let mut numbers = Vec::new();
    for delta in end(&mut *step).into_iter().flat_map(|out| out.deltas) {
        let outputs = delta.column(OUTPUT).as_primitive::<Int32Type>();
        let values = RowsView::of(delta.rows()).value;
        let rows = (0..delta.len()).filter(|row| outputs.value(*row) == 0);
        numbers.extend(rows.map(|row| values.value(row).to_vec()));
    }
    numbers
}

#[test]
fn each_call_of_each_step_draws_numbers_of_its_own() {
    let first = numbers("first");
    assert_eq!(first.len(), 3);
    assert_eq!(first, numbers("first"), "the same again");
    let both: BTreeSet<Vec<u8>> = first.into_iter().chain(numbers("second")).collect();
    assert_eq!(both.len(), 6);
}

#[test]
fn a_timer_of_the_event_time_is_a_fault_where_there_is_none() {
    for (has_time, faults, timers) in [(true, 0, 1), (false, 1, 0)] {
        let mut step = started("step", has_time);
        step.take(
            0,
            &events(["key".to_owned()].into_iter()),
            &mut Output::default(),
        );
        let pieces = end(&mut *step);
        let found: u64 = pieces.iter().map(|out| out.faults).sum();
        assert_eq!(found, faults);
        // The value of the key is the other entry.
        assert_eq!(step.entries(), 1 + timers);
    }
}

#[test]
fn an_epoch_is_ended_in_pieces() {
    let mut step = started("step", true);
    let count = CHUNK_ROWS * 7 / 2;
    let keys: Vec<String> = (0..count).map(|key| key.to_string()).collect();
    for keys in keys.chunks(CHUNK_ROWS) {
        step.take(0, &events(keys.iter().cloned()), &mut Output::default());
    }
    assert!(step.bytes() > count * 10, "what waits is counted");
    let pieces = end(&mut *step);
    let rows = |out: &Output| out.deltas.iter().map(Delta::len).sum::<usize>();
    assert_eq!(pieces.iter().map(rows).sum::<usize>(), 2 * count);
    let most = pieces.iter().map(rows).max();
    assert!(most <= Some(2 * CHUNK_ROWS), "{most:?} rows in one piece");
    assert_eq!(step.entries(), 2 * count);
}
