//! A Kafka client on this workspace's runtime and codec: producer, consumer, groups and administration.
//!
//! It takes time, randomness and sockets from `runtime` only, so that the simulator runs it unchanged. One [`Client`]
//! belongs to one shard.

pub mod admin;
mod client;
mod connection;
pub mod consumer;
mod error;
mod metadata;
pub mod producer;
mod transaction;

#[cfg(test)]
mod tests;

pub use admin::Admin;
pub use client::{Client, ClientConfig, Lane};
pub use connection::{Answer, Connection, InFlight};
pub use consumer::{Consumer, ConsumerConfig, Fetched, Isolation, Reset, Start};
pub use error::{ClientError, ProduceError};
pub use metadata::{BrokerAddr, Metadata, PartitionMetadata, TopicMetadata};
pub use producer::{Acks, Delivery, Producer, ProducerConfig, ProducerRecord, RecordAck};
pub use transaction::{TransactionError, TransactionalProducer, Transactions};
