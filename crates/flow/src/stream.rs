//! Streams of events, and streams of events by key.

use std::{marker::PhantomData, rc::Rc, time::Duration};

use crate::{
    aggregate::{Aggregate, Count},
    app::{Origin, Parts, Port, TopicStream, add_key, add_sink, add_step},
    event::Event,
    process::{Either, Process},
    stage::{Filter, FlatMap, Map, Stage, Start},
    step::DecodeInput,
    steps::{Fold, JoinStep, Window, WindowStep, Windowed},
};

/// Events, one after the other. Each way on from here is a branch of its own; clone it for several.
#[must_use = "a stream does nothing unless it leads somewhere"]
pub struct Stream<S: Stage> {
    pub(crate) parts: Rc<Parts>,
    pub(crate) origin: Rc<Origin<S::In>>,
    pub(crate) stage: S,
}

impl<S: Stage + Clone> Clone for Stream<S> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            origin: self.origin.clone(),
            stage: self.stage.clone(),
        }
    }
}

impl<S: Stage> Stream<S> {
    pub(crate) fn new(parts: Rc<Parts>, origin: Rc<Origin<S::In>>, stage: S) -> Self {
        Self {
            parts,
            origin,
            stage,
        }
    }

    fn with<N: Stage<In = S::In>>(self, next: impl FnOnce(S) -> N) -> Stream<N> {
        Stream {
            parts: self.parts,
            origin: self.origin,
            stage: next(self.stage),
        }
    }

    /// Another event for each.
    pub fn map<T, M>(self, map: M) -> Stream<Map<S, M>>
    where
        T: 'static,
        M: Fn(S::Out) -> T + Send + Sync + 'static,
    {
        self.with(|stage| Map { stage, map })
    }

    /// The events for which it is so.
    pub fn filter<P>(self, is_kept: P) -> Stream<Filter<S, P>>
    where
        P: Fn(&S::Out) -> bool + Send + Sync + 'static,
    {
        self.with(|stage| Filter { stage, is_kept })
    }

    /// Any number of events for each.
    pub fn flat_map<I, M>(self, map: M) -> Stream<FlatMap<S, M>>
    where
        I: IntoIterator + 'static,
        M: Fn(S::Out) -> I + Send + Sync + 'static,
    {
        self.with(|stage| FlatMap { stage, map })
    }

    /// Brings the events of each key together.
    pub fn key_by<K, F>(self, key: F) -> KeyedStream<K, S::Out>
    where
        S::Out: Event,
        K: Event,
        F: Fn(&S::Out) -> K + Send + Sync + 'static,
    {
        add_key(self, key)
    }

    /// Writes the events into a topic, as messages without keys.
    pub fn to_topic(self, topic: &str)
    where
        S::Out: Event,
    {
        add_sink(self, topic, false, |event| (None, event.to_bytes()));
    }

    /// Writes the events into a topic; those of one key go to one partition.
    pub fn to_topic_by<K, F>(self, topic: &str, key: F)
    where
        S::Out: Event,
        K: RecordKey,
        F: Fn(&S::Out) -> K + Send + Sync + 'static,
    {
        add_sink(self, topic, true, move |event| {
            (Some(key(event).to_record_key()), event.to_bytes())
        });
    }

    /// Writes a record for each: its key, or none, and its value.
    pub fn to_records<F>(self, topic: &str, record: F)
    where
        F: Fn(&S::Out) -> (Option<Vec<u8>>, Vec<u8>) + Send + Sync + 'static,
    {
        add_sink(self, topic, true, record);
    }
}

impl<T: Clone + Send + 'static> TopicStream<T> {
    pub fn map<U, M>(self, map: M) -> Stream<Map<Start<T>, M>>
    where
        U: 'static,
        M: Fn(T) -> U + Send + Sync + 'static,
    {
        self.stream().map(map)
    }

    pub fn filter<P>(self, is_kept: P) -> Stream<Filter<Start<T>, P>>
    where
        P: Fn(&T) -> bool + Send + Sync + 'static,
    {
        self.stream().filter(is_kept)
    }

    pub fn flat_map<I, M>(self, map: M) -> Stream<FlatMap<Start<T>, M>>
    where
        I: IntoIterator + 'static,
        M: Fn(T) -> I + Send + Sync + 'static,
    {
        self.stream().flat_map(map)
    }

    pub fn key_by<K, F>(self, key: F) -> KeyedStream<K, T>
    where
        T: Event,
        K: Event,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        self.stream().key_by(key)
    }
}

/// What a record's key is made of: text as it is, integers big-endian as Kafka's serialisers write them.
pub trait RecordKey {
    fn to_record_key(&self) -> Vec<u8>;
}

