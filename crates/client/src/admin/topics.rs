//! Topics: create, delete, grow, and what they take on disk.

use std::collections::BTreeMap;

use base::{BrokerId, PartitionIndex, TopicId};
use kafka::messages::{
    create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic},
    create_topics::{
        CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
    },
    delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse},
    describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse},
};

use super::Admin;
use crate::{ClientError, Lane, client::Backoff};

/// A topic to create; -1 leaves a number to the broker.
#[derive(Clone, Debug)]
pub struct NewTopic {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i16,
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    #[must_use]
    pub fn new(name: &str, partitions: i32) -> Self {
        Self {
            name: name.to_owned(),
            partitions,
            replication_factor: -1,
            configs: Vec::new(),
        }
    }
}

/// Bytes of one partition's replica at one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSize {
    pub broker: BrokerId,
    pub topic: String,
    pub partition: PartitionIndex,
    pub bytes: i64,
}

impl Admin {
    /// Creates one topic and returns its id (all zeroes from brokers without topic ids) when the brokers know it.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<TopicId, ClientError> {
        let id = self.create_at_controller(topic).await?;
        let deadline = runtime::now().plus(self.client.config().api_timeout);
        let mut backoff = Backoff::new(self.client.config().retry_backoff);
        loop {
            match self.client.refresh(&[&topic.name]).await {
                Ok(_) => return Ok(id),
                // Metadata spreads behind the controller's answer.
                Err(error) if error.is_retriable() && runtime::now() < deadline => {
                    backoff.pause().await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn create_at_controller(&self, topic: &NewTopic) -> Result<TopicId, ClientError> {
        self.with_controller("creating the topic", async || {
            let configs: Vec<_> = topic
                .configs
                .iter()
                .map(|(name, value)| CreatableTopicConfig {
                    name: name.as_str().into(),
                    value: Some(value.as_str().into()),
                })
                .collect();
            let request = CreateTopicsRequest {
                topics: vec![CreatableTopic {
                    name: topic.name.as_str().into(),
                    num_partitions: topic.partitions,
                    replication_factor: topic.replication_factor,
                    configs: configs.into(),
                    ..Default::default()
                }]
                .into(),
                timeout_ms: self.timeout_ms(),
                validate_only: false,
            };
            let answer = self.call_controller(&request).await?;
            let response: CreateTopicsResponse<'_> = answer.decode()?;
            let Some(result) = response.topics.iter().next() else {
                return Ok(TopicId::ZERO);
            };
            let what = || format!("creating topic '{}'", topic.name);
            ClientError::check(result.error_code, what, result.error_message.as_deref())?;
            Ok(result.topic_id)
        })
        .await
    }

    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        self.with_controller("deleting the topic", async || {
            let connection = self.client.any_broker().await?;
            let version = connection.version::<DeleteTopicsRequest<'_>>(i16::MAX)?;
            let mut request = DeleteTopicsRequest {
                timeout_ms: self.timeout_ms(),
                ..Default::default()
            };
            if version >= 6 {
                request.topics = vec![DeleteTopicState {
                    name: Some(name.into()),
                    topic_id: TopicId::ZERO,
                }]
                .into();
            } else {
                request.topic_names = vec![name.into()].into();
            }
            let answer = self.call_controller(&request).await?;
            let response: DeleteTopicsResponse<'_> = answer.decode()?;
            for result in &response.responses {
                let what = || format!("deleting topic '{name}'");
                ClientError::check(result.error_code, what, result.error_message.as_deref())?;
            }
            self.client.forget_topic(name);
            Ok(())
        })
        .await
    }

    /// Raises the number of partitions to `total`.
    pub async fn create_partitions(&self, name: &str, total: i32) -> Result<(), ClientError> {
        self.with_controller("adding partitions", async || {
            let request = CreatePartitionsRequest {
                topics: vec![CreatePartitionsTopic {
                    name: name.into(),
                    count: total,
                    assignments: None,
                }]
                .into(),
                timeout_ms: self.timeout_ms(),
                validate_only: false,
            };
            let answer = self.call_controller(&request).await?;
            let response: CreatePartitionsResponse<'_> = answer.decode()?;
            for result in &response.results {
                let what = || format!("adding partitions to topic '{name}'");
                ClientError::check(result.error_code, what, result.error_message.as_deref())?;
            }
            self.client.mark_stale(name);
            Ok(())
        })
        .await
    }

    /// What every partition takes on the disks of every broker.
    pub async fn partition_sizes(&self) -> Result<Vec<PartitionSize>, ClientError> {
        let brokers: BTreeMap<_, _> = self.client.metadata().brokers;
        let mut sizes = Vec::new();
        for broker in brokers.keys().copied() {
            let connection = self.client.broker(broker, Lane::CONTROL).await?;
            let request = DescribeLogDirsRequest { topics: None };
            let answer = connection.call(&request, i16::MAX).await?;
            let response: DescribeLogDirsResponse<'_> = answer.decode()?;
            let what = || format!("asking broker {broker} for its log directories");
            ClientError::check(response.error_code, what, None)?;
            for dir in &response.results {
                ClientError::check(dir.error_code, what, None)?;
                for topic in &dir.topics {
                    for partition in &topic.partitions {
                        sizes.push(PartitionSize {
                            broker,
                            topic: topic.name.clone().into_owned(),
                            partition: PartitionIndex(partition.partition_index),
                            bytes: partition.partition_size,
                        });
                    }
                }
            }
        }
        Ok(sizes)
    }
}
