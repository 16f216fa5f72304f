//! Consumer groups over the wire: membership, commits, crashes, and every version of every request.

mod life;

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use kafka::{
    error::ErrorCode,
    messages::{
        delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse},
        describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse},
        find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse},
        heartbeat::{HeartbeatRequest, HeartbeatResponse},
        join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse},
        leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity},
        list_groups::{ListGroupsRequest, ListGroupsResponse},
        list_offsets::{
            ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
        },
        metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse},
        offset_commit::{
            OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
            OffsetCommitResponse,
        },
        offset_delete::{
            OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
            OffsetDeleteResponse,
        },
        offset_fetch::{
            OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
            OffsetFetchRequestTopics, OffsetFetchResponse,
        },
        sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse},
    },
};
use runtime::{Class, sim::NetFaults};

use crate::harness::{Client, World};

const SUBSCRIPTION: &[u8] = b"\0\x01\0\0\0\x01\0\x01t";

/// A member as a client library keeps it.
struct Member {
    client: Client,
    group: String,
    instance: Option<String>,
    member_id: String,
    generation: i32,
    /// Of the last generation, for the leader.
    members: Vec<String>,
}

impl Member {
    async fn new(addr: SocketAddr, group: &str) -> Self {
        let client = Client::connect(addr).await;
        find(&client, group).await;
        Self {
            client,
            group: group.to_owned(),
            instance: None,
            member_id: String::new(),
            generation: -1,
            members: Vec::new(),
        }
    }

    /// Joins, twice where the coordinator asks for it.
    async fn join(&mut self) -> ErrorCode {
        loop {
            let protocol = JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: SUBSCRIPTION.into(),
            };
            let request = JoinGroupRequest {
                group_id: self.group.clone().into(),
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: 20_000,
                member_id: self.member_id.clone().into(),
                group_instance_id: self.instance.clone().map(Into::into),
                protocol_type: "consumer".into(),
                protocols: vec![protocol].into(),
                reason: None,
            };
            let frame = self.client.call(9, &request).await;
            let response: JoinGroupResponse<'_> = frame.decode();
            let code = ErrorCode::from_i16(response.error_code).expect("a known code");
            self.member_id = response.member_id.into_owned();
            if code == ErrorCode::MemberIdRequired {
                continue;
            }
            self.generation = response.generation_id;
            let members = response.members.iter();
            self.members = members
                .map(|member| member.member_id.into_owned())
                .collect();
            return code;
        }
    }

    /// The assignment, which is the member's id behind its generation.
    async fn sync(&self) -> Result<String, ErrorCode> {
        let assignments = self.members.iter().map(|id| SyncGroupRequestAssignment {
            member_id: id.clone().into(),
            assignment: format!("{}:{id}", self.generation).into_bytes().into(),
        });
        let request = SyncGroupRequest {
            group_id: self.group.clone().into(),
            generation_id: self.generation,
            member_id: self.member_id.clone().into(),
            group_instance_id: self.instance.clone().map(Into::into),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: assignments.collect(),
        };
        let frame = self.client.call(5, &request).await;
        let response: SyncGroupResponse<'_> = frame.decode();
        match ErrorCode::from_i16(response.error_code).expect("a known code") {
            ErrorCode::None => Ok(String::from_utf8_lossy(&response.assignment).into_owned()),
            error => Err(error),
        }
    }

    async fn heartbeat(&self) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: self.group.clone().into(),
            generation_id: self.generation,
            member_id: self.member_id.clone().into(),
            group_instance_id: self.instance.clone().map(Into::into),
        };
        let frame = self.client.call(4, &request).await;
        let response: HeartbeatResponse = frame.decode();
        ErrorCode::from_i16(response.error_code).expect("a known code")
    }

    async fn leave(&self) {
        let member = MemberIdentity {
            member_id: self.member_id.clone().into(),
            group_instance_id: self.instance.clone().map(Into::into),
            reason: Some("the test says so".into()),
        };
        let request = LeaveGroupRequest {
            group_id: self.group.clone().into(),
            members: vec![member].into(),
            ..LeaveGroupRequest::default()
        };
        let frame = self.client.call(5, &request).await;
        let response: LeaveGroupResponse<'_> = frame.decode();
        assert_eq!(response.error_code, 0);
        assert!(response.members.iter().all(|member| member.error_code == 0));
    }

    async fn commit(&self, partition: i32, offset: i64) -> ErrorCode {
        let who = (self.member_id.as_str(), self.generation);
        commit(&self.client, &self.group, who, partition, offset).await
    }

    /// What a library does until told to stop: joins, syncs, heartbeats, joins again.
    async fn live(
        mut self,
        seen: Rc<RefCell<Vec<(String, i32)>>>,
        until: Rc<RefCell<bool>>,
    ) -> Self {
        while !*until.borrow() {
            if self.join().await != ErrorCode::None {
                self.member_id.clear();
                continue;
            }
            let Ok(assignment) = self.sync().await else {
                continue;
            };
            assert_eq!(
                assignment,
                format!("{}:{}", self.generation, self.member_id)
            );
            seen.borrow_mut()
                .push((self.member_id.clone(), self.generation));
            while !*until.borrow() && self.heartbeat().await == ErrorCode::None {
                runtime::sleep(Duration::from_secs(1)).await;
            }
        }
        self
    }
}

