//! The life of groups and of their offsets: rebalances, deletion, expiry.

use std::{cell::RefCell, rc::Rc, time::Duration};

use kafka::{
    error::ErrorCode,
    messages::{
        delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse},
        delete_topics::{DeleteTopicState, DeleteTopicsRequest},
        leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity},
        offset_delete::{
            OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
            OffsetDeleteResponse,
        },
    },
};
use runtime::{Class, sim::SimConfig};

use super::{Member, commit, describe, fetch, find};
use crate::harness::{Client, World};

async fn delete_group(client: &Client, group: &str) -> ErrorCode {
    let request = DeleteGroupsRequest {
        groups_names: vec![group.to_owned().into()].into(),
    };
    let frame = client.call(2, &request).await;
    let response: DeleteGroupsResponse<'_> = frame.decode();
    let result = response.results.iter().next().expect("the group asked for");
    ErrorCode::from_i16(result.error_code).expect("a known code")
}

async fn delete_offset(client: &Client, group: &str, partition_index: i32) -> ErrorCode {
    let partitions = vec![OffsetDeleteRequestPartition { partition_index }];
    let request = OffsetDeleteRequest {
        group_id: group.to_owned().into(),
        topics: vec![OffsetDeleteRequestTopic {
            name: "t".into(),
            partitions: partitions.into(),
        }]
        .into(),
    };
    let frame = client.call(0, &request).await;
    let response: OffsetDeleteResponse<'_> = frame.decode();
    if response.error_code != 0 {
        return ErrorCode::from_i16(response.error_code).expect("a known code");
    }
    let topic = response.topics.iter().next().expect("the topic asked for");
    let found = topic.partitions.iter().next().expect("its partition");
    ErrorCode::from_i16(found.error_code).expect("a known code")
}

#[test]
fn nobody_leaves_a_group_that_is_not_there() {
    let world = World::new(6);
    world.run(|addr| async move {
        let client = Client::connect(addr).await;
        find(&client, "g").await;
        let request = LeaveGroupRequest {
            group_id: "g".into(),
            members: vec![MemberIdentity {
                member_id: "m".into(),
                ..MemberIdentity::default()
            }]
            .into(),
            ..LeaveGroupRequest::default()
        };
        let frame = client.call(5, &request).await;
        let response: LeaveGroupResponse<'_> = frame.decode();
        let member = response
            .members
            .iter()
            .next()
            .expect("the member asked for");
        assert_eq!(
            (response.error_code, member.error_code),
            (0, ErrorCode::UnknownMemberId.code())
        );
    });
}

#[test]
fn groups_in_use_are_not_deleted_and_deleted_ones_stay_so() {
    let world = World::new(6);
    world.run(|addr| async move {
        let admin = Client::connect(addr).await;
        admin.create_topic("t", 2).await;
        let mut member = Member::new(addr, "g").await;
        assert_eq!(member.join().await, ErrorCode::None);
        member.sync().await.expect("an assignment");
        assert_eq!(member.commit(0, 42).await, ErrorCode::None);
        assert_eq!(delete_group(&admin, "g").await, ErrorCode::NonEmptyGroup);
        let subscribed = delete_offset(&admin, "g", 0).await;
        assert_eq!(subscribed, ErrorCode::GroupSubscribedToTopic);
        member.leave().await;
        assert_eq!(delete_offset(&admin, "g", 1).await, ErrorCode::None);
        assert_eq!(fetch(&admin, "g", 0).await.0, 42);
        assert_eq!(delete_group(&admin, "g").await, ErrorCode::None);
        assert_eq!(delete_group(&admin, "g").await, ErrorCode::GroupIdNotFound);
        assert_eq!(
            delete_offset(&admin, "g", 0).await,
            ErrorCode::GroupIdNotFound
        );
        assert_eq!(fetch(&admin, "g", 0).await.0, -1);
    });
    world.power_cut();
    world.run(|addr| async move {
        let admin = Client::connect(addr).await;
        assert_eq!(fetch(&admin, "g", 0).await.0, -1);
        assert_eq!(describe(&admin, "g").await, ("Dead".to_owned(), 0));
    });
}

