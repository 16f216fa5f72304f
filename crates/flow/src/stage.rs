//! What happens to items between two keys: one function, compiled as one.
//!
//! A stage is to the items of a stream what an iterator's adapter is to its items; each holds the one before it.

use std::{marker::PhantomData, sync::Arc};

use crate::{
    event::Event,
    rows::{Origin, RowsBuilder},
};

/// See the module head.
pub trait Stage: Send + Sync + 'static {
    type In;
    type Out;

    /// Gives `out` what comes of the item.
    fn run<F: FnMut(Self::Out)>(&self, item: Self::In, out: &mut F);
}

/// Items as they are.
pub struct Start<T>(PhantomData<fn(T)>);

impl<T> Default for Start<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Start<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T: 'static> Stage for Start<T> {
    type In = T;
    type Out = T;

    fn run<F: FnMut(T)>(&self, item: T, out: &mut F) {
        out(item);
    }
}

#[derive(Clone)]
pub struct Map<S, M> {
    pub(crate) stage: S,
    pub(crate) map: M,
}

impl<S: Stage, T, M: Fn(S::Out) -> T + Send + Sync + 'static> Stage for Map<S, M>
where
    T: 'static,
{
    type In = S::In;
    type Out = T;

    fn run<F: FnMut(T)>(&self, item: S::In, out: &mut F) {
        self.stage.run(item, &mut |item| out((self.map)(item)));
    }
}

#[derive(Clone)]
pub struct Filter<S, P> {
    pub(crate) stage: S,
    pub(crate) is_kept: P,
}

impl<S: Stage, P: Fn(&S::Out) -> bool + Send + Sync + 'static> Stage for Filter<S, P> {
    type In = S::In;
    type Out = S::Out;

    fn run<F: FnMut(S::Out)>(&self, item: S::In, out: &mut F) {
        self.stage.run(item, &mut |item| {
            if (self.is_kept)(&item) {
                out(item);
            }
        });
    }
}

#[derive(Clone)]
pub struct FlatMap<S, M> {
    pub(crate) stage: S,
    pub(crate) map: M,
}

impl<S: Stage, I, M: Fn(S::Out) -> I + Send + Sync + 'static> Stage for FlatMap<S, M>
where
    I: IntoIterator + 'static,
{
    type In = S::In;
    type Out = I::Item;

    fn run<F: FnMut(I::Item)>(&self, item: S::In, out: &mut F) {
        self.stage.run(item, &mut |item| {
            (self.map)(item).into_iter().for_each(&mut *out)
        });
    }
}

/// One way that items of an origin go: a stage, and what becomes of the items as rows.
pub(crate) trait Branch<T>: Send + Sync {
    fn run(&self, item: T, origin: Origin, rows: &mut RowsBuilder);
}

/// To those that read by a key.
pub(crate) struct ToKey<S, K> {
    pub stage: S,
    pub key: K,
    pub output: i32,
}

impl<S, K, F> Branch<S::In> for ToKey<S, F>
where
    S: Stage,
    S::Out: Event,
    K: Event,
    F: Fn(&S::Out) -> K + Send + Sync,
{
    fn run(&self, item: S::In, origin: Origin, rows: &mut RowsBuilder) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        self.stage.run(item, &mut |item| {
            key.clear();
            value.clear();
            (self.key)(&item).put(&mut key);
            item.put(&mut value);
            rows.push(self.output, Some(&key), &value, origin, 1);
        });
    }
}

/// To a topic: key and value as the record has them.
pub(crate) struct ToTopic<S, R> {
    pub stage: S,
    pub record: R,
    pub output: i32,
}

impl<S, F> Branch<S::In> for ToTopic<S, F>
where
    S: Stage,
    F: Fn(&S::Out) -> (Option<Vec<u8>>, Vec<u8>) + Send + Sync,
{
    fn run(&self, item: S::In, origin: Origin, rows: &mut RowsBuilder) {
        self.stage.run(item, &mut |item| {
            let (key, value) = (self.record)(&item);
            rows.push(self.output, key.as_deref(), &value, origin, 1);
        });
    }
}

/// All branches of an origin.
pub(crate) type Branches<T> = Arc<[Box<dyn Branch<T>>]>;

/// Sends an item down every branch.
pub(crate) fn run_all<T: Clone>(
    branches: &[Box<dyn Branch<T>>],
    item: T,
    origin: Origin,
    rows: &mut RowsBuilder,
) {
    let Some((last, others)) = branches.split_last() else {
        return;
    };
    for branch in others {
        branch.run(item.clone(), origin, rows);
    }
    last.run(item, origin, rows);
}
