//! Asking the shards that own partitions, all at once, and putting their answers back in order.

use std::{
    future::{Future, poll_fn},
    rc::Rc,
    task::Poll,
};

use base::ShardId;
use runtime::Class;

use crate::{broker::Broker, request::LocalFuture};

/// A question for one shard, in the order the client asked.
pub struct Question<Q> {
    pub to: ShardId,
    pub ask: Q,
}

/// One shard's part of the questions: their places in the client's order, and themselves.
struct Part<Q> {
    to: ShardId,
    places: Vec<usize>,
    asks: Vec<Q>,
}

fn parts<Q>(questions: Vec<Question<Q>>) -> Vec<Part<Q>> {
    let mut parts: Vec<Part<Q>> = Vec::new();
    for (place, Question { to, ask }) in questions.into_iter().enumerate() {
        // As many parts as shards at most, and mostly the last one is it.
        match parts.iter_mut().rev().find(|part| part.to == to) {
            Some(part) => {
                part.places.push(place);
                part.asks.push(ask);
            }
            None => parts.push(Part {
                to,
                places: vec![place],
                asks: vec![ask],
            }),
        }
    }
    parts
}

/// Answers in the order of their questions.
struct Ordered<A>(Vec<Option<A>>);

impl<A> Ordered<A> {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| None).collect())
    }

    fn put(&mut self, places: &[usize], answers: Vec<A>) {
        for (place, answer) in places.iter().zip(answers) {
            self.0[*place] = Some(answer);
        }
    }

    fn finish(self) -> Vec<A> {
        let answers = self.0.into_iter();
        answers
            .map(|answer| answer.expect("a task gives one answer per question"))
            .collect()
    }
}

impl Broker {
    /// Asks each shard once for everything it owns and returns the answers in the order of the questions.
    ///
    /// `task` gets one shard's questions in order and must give as many answers.
    pub async fn ask_owners<Q, A, F, Fut>(
        self: &Rc<Self>,
        class: Class,
        kind: &'static str,
        questions: Vec<Question<Q>>,
        task: F,
    ) -> Vec<A>
    where
        Q: Send + 'static,
        A: Send + 'static,
        F: FnOnce(Rc<Broker>, Vec<Q>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Vec<A>> + 'static,
    {
        let mut ordered = Ordered::new(questions.len());
        let waiting = parts(questions).into_iter().map(|part| {
            let (broker, task) = (self.clone(), task.clone());
            Box::pin(async move {
                let Part { to, places, asks } = part;
                let there = |broker| task(broker, asks);
                (places, broker.on_shard(to, class, kind, there).await)
            }) as LocalFuture<(Vec<usize>, Vec<A>)>
        });
        for (places, answers) in all(waiting.collect()).await {
            ordered.put(&places, answers);
        }
        ordered.finish()
    }

    /// As `ask_owners`, for work in two parts: gives the first answers, and a future of the second ones, which the shards
    /// work towards meanwhile.
    pub async fn ask_owners_in_two<Q, A, B, F, Fut, Second>(
        self: &Rc<Self>,
        class: Class,
        kind: &'static str,
        questions: Vec<Question<Q>>,
        task: F,
    ) -> (
        Vec<A>,
        impl Future<Output = Vec<B>> + use<Q, A, B, F, Fut, Second>,
    )
    where
        Q: Send + 'static,
        A: Send + 'static,
        B: Send + 'static,
        F: FnOnce(Rc<Broker>, Vec<Q>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = (Vec<A>, Second)> + 'static,
        Second: Future<Output = Vec<B>> + 'static,
    {
        let count = questions.len();
        let waiting = parts(questions).into_iter().map(|part| {
            let task = task.clone();
            Box::pin(async move {
                let Part { to, places, asks } = part;
                let there = move || task(Self::local(), asks);
                let (first, second) = runtime::invoke_in_two(to, class, kind, there).await;
                (places, first, second)
            }) as LocalFuture<(Vec<usize>, Vec<A>, LocalFuture<Vec<B>>)>
        });
        let mut ordered = Ordered::new(count);
        let mut seconds = Vec::new();
        for (places, first, second) in all(waiting.collect()).await {
            ordered.put(&places, first);
            seconds.push((places, second));
        }
        let later = async move {
            let mut ordered = Ordered::new(count);
            for (places, second) in seconds {
                ordered.put(&places, second.await);
            }
            ordered.finish()
        };
        (ordered.finish(), later)
    }
}

/// Waits for all. For as many futures as there are shards: each wake asks every unfinished one.
pub async fn all<T>(mut futures: Vec<LocalFuture<T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(move |cx| {
        let mut is_pending = false;
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *done = Some(value),
                    Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending {
            return Poll::Pending;
        }
        Poll::Ready(done.drain(..).flatten().collect())
    })
    .await
}
