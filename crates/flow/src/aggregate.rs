//! Aggregate functions: what is added up under a key or in a window.

use std::marker::PhantomData;

use crate::event::Event;

/// A function of many values whose state is an event.
pub trait Aggregate: 'static {
    type Input;
    type State: Event;
    type Output;

    fn add(state: &mut Self::State, input: Self::Input);

    /// As if what the other one has was added to this one.
    fn merge(state: &mut Self::State, other: &Self::State);

    fn output(state: &Self::State) -> Self::Output;
}

/// How many there were.
pub struct Count<T>(PhantomData<T>);

impl<T: 'static> Aggregate for Count<T> {
    type Input = T;
    type State = u64;
    type Output = u64;

    fn add(state: &mut u64, _input: T) {
        *state += 1;
    }

    fn merge(state: &mut u64, other: &u64) {
        *state += other;
    }

    fn output(state: &u64) -> u64 {
        *state
    }
}

/// Their sum; it stays at the greatest or least number rather than go beyond.
pub struct Sum;

impl Aggregate for Sum {
    type Input = i64;
    type State = i64;
    type Output = i64;

    fn add(state: &mut i64, input: i64) {
        *state = state.saturating_add(input);
    }

    fn merge(state: &mut i64, other: &i64) {
        *state = state.saturating_add(*other);
    }

    fn output(state: &i64) -> i64 {
        *state
    }
}

/// A value, or none yet.
#[derive(Clone, Debug, PartialEq, crate::Event)]
pub struct Extreme {
    #[event(1)]
    pub value: Option<i64>,
}

/// The greatest.
pub struct Max;

/// The least.
pub struct Min;

impl Aggregate for Max {
    type Input = i64;
    type State = Extreme;
    type Output = Option<i64>;

    fn add(state: &mut Extreme, input: i64) {
        state.value = state.value.max(Some(input));
    }

    fn merge(state: &mut Extreme, other: &Extreme) {
        state.value = state.value.max(other.value);
    }

    fn output(state: &Extreme) -> Option<i64> {
        state.value
    }
}

impl Aggregate for Min {
    type Input = i64;
    type State = Extreme;
    type Output = Option<i64>;

    fn add(state: &mut Extreme, input: i64) {
        state.value = Some(state.value.map_or(input, |known| known.min(input)));
    }

    fn merge(state: &mut Extreme, other: &Extreme) {
        if let Some(other) = other.value {
            Self::add(state, other);
        }
    }

    fn output(state: &Extreme) -> Option<i64> {
        state.value
    }
}

/// Sum and count of what was added.
#[derive(Clone, Debug, PartialEq, crate::Event)]
pub struct Moments {
    #[event(1)]
    pub sum: f64,
    #[event(2)]
    pub count: u64,
}

/// Their mean, in the order in which they came.
pub struct Mean;

impl Aggregate for Mean {
    type Input = f64;
    type State = Moments;
    type Output = Option<f64>;

    fn add(state: &mut Moments, input: f64) {
        state.sum += input;
        state.count += 1;
    }

    fn merge(state: &mut Moments, other: &Moments) {
        state.sum += other.sum;
        state.count += other.count;
    }

    fn output(state: &Moments) -> Option<f64> {
        (state.count > 0).then(|| state.sum / state.count as f64)
    }
}
