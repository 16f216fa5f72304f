//! Tests of calls between shards, in simulation: credits, callers that go.

use crate::{
    Class, invoke_in_two, invoke_on, invoke_parked,
    sim::{Sim, SimConfig},
    sleep, spawn,
};
use base::ShardId;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

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

/// The simulator runs what has arrived in any order, so only calls that wait for each other have one.
#[test]
fn calls_run_over_there_one_after_the_other() {
    on_two_shards(|| async {
        let seen = Arc::new(Mutex::new(Vec::new()));
        for at in 0..300 {
            let seen = seen.clone();
            let there = invoke_on(OTHER, Class::Fetch, "note", move || async move {
                seen.lock().expect("one thread").push(at);
                crate::shard()
            });
            assert_eq!(there.await, OTHER);
        }
        let seen = seen.lock().expect("one thread");
        assert_eq!(*seen, (0..300).collect::<Vec<_>>());
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

/// More calls wait than there are credits, and calls of the same class go on.
#[test]
fn parked_calls_hold_up_nobody() {
    on_two_shards(|| async {
        let parked: Vec<_> = (0..1000_u64)
            .map(|at| {
                spawn(Class::Fetch, "poller", async move {
                    invoke_parked(OTHER, Class::Fetch, "poll", move || async move {
                        sleep(Duration::from_secs(30)).await;
                        at
                    })
                    .await
                })
            })
            .collect();
        sleep(Duration::from_secs(1)).await;
        let began = crate::now();
        let there = invoke_on(OTHER, Class::Fetch, "read", || async { crate::shard() }).await;
        assert_eq!(there, OTHER);
        assert!(crate::now() < began.plus(Duration::from_secs(1)));
        let mut sum = 0;
        for call in parked {
            sum += call.await.expect("not aborted");
        }
        assert_eq!(sum, 499_500);
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

/// The second part runs although nobody asks for it, and its answer waits; the credit is back when it has ended.
#[test]
fn work_in_two_parts_answers_twice() {
    on_two_shards(|| async {
        let ended = Arc::new(Mutex::new(0));
        for to in [OTHER, crate::shard()] {
            for at in 0..600 {
                let ended = ended.clone();
                let there = move || async move {
                    let second = async move {
                        sleep(Duration::from_millis(1)).await;
                        *ended.lock().expect("one thread") += 1;
                        at + 1
                    };
                    (at, second)
                };
                let call = invoke_in_two(to, Class::Produce, "in two", there);
                let (first, second) = call.await;
                assert_eq!(first, at);
                if to != OTHER || at % 3 == 0 {
                    assert_eq!(second.await, at + 1);
                }
            }
        }
        sleep(Duration::from_millis(10)).await;
        assert_eq!(*ended.lock().expect("one thread"), 1200);
        invoke_on(OTHER, Class::Produce, "last", || async {}).await;
    });
}
