//! The demo's client: everything it knows of the log it asks the node for, through the Kafka listener.

use std::{cell::RefCell, net::SocketAddr, ops::Range, rc::Rc, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use client::{
    Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord,
    Start,
    admin::{NewTopic, OffsetSpec},
    consumer::TopicPartition,
};
use kafka::batch::Compression;

use super::{
    PARTITIONS, TOPIC,
    flights::Flights,
    report::{Report, Tally, TopicShape},
};
use crate::cli::shard::CommandShard;

/// Longer without a record means that something is wrong.
const READ_WAIT: Duration = Duration::from_secs(30);

/// What lives on the client's shard between calls.
struct Session {
    client: Client,
    producer: Producer,
    consumer: RefCell<Option<Reading>>,
}

struct Reading {
    consumer: Consumer,
    ends: Vec<(TopicPartition, base::Offset)>,
    report: Report,
}

/// A connection to the demo's node.
pub struct DemoClient(CommandShard);

impl DemoClient {
    pub fn connect(node: SocketAddr) -> anyhow::Result<Self> {
        let shard = CommandShard::start()?;
        shard.run(move || async move {
            let mut config = ClientConfig::new(vec![node.to_string()]);
            config.client_id = "forebay-demo".into();
            let client = Client::connect(config).await?;
            let producer = ProducerConfig {
                compression: Compression::Lz4,
                batch_bytes: 256 << 10,
                ..ProducerConfig::default()
            };
            runtime::set_local(Rc::new(Session {
                producer: Producer::new(&client, producer),
                client,
                consumer: RefCell::new(None),
            }));
            anyhow::Ok(())
        })?;
        Ok(Self(shard))
    }

    /// Creates the topic; false when it is there already.
    pub fn create_topic(&self) -> anyhow::Result<bool> {
        self.0.run(|| async {
            let session = session()?;
            let mut topics = session.client.all_topics().await?.into_iter();
            if topics.any(|topic| &*topic.name == TOPIC) {
                return Ok(false);
            }
            let mut topic = NewTopic::new(TOPIC, PARTITIONS);
            // The flights are of 2001: the usual retention would delete them at once.
            topic.configs = vec![("retention.ms".into(), "-1".into())];
            session.client.admin().create_topic(&topic).await?;
            Ok(true)
        })
    }

    /// Sends these flights, by their numbers; returns when the producer's buffer has them.
    pub fn send(&self, flights: &Arc<Flights>, numbers: Range<usize>) -> anyhow::Result<Tally> {
        let flights = flights.clone();
        self.0.run(move || async move {
            let session = session()?;
            let (mut tally, mut value) = (Tally::default(), Vec::new());
            for flight in &flights.flights[numbers] {
                flights.write_json(flight, &mut value);
                let key = flights.route(flight).origin.as_bytes();
                tally.add(flight.at, key, &value);
                let record = ProducerRecord {
                    topic: TOPIC,
                    key: Some(key),
                    value: Some(&value),
                    timestamp: Some(flight.at),
                    ..ProducerRecord::default()
                };
                session.producer.send(record).await?;
            }
            Ok(tally)
        })
    }

    /// Waits until the node has acknowledged everything; how many records that were.
    pub fn flush(&self) -> anyhow::Result<u64> {
        self.0.run(|| async {
            let session = session()?;
            session.producer.flush().await?;
            Ok(session.producer.stats().records_acknowledged)
        })
    }

    /// Begins to read everything the topic holds now; how many records that are.
    pub fn begin_reading(&self) -> anyhow::Result<u64> {
        self.0.run(|| async {
            let session = session()?;
            let topic = session.client.topic(TOPIC).await?;
            let places = topic.partitions.iter();
            let wanted: Vec<_> = places
                .map(|p| ((topic.name.clone(), p.index), OffsetSpec::Latest))
                .collect();
            let listed = session.client.admin().list_offsets(&wanted).await?;
            let ends: Vec<_> = listed
                .into_iter()
                .filter_map(|(place, listed)| Some((place, listed.offset?)))
                .collect();
            let consumer = Consumer::new(&session.client, ConsumerConfig::default());
            consumer.assign_topics(&[TOPIC], Start::Beginning).await?;
            let starts = consumer.positions();
            let start = |place| starts.get(place).map_or(0, |at| at.0);
            let records: i64 = ends.iter().map(|(place, end)| end.0 - start(place)).sum();
            *session.consumer.borrow_mut() = Some(Reading {
                consumer,
                ends,
                report: Report::default(),
            });
            Ok(u64::try_from(records).unwrap_or(0))
        })
    }

    /// Reads on; records read so far, and the report when it was all.
    pub fn read(&self) -> anyhow::Result<(u64, Option<Report>)> {
        self.0.run(|| async {
            let session = session()?;
            let reading = session.consumer.borrow_mut().take();
            let mut reading = reading.context("reading has begun")?;
            let fetched = if reading.is_done() {
                Vec::new()
            } else {
                let fetched = reading.consumer.poll(READ_WAIT).await?;
                if fetched.is_empty() {
                    bail!("no record came for {} s", READ_WAIT.as_secs());
                }
                fetched
            };
            for part in &fetched {
                part.for_each(|record| {
                    let (key, value) = (record.key.as_deref(), record.value.as_deref());
                    let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
                    reading.report.add(record.timestamp, key, value);
                    true
                })
                .with_context(|| format!("records of {}/{}", part.topic, part.partition))?;
            }
            let records = reading.report.tally.records;
            if reading.is_done() {
                reading.consumer.close().await?;
                return Ok((records, Some(reading.report)));
            }
            *session.consumer.borrow_mut() = Some(reading);
            Ok((records, None))
        })
    }

    /// The topic as the node describes it.
    pub fn shape(&self) -> anyhow::Result<TopicShape> {
        self.0.run(|| async {
            let session = session()?;
            let topic = session.client.topic(TOPIC).await?;
            let sizes = session.client.admin().partition_sizes().await?;
            let ours = sizes.iter().filter(|size| size.topic == TOPIC);
            let bytes: i64 = ours.map(|size| size.bytes).sum();
            Ok(TopicShape {
                partitions: topic.partitions.len(),
                bytes_on_disk: u64::try_from(bytes).ok(),
            })
        })
    }

    /// Closes the connections.
    pub fn close(self) {
        self.0.run(|| async { runtime::clear_local::<Session>() });
    }
}

impl Reading {
    fn is_done(&self) -> bool {
        let positions = self.consumer.positions();
        let mut ends = self.ends.iter();
        ends.all(|(place, end)| positions.get(place).is_none_or(|at| at >= end))
    }
}

fn session() -> anyhow::Result<Rc<Session>> {
    runtime::local::<Session>().context("the demo's client is open")
}
