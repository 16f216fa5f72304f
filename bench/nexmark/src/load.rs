//! Nexmark's events into the three topics of their kinds.

use anyhow::{Context, Result, bail};
use base::{PartitionIndex, TimestampMs};
use client::{Client, ClientConfig, Producer, ProducerConfig, ProducerRecord, admin::NewTopic};

use crate::encode::{self, Format};
use crate::events::{Event, Generator};

/// What is to be loaded, and where.
pub struct Load {
    bootstrap: String,
    format: Format,
    prefix: String,
    events: u64,
    /// Events in a second of event time.
    rate: u64,
    partitions: i32,
    /// `CreateTime` for event times in the records' timestamps, or `LogAppendTime`.
    stamps: String,
}

impl Load {
    /// Of BOOTSTRAP FORMAT PREFIX EVENTS RATE PARTITIONS STAMPS.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let [bootstrap, format, prefix, events, rate, partitions, stamps] = words else {
            bail!("{}", crate::USAGE);
        };
        Ok(Self {
            bootstrap: (*bootstrap).to_owned(),
            format: match *format {
                "json" => Format::Json,
                "protobuf" => Format::Protobuf,
                other => bail!("no format {other:?}"),
            },
            prefix: (*prefix).to_owned(),
            events: events.parse()?,
            rate: rate.parse()?,
            partitions: partitions.parse()?,
            stamps: (*stamps).to_owned(),
        })
    }

    /// Makes the topics and fills them.
    pub async fn run(self) -> Result<u64> {
        let client = Client::connect(ClientConfig::new(vec![self.bootstrap.clone()])).await?;
        let topics = ["person", "auction", "bid"].map(|kind| format!("{}_{kind}", self.prefix));
        for topic in &topics {
            // The records' timestamps are event times: nothing is to go by age.
            let configs = [
                ("retention.ms", "-1"),
                ("message.timestamp.type", &self.stamps),
            ];
            let configs = configs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
            let topic = NewTopic {
                configs,
                ..NewTopic::new(topic, self.partitions)
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
        let mut generator = Generator::new(self.rate);
        let mut value = Vec::new();
        let mut sent = [0_i32; 3];
        for number in 0..self.events {
            let event = generator.event(number);
            let (kind, at) = match &event {
                Event::Person(person) => (0, person.date_time),
                Event::Auction(auction) => (1, auction.date_time),
                Event::Bid(bid) => (2, bid.date_time),
            };
            encode::encode(self.format, &event, &mut value);
            let partition = sent[kind] % self.partitions;
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
}
