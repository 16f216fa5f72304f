//! Memory of pipelines: who does not fit stops, all others go on.

use super::*;
use crate::engine::EngineError;

/// Different numbers, a thousand in a batch.
pub fn put_numbers(log: &Memory, thousands: std::ops::Range<u32>) {
    put_numbers_into(log, "in", thousands);
}

fn put_numbers_into(log: &Memory, topic: &str, thousands: std::ops::Range<u32>) {
    for thousand in thousands {
        let values = (0..1000).map(|n| format!("{{\"n\": {}}}", thousand * 1000 + n));
        let values: Vec<String> = values.collect();
        let records: Vec<(Option<&str>, &str)> =
            values.iter().map(|value| (None, value.as_str())).collect();
        log.put(topic, 0, &records);
    }
}

fn skipping() -> Definition {
    Definition::Source(source(OnMalformed::Skip))
}

fn bytes_of(engine: &Engine, name: &str) -> usize {
    let relations = engine.relations();
    let found = relations.iter().find(|relation| relation.name == name);
    found.expect("it was made").bytes()
}

/// What the counts of all numbers need, as measured without a limit.
async fn needed(log: &Rc<Memory>) -> usize {
    let engine = start(log, "measured", Vec::new(), usize::MAX).await;
    make(&engine, 1, "s", skipping()).await.expect("a source");
    make(&engine, 2, "v", counts("s")).await.expect("a view");
    // Until its rows are in order.
    runtime::sleep(Duration::from_secs(1)).await;
    let needed = bytes_of(&engine, "v");
    engine.stop().await;
    needed
}

#[test]
fn state_beyond_what_is_permitted_stops_the_pipeline_that_needs_it() {
    on_log(async move |log| {
        let engine = start(&log, "data", Vec::new(), 200_000).await;
        make(&engine, 1, "s", skipping()).await.expect("a source");
        let small = counted("s", &[]);
        make(&engine, 2, "small", small).await.expect("a view");
        make(&engine, 3, "large", counts("s"))
            .await
            .expect("a view");
        for round in 0..8 {
            put_numbers(&log, round..round + 1);
            assert_eq!(rows_of(&engine, "small").await, Ok(1));
        }
        let stopped = rows_of(&engine, "large").await.expect_err("it has stopped");
        assert!(stopped.contains("permitted"), "{stopped}");
        let report = engine.report().await.expect("the engine runs");
        let failures: BTreeSet<&str> = report
            .pipelines
            .iter()
            .filter(|pipeline| pipeline.failure.is_some())
            .map(|pipeline| pipeline.name.as_str())
            .collect();
        assert_eq!(failures, BTreeSet::from(["large"]));
    });
}

#[test]
fn views_share_one_limit_and_what_stops_is_free() {
    on_log(async move |log| {
        put_numbers(&log, 0..8);
        let needed = needed(&log).await;
        let engine = start(&log, "data", Vec::new(), needed * 3 / 2).await;
        make(&engine, 1, "s", skipping()).await.expect("a source");
        make(&engine, 2, "one", counts("s")).await.expect("it fits");
        let refused = make(&engine, 3, "two", counts("s")).await;
        let refused = refused.expect_err("it does not fit beside the first");
        assert!(refused.contains("permitted"), "{refused}");
        assert_eq!(rows_of(&engine, "one").await, Ok(8000));
        engine.prepare_drop("one").expect("nothing reads it");
        engine.drop_relation("one").await;
        runtime::sleep(Duration::from_secs(1)).await;
        make(&engine, 4, "three", counts("s"))
            .await
            .expect("it fits again");
    });
}

#[test]
fn rows_that_do_not_fit_are_not_taken_in_while_a_view_is_made() {
    on_log(async move |log| {
        // More than one stretch of catching up.
        put_numbers(&log, 0..300);
        let engine = start(&log, "data", Vec::new(), 1 << 20).await;
        make(&engine, 1, "s", skipping()).await.expect("a source");
        let refused = make(&engine, 2, "v", view("s", &[0])).await;
        let refused = refused.expect_err("it does not fit");
        assert!(refused.contains("all state and rows together"), "{refused}");
    });
}

