//! Memory of pipelines: who does not fit stops, all others go on.

use super::*;

/// Different numbers, a thousand in a batch.
fn put_numbers(log: &Memory, thousands: std::ops::Range<u32>) {
    for thousand in thousands {
        let values = (0..1000).map(|n| format!("{{\"n\": {}}}", thousand * 1000 + n));
        let values: Vec<String> = values.collect();
        let records: Vec<(Option<&str>, &str)> =
            values.iter().map(|value| (None, value.as_str())).collect();
        log.put("in", 0, &records);
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

/// Nothing comes any more: what was restored is looked at all the same.
#[test]
fn a_restart_keeps_to_the_limit() {
    on_log(async move |log| {
        put_numbers(&log, 0..8);
        let relations = vec![new(1, "s", skipping()), new(2, "v", counts("s"))];
        let engine = start(&log, "data", relations.clone(), usize::MAX).await;
        assert_eq!(rows_of(&engine, "v").await, Ok(8000));
        engine.stop().await;
        let (dir, none) = (Path::new("data"), PlantedBugs::default());
        let refused = Engine::start(log.clone(), dir, relations, none, 100_000).await;
        let refused = refused.err().expect("it does not fit").to_string();
        assert!(refused.contains("permitted"), "{refused}");
    });
}