impl RecordKey for String {
    fn to_record_key(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl RecordKey for Vec<u8> {
    fn to_record_key(&self) -> Vec<u8> {
        self.clone()
    }
}

impl RecordKey for i32 {
    fn to_record_key(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
}

impl RecordKey for i64 {
    fn to_record_key(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
}

impl RecordKey for u64 {
    fn to_record_key(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
}

/// Events by key: what has state is made of these. Each step has a name, by which its state is found again.
#[must_use = "a stream does nothing unless it leads somewhere"]
pub struct KeyedStream<K, T> {
    pub(crate) parts: Rc<Parts>,
    pub(crate) port: Port,
    pub(crate) of: PhantomData<fn() -> (K, T)>,
}

impl<K, T> Clone for KeyedStream<K, T> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            port: self.port.clone(),
            of: PhantomData,
        }
    }
}

impl<K: Event, T: Event> KeyedStream<K, T> {
    fn step<P: Process>(
        self,
        name: &str,
        process: P,
        decode: DecodeInput<P>,
        needs_time: bool,
    ) -> Stream<Start<P::Output>> {
        let ports = vec![(self.port, decode)];
        add_step(&self.parts, name, process, ports, needs_time)
    }

    /// Calls a process function for each event.
    pub fn process<P>(self, name: &str, process: P) -> Stream<Start<P::Output>>
    where
        P: Process<Key = K, Input = T>,
    {
        self.step(name, process, |bytes| T::decode(bytes), false)
    }

    /// How many events there were of the key, with each of them.
    pub fn count(self, name: &str) -> Stream<Start<(K, u64)>> {
        self.fold(name, |count: &mut u64, _| *count += 1)
    }

    /// A value of the key, which each event changes; it begins empty.
    pub fn fold<A, F>(self, name: &str, function: F) -> Stream<Start<(K, A)>>
    where
        A: Event,
        F: Fn(&mut A, T) + Send + Sync + 'static,
    {
        let fold = Fold {
            function,
            of: PhantomData,
        };
        self.step::<Fold<K, T, A, F>>(name, fold, |bytes| T::decode(bytes), false)
    }

    /// In windows of the event time.
    pub fn window(self, window: Window) -> WindowedStream<K, T> {
        WindowedStream {
            stream: self,
            window,
        }
    }

    /// Pairs with the events of the same key of another stream that are no further away in time.
    pub fn join<R: Event>(
        self,
        name: &str,
        right: KeyedStream<K, R>,
        within: Duration,
    ) -> Stream<Start<(T, R)>> {
        let join = JoinStep {
            within,
            of: PhantomData,
        };
        self.connect(right)
            .step::<JoinStep<K, T, R>>(name, join, true)
    }

    /// Both streams, for a process function that takes either's events.
    pub fn connect<R: Event>(self, right: KeyedStream<K, R>) -> ConnectedStreams<K, T, R> {
        ConnectedStreams { left: self, right }
    }
}

/// Two streams with one key.
#[must_use = "streams do nothing unless they lead somewhere"]
pub struct ConnectedStreams<K, L, R> {
    left: KeyedStream<K, L>,
    right: KeyedStream<K, R>,
}

impl<K: Event, L: Event, R: Event> ConnectedStreams<K, L, R> {
    /// Within an epoch, events of the left stream come first.
    pub fn process<P>(self, name: &str, process: P) -> Stream<Start<P::Output>>
    where
        P: Process<Key = K, Input = Either<L, R>>,
    {
        self.step(name, process, false)
    }

    fn step<P>(self, name: &str, process: P, needs_time: bool) -> Stream<Start<P::Output>>
    where
        P: Process<Key = K, Input = Either<L, R>>,
    {
        let left: DecodeInput<P> = |bytes| L::decode(bytes).map(Either::Left);
        let right: DecodeInput<P> = |bytes| R::decode(bytes).map(Either::Right);
        let ports = vec![(self.left.port, left), (self.right.port, right)];
        add_step(&self.left.parts, name, process, ports, needs_time)
    }
}

/// Events by key and window. What comes out comes once, when the watermark has reached the window's end; events that come
/// later are counted as late.
#[must_use = "a stream does nothing unless it leads somewhere"]
pub struct WindowedStream<K, T> {
    stream: KeyedStream<K, T>,
    window: Window,
}

impl<K: Event, T: Event> WindowedStream<K, T> {
    pub fn count(self, name: &str) -> Stream<Start<Windowed<K, u64>>> {
        self.aggregate::<Count<()>, _>(name, |_| ())
    }

    /// What the function makes of an input from each event.
    pub fn aggregate<A, F>(self, name: &str, input: F) -> Stream<Start<Windowed<K, A::Output>>>
    where
        A: Aggregate,
        A::Output: Clone + Send + 'static,
        F: Fn(&T) -> A::Input + Send + Sync + 'static,
    {
        let step = WindowStep {
            window: self.window,
            input,
            of: PhantomData,
        };
        self.stream
            .step::<WindowStep<K, T, A, F>>(name, step, |bytes| T::decode(bytes), true)
    }
}