async fn find(client: &Client, group: &str) {
    loop {
        let request = FindCoordinatorRequest {
            coordinator_keys: vec![group.to_owned().into()].into(),
            ..FindCoordinatorRequest::default()
        };
        let frame = client.call(4, &request).await;
        let response: FindCoordinatorResponse<'_> = frame.decode();
        let found = response
            .coordinators
            .iter()
            .next()
            .expect("an answer per key");
        if found.error_code == 0 {
            assert_eq!((found.node_id, &*found.host, found.port), (1, "node", 9092));
            return;
        }
        runtime::sleep(Duration::from_millis(20)).await;
    }
}

async fn commit(
    client: &Client,
    group: &str,
    (member_id, generation): (&str, i32),
    partition: i32,
    offset: i64,
) -> ErrorCode {
    let partition = OffsetCommitRequestPartition {
        partition_index: partition,
        committed_offset: offset,
        committed_leader_epoch: 0,
        committed_metadata: Some("note".into()),
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned().into(),
        generation_id_or_member_epoch: generation,
        member_id: member_id.to_owned().into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition].into(),
            ..OffsetCommitRequestTopic::default()
        }]
        .into(),
        ..OffsetCommitRequest::default()
    };
    let Ok(frame) = client.try_call(8, &request).await else {
        return ErrorCode::NetworkException;
    };
    let response: OffsetCommitResponse<'_> = frame.decode();
    let topic = response.topics.iter().next().expect("the topic asked for");
    let code = topic
        .partitions
        .iter()
        .next()
        .expect("its partition")
        .error_code;
    ErrorCode::from_i16(code).expect("a known code")
}

/// The offset and its metadata, once the groups are loaded.
async fn fetch(client: &Client, group: &str, partition: i32) -> (i64, String) {
    loop {
        let request = OffsetFetchRequest {
            group_id: group.to_owned().into(),
            topics: Some(
                vec![OffsetFetchRequestTopic {
                    name: "t".into(),
                    partition_indexes: vec![partition].into(),
                }]
                .into(),
            ),
            ..OffsetFetchRequest::default()
        };
        let frame = client.call(7, &request).await;
        let response: OffsetFetchResponse<'_> = frame.decode();
        if response.error_code == ErrorCode::CoordinatorLoadInProgress.code() {
            runtime::sleep(Duration::from_millis(20)).await;
            continue;
        }
        assert_eq!(response.error_code, 0);
        let topic = response.topics.iter().next().expect("the topic asked for");
        let found = topic.partitions.iter().next().expect("its partition");
        let metadata = found.metadata.unwrap_or_default().into_owned();
        return (found.committed_offset, metadata);
    }
}

