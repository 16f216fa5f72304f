//! `nexmark BOOTSTRAP json|protobuf PREFIX EVENTS RATE PARTITIONS`: events into the new topics PREFIX_person,
//! PREFIX_auction and PREFIX_bid of any Kafka-API cluster.

mod encode;
mod events;

use std::rc::Rc;

use anyhow::{Context, Result, bail};
use base::{PartitionIndex, ShardId, TimestampMs};
use client::{Client, ClientConfig, Producer, ProducerConfig, ProducerRecord, admin::NewTopic};
use runtime::{Class, sync::Shutdown};

use encode::Format;
use events::{Event, Generator};

/// What is to be loaded, and where.
#[derive(Clone)]
struct Load {
    bootstrap: String,
    format: Format,
    prefix: String,
    events: u64,
    /// Events in a second of event time.
    rate: u64,
    partitions: i32,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, format, prefix, events, rate, partitions] = &words[..] else {
        bail!("nexmark BOOTSTRAP json|protobuf PREFIX EVENTS RATE PARTITIONS");
    };
    let load = Load {
        bootstrap: bootstrap.clone(),
        format: match format.as_str() {
            "json" => Format::Json,
            "protobuf" => Format::Protobuf,
            other => bail!("no format {other:?}"),
        },
        prefix: prefix.clone(),
        events: events.parse()?,
        rate: rate.parse()?,
        partitions: partitions.parse()?,
    };
    let config = runtime::Config {
        shards: 1,
        cpus: Some(Vec::new()),
        ..runtime::Config::default()
    };
    let running = runtime::start(config, || async {
        let stop = Rc::new(Shutdown::new());
        runtime::set_local(stop.clone());
        stop.triggered().await;
    })?;
    let handle = running.handle();
    let shard = ShardId(0);
    let loaded = handle.call_blocking(shard, Class::Admin, "load", move || run(load));
    handle.call_blocking(shard, Class::Admin, "stop", || async {
        if let Some(stop) = runtime::local::<Shutdown>() {
            stop.trigger();
        }
    });
    running.join()?;
    let records = loaded?;
    println!("{records} records");
    Ok(())
}

async fn run(load: Load) -> Result<u64> {
    let client = Client::connect(ClientConfig::new(vec![load.bootstrap])).await?;
    let topics = ["person", "auction", "bid"].map(|kind| format!("{}_{kind}", load.prefix));
    for topic in &topics {
        // The records' timestamps are event times: nothing is to go by age.
        let configs = vec![("retention.ms".to_owned(), "-1".to_owned())];
        let topic = NewTopic {
            configs,
            ..NewTopic::new(topic, load.partitions)
        };
        client.admin().create_topic(&topic).await?;
    }
    let producer = Producer::new(
        &client,
        ProducerConfig {
            batch_bytes: 256 << 10,
            ..ProducerConfig::default()
        },
    );
    let mut generator = Generator::new(load.rate);
    let mut value = Vec::new();
    let mut sent = [0_i32; 3];
    for number in 0..load.events {
        let event = generator.event(number);
        let (kind, at) = match &event {
            Event::Person(person) => (0, person.date_time),
            Event::Auction(auction) => (1, auction.date_time),
            Event::Bid(bid) => (2, bid.date_time),
        };
        encode::encode(load.format, &event, &mut value);
        let partition = sent[kind] % load.partitions;
        sent[kind] = sent[kind].wrapping_add(1) & i32::MAX;
        let record = ProducerRecord {
            topic: &topics[kind],
            partition: Some(PartitionIndex(partition)),
            value: Some(&value),
            timestamp: Some(TimestampMs(at)),
            ..ProducerRecord::default()
        };
        producer.send(record).await?;
        if runtime::should_yield() {
            runtime::yield_now().await;
        }
    }
    producer.flush().await?;
    let records = producer.stats().records_acknowledged;
    producer.close().await.context("closing the producer")?;
    Ok(records)
}
