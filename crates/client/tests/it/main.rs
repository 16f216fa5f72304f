//! The client against a real cluster: `FOREBAY_TEST_BROKERS=127.0.0.1:9092 cargo test -p client -- --ignored`.

mod groups;
mod records;
mod topics;

use std::{collections::BTreeMap, future::Future, rc::Rc, time::Duration};

use client::{Client, ClientConfig, Consumer, ConsumerConfig, Start};
use runtime::sync::Shutdown;

/// Runs `test` with a client on a shard of its own.
fn with_cluster<F, Fut>(test: F)
where
    F: FnOnce(Client) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let brokers = std::env::var("FOREBAY_TEST_BROKERS")
        .expect("these tests run only when asked for, with FOREBAY_TEST_BROKERS set");
    let running = runtime::start(runtime::Config::default(), || async {
        let stop = Rc::new(Shutdown::new());
        runtime::set_local(stop.clone());
        stop.triggered().await;
    })
    .expect("a shard starts");
    let handle = running.handle();
    handle.call_blocking(
        base::ShardId(0),
        runtime::Class::Admin,
        "test",
        move || async move {
            let mut config = ClientConfig::new(vec![brokers]);
            config.request_timeout = Duration::from_secs(10);
            config.api_timeout = Duration::from_secs(20);
            let client = Client::connect(config).await.expect("a broker answers");
            let ended = runtime::timeout(Duration::from_secs(60), test(client)).await;
            ended.expect("the test ends within a minute");
        },
    );
    handle.call_blocking(base::ShardId(0), runtime::Class::Admin, "stop", || async {
        if let Some(stop) = runtime::local::<Shutdown>() {
            stop.trigger();
        }
    });
    running.join().expect("the shard ends");
}

/// A topic name nobody used before.
fn fresh(name: &str) -> String {
    format!("{name}-{:016x}", runtime::random_u64())
}

/// (partition, offset, key, value, headers)
type Row = (
    i32,
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<(String, Option<Vec<u8>>)>,
);

fn rows(fetched: &[client::Fetched]) -> Vec<Row> {
    let mut rows = Vec::new();
    for part in fetched {
        part.for_each(|record| {
            let owned = |bytes: Option<std::borrow::Cow<'_, [u8]>>| bytes.map(|b| b.into_owned());
            let headers = record.headers.into_iter();
            rows.push((
                part.partition.0,
                record.offset.0,
                owned(record.key),
                owned(record.value),
                headers.map(|(n, v)| (n.into_owned(), owned(v))).collect(),
            ));
            true
        })
        .expect("sound records");
    }
    rows
}

/// Reads a topic from the beginning until it has `count` records.
async fn read_all(client: &Client, topic: &str, count: usize) -> Vec<Row> {
    let consumer = Consumer::new(client, ConsumerConfig::default());
    consumer
        .assign_topics(&[topic], Start::Beginning)
        .await
        .expect("the topic is there");
    let mut read = Vec::new();
    while read.len() < count {
        let fetched = consumer.poll(Duration::from_secs(5)).await.expect("reads");
        assert!(!fetched.is_empty(), "{} of {count} records", read.len());
        read.extend(rows(&fetched));
    }
    consumer.close().await.expect("closes");
    read.sort_by_key(|row| (row.0, row.1));
    read
}

/// Every partition's offsets count up from 0.
fn assert_dense(rows: &[Row]) {
    let mut next = BTreeMap::new();
    for row in rows {
        let next = next.entry(row.0).or_insert(0);
        assert_eq!(row.1, *next, "offset in partition {}", row.0);
        *next += 1;
    }
}
