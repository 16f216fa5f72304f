//! The steps that come with the library, as process functions like any others.

use std::{marker::PhantomData, time::Duration};

use crate::{
    aggregate::Aggregate,
    event::{DecodeError, Event, Timestamp, micros},
    process::{Clock, Context, Either, Process, Timer},
    state::{Keyed, OrderedKey, OrderedMapState, State, StateField, ValueState, describe},
};

/// Types that a step is of, though it holds none.
pub(crate) type Of<T> = PhantomData<fn() -> T>;

/// A single state, whose table is called as its step is.
pub struct One<S>(pub S);

impl<S: Keyed + 'static> State for One<S> {
    fn new() -> Self {
        Self(S::new())
    }

    fn fields() -> Vec<StateField> {
        vec![describe::<S>(1, "")]
    }

    fn each(&mut self, visit: &mut dyn FnMut(u8, &mut dyn Keyed)) {
        visit(1, &mut self.0);
    }
}

/// Goes through the events of each key with a value.
pub(crate) struct Fold<K, T, A, F> {
    pub function: F,
    pub of: Of<(K, T, A)>,
}

impl<K, T, A, F> Process for Fold<K, T, A, F>
where
    K: Event,
    T: Event,
    A: Event,
    F: Fn(&mut A, T) + Send + Sync + 'static,
{
    type Key = K;
    type Input = T;
    type Output = (K, A);
    type State = One<ValueState<A>>;

    fn on_event(
        &self,
        state: &mut Self::State,
        event: T,
        context: &mut Context<'_, K, Self::Output>,
    ) {
        let value = state.0.change();
        (self.function)(value, event);
        let value = value.clone();
        let key = context.key().clone();
        context.emit((key, value));
    }
}

/// Times are no closer.
const INSTANT: Duration = Duration::from_micros(1);

/// Which windows a time is in; windows begin at multiples of their size or slide since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// One behind the other.
    Tumbling(Duration),
    /// One begins every `slide`.
    Hopping { size: Duration, slide: Duration },
    /// As long as events of a key follow each other within the gap.
    Session { gap: Duration },
}

/// Start and end of a window: it holds times from the start on and before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, crate::Event)]
pub struct Bounds {
    #[event(1)]
    pub window_start: Timestamp,
    #[event(2)]
    pub window_end: Timestamp,
}

impl OrderedKey for Bounds {
    fn put_ordered(&self, out: &mut Vec<u8>) {
        self.window_end.put_ordered(out);
        self.window_start.put_ordered(out);
    }

    fn take_ordered(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        let window_end = Timestamp::take_ordered(bytes)?;
        let window_start = Timestamp::take_ordered(bytes)?;
        Ok(Self {
            window_start,
            window_end,
        })
    }
}

/// What came of a window of a key, once it was closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Windowed<K, V> {
    pub key: K,
    pub window: Bounds,
    pub value: V,
}

/// Aggregates what is in each window, and puts it out when the watermark has reached the window's end.
pub(crate) struct WindowStep<K, T, A, F> {
    pub window: Window,
    pub input: F,
    pub of: Of<(K, T, A)>,
}

impl Window {
    /// The windows of fixed length that hold a time.
    fn holding(self, time: i64) -> Vec<Bounds> {
        let (size, slide) = match self {
            Self::Tumbling(size) => (micros(size).max(1), micros(size).max(1)),
            Self::Hopping { size, slide } => (micros(size).max(1), micros(slide).max(1)),
            Self::Session { gap } => {
                return vec![bounds(time, time.saturating_add(micros(gap)))];
            }
        };
        // At the end of all times, windows that would begin before it are none.
        let last = time.div_euclid(slide).checked_mul(slide);
        let starts = std::iter::successors(last, |start| start.checked_sub(slide));
        let holding = starts.take_while(|start| start.saturating_add(size) > time);
        let mut windows: Vec<Bounds> = holding
            .map(|start| bounds(start, start.saturating_add(size)))
            .take(WINDOWS_MAX)
            .collect();
        windows.reverse();
        windows
    }
}

/// That one time may be in; those that ended longest ago are left out beyond.
const WINDOWS_MAX: usize = 10_000;

fn bounds(start: i64, end: i64) -> Bounds {
    Bounds {
        window_start: Timestamp(start),
        window_end: Timestamp(end),
    }
}

impl<K, T, A, F> WindowStep<K, T, A, F>
where
    A: Aggregate,
    F: Fn(&T) -> A::Input,
{
    /// The window that the event is in then, and those that are part of it from now on.
    fn add(
        &self,
        windows: &mut OrderedMapState<Bounds, A::State>,
        window: Bounds,
        event: &T,
    ) -> (Bounds, Vec<Bounds>) {
        let Window::Session { .. } = self.window else {
            A::add(windows.change(&window), (self.input)(event));
            return (window, Vec::new());
        };
        // Sessions that the event's own overlaps become one with it.
        let from = bounds(i64::MIN, window.window_start.0.saturating_add(1));
        // Sessions of a key lie apart, so they begin in the order in which they end.
        let touching = windows
            .range(from..)
            .take_while(|(known, _)| known.window_start < window.window_end);
        let touching: Vec<Bounds> = touching.map(|(known, _)| known).collect();
        let mut whole = window;
        let mut merged: Option<A::State> = None;
        for known in &touching {
            whole.window_start = whole.window_start.min(known.window_start);
            whole.window_end = whole.window_end.max(known.window_end);
            match (&mut merged, windows.remove(known)) {
                (Some(merged), Some(state)) => A::merge(merged, &state),
                (merged, state) => *merged = merged.take().or(state),
            }
        }
        let mut state = merged.unwrap_or_else(A::State::empty);
        A::add(&mut state, (self.input)(event));
        windows.insert(&whole, state);
        (whole, touching)
    }
}