/// State and number of members.
async fn describe(client: &Client, group: &str) -> (String, usize) {
    let request = DescribeGroupsRequest {
        groups: vec![group.to_owned().into()].into(),
        include_authorized_operations: true,
    };
    let frame = client.call(5, &request).await;
    let response: DescribeGroupsResponse<'_> = frame.decode();
    let group = response.groups.iter().next().expect("the group asked for");
    (group.group_state.into_owned(), group.members.len())
}

#[test]
fn three_members_one_leaves_one_dies_one_joins() {
    let world = World::new(1);
    world.run(|addr| async move {
        let admin = Client::connect(addr).await;
        admin.create_topic("t", 3).await;
        let seen = Rc::new(RefCell::new(Vec::new()));
        let mut running = Vec::new();
        for _ in 0..3 {
            let stop = Rc::new(RefCell::new(false));
            let member = Member::new(addr, "g").await;
            let life = member.live(seen.clone(), stop.clone());
            running.push((runtime::spawn(Class::Admin, "member", life), stop));
        }
        runtime::sleep(Duration::from_secs(8)).await;
        assert_eq!(describe(&admin, "g").await, ("Stable".to_owned(), 3));
        let first = seen.borrow().last().expect("somebody got an assignment").1;

        // One leaves by itself.
        let (life, stop) = running.remove(0);
        stop.replace(true);
        life.await.expect("it ends").leave().await;
        runtime::sleep(Duration::from_secs(8)).await;
        assert_eq!(describe(&admin, "g").await, ("Stable".to_owned(), 2));

        // One dies: its session has to end first.
        let (life, _) = running.remove(0);
        life.abort();
        runtime::sleep(Duration::from_secs(5)).await;
        assert_eq!(describe(&admin, "g").await.1, 2);
        runtime::sleep(Duration::from_secs(30)).await;
        assert_eq!(describe(&admin, "g").await, ("Stable".to_owned(), 1));

        // One joins.
        let stop = Rc::new(RefCell::new(false));
        let member = Member::new(addr, "g").await;
        let life = member.live(seen.clone(), stop);
        drop(runtime::spawn(Class::Admin, "member", life));
        runtime::sleep(Duration::from_secs(8)).await;
        assert_eq!(describe(&admin, "g").await, ("Stable".to_owned(), 2));
        let last = seen.borrow().last().expect("an assignment").1;
        assert_eq!(last, first + 3, "one generation per change");
    });
}

#[test]
fn a_static_member_restarts_without_a_rebalance() {
    let world = World::new(2);
    world.run(|addr| async move {
        let mut one = Member::new(addr, "g").await;
        one.instance = Some("one".to_owned());
        assert_eq!(one.join().await, ErrorCode::None);
        let before = one.sync().await.expect("an assignment");
        let mut again = Member::new(addr, "g").await;
        again.instance = Some("one".to_owned());
        assert_eq!(again.join().await, ErrorCode::None);
        assert_eq!(again.generation, one.generation);
        again.members.clear();
        assert_eq!(again.sync().await, Ok(before));
        assert_eq!(one.heartbeat().await, ErrorCode::FencedInstanceId);
        assert_eq!(again.heartbeat().await, ErrorCode::None);
    });
}

