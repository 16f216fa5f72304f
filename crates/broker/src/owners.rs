//! Asking the shards that own partitions, all at once, and putting their answers back in order.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
};

use base::ShardId;
use runtime::Class;

use crate::broker::Broker;

/// A question for one shard, in the order the client asked.
pub struct Question<Q> {
    pub to: ShardId,
    pub ask: Q,
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
        let shards = usize::from(runtime::shard_count());
        let mut asked: Vec<(Vec<usize>, Vec<Q>)> = Vec::new();
        asked.resize_with(shards, Default::default);
        let count = questions.len();
        for (at, question) in questions.into_iter().enumerate() {
            let (places, asks) = &mut asked[usize::from(question.to.0)];
            places.push(at);
            asks.push(question.ask);
        }
        let mut waiting = Vec::new();
        for (shard, (places, asks)) in Self::shards().zip(asked) {
            if places.is_empty() {
                continue;
            }
            let (broker, task) = (self.clone(), task.clone());
            waiting.push(Box::pin(async move {
                let answers = if shard == broker.shard {
                    task(broker, asks).await
                } else {
                    let there = |broker| async move { task(broker, asks).await };
                    broker.on_shard(shard, class, kind, there).await
                };
                (places, answers)
            })
                as Pin<Box<dyn Future<Output = (Vec<usize>, Vec<A>)>>>);
        }
        let mut ordered: Vec<Option<A>> = Vec::new();
        ordered.resize_with(count, || None);
        for (places, answers) in all(waiting).await {
            for (place, answer) in places.into_iter().zip(answers) {
                ordered[place] = Some(answer);
            }
        }
        let answers = ordered.into_iter();
        answers
            .map(|answer| answer.expect("a task gives one answer per question"))
            .collect()
    }
}

/// Waits for all. For as many futures as there are shards: each wake asks every unfinished one.
pub async fn all<T>(mut futures: Vec<Pin<Box<dyn Future<Output = T>>>>) -> Vec<T> {
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