impl<K, T, A, F> Process for WindowStep<K, T, A, F>
where
    K: Event,
    T: Event,
    A: Aggregate,
    A::Output: Clone + Send + 'static,
    F: Fn(&T) -> A::Input + Send + Sync + 'static,
{
    type Key = K;
    type Input = T;
    type Output = Windowed<K, A::Output>;
    type State = One<OrderedMapState<Bounds, A::State>>;

    fn on_event(
        &self,
        state: &mut Self::State,
        event: T,
        context: &mut Context<'_, K, Self::Output>,
    ) {
        let closed = context.watermark();
        let windows = self.window.holding(context.time().0);
        // Between windows that are further apart than they are long, nothing is late.
        let mut is_late = !windows.is_empty();
        for window in windows {
            if closed.is_some_and(|closed| window.window_end <= closed) {
                continue;
            }
            is_late = false;
            let (window, merged) = self.add(&mut state.0, window, &event);
            let ends = merged.iter().map(|known| known.window_end);
            for end in ends.filter(|end| *end != window.window_end) {
                context.clear_timer(Clock::Event, end);
            }
            context.set_timer(Clock::Event, window.window_end);
        }
        if is_late {
            context.count_late();
        }
    }

    fn on_timer(
        &self,
        state: &mut Self::State,
        timer: Timer,
        context: &mut Context<'_, K, Self::Output>,
    ) {
        let ended = bounds(i64::MIN, timer.at.0)..=bounds(i64::MAX, timer.at.0);
        let ended: Vec<Bounds> = state.0.range(ended).map(|(window, _)| window).collect();
        for window in ended {
            let Some(value) = state.0.remove(&window) else {
                continue;
            };
            let closed = Windowed {
                key: context.key().clone(),
                window,
                value: A::output(&value),
            };
            // The end is not in the window.
            context.emit_at(closed, window.window_end.minus(INSTANT));
        }
    }
}

/// Pairs of events of two streams whose times are no further apart.
pub(crate) struct JoinStep<K, L, R> {
    pub within: Duration,
    pub of: Of<(K, L, R)>,
}

/// Events of either side, by time and number.
pub struct JoinState<L, R> {
    left: OrderedMapState<(Timestamp, u64), L>,
    right: OrderedMapState<(Timestamp, u64), R>,
}

impl<L: Event, R: Event> State for JoinState<L, R> {
    fn new() -> Self {
        Self {
            left: OrderedMapState::new(),
            right: OrderedMapState::new(),
        }
    }

    fn fields() -> Vec<StateField> {
        vec![
            describe::<OrderedMapState<(Timestamp, u64), L>>(1, "left"),
            describe::<OrderedMapState<(Timestamp, u64), R>>(2, "right"),
        ]
    }

    fn each(&mut self, visit: &mut dyn FnMut(u8, &mut dyn Keyed)) {
        visit(1, &mut self.left);
        visit(2, &mut self.right);
    }
}

fn add<V: Event>(side: &mut OrderedMapState<(Timestamp, u64), V>, time: Timestamp, event: V) {
    let same = side.range((time, 0)..=(time, u64::MAX)).next_back();
    let number = same.map_or(0, |((_, number), _)| number + 1);
    side.insert(&(time, number), event);
}

fn forget<V: Event>(side: &mut OrderedMapState<(Timestamp, u64), V>, before: Timestamp) {
    let old: Vec<(Timestamp, u64)> = side.range(..(before, 0)).map(|(at, _)| at).collect();
    for at in old {
        side.remove(&at);
    }
}

impl<K: Event, L: Event, R: Event> Process for JoinStep<K, L, R> {
    type Key = K;
    type Input = Either<L, R>;
    type Output = (L, R);
    type State = JoinState<L, R>;

    fn on_event(
        &self,
        state: &mut Self::State,
        event: Self::Input,
        context: &mut Context<'_, K, (L, R)>,
    ) {
        let time = context.time();
        let until = time.plus(self.within);
        if context.watermark().is_some_and(|closed| until < closed) {
            context.count_late();
            return;
        }
        let near = (time.minus(self.within), 0)..=(until, u64::MAX);
        match event {
            Either::Left(left) => {
                for ((at, _), right) in state.right.range(near) {
                    context.emit_at((left.clone(), right.clone()), at.max(time));
                }
                add(&mut state.left, time, left);
            }
            Either::Right(right) => {
                for ((at, _), left) in state.left.range(near) {
                    context.emit_at((left.clone(), right.clone()), at.max(time));
                }
                add(&mut state.right, time, right);
            }
        }
        // Behind the last that it can meet.
        context.set_timer(Clock::Event, until.plus(INSTANT));
    }

    fn on_timer(
        &self,
        state: &mut Self::State,
        timer: Timer,
        _context: &mut Context<'_, K, (L, R)>,
    ) {
        let before = timer.at.minus(self.within);
        forget(&mut state.left, before);
        forget(&mut state.right, before);
    }
}

#[cfg(test)]
mod tests;