#[test]
fn groups_and_offsets_survive_a_power_cut() {
    let world = World::new(3);
    let mut member = world.run(|addr| async move {
        let admin = Client::connect(addr).await;
        admin.create_topic("t", 2).await;
        let mut member = Member::new(addr, "g").await;
        assert_eq!(member.join().await, ErrorCode::None);
        member.sync().await.expect("an assignment");
        assert_eq!(member.commit(0, 41).await, ErrorCode::None);
        assert_eq!(member.commit(0, 42).await, ErrorCode::None);
        assert_eq!(
            member.commit(7, 42).await,
            ErrorCode::UnknownTopicOrPartition
        );
        member
    });
    world.power_cut();
    world.run(|addr| async move {
        member.client = Client::connect(addr).await;
        let offset = fetch(&member.client, "g", 0).await;
        assert_eq!(offset, (42, "note".to_owned()));
        assert_eq!(fetch(&member.client, "g", 1).await.0, -1);
        // No rebalance: the member goes on where it was.
        assert_eq!(member.heartbeat().await, ErrorCode::None);
        assert_eq!(member.commit(0, 43).await, ErrorCode::None);
    });
}

#[test]
fn acknowledged_commits_survive_power_cuts_at_any_time() {
    for seed in 0..25 {
        let world = World::new(seed);
        world.run(|addr| async move {
            Client::connect(addr).await.create_topic("t", 4).await;
        });
        world.sim.set_net_faults(NetFaults {
            reset: 0.002,
            ..NetFaults::none()
        });
        let acknowledged = Rc::new(RefCell::new([-1i64; 4]));
        let attempted = Rc::new(RefCell::new([-1i64; 4]));
        for partition in 0..4 {
            let (acknowledged, attempted) = (acknowledged.clone(), attempted.clone());
            world.spawn(|addr| async move {
                let group = format!("group-{partition}");
                let mut offset = 0;
                loop {
                    let client = Client::connect(addr).await;
                    loop {
                        attempted.borrow_mut()[partition] = offset;
                        let index = i32::try_from(partition).expect("few partitions");
                        match commit(&client, &group, ("", -1), index, offset).await {
                            ErrorCode::None => {
                                acknowledged.borrow_mut()[partition] = offset;
                                offset += 1;
                            }
                            ErrorCode::NetworkException => break,
                            ErrorCode::NotCoordinator => {
                                let request = FindCoordinatorRequest::default();
                                if client.try_call(3, &request).await.is_err() {
                                    break;
                                }
                            }
                            _ => runtime::sleep(Duration::from_millis(5)).await,
                        }
                    }
                }
            });
        }
        for _ in 0..3 {
            world
                .sim
                .run_for(Duration::from_millis(100 + world.sim.draw(400)));
            world.power_cut();
        }
        world.sim.run_for(Duration::from_secs(1));
        let bounds = (*acknowledged.borrow(), *attempted.borrow());
        assert!(
            bounds.0.iter().all(|offset| *offset > 5),
            "seed {seed}: {bounds:?}"
        );
        world.sim.set_net_faults(NetFaults::none());
        world.power_cut();
        // The clients go on meanwhile: what is found is at least what was acknowledged.
        world.run(|addr| async move {
            let client = Client::connect(addr).await;
            for (partition, least) in bounds.0.iter().enumerate() {
                let index = i32::try_from(partition).expect("few partitions");
                let (found, _) = fetch(&client, &format!("group-{partition}"), index).await;
                assert!(
                    found >= *least,
                    "seed {seed}: partition {partition}: {found} < {least}"
                );
            }
        });
    }
}

