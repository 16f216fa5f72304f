//! What went wrong in pipelines once, each as a scenario of its own.

use std::{cell::RefCell, future::Future, net::Ipv4Addr, rc::Rc, time::Duration};

use broker::Broker;
use runtime::sim::{HostId, Sim, SimConfig};
use server::pipelines::BrokerTopics;
use sim::{
    node_plan::{NodeBugs, NodePlan},
    streams_node::{append_values, columns, define, read_topic},
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
