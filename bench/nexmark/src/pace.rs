//! Small records at a pace, each with when it was sent.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use client::{
    Client, ClientConfig, ClientError, Producer, ProducerConfig, ProducerRecord, admin::NewTopic,
};

/// Records between two looks at the clock.
const STRIDE: u64 = 64;

/// What is to be sent, and how fast.
pub struct Pace {
    bootstrap: String,
    topic: String,
    first: u64,
    records: u64,
    /// 0: as many as go.
    per_second: u64,
    keys: u64,
}

impl Pace {
    /// Of BOOTSTRAP TOPIC FIRST RECORDS PER_SECOND KEYS.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let [bootstrap, topic, first, records, per_second, keys] = words else {
            bail!("{}", crate::USAGE);
        };
        let pace = Self {
            bootstrap: (*bootstrap).to_owned(),
            topic: (*topic).to_owned(),
            first: first.parse()?,
            records: records.parse()?,
            per_second: per_second.parse()?,
            keys: keys.parse()?,
        };
        anyhow::ensure!(pace.keys > 0, "KEYS is at least 1");
        Ok(pace)
    }

    /// Makes the topic if it is not there, and sends.
    pub async fn run(self) -> Result<u64> {
        let client = Client::connect(ClientConfig::new(vec![self.bootstrap.clone()])).await?;
        let topic = NewTopic::new(&self.topic, 1);
        match client.admin().create_topic(&topic).await {
            // A second call adds to the first one's topic.
            Err(ClientError::Broker { code, .. }) if code.name() == "TOPIC_ALREADY_EXISTS" => {}
            made => drop(made?),
        }
        let producer = Producer::new(
            &client,
            ProducerConfig {
                linger: Duration::from_millis(1),
                ..ProducerConfig::default()
            },
        );
        let began = Instant::now();
        let mut sent_us = now_us();
        for number in 0..self.records {
            if number % STRIDE == 0 {
                self.wait(began, number).await;
                sent_us = now_us();
            }
            // Keys in a scattered order, each once in so many records.
            let key = (self.first + number).wrapping_mul(0x9e37_79b1) % self.keys;
            let value =
                format!(r#"{{"key":{key},"sent":{sent_us},"note":"record of key {key:012}"}}"#);
            let record = ProducerRecord {
                topic: &self.topic,
                value: Some(value.as_bytes()),
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

    async fn wait(&self, began: Instant, number: u64) {
        if self.per_second == 0 {
            return;
        }
        let due = Duration::from_secs_f64(number as f64 / self.per_second as f64);
        let early = due.saturating_sub(began.elapsed());
        if !early.is_zero() {
            runtime::sleep(early).await;
        }
    }
}

fn now_us() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros())
}