#[test]
fn a_snapshot_bounds_the_log() {
    let world = World::new(4);
    let log_start = |addr| async move {
        let client = Client::connect(addr).await;
        let mut starts = Vec::new();
        for index in 0..4 {
            let partition = ListOffsetsPartition {
                partition_index: index,
                timestamp: -2,
                ..ListOffsetsPartition::default()
            };
            let request = ListOffsetsRequest {
                replica_id: -1,
                topics: vec![ListOffsetsTopic {
                    name: "__consumer_offsets".into(),
                    partitions: vec![partition].into(),
                }]
                .into(),
                ..ListOffsetsRequest::default()
            };
            let frame = client.call(5, &request).await;
            let response: ListOffsetsResponse<'_> = frame.decode();
            let topic = response.topics.iter().next().expect("the topic asked for");
            starts.push(
                topic
                    .partitions
                    .iter()
                    .next()
                    .expect("its partition")
                    .offset,
            );
        }
        starts
    };
    world.run(|addr| async move {
        let client = Client::connect(addr).await;
        client.create_topic("t", 1_000).await;
        find(&client, "g").await;
        for round in 0..6 {
            let partitions = (0..1_000).map(|partition_index| OffsetCommitRequestPartition {
                partition_index,
                committed_offset: round * 1_000 + i64::from(partition_index),
                committed_leader_epoch: -1,
                committed_metadata: Some("x".repeat(4_000).into()),
            });
            let request = OffsetCommitRequest {
                group_id: "g".into(),
                topics: vec![OffsetCommitRequestTopic {
                    name: "t".into(),
                    partitions: partitions.collect(),
                    ..OffsetCommitRequestTopic::default()
                }]
                .into(),
                ..OffsetCommitRequest::default()
            };
            let frame = client.call(8, &request).await;
            let response: OffsetCommitResponse<'_> = frame.decode();
            let topic = response.topics.iter().next().expect("the topic asked for");
            assert!(topic.partitions.iter().all(|p| p.error_code == 0));
        }
        runtime::sleep(Duration::from_secs(5)).await;
    });
    let starts = world.run(log_start);
    assert!(starts.iter().any(|start| *start > 0), "{starts:?}");
    world.power_cut();
    world.run(|addr| async move {
        let client = Client::connect(addr).await;
        for index in [0, 1, 500, 999] {
            assert_eq!(fetch(&client, "g", index).await.0, 5_000 + i64::from(index));
        }
    });
}

#[test]
fn every_version_is_answered() {
    let world = World::new(5);
    world.run(|addr| async move {
        let client = Client::connect(addr).await;
        client.create_topic("t", 1).await;
        let topic_id = topic_id(&client).await;
        for version in 0..=6 {
            let request = match version {
                0..=3 => FindCoordinatorRequest {
                    key: "g".into(),
                    ..FindCoordinatorRequest::default()
                },
                _ => FindCoordinatorRequest {
                    coordinator_keys: vec!["g".into(), "h".into()].into(),
                    ..FindCoordinatorRequest::default()
                },
            };
            let frame = client.call(version, &request).await;
            let response: FindCoordinatorResponse<'_> = frame.decode();
            assert_eq!(response.error_code, 0);
            assert_eq!(response.coordinators.len(), if version < 4 { 0 } else { 2 });
        }
        for version in 0..=9 {
            members(&client, version).await;
        }
        for version in 2..=10 {
            commits(&client, version, topic_id).await;
        }
        for version in 1..=10 {
            fetches(&client, version, topic_id).await;
        }
        admin(&client).await;
    });
}

async fn topic_id(client: &Client) -> base::TopicId {
    let request = MetadataRequest {
        topics: Some(
            vec![MetadataRequestTopic {
                name: Some("t".into()),
                ..MetadataRequestTopic::default()
            }]
            .into(),
        ),
        ..MetadataRequest::default()
    };
    let frame = client.call(12, &request).await;
    let response: MetadataResponse<'_> = frame.decode();
    let topic = response.topics.iter().next().expect("the topic asked for");
    topic.topic_id
}

