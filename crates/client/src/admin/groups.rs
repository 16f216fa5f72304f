//! Consumer groups: listing, members, committed offsets.

use std::collections::BTreeMap;

use base::{LeaderEpoch, Offset, PartitionIndex};
use kafka::{
    Message,
    error::ErrorCode,
    messages::{
        delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse},
        describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse},
        list_groups::{ListGroupsRequest, ListGroupsResponse},
        offset_commit::{
            OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
            OffsetCommitResponse,
        },
        offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse},
    },
};

use super::Admin;
use crate::{Answer, ClientError, Lane, consumer::assignor};

/// From here on topics are named by id only; names are what this client knows groups by.
const OFFSETS_BY_ID: i16 = 10;

/// A group as a broker lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    pub group: String,
    pub protocol_type: String,
    pub state: String,
    pub group_type: String,
}

/// A group with its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    pub group: String,
    pub state: String,
    pub protocol_type: String,
    /// The assignor in use.
    pub protocol: String,
    pub members: Vec<GroupMember>,
}

/// One member and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub member: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub assigned: BTreeMap<String, Vec<PartitionIndex>>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub metadata: String,
}

impl Admin {
    /// The groups of all brokers.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        self.client
            .retrying("listing groups", async || {
                self.client.refresh(&[]).await?;
                let mut groups = BTreeMap::new();
                for broker in self.client.metadata().brokers.keys().copied() {
                    let connection = self.client.broker(broker, Lane::CONTROL).await?;
                    let request = ListGroupsRequest::default();
                    let answer = connection.call(&request, i16::MAX).await?;
                    let response: ListGroupsResponse<'_> = answer.decode()?;
                    ClientError::check(response.error_code, || "listing groups".into(), None)?;
                    for group in &response.groups {
                        let listing = GroupListing {
                            group: group.group_id.into_owned(),
                            protocol_type: group.protocol_type.into_owned(),
                            state: group.group_state.into_owned(),
                            group_type: group.group_type.into_owned(),
                        };
                        groups.insert(listing.group.clone(), listing);
                    }
                }
                Ok(groups.into_values().collect())
            })
            .await
    }

    /// State and members; a group nobody knows is `Dead` without members.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        self.with_coordinator("describing the group", group, async || {
            let request = DescribeGroupsRequest {
                groups: vec![group.into()].into(),
                include_authorized_operations: false,
            };
            let answer = self.ask(group, &request, i16::MAX).await?;
            let response: DescribeGroupsResponse<'_> = answer.decode()?;
            let what = || format!("describing group '{group}'");
            if let Some(described) = response.groups.iter().next() {
                if described.error_code != ErrorCode::GroupIdNotFound.code() {
                    let message = described.error_message.as_deref();
                    ClientError::check(described.error_code, what, message)?;
                }
                let members = described.members.iter().map(|member| GroupMember {
                    member: member.member_id.into_owned(),
                    instance: member.group_instance_id.map(std::borrow::Cow::into_owned),
                    client_id: member.client_id.into_owned(),
                    client_host: member.client_host.into_owned(),
                    // Other protocol types have other contents: none is shown of them.
                    assigned: assignor::decode_assignment(&member.member_assignment)
                        .unwrap_or_default(),
                });
                return Ok(GroupDescription {
                    group: group.to_owned(),
                    members: members.collect(),
                    state: described.group_state.into_owned(),
                    protocol_type: described.protocol_type.into_owned(),
                    protocol: described.protocol_data.into_owned(),
                });
            }
            Err(ClientError::Broker {
                what: what(),
                code: ErrorCode::GroupIdNotFound,
                message: None,
            })
        })
        .await
    }

    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        self.with_coordinator("deleting the group", group, async || {
            let request = DeleteGroupsRequest {
                groups_names: vec![group.into()].into(),
            };
            let answer = self.ask(group, &request, i16::MAX).await?;
            let response: DeleteGroupsResponse<'_> = answer.decode()?;
            for result in &response.results {
                let what = || format!("deleting group '{group}'");
                ClientError::check(result.error_code, what, None)?;
            }
            Ok(())
        })
        .await
    }

    /// All offsets a group has committed.
    pub async fn committed(
        &self,
        group: &str,
    ) -> Result<BTreeMap<(String, PartitionIndex), Committed>, ClientError> {
        self.with_coordinator("reading committed offsets", group, async || {
            self.fetch_committed(group).await
        })
        .await
    }

    async fn fetch_committed(
        &self,
        group: &str,
    ) -> Result<BTreeMap<(String, PartitionIndex), Committed>, ClientError> {
        let connection = self.client.coordinator(group, Lane::CONTROL).await?;
        let version = connection.version::<OffsetFetchRequest<'_>>(OFFSETS_BY_ID - 1)?;
        let mut request = OffsetFetchRequest {
            require_stable: version >= 7,
            ..Default::default()
        };
        if version >= 8 {
            request.groups = vec![OffsetFetchRequestGroup {
                group_id: group.into(),
                member_id: None,
                member_epoch: -1,
                topics: None,
            }]
            .into();
        } else {
            request.group_id = group.into();
            request.topics = None;
        }
        let answer = connection.call(&request, version).await?;
        let response: OffsetFetchResponse<'_> = answer.decode()?;
        let what = || format!("offsets of group '{group}'");
        let mut rows = Vec::new();
        if version >= 8 {
            for group in &response.groups {
                ClientError::check(group.error_code, what, None)?;
                for topic in &group.topics {
                    rows.extend(topic.partitions.iter().map(|p| {
                        let name = topic.name.clone().into_owned();
                        let metadata = p.metadata.map(std::borrow::Cow::into_owned);
                        let place = (name, PartitionIndex(p.partition_index));
                        let epoch = p.committed_leader_epoch;
                        (place, p.error_code, p.committed_offset, epoch, metadata)
                    }));
                }
            }
        } else {
            ClientError::check(response.error_code, what, None)?;
            for topic in &response.topics {
                rows.extend(topic.partitions.iter().map(|p| {
                    let name = topic.name.clone().into_owned();
                    let metadata = p.metadata.map(std::borrow::Cow::into_owned);
                    let place = (name, PartitionIndex(p.partition_index));
                    let epoch = p.committed_leader_epoch;
                    (place, p.error_code, p.committed_offset, epoch, metadata)
                }));
            }
        }
        let mut committed = BTreeMap::new();
        for (place, code, offset, epoch, metadata) in rows {
            ClientError::check(code, what, None)?;
            if offset >= 0 {
                let entry = Committed {
                    offset: Offset(offset),
                    leader_epoch: LeaderEpoch(epoch),
                    metadata: metadata.unwrap_or_default(),
                };
                committed.insert(place, entry);
            }
        }
        Ok(committed)
    }

    /// Sets committed offsets of a group without members.
    pub async fn reset_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<(String, PartitionIndex), Offset>,
    ) -> Result<(), ClientError> {
        self.with_coordinator("setting committed offsets", group, async || {
            self.commit(group, "", -1, None, Lane::CONTROL, offsets)
                .await
        })
        .await
    }

    /// One commit as `member` of `generation` (or from outside with an empty member and -1); not retried.
    pub(crate) async fn commit(
        &self,
        group: &str,
        member: &str,
        generation: i32,
        instance: Option<&str>,
        lane: Lane,
        offsets: &BTreeMap<(String, PartitionIndex), Offset>,
    ) -> Result<(), ClientError> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition<'_>>> = BTreeMap::new();
        for ((topic, partition), offset) in offsets {
            let partition = OffsetCommitRequestPartition {
                partition_index: partition.0,
                committed_offset: offset.0,
                committed_leader_epoch: -1,
                committed_metadata: Some("".into()),
            };
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| OffsetCommitRequestTopic {
                name: name.into(),
                partitions: partitions.into(),
                ..Default::default()
            })
            .collect();
        let request = OffsetCommitRequest {
            group_id: group.into(),
            generation_id_or_member_epoch: generation,
            member_id: member.into(),
            group_instance_id: instance.map(Into::into),
            retention_time_ms: -1,
            topics,
        };
        let answer = self
            .client
            .call_coordinator(group, lane, &request, OFFSETS_BY_ID - 1)
            .await?;
        let response: OffsetCommitResponse<'_> = answer.decode()?;
        for topic in &response.topics {
            for partition in &topic.partitions {
                let what = || {
                    let index = partition.partition_index;
                    format!("committing {}/{index} of group '{group}'", topic.name)
                };
                ClientError::check(partition.error_code, what, None)?;
            }
        }
        Ok(())
    }

    async fn ask<'a, M: Message<'a>>(
        &self,
        group: &str,
        request: &M,
        version_max: i16,
    ) -> Result<Answer, ClientError> {
        self.client
            .call_coordinator(group, Lane::CONTROL, request, version_max)
            .await
    }

    /// [`crate::Client::retrying`] that looks for the coordinator again after each failure.
    async fn with_coordinator<T>(
        &self,
        what: &'static str,
        group: &str,
        call: impl AsyncFn() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.client
            .retrying(what, async || {
                let result = call().await;
                if result.is_err() {
                    self.client.forget_coordinator(group);
                }
                result
            })
            .await
    }
}
