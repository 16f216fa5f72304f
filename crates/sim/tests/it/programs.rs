//! An app in a node: its state is a table for SQL, and what it writes is written once, through crashes.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use arrow_array::{cast::AsArray, types::Int64Type};
use base::{PartitionIndex, PartitionKey, TimestampMs};
use broker::{Broker, Settings, open::leading_shard};
use flow::{App, Event};
use kafka::batch::{BatchBuilder, Compression, Record};
use runtime::{
    Class,
    sim::{HostId, Sim, SimConfig},
};
use server::pipelines::{self, BrokerTopics};
use sim::streams_node::read_records;
use sql::{catalog::Catalog, planner, statement};
use streams::{
    engine::{Engine, NewRelation, ReadAt, RowsOf},
    log::TopicLog,
};

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Event)]
struct Visit {
    #[event(1)]
    page: String,
}

#[derive(Clone, Debug, PartialEq, Event)]
struct Visits {
    #[event(1)]
    page: String,
    #[event(2)]
    count: i64,
}

fn relations() -> Vec<NewRelation> {
    let app = App::new("visits");
    app.topic::<Visit>("visits")
        .key_by(|visit| visit.page.clone())
        .fold("visits_by_page", |count: &mut i64, _| *count += 1)
        .map(|(page, count)| Visits { page, count })
        .to_topic_by("counts", |visits| visits.page.clone());
    let mut relations = app.into_relations().expect("the app is one").relations;
    let mut catalog = Catalog::default();
    for table in pipelines::tables_of(&relations) {
        catalog.insert(table);
    }
    let text = "CREATE MATERIALIZED VIEW total AS SELECT sum(value) AS visits, count(*) AS pages FROM visits_by_page";
    let parsed = statement::parse(text).expect("the statement is one");
    let (_, definition) = planner::define(&catalog, &parsed[0]).expect("the table is known");
    relations.push(NewRelation {
        id: 1,
        name: "total".to_owned(),
        definition,
    });
    relations
}

async fn serve() {
    let mut settings = Settings::new("/forebay");
    settings.store.journal_file_bytes = 4 << 20;
    settings.store.free_bytes_min = 1 << 20;
    settings.store.free_bytes_warn = 2 << 20;
    let (broker, _) = Broker::open(settings)
        .await
        .expect("nothing fails but power");
    if runtime::shard() == leading_shard() {
        let shard = pipelines::engine_shard(runtime::shard_count());
        let started = runtime::invoke_on(shard, Class::Admin, "start streams", || async {
            pipelines::start_on_shard(relations(), usize::MAX)
                .await
                .map(drop)
        });
        started.await.expect("a checkpoint is whole or not there");
    }
    broker.stopped().await;
}

/// On the engine's shard: writes visits, and gives each page's count as all tell it: the app's table, the view over it, and
/// the topic.
async fn visit(pages: Vec<u64>) -> BTreeMap<String, i64> {
    let broker = Broker::local();
    let log = BrokerTopics::new(broker.clone());
    let engine = runtime::local::<Engine>().expect("the engine runs");
    let shape = log.topic("visits").expect("the app's topic was made");
    for page in pages {
        let mut builder = BatchBuilder::new(Compression::None);
        let page = format!("page-{page}");
        let value = Visit { page }.to_bytes();
        builder.push(TimestampMs(0), None, Some(&value), &[]);
        let key = PartitionKey {
            topic: shape.id,
            partition: PartitionIndex(value.len() as i32 % shape.partitions),
        };
        let appended = log.append(key, builder.finish()).await;
        appended.expect("the disk has room");
    }
    engine.flush().await.expect("everything can be read");
    let names = ["visits_by_page", "total"].map(String::from).to_vec();
    let snapshot = engine.snapshot(names, ReadAt::default()).await;
    let snapshot = snapshot.expect("both are tables");
    let mut table = BTreeMap::new();
    let RowsOf::View(rows) = &snapshot.rows["visits_by_page"] else {
        panic!("state is a view");
    };
    for batch in rows.batches() {
        let (pages, counts) = (batch.column(0), batch.column(1));
        for row in 0..batch.num_rows() {
            let count = counts.as_primitive::<Int64Type>().value(row);
            table.insert(pages.as_string::<i32>().value(row).to_owned(), count);
        }
    }
    let RowsOf::View(total) = &snapshot.rows["total"] else {
        panic!("it is a view");
    };
    let pages: i64 = total
        .batches()
        .iter()
        .map(|batch| batch.column(1).as_primitive::<Int64Type>().value(0))
        .sum();
    assert_eq!(pages, table.len() as i64, "the view is of the same epoch");
    assert_eq!(told(&log).await, table, "the topic says the same");
    table
}

/// What the topic says: each count of a page is one more than the one before it in its partition.
async fn told(log: &BrokerTopics) -> BTreeMap<String, i64> {
    let count = |record: Record<'_>| {
        let value = record.value.expect("there is one");
        let visits = Visits::decode(&value).expect("a message");
        (visits.page, visits.count)
    };
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for (page, count) in read_records(log, "counts", count).await.concat() {
        let known = counts.entry(page).or_default();
        assert_eq!(count, *known + 1);
        *known = count;
    }
    counts
}

fn ask(sim: &Sim, node: HostId, pages: Vec<u64>) -> BTreeMap<String, i64> {
    let asked = sim.run_on(node, LIMIT, async move {
        let shard = pipelines::engine_shard(runtime::shard_count());
        loop {
            let pages = pages.clone();
            let is_up = || async { runtime::local::<Engine>().is_some() };
            if runtime::invoke_on(shard, Class::Query, "look", is_up).await {
                return runtime::invoke_on(shard, Class::Query, "ask", || visit(pages)).await;
            }
            runtime::sleep(Duration::from_millis(50)).await;
        }
    });
    asked.expect("the node answers")
}

#[test]
fn an_app_in_a_node_counts_once_and_is_a_table() {
    for seed in 0..10 {
        let sim = Rc::new(Sim::new(SimConfig::new(seed)));
        let node = sim.host("node", 1 + (seed % 2) as u16, serve);
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        for _ in 0..4 {
            let pages: Vec<u64> = (0..sim.draw(40)).map(|_| sim.draw(5)).collect();
            for page in &pages {
                *expected.entry(format!("page-{page}")).or_default() += 1;
            }
            assert_eq!(ask(&sim, node, pages), expected, "seed {seed}");
            sim.run_for(Duration::from_millis(sim.draw(9000)));
            match sim.draw(2) {
                0 => sim.kill(node),
                _ => sim.power_cut(node),
            }
            sim.restart(node);
        }
        assert_eq!(ask(&sim, node, Vec::new()), expected, "seed {seed}");
    }
}