/// JoinGroup, SyncGroup, Heartbeat and LeaveGroup at a version, or their last one before it.
async fn members(client: &Client, version: i16) {
    let group = format!("members-{version}");
    let mut member_id = String::new();
    let generation = loop {
        let protocol = JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: SUBSCRIPTION.into(),
        };
        let request = JoinGroupRequest {
            group_id: group.clone().into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            member_id: member_id.clone().into(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol].into(),
            ..JoinGroupRequest::default()
        };
        let frame = client.call(version, &request).await;
        let response: JoinGroupResponse<'_> = frame.decode();
        member_id = response.member_id.into_owned();
        if response.error_code == ErrorCode::MemberIdRequired.code() {
            assert!(version >= 4);
            continue;
        }
        assert_eq!(response.error_code, 0);
        assert_eq!(response.protocol_name.as_deref(), Some("range"));
        assert_eq!(response.members.len(), 1);
        break response.generation_id;
    };
    let request = SyncGroupRequest {
        group_id: group.clone().into(),
        generation_id: generation,
        member_id: member_id.clone().into(),
        protocol_type: (version >= 5).then(|| "consumer".into()),
        protocol_name: (version >= 5).then(|| "range".into()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member_id.clone().into(),
            assignment: b"mine"[..].into(),
        }]
        .into(),
        ..SyncGroupRequest::default()
    };
    let frame = client.call(version.min(5), &request).await;
    let response: SyncGroupResponse<'_> = frame.decode();
    assert_eq!(
        (response.error_code, &*response.assignment),
        (0, &b"mine"[..])
    );
    let request = HeartbeatRequest {
        group_id: group.clone().into(),
        generation_id: generation,
        member_id: member_id.clone().into(),
        ..HeartbeatRequest::default()
    };
    let frame = client.call(version.min(4), &request).await;
    let response: HeartbeatResponse = frame.decode();
    assert_eq!(response.error_code, 0);
    let version = version.min(5);
    let leaving = MemberIdentity {
        member_id: member_id.clone().into(),
        ..MemberIdentity::default()
    };
    let request = match version {
        0..=2 => LeaveGroupRequest {
            group_id: group.into(),
            member_id: member_id.into(),
            ..LeaveGroupRequest::default()
        },
        _ => LeaveGroupRequest {
            group_id: group.into(),
            members: vec![leaving].into(),
            ..LeaveGroupRequest::default()
        },
    };
    for expected in [0, ErrorCode::UnknownMemberId.code()] {
        let frame = client.call(version, &request).await;
        let response: LeaveGroupResponse<'_> = frame.decode();
        let of_member = response.members.iter().next().map_or(0, |m| m.error_code);
        assert_eq!(
            response.error_code.max(of_member),
            expected,
            "version {version}"
        );
    }
}

async fn commits(client: &Client, version: i16, topic_id: base::TopicId) {
    for (generation, expected) in [(-1, 0), (7, ErrorCode::UnknownMemberId.code())] {
        let by_id = version >= 10;
        let partition = OffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: 100,
            committed_leader_epoch: if version >= 6 { 3 } else { -1 },
            committed_metadata: None,
        };
        let request = OffsetCommitRequest {
            group_id: "simple".into(),
            generation_id_or_member_epoch: generation,
            topics: vec![OffsetCommitRequestTopic {
                name: if by_id { "".into() } else { "t".into() },
                topic_id: if by_id { topic_id } else { base::TopicId::ZERO },
                partitions: vec![partition].into(),
            }]
            .into(),
            ..OffsetCommitRequest::default()
        };
        let frame = client.call(version, &request).await;
        let response: OffsetCommitResponse<'_> = frame.decode();
        let topic = response.topics.iter().next().expect("the topic asked for");
        let found = topic.partitions.iter().next().expect("its partition");
        assert_eq!(found.error_code, expected, "version {version}");
        assert_eq!(topic.topic_id == topic_id, by_id);
    }
}

