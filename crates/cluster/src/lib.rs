//! The control plane's state machine: topics, placement, configs, producer ids. It performs no I/O and knows no clock.

pub mod codec;
pub mod command;
pub mod config;
pub mod image;

pub use codec::DecodeError;
pub use command::{Command, NewTopic};
pub use config::{ConfigKey, ConfigKind, TOPIC_CONFIGS, TopicDefaults, TopicSettings};
pub use image::{Change, HomeId, Image, PartitionSpec, Refusal, Topic};
