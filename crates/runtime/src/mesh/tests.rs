//! Tests of calls between shards, in simulation: order, credits, callers that go.

use crate::{
    Class, invoke_on, post,
    sim::{Sim, SimConfig},
    sleep, spawn,
};
use base::ShardId;
use std::{sync::Arc, sync::Mutex, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);
const OTHER: ShardId = ShardId(1);

/// Runs `work` on shard 0 of two, under several seeds.
fn on_two_shards<Fut: Future<Output = ()> + 'static>(work: impl Fn() -> Fut) {
    for seed in 0..20 {
        let sim = Sim::new(SimConfig::new(seed));
        let host = sim.host("host", 2, || async {});
        let done = sim.run_on(host, LIMIT, work());
        assert!(done.is_some(), "seed {seed}: it ends");
    }
}

#[test]
fn calls_of_one_task_arrive_in_order() {
    on_two_shards(|| async {
        let seen = Arc::new(Mutex::new(Vec::new()));
        for at in 0..1000 {
            let seen = seen.clone();
            post(OTHER, Class::Fetch, "note", move || {
                seen.lock().expect("one thread").push(at);
                async {}
            })
            .await;
        }
        invoke_on(OTHER, Class::Fetch, "last", || async {}).await;
        let seen = seen.lock().expect("one thread");
        assert_eq!(*seen, (0..1000).collect::<Vec<_>>());
    });
}

/// Both directions full of calls of one class at once, which call back in another.
#[test]
fn floods_in_both_directions_end() {
    on_two_shards(|| async {
        let flood = |to: ShardId, back: ShardId| async move {
            let calls: Vec<_> = (0..1000_u32)
                .map(|at| {
                    spawn(Class::Produce, "caller", async move {
                        invoke_on(to, Class::Produce, "call", move || async move {
                            invoke_on(back, Class::Admin, "back", move || async move { at + 1 })
                                .await
                        })
                        .await
                    })
                })
                .collect();
            let mut sum = 0;
            for call in calls {
                sum += call.await.expect("not aborted");
            }
            sum
        };
        let here = spawn(Class::Produce, "flood", flood(OTHER, ShardId(0)));
        let there = invoke_on(OTHER, Class::Query, "flood", move || {
            flood(ShardId(0), OTHER)
        })
        .await;
        assert_eq!(
            (here.await.expect("not aborted"), there),
            (500_500, 500_500)
        );
    });
}

#[test]
fn credits_come_back_when_the_caller_has_gone() {
    on_two_shards(|| async {
        for _ in 0..5 {
            let calls: Vec<_> = (0..300)
                .map(|_| {
                    spawn(Class::Query, "caller", async {
                        invoke_on(OTHER, Class::Query, "slow", || {
                            sleep(Duration::from_millis(5))
                        })
                        .await;
                    })
                })
                .collect();
            sleep(Duration::from_millis(1)).await;
            for call in &calls {
                call.abort();
            }
            sleep(Duration::from_millis(20)).await;
        }
        invoke_on(OTHER, Class::Query, "last", || async {}).await;
    });
}