async fn fetches(client: &Client, version: i16, topic_id: base::TopicId) {
    if version < 8 {
        let topic = OffsetFetchRequestTopic {
            name: "t".into(),
            partition_indexes: vec![0].into(),
        };
        let request = OffsetFetchRequest {
            group_id: "simple".into(),
            topics: (version < 2).then(|| vec![topic].into()),
            ..OffsetFetchRequest::default()
        };
        let frame = client.call(version, &request).await;
        let response: OffsetFetchResponse<'_> = frame.decode();
        let topic = response.topics.iter().next().expect("the one topic");
        let found = topic.partitions.iter().next().expect("its partition");
        return assert_eq!((&*topic.name, found.committed_offset), ("t", 100));
    }
    let by_id = version >= 10;
    let named = OffsetFetchRequestTopics {
        name: if by_id { "".into() } else { "t".into() },
        topic_id: if by_id { topic_id } else { base::TopicId::ZERO },
        partition_indexes: vec![0].into(),
    };
    let group = |topics| OffsetFetchRequestGroup {
        group_id: "simple".into(),
        topics,
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![group(None), group(Some(vec![named].into()))].into(),
        ..OffsetFetchRequest::default()
    };
    let frame = client.call(version, &request).await;
    let response: OffsetFetchResponse<'_> = frame.decode();
    assert_eq!(response.groups.len(), 2);
    for group in &response.groups {
        let topic = group.topics.iter().next().expect("the one topic");
        let found = topic.partitions.iter().next().expect("its partition");
        assert_eq!((group.error_code, found.committed_offset), (0, 100));
        assert_eq!(topic.topic_id == topic_id, by_id);
    }
}

/// ListGroups, DescribeGroups, OffsetDelete and DeleteGroups.
async fn admin(client: &Client) {
    for version in 0..=5 {
        let request = ListGroupsRequest {
            states_filter: if version >= 4 {
                vec!["Empty".into()].into()
            } else {
                Vec::new().into()
            },
            types_filter: if version >= 5 {
                vec!["classic".into()].into()
            } else {
                Vec::new().into()
            },
        };
        let frame = client.call(version, &request).await;
        let response: ListGroupsResponse<'_> = frame.decode();
        assert_eq!((response.error_code, response.groups.len()), (0, 11));
    }
    for version in 0..=6 {
        let request = DescribeGroupsRequest {
            groups: vec!["simple".into(), "nobody".into()].into(),
            include_authorized_operations: version >= 3,
        };
        let frame = client.call(version, &request).await;
        let response: DescribeGroupsResponse<'_> = frame.decode();
        let states = response
            .groups
            .iter()
            .map(|group| group.group_state.into_owned());
        assert_eq!(states.collect::<Vec<_>>(), ["Empty", "Dead"]);
        let codes = response.groups.iter().map(|group| group.error_code);
        let missing = if version < 6 {
            0
        } else {
            ErrorCode::GroupIdNotFound.code()
        };
        assert_eq!(codes.collect::<Vec<_>>(), [0, missing]);
    }
    let partitions = [0, 9].map(|partition_index| OffsetDeleteRequestPartition { partition_index });
    let request = OffsetDeleteRequest {
        group_id: "simple".into(),
        topics: vec![OffsetDeleteRequestTopic {
            name: "t".into(),
            partitions: partitions.to_vec().into(),
        }]
        .into(),
    };
    let frame = client.call(0, &request).await;
    let response: OffsetDeleteResponse<'_> = frame.decode();
    let topic = response.topics.iter().next().expect("the topic asked for");
    let codes: Vec<i16> = topic.partitions.iter().map(|p| p.error_code).collect();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!((response.error_code, codes), (0, vec![0, unknown]));
    assert_eq!(fetch(client, "simple", 0).await.0, -1);
    for version in 0..=2 {
        let request = DeleteGroupsRequest {
            groups_names: vec![format!("members-{version}").into(), "nobody".into()].into(),
        };
        let frame = client.call(version, &request).await;
        let response: DeleteGroupsResponse<'_> = frame.decode();
        let codes = response.results.iter().map(|result| result.error_code);
        let missing = ErrorCode::GroupIdNotFound.code();
        assert_eq!(codes.collect::<Vec<_>>(), [0, missing]);
    }
}