#[test]
fn an_index_that_does_not_fit_is_not_made() {
    on_log(async move |log| {
        put_numbers(&log, 0..8);
        let needed = needed(&log).await;
        let engine = start(&log, "data", Vec::new(), needed + 8000).await;
        make(&engine, 1, "s", skipping()).await.expect("a source");
        make(&engine, 2, "v", counts("s")).await.expect("it fits");
        let index = Index {
            relation: "v".to_owned(),
            columns: vec![1],
        };
        let refused = make(&engine, 3, "i", Definition::Index(index)).await;
        let refused = refused.expect_err("it does not fit");
        assert!(refused.contains("permitted"), "{refused}");
        assert_eq!(bytes_of(&engine, "v"), needed, "it is gone");
        assert_eq!(rows_of(&engine, "v").await, Ok(8000));
    });
}

/// Nothing comes any more: what was restored is looked at all the same. It is not thrown away.
#[test]
fn a_restart_with_too_little_memory_loses_nothing() {
    on_log(async move |log| {
        put_numbers(&log, 0..8);
        let relations = vec![
            new(1, "s", skipping()),
            new(2, "v", counts("s")),
            new(3, "k", faults::sink("v")),
        ];
        log.make("out", 1);
        let engine = start(&log, "data", relations.clone(), usize::MAX).await;
        assert_eq!(rows_of(&engine, "v").await, Ok(8000));
        engine.stop().await;
        let none = PlantedBugs::default();
        let dir = Path::new("data");
        let refused = Engine::start(log.clone(), dir, relations.clone(), none, 100_000).await;
        let Err(EngineError::Budget { relation, .. }) = refused else {
            panic!("it does not fit");
        };
        assert_eq!(relation, "v");
        // What is gone from the topic is in the state still.
        log.at(
            PartitionKey {
                topic: log.topic("in").expect("it was made").id,
                partition: PartitionIndex(0),
            },
            |(bytes, _)| {
                bytes.clear();
            },
        );
        let engine = start(&log, "data", relations, usize::MAX).await;
        assert_eq!(rows_of(&engine, "v").await, Ok(8000));
        put_numbers(&log, 8..9);
        assert_eq!(rows_of(&engine, "v").await, Ok(9000));
        let report = engine.report().await.expect("the engine runs");
        assert!(
            report
                .pipelines
                .iter()
                .all(|pipeline| pipeline.failure.is_none())
        );
    });
}

/// A view beside one that another reads, with none of its rows; it is not in its place yet.
async fn with_other_rows_beside(log: &Rc<Memory>, dir: &str, bytes_max: usize) -> Rc<Engine> {
    let other = Source {
        topic: "other".to_owned(),
        ..source(OnMalformed::Skip)
    };
    let engine = start(log, dir, Vec::new(), bytes_max).await;
    let relations = [
        ("s", skipping()),
        ("t", Definition::Source(other)),
        ("v", counts("s")),
        ("above", replace::of_view("v", &[0, 1])),
    ];
    for (id, (name, definition)) in (1..).zip(relations) {
        make(&engine, id, name, definition).await.expect("it fits");
    }
    let built = engine.build_beside(new(0, "v", counts("t"))).await;
    built.expect("it fits, too");
    engine
}

#[test]
fn a_difference_that_does_not_fit_stops_the_view_that_is_different() {
    on_log(async move |log| {
        log.make("other", 1);
        put_numbers(&log, 0..8);
        put_numbers_into(&log, "other", 8..16);
        let engine = with_other_rows_beside(&log, "measured", usize::MAX).await;
        let needed = engine.budget.used();
        engine.swap("v").await.expect("the engine runs");
        assert_eq!(rows_of(&engine, "above").await, Ok(8000));
        assert!(engine.budget.used() < needed, "the difference is gone");
        engine.stop().await;
        let engine = with_other_rows_beside(&log, "data", needed + 100_000).await;
        engine.swap("v").await.expect("the engine runs");
        let stopped = rows_of(&engine, "v").await.expect_err("it has stopped");
        assert!(stopped.contains("permitted"), "{stopped}");
        assert!(engine.budget.used() < needed, "it is free");
    });
}
