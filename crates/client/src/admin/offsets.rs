//! Offsets by place and time, and deletion of records.

use std::{collections::BTreeMap, rc::Rc};

use base::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use kafka::messages::{
    delete_records::{
        DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
    },
    list_offsets::{
        ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
    },
};

use super::Admin;
use crate::{ClientError, Connection, Lane};

/// Which offset of a partition is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The log start offset.
    Earliest,
    /// The high watermark.
    Latest,
    /// Of the record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record with this timestamp or a later one.
    At(TimestampMs),
}

impl OffsetSpec {
    fn wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::At(at) => at.0,
        }
    }
}

/// An offset found; `None` when no record is as late as was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    pub offset: Option<Offset>,
    pub timestamp: Option<TimestampMs>,
    pub leader_epoch: LeaderEpoch,
}

/// A topic's partition by name.
type Partition = (Rc<str>, PartitionIndex);

impl Admin {
    /// The offset of one partition.
    pub async fn list_offset(
        &self,
        topic: &str,
        partition: PartitionIndex,
        spec: OffsetSpec,
    ) -> Result<ListedOffset, ClientError> {
        let wanted = [((Rc::from(topic), partition), spec)];
        let found = self.list_offsets(&wanted).await?;
        let found = found.into_values().next();
        found.ok_or_else(|| ClientError::UnknownPartition {
            topic: topic.to_owned(),
            partition: partition.0,
        })
    }

    /// Offsets of several partitions, in one request per leader.
    pub async fn list_offsets(
        &self,
        wanted: &[(Partition, OffsetSpec)],
    ) -> Result<BTreeMap<Partition, ListedOffset>, ClientError> {
        self.client
            .retrying("listing offsets", async || {
                let partitions = wanted.iter().map(|(partition, _)| partition);
                let by_leader = self.by_leader(partitions).await?;
                let mut found = BTreeMap::new();
                for (leader, partitions) in by_leader {
                    let connection = self.client.broker(leader, Lane::CONTROL).await?;
                    let wanted: Vec<_> = wanted
                        .iter()
                        .filter(|(partition, _)| partitions.contains(partition))
                        .collect();
                    self.list_at(&connection, &wanted, &mut found).await?;
                }
                Ok(found)
            })
            .await
    }

    async fn list_at(
        &self,
        connection: &Connection,
        wanted: &[&(Partition, OffsetSpec)],
        found: &mut BTreeMap<Partition, ListedOffset>,
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<Rc<str>, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for ((name, partition), spec) in wanted {
            let partition = ListOffsetsPartition {
                partition_index: partition.0,
                current_leader_epoch: -1,
                timestamp: spec.wire(),
            };
            topics.entry(name.clone()).or_default().push(partition);
        }
        let topics = topics
            .iter()
            .map(|(name, partitions)| ListOffsetsTopic {
                name: (&**name).into(),
                partitions: partitions.clone().into(),
            })
            .collect();
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: 0,
            topics,
            timeout_ms: self.timeout_ms(),
        };
        let answer = connection.call(&request, i16::MAX).await?;
        let response: ListOffsetsResponse<'_> = answer.decode()?;
        for topic in &response.topics {
            let name: Rc<str> = topic.name.as_ref().into();
            for partition in &topic.partitions {
                let what = || format!("offsets of {name}/{}", partition.partition_index);
                let checked = ClientError::check(partition.error_code, what, None);
                self.note_stale(&name, checked)?;
                let listed = ListedOffset {
                    offset: (partition.offset >= 0).then_some(Offset(partition.offset)),
                    timestamp: (partition.timestamp >= 0)
                        .then_some(TimestampMs(partition.timestamp)),
                    leader_epoch: LeaderEpoch(partition.leader_epoch),
                };
                let key = (name.clone(), PartitionIndex(partition.partition_index));
                found.insert(key, listed);
            }
        }
        Ok(())
    }

    /// Deletes the records of a partition before `offset` (`None`: all of them); the new log start offset.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: PartitionIndex,
        offset: Option<Offset>,
    ) -> Result<Offset, ClientError> {
        let key: Partition = (topic.into(), partition);
        self.client
            .retrying("deleting records", async || {
                let by_leader = self.by_leader([&key].into_iter()).await?;
                let leader = by_leader.into_keys().next();
                let leader = leader.ok_or(ClientError::UnknownTopic(topic.to_owned()))?;
                let request = DeleteRecordsRequest {
                    topics: vec![DeleteRecordsTopic {
                        name: topic.into(),
                        partitions: vec![DeleteRecordsPartition {
                            partition_index: partition.0,
                            offset: offset.map_or(-1, |offset| offset.0),
                        }]
                        .into(),
                    }]
                    .into(),
                    timeout_ms: self.timeout_ms(),
                };
                let connection = self.client.broker(leader, Lane::CONTROL).await?;
                let answer = connection.call(&request, i16::MAX).await?;
                let response: DeleteRecordsResponse<'_> = answer.decode()?;
                let results = response.topics.iter();
                let result = results.flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
                let result = result.into_iter().next();
                let result = result.ok_or_else(|| ClientError::UnknownPartition {
                    topic: topic.to_owned(),
                    partition: partition.0,
                })?;
                let what = || format!("deleting records of {topic}/{partition}");
                self.note_stale(topic, ClientError::check(result.error_code, what, None))?;
                Ok(Offset(result.low_watermark))
            })
            .await
    }

    /// Groups partitions by their leaders, asking for topics that are not known or out of date.
    async fn by_leader<'p>(
        &self,
        partitions: impl Iterator<Item = &'p Partition>,
    ) -> Result<BTreeMap<BrokerId, Vec<Partition>>, ClientError> {
        let mut by_leader: BTreeMap<BrokerId, Vec<Partition>> = BTreeMap::new();
        for (name, partition) in partitions {
            if self.client.cached_topic(name).is_none() || self.client.is_stale(name) {
                self.client.refresh(&[&**name]).await?;
            }
            match self.client.leader(name, *partition)? {
                Some(leader) => {
                    let partitions = by_leader.entry(leader).or_default();
                    partitions.push((name.clone(), *partition));
                }
                None => {
                    self.client.mark_stale(name);
                    let code = kafka::error::ErrorCode::LeaderNotAvailable.code();
                    ClientError::check(code, || format!("{name}/{partition}"), None)?;
                }
            }
        }
        Ok(by_leader)
    }

    fn note_stale(&self, topic: &str, result: Result<(), ClientError>) -> Result<(), ClientError> {
        if result.as_ref().is_err_and(ClientError::is_retriable) {
            self.client.mark_stale(topic);
        }
        result
    }
}
