//! What went wrong in pipelines once, each as a scenario of its own.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::Ipv4Addr,
    rc::Rc,
    time::Duration,
};

use broker::Broker;
use runtime::sim::{HostId, Sim, SimConfig};
use server::pipelines::BrokerTopics;
use sim::{
    node_plan::{NodeBugs, NodePlan},
    streams_node::{append_values, define, read_topic},
    streams_rows::{columns, integers},
};
use streams::engine::{Engine, NewRelation, PlantedBugs, QuestionError, ReadAt};

const LIMIT: Duration = Duration::from_secs(60);
/// Longer than between two checkpoints.
const CHECKPOINTED: Duration = Duration::from_secs(6);

/// A node of one shard with these relations; the topics are made before.
struct World {
    sim: Sim,
    node: HostId,
    relations: Rc<RefCell<Vec<NewRelation>>>,
}

fn world(topics: &'static [&'static str], statements: &[(&'static str, &str)]) -> World {
    let sim = Sim::new(SimConfig::new(1));
    let relations = Rc::new(RefCell::new(planned(statements)));
    let wanted = relations.clone();
    let node = sim.host("node", 1, move || {
        let wanted = wanted.clone();
        async move {
            let plan = NodePlan::draw(1, NodeBugs::default());
            let opened = Broker::open(plan.settings(Ipv4Addr::LOCALHOST.into())).await;
            let (broker, _) = opened.expect("nothing fails");
            for topic in topics {
                let made = broker.ensure_topic(topic, 1).await;
                made.expect("the topic can be made");
            }
            let log = Rc::new(BrokerTopics::new(broker.clone()));
            let data_dir = broker.settings.data_dir.clone();
            let relations = wanted.borrow().clone();
            let none = PlantedBugs::default();
            let started = Engine::start(log, &data_dir, relations, none, usize::MAX);
            runtime::set_local(started.await.expect("a sound disk"));
            broker.stopped().await;
        }
    });
    World {
        sim,
        node,
        relations,
    }
}

fn planned(statements: &[(&'static str, &str)]) -> Vec<NewRelation> {
    let owned = statements
        .iter()
        .map(|(name, text)| (*name, (*text).to_owned()));
    define(&owned.collect::<Vec<_>>())
}

async fn engine() -> Rc<Engine> {
    loop {
        match runtime::local::<Engine>() {
            Some(engine) => return engine,
            None => runtime::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn rows(name: &'static str) -> Result<Vec<Vec<Option<i128>>>, QuestionError> {
    let engine = engine().await;
    engine.flush().await?;
    let read = engine.snapshot(vec![name.to_owned()], ReadAt::default());
    let mut rows = columns(&read.await?, name);
    rows.sort();
    Ok(rows)
}

async fn written(topic: &'static str) -> usize {
    engine().await.flush().await.expect("the node is up");
    let log = BrokerTopics::new(Broker::local());
    read_topic(&log, topic).await.iter().map(Vec::len).sum()
}

async fn append(topic: &'static str, values: &[&str]) {
    engine().await;
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    assert!(append_values(topic, 0, values).await);
}

async fn delete(topic: &'static str) {
    engine().await;
    let broker = Broker::local();
    let (id, _) = broker.topic_shape(topic).expect("it is there");
    let deleted = broker.delete_topics(vec![id]).await;
    assert_eq!(deleted.len(), 1);
}

impl World {
    fn run<F: Future + 'static>(&self, script: F) -> F::Output
    where
        F::Output: 'static,
    {
        let output = self.sim.run_on(self.node, LIMIT, script);
        output.unwrap_or_else(|| panic!("the script ends: {:?}", self.sim.fatal_reason(self.node)))
    }

    fn stop(&self) {
        self.run(async { engine().await.stop().await });
        self.sim.kill(self.node);
    }

    fn start(&self) {
        self.sim.restart(self.node);
    }
}

const SOURCE: (&str, &str) = (
    "source",
    "CREATE SOURCE source FROM TOPIC numbers (n BIGINT) FORMAT JSON",
);
const VIEW: (&str, &str) = (
    "view",
    "CREATE MATERIALIZED VIEW view AS SELECT n FROM source",
);
const SUM: (&str, &str) = (
    "sum",
    "CREATE MATERIALIZED VIEW sum AS SELECT count(*) AS n FROM view",
);
const SINK: (&str, &str) = (
    "sink",
    "CREATE SINK sink INTO TOPIC out AS SELECT n FROM view",
);

/// A pipeline over a topic that is gone waited for ever, and what read it was never told.
#[test]
fn a_deleted_topic_stops_its_views_and_what_reads_them() {
    let world = world(&["numbers", "out"], &[SOURCE, VIEW, SUM, SINK]);
    world.run(async {
        append("numbers", &["{\"n\":1}"]).await;
        assert_eq!(rows("sum").await, Ok(vec![vec![Some(1)]]));
        delete("numbers").await;
        runtime::sleep(Duration::from_secs(1)).await;
        let why = |error| match error {
            Err(QuestionError::Failed { why, .. }) => why,
            other => panic!("it goes on: {other:?}"),
        };
        assert_eq!(why(rows("view").await), "topic \"numbers\" was deleted");
        assert_eq!(
            why(rows("sum").await),
            "\"view\", which it reads, has stopped"
        );
    });
}

/// The view began anew and put out all of its rows again; what read it added them to those it had. A sink that had stopped
/// before its first checkpoint began anew, too.
#[test]
fn a_topic_made_anew_is_no_continuation() {
    for is_saved in [false, true] {
        let world = world(&["numbers", "out"], &[SOURCE, VIEW, SUM, SINK]);
        world.run(async move {
            append("numbers", &["{\"n\":1}", "{\"n\":2}"]).await;
            assert_eq!(written("out").await, 2);
            if is_saved {
                runtime::sleep(CHECKPOINTED).await;
            }
            delete("numbers").await;
            runtime::sleep(Duration::from_secs(1)).await;
        });
        world.stop();
        world.start();
        world.run(async {
            append("numbers", &["{\"n\":7}"]).await;
            assert_eq!(rows("view").await, Ok(vec![vec![Some(7)]]));
            assert_eq!(rows("sum").await, Ok(vec![vec![Some(1)]]));
            assert_eq!(written("out").await, 2, "the sink has stopped for good");
        });
    }
}

/// As above, with the power gone before anybody saw the topic go.
#[test]
fn a_topic_made_anew_while_the_engine_was_down_is_no_continuation() {
    let world = world(&["numbers", "out"], &[SOURCE, VIEW, SUM, SINK]);
    world.run(async {
        append("numbers", &["{\"n\":1}", "{\"n\":2}"]).await;
        assert_eq!(written("out").await, 2);
        runtime::sleep(CHECKPOINTED).await;
        let broker = Broker::local();
        engine().await.stop().await;
        let (id, _) = broker.topic_shape("numbers").expect("it is there");
        drop(broker.delete_topics(vec![id]).await);
    });
    world.sim.kill(world.node);
    world.start();
    world.run(async {
        append("numbers", &["{\"n\":7}"]).await;
        assert_eq!(rows("view").await, Ok(vec![vec![Some(7)]]));
        assert_eq!(rows("sum").await, Ok(vec![vec![Some(1)]]));
        assert_eq!(written("out").await, 2, "what it wrote cannot be continued");
    });
}

/// The sink was said to have stopped, and wrote everything twice before it did.
#[test]
fn a_sink_with_another_plan_writes_nothing_twice() {
    let world = world(&["numbers", "out"], &[SOURCE, VIEW, SUM, SINK]);
    world.run(async {
        append("numbers", &["{\"n\":1}", "{\"n\":2}"]).await;
        assert_eq!(written("out").await, 2);
    });
    world.stop();
    let other = (
        "sink",
        "CREATE SINK sink INTO TOPIC out AS SELECT n + 1 AS n FROM view",
    );
    world
        .relations
        .replace(planned(&[SOURCE, VIEW, SUM, other]));
    world.start();
    world.run(async {
        append("numbers", &["{\"n\":3}"]).await;
        assert_eq!(written("out").await, 2);
    });
}

/// The reader of a view with another plan kept its rows, and got those of the new one as well.
#[test]
fn what_reads_a_view_with_another_plan_begins_anew() {
    let world = world(&["numbers", "out"], &[SOURCE, VIEW, SUM, SINK]);
    world.run(async {
        append("numbers", &["{\"n\":1}", "{\"n\":2}"]).await;
        assert_eq!(rows("sum").await, Ok(vec![vec![Some(2)]]));
    });
    world.stop();
    let other = (
        "view",
        "CREATE MATERIALIZED VIEW view AS SELECT n + 1 AS n FROM source",
    );
    world
        .relations
        .replace(planned(&[SOURCE, other, SUM, SINK]));
    world.start();
    world.run(async {
        assert_eq!(rows("sum").await, Ok(vec![vec![Some(2)]]));
        assert_eq!(written("out").await, 2, "a sink cannot begin anew");
    });
}

/// An entry of state that went and came again between two checkpoints was lost at the restart.
#[test]
fn what_went_and_came_again_is_there_after_a_restart() {
    let twice = (
        "twice",
        "CREATE MATERIALIZED VIEW twice AS SELECT a.n FROM view AS a JOIN last AS b ON a.n = b.n",
    );
    let last = (
        "last",
        "CREATE MATERIALIZED VIEW last AS SELECT max(n) - max(n) / 10 * 10 AS n FROM source",
    );
    let world = world(&["numbers"], &[SOURCE, VIEW, last, twice]);
    world.run(async {
        append("numbers", &["{\"n\":1}"]).await;
        assert_eq!(rows("twice").await, Ok(vec![vec![Some(1)]]));
        runtime::sleep(CHECKPOINTED).await;
        // What is joined goes, and comes again as it was.
        append("numbers", &["{\"n\":12}"]).await;
        assert_eq!(rows("twice").await, Ok(vec![]));
        append("numbers", &["{\"n\":21}"]).await;
        assert_eq!(rows("twice").await, Ok(vec![vec![Some(1)]]));
        runtime::sleep(CHECKPOINTED).await;
    });
    world.sim.power_cut(world.node);
    world.start();
    world.run(async {
        append("numbers", &["{\"n\":1}"]).await;
        let both = vec![vec![Some(1)], vec![Some(1)]];
        assert_eq!(rows("twice").await, Ok(both));
    });
}

/// A reader saw a window close in an epoch that nobody had decided; after the crash it closed with one row more.
#[test]
fn a_window_that_was_seen_closed_stays_closed() {
    let timed = (
        "timed",
        "CREATE SOURCE timed FROM TOPIC numbers (n BIGINT, at TIMESTAMP, \
         WATERMARK FOR at AS at - INTERVAL '2 seconds') FORMAT JSON",
    );
    let windows = (
        "windows",
        "CREATE MATERIALIZED VIEW windows AS SELECT window_end, count(*) AS count, max(n) AS newest \
         FROM TUMBLE(timed, at, INTERVAL '2 seconds') GROUP BY window_end EMIT ON WINDOW CLOSE",
    );
    let world = world(&["numbers"], &[timed, windows]);
    let closed = || vec![vec![None, Some(2), Some(2)]];
    world.run(async move {
        append(
            "numbers",
            &[
                r#"{"n":1,"at":"1970-01-01 00:00:01"}"#,
                r#"{"n":2,"at":"1970-01-01 00:00:01"}"#,
            ],
        )
        .await;
        append("numbers", &[r#"{"n":3,"at":"1970-01-01 00:01:00"}"#]).await;
        assert_eq!(rows("windows").await, Ok(closed()));
        append("numbers", &[r#"{"n":9,"at":"1970-01-01 00:00:01"}"#]).await;
        assert_eq!(rows("windows").await, Ok(closed()));
    });
    world.sim.power_cut(world.node);
    world.start();
    world.run(async move { assert_eq!(rows("windows").await, Ok(closed())) });
}

/// A view that somebody was about to read could go in between.
#[test]
fn what_is_about_to_be_read_stays() {
    let world = world(&["numbers", "out"], &[SOURCE, VIEW]);
    let sink = planned(&[SOURCE, VIEW, SINK]).pop().expect("three of them");
    world.run(async move {
        let engine = engine().await;
        engine.prepare(&sink).await.expect("the view is there");
        let read = QuestionError::IsRead {
            name: "view".to_owned(),
            by: "sink".to_owned(),
        };
        assert_eq!(engine.prepare_drop("view"), Err(read));
        engine.release("sink");
        assert_eq!(engine.prepare_drop("view"), Ok(()));
        let gone = QuestionError::Unknown("view".to_owned());
        assert_eq!(engine.prepare(&sink).await, Err(gone));
        engine.keep_relation("view");
        assert_eq!(engine.prepare(&sink).await, Ok(()));
    });
}

const TOTAL: (&str, &str) = (
    "total",
    "CREATE MATERIALIZED VIEW total AS SELECT sum(n) AS n FROM view",
);
/// Its rows come and go.
const COUNTED: (&str, &str) = (
    "view",
    "CREATE MATERIALIZED VIEW view AS SELECT n, count(*) AS c FROM source GROUP BY n",
);
/// In its place.
const MORE: (&str, &str) = (
    "view",
    "CREATE MATERIALIZED VIEW view AS SELECT n + 10 AS n, count(*) AS c FROM source WHERE n > 1 GROUP BY 1",
);

/// The view's rows and the total over them, of one epoch.
async fn view_and_total() -> (Vec<i128>, i128) {
    let engine = engine().await;
    engine.flush().await.expect("the node is up");
    let names = vec!["view".to_owned(), "total".to_owned()];
    let read = engine.snapshot(names, ReadAt::default()).await;
    let read = read.expect("both views answer");
    let first = |name| {
        let rows = columns(&read, name).into_iter();
        rows.map(|row| row[0].unwrap_or_default())
            .collect::<Vec<_>>()
    };
    let (mut view, total) = (first("view"), first("total"));
    view.sort_unstable();
    (view, total[0])
}

/// Of the statements with another view, that one.
fn other_view(statements: &[(&'static str, &str)]) -> NewRelation {
    let all = planned(statements).into_iter();
    let mut views = all.filter(|relation| relation.name == "view");
    views.next_back().expect("it is one of them")
}

#[test]
fn a_view_is_replaced_in_one_epoch_and_so_is_what_reads_it() {
    let world = world(&["numbers", "out"], &[SOURCE, COUNTED, TOTAL]);
    world.run(async {
        append("numbers", &["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]).await;
        assert_eq!(view_and_total().await, (vec![1, 2, 3], 6));
        let engine = engine().await;
        let told = engine.subscribe("view", false).await.expect("it is there");
        let new = other_view(&[SOURCE, MORE]);
        engine
            .build_beside(new.clone())
            .await
            .expect("it can be made");
        // It is there, and nobody sees it.
        append("numbers", &["{\"n\":4}"]).await;
        assert_eq!(view_and_total().await, (vec![1, 2, 3, 4], 10));
        let busy = QuestionError::Busy("view".to_owned());
        assert_eq!(engine.build_beside(new).await, Err(busy.clone()));
        assert_eq!(engine.prepare_drop("view"), Err(busy));
        engine.swap("view").await.expect("the node is up");
        assert_eq!(view_and_total().await, (vec![12, 13, 14], 39));
        append("numbers", &["{\"n\":5}"]).await;
        assert_eq!(view_and_total().await, (vec![12, 13, 14, 15], 54));
        // A subscriber hears of what is different, once.
        let mut sums = std::collections::BTreeMap::<i128, i64>::new();
        let heard = engine.next_changes(told, Duration::from_secs(1)).await;
        for changes in heard.expect("it goes on") {
            for delta in changes.deltas {
                let rows = integers(delta.rows());
                for (row, values) in rows.iter().enumerate() {
                    *sums.entry(values[0].expect("a number")).or_default() += delta.weight(row);
                }
            }
        }
        sums.retain(|_, weight| *weight != 0);
        let come = [12, 13, 14, 15].map(|n| (n, 1));
        let gone = [1, 2, 3].map(|n| (n, -1));
        assert_eq!(sums, gone.into_iter().chain(come).collect());
    });
}

#[test]
fn what_cannot_take_a_views_place_leaves_it_as_it_is() {
    const STRICT: (&str, &str) = (
        "strict",
        "CREATE SOURCE strict FROM TOPIC numbers (n BIGINT) FORMAT JSON WITH (on_malformed = 'stop')",
    );
    const FROM_STRICT: (&str, &str) = (
        "view",
        "CREATE MATERIALIZED VIEW view AS SELECT n, count(*) AS c FROM strict GROUP BY n",
    );
    const NAMED: (&str, &str) = (
        "view",
        "CREATE MATERIALIZED VIEW view AS SELECT n AS m, count(*) AS c FROM source GROUP BY n",
    );
    const LATER: (&str, &str) = (
        "later",
        "CREATE SOURCE later FROM TOPIC numbers (n BIGINT) FORMAT JSON",
    );
    const FROM_LATER: (&str, &str) = (
        "view",
        "CREATE MATERIALIZED VIEW view AS SELECT n, count(*) AS c FROM later GROUP BY n",
    );
    let world = world(
        &["numbers", "out"],
        &[SOURCE, STRICT, COUNTED, TOTAL, LATER],
    );
    world.run(async {
        append("numbers", &["{\"n\":1}", "no number", "{\"n\":2}"]).await;
        let engine = engine().await;
        let built = engine.build_beside(other_view(&[SOURCE, STRICT, FROM_STRICT]));
        let failed = built.await.expect_err("a record holds no row");
        assert!(failed.to_string().contains("offset 1"), "{failed}");
        let named = engine.build_beside(other_view(&[SOURCE, NAMED])).await;
        let refused = named.expect_err("another view reads it");
        let words = "cannot replace view because total reads it: the columns are other ones";
        assert_eq!(refused.to_string(), words);
        let newer = engine.build_beside(other_view(&[LATER, FROM_LATER])).await;
        let refused = newer.expect_err("it is worked off before");
        let words = "cannot replace view: \"later\", which it would read, was made after it";
        assert_eq!(refused.to_string(), words);
        assert_eq!(view_and_total().await, (vec![1, 2], 3));
        // The name is free again.
        let again = engine.build_beside(other_view(&[SOURCE, MORE])).await;
        again.expect("nothing is in its way");
        engine.abandon("view");
        append("numbers", &["{\"n\":3}"]).await;
        assert_eq!(view_and_total().await, (vec![1, 2, 3], 6));
    });
}

/// A sink cannot take back what it has written, nor can a view forget rows of which it was told that they stay.
#[test]
fn a_view_whose_readers_could_not_follow_is_not_replaced() {
    const CHANGES: (&str, &str) = (
        "sink",
        "CREATE SINK sink INTO TOPIC out AS SELECT n, c FROM view FORMAT UPSERT KEY (n)",
    );
    let world = self::world(&["numbers", "out"], &[SOURCE, VIEW, TOTAL]);
    world.run(async {
        let engine = engine().await;
        let built = engine.build_beside(other_view(&[SOURCE, MORE]));
        let words = "cannot replace view because total reads it: it counts on rows that only come";
        assert_eq!(built.await.expect_err("a view reads it").to_string(), words);
    });
    let world = self::world(&["numbers", "out"], &[SOURCE, COUNTED, CHANGES]);
    world.run(async {
        append("numbers", &["{\"n\":1}"]).await;
        let engine = engine().await;
        let built = engine.build_beside(other_view(&[SOURCE, MORE])).await;
        let words =
            "cannot replace view because sink reads it: it cannot take back what it has put out";
        assert_eq!(built.expect_err("a sink reads it").to_string(), words);
        assert_eq!(written("out").await, 1);
    });
}

/// Power cuts at every moment of it: what a restart shows is one view or the other, and the total is that of its rows.
#[test]
fn a_view_is_replaced_through_power_cuts() {
    let mut shown = [0, 0];
    for step in 0..60_u64 {
        let world = world(&["numbers", "out"], &[SOURCE, COUNTED, TOTAL]);
        world.run(async move {
            append("numbers", &["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]).await;
            assert_eq!(view_and_total().await, (vec![1, 2, 3], 6));
            if step % 3 > 0 {
                runtime::sleep(CHECKPOINTED).await;
            }
        });
        let relations = world.relations.clone();
        let has_new = Rc::new(Cell::new(false));
        let committed = has_new.clone();
        world.run(async move {
            runtime::spawn(runtime::Class::Query, "replaces", async move {
                let engine = engine().await;
                let built = engine.build_beside(other_view(&[SOURCE, MORE])).await;
                built.expect("it can be made");
                // Where the metadata is made to last, in a whole node.
                relations.replace(planned(&[SOURCE, MORE, TOTAL]));
                committed.set(true);
                engine.swap("view").await.expect("the node is up");
            });
            runtime::spawn(runtime::Class::Query, "reads", async move {
                loop {
                    let (view, total) = view_and_total().await;
                    assert_eq!(view.iter().sum::<i128>(), total);
                    runtime::sleep(Duration::from_micros(300)).await;
                }
            });
        });
        world.sim.run_for(Duration::from_micros(step * 2_500));
        let is_new = has_new.get();
        world.sim.power_cut(world.node);
        world.start();
        world.run(async move {
            let expected = match is_new {
                false => (vec![1, 2, 3], 6),
                true => (vec![12, 13], 25),
            };
            assert_eq!(view_and_total().await, expected, "step {step}");
            append("numbers", &["{\"n\":4}"]).await;
            let sum = if is_new { 39 } else { 10 };
            assert_eq!(view_and_total().await.1, sum, "step {step}");
        });
        shown[usize::from(is_new)] += 1;
    }
    assert!(shown.iter().all(|count| *count > 5), "{shown:?}");
}