#[test]
fn offsets_expire_unless_somebody_reads_on() {
    let world = World::with(SimConfig::new(7), 2, |settings| {
        settings.coordinator.group.offsets_retention_ms = 60_000;
        settings.coordinator.sweep_interval = Duration::from_secs(10);
    });
    world.run(|addr| async move {
        let client = Client::connect(addr).await;
        client.create_topic("t", 2).await;
        let stop = Rc::new(RefCell::new(false));
        let mut member = Member::new(addr, "alive").await;
        assert_eq!(member.join().await, ErrorCode::None);
        member.sync().await.expect("an assignment");
        assert_eq!(member.commit(0, 1).await, ErrorCode::None);
        let life = member.live(Rc::default(), stop.clone());
        let life = runtime::spawn(Class::Admin, "member", life);
        find(&client, "simple").await;
        while commit(&client, "simple", ("", -1), 0, 2).await != ErrorCode::None {}
        runtime::sleep(Duration::from_secs(40)).await;
        assert_eq!(fetch(&client, "simple", 0).await.0, 2);
        runtime::sleep(Duration::from_secs(60)).await;
        assert_eq!(fetch(&client, "simple", 0).await.0, -1);
        assert_eq!(describe(&client, "simple").await.0, "Dead");
        assert_eq!(fetch(&client, "alive", 0).await.0, 1, "it has a member");
        stop.replace(true);
        life.await.expect("it ends").leave().await;
        runtime::sleep(Duration::from_secs(40)).await;
        assert_eq!(
            fetch(&client, "alive", 0).await.0,
            1,
            "counted from the last member's end"
        );
        runtime::sleep(Duration::from_secs(60)).await;
        assert_eq!(fetch(&client, "alive", 0).await.0, -1);
    });
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    let world = World::new(8);
    world.run(|addr| async move {
        let client = Client::connect(addr).await;
        client.create_topic("t", 1).await;
        find(&client, "g").await;
        while commit(&client, "g", ("", -1), 0, 7).await != ErrorCode::None {}
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState {
                name: Some("t".into()),
                ..DeleteTopicState::default()
            }]
            .into(),
            ..DeleteTopicsRequest::default()
        };
        client.call(6, &request).await;
        client.create_topic("t", 1).await;
        runtime::sleep(Duration::from_secs(2)).await;
        assert_eq!(
            fetch(&client, "g", 0).await.0,
            -1,
            "they were the other topic's"
        );
    });
    world.power_cut();
    world.run(|addr| async move {
        let client = Client::connect(addr).await;
        assert_eq!(fetch(&client, "g", 0).await.0, -1);
    });
}

/// What cooperative clients rely on: they go on, and commit, until they rejoin.
#[test]
fn a_member_works_on_until_it_rejoins() {
    let world = World::new(9);
    world.run(|addr| async move {
        let admin = Client::connect(addr).await;
        admin.create_topic("t", 2).await;
        let mut old = Member::new(addr, "g").await;
        assert_eq!(old.join().await, ErrorCode::None);
        old.sync().await.expect("an assignment");
        let mut new = Member::new(addr, "g").await;
        let joining = runtime::spawn(Class::Admin, "member", async move {
            assert_eq!(new.join().await, ErrorCode::None);
            new
        });
        runtime::sleep(Duration::from_secs(1)).await;
        assert_eq!(old.heartbeat().await, ErrorCode::RebalanceInProgress);
        assert_eq!(old.commit(0, 5).await, ErrorCode::None);
        let before = old.generation;
        assert_eq!(old.join().await, ErrorCode::None);
        let new = joining.await.expect("it ends");
        assert_eq!((old.generation, new.generation), (before + 1, before + 1));
        let (leader, other) = if old.members.is_empty() {
            (&new, &old)
        } else {
            (&old, &new)
        };
        assert_eq!(leader.members.len(), 2);
        assert_eq!(other.commit(0, 6).await, ErrorCode::RebalanceInProgress);
        leader.sync().await.expect("an assignment");
        other.sync().await.expect("an assignment");
        assert_eq!(other.commit(0, 6).await, ErrorCode::None);
        let old_generation = (old.member_id.as_str(), before);
        let stale = commit(&old.client, "g", old_generation, 0, 9).await;
        assert_eq!(stale, ErrorCode::IllegalGeneration);
    });
}
