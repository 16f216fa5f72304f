//! What is known of the cluster: brokers, topics, leaders.

use std::{collections::BTreeMap, rc::Rc};

use base::{BrokerId, LeaderEpoch, PartitionIndex, TopicId};
use kafka::{error::ErrorCode, messages::metadata::MetadataResponse};

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddr {
    pub host: String,
    pub port: u16,
}

/// A partition as of the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    pub index: PartitionIndex,
    /// `None` while there is no leader.
    pub leader: Option<BrokerId>,
    pub leader_epoch: LeaderEpoch,
    pub replicas: Vec<BrokerId>,
    pub in_sync: Vec<BrokerId>,
}

/// A topic as of the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    pub name: Rc<str>,
    /// All zeroes when the broker has no topic ids.
    pub id: TopicId,
    pub internal: bool,
    /// By index, without gaps at a sound broker.
    pub partitions: Vec<PartitionMetadata>,
}

impl TopicMetadata {
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionMetadata> {
        self.partitions.iter().find(|p| p.index == index)
    }
}

/// The cluster as of the last look; topics are those that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    pub cluster_id: Option<String>,
    pub controller: Option<BrokerId>,
    pub brokers: BTreeMap<BrokerId, BrokerAddr>,
    pub topics: BTreeMap<Rc<str>, Rc<TopicMetadata>>,
}

/// What a response said of one topic.
pub(crate) enum TopicAnswer {
    Found(Rc<TopicMetadata>),
    Missing(Rc<str>, ErrorCode),
}

impl Metadata {
    /// Takes over a response and returns what it says of its topics.
    pub(crate) fn update(&mut self, response: &MetadataResponse<'_>) -> Vec<TopicAnswer> {
        self.cluster_id = response.cluster_id.as_deref().map(str::to_owned);
        self.controller = (response.controller_id >= 0).then_some(BrokerId(response.controller_id));
        self.brokers = response
            .brokers
            .iter()
            .filter_map(|broker| {
                let port = u16::try_from(broker.port).ok()?;
                let host = broker.host.into_owned();
                Some((BrokerId(broker.node_id), BrokerAddr { host, port }))
            })
            .collect();
        let mut answers = Vec::with_capacity(response.topics.len());
        for topic in &response.topics {
            let name: Rc<str> = topic.name.as_deref().unwrap_or_default().into();
            let code =
                ErrorCode::from_i16(topic.error_code).unwrap_or(ErrorCode::UnknownServerError);
            if code != ErrorCode::None {
                self.topics.remove(&name);
                answers.push(TopicAnswer::Missing(name, code));
                continue;
            }
            let mut partitions: Vec<_> = topic
                .partitions
                .iter()
                .map(|partition| PartitionMetadata {
                    index: PartitionIndex(partition.partition_index),
                    leader: (partition.leader_id >= 0).then_some(BrokerId(partition.leader_id)),
                    leader_epoch: LeaderEpoch(partition.leader_epoch),
                    replicas: partition.replica_nodes.iter().map(BrokerId).collect(),
                    in_sync: partition.isr_nodes.iter().map(BrokerId).collect(),
                })
                .collect();
            partitions.sort_by_key(|partition| partition.index);
            let found = Rc::new(TopicMetadata {
                name: name.clone(),
                id: topic.topic_id,
                internal: topic.is_internal,
                partitions,
            });
            self.topics.insert(name, found.clone());
            answers.push(TopicAnswer::Found(found));
        }
        answers
    }
}
