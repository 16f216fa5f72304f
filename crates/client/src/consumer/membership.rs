//! Membership of a consumer group: join, sync, heartbeat, leave (the classic protocol, KIP-62, KIP-394).
//!
//! # Place   the consumer's shard; a task of its own heartbeats while the application works
//! # Yields  joining awaits the other members, up to `rebalance_timeout`

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use kafka::{
    error::ErrorCode,
    messages::{
        heartbeat::{HeartbeatRequest, HeartbeatResponse},
        join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse},
        leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity},
        sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse},
    },
};
use runtime::{Class, JoinHandle, sync::Notify};

use super::assignor::{
    Assignment, RANGE, Subscriber, assign_ranges, decode_assignment, decode_subscription,
    encode_assignment, encode_subscription,
};
use crate::{Answer, Client, ClientError, Lane, client::Backoff};

const CONSUMER: &str = "consumer";

/// A group to be a member of.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    pub group: String,
    /// Static membership (KIP-345).
    pub instance: Option<String>,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub heartbeat_interval: Duration,
    /// Positions are committed by `poll` when so much time has passed, before a rebalance and at `close`.
    pub auto_commit: Option<Duration>,
}

impl GroupConfig {
    /// Kafka's defaults for `group`.
    #[must_use]
    pub fn new(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            instance: None,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            heartbeat_interval: Duration::from_secs(3),
            auto_commit: Some(Duration::from_secs(5)),
        }
    }
}

pub(crate) struct Membership {
    client: Client,
    lane: Lane,
    pub config: GroupConfig,
    member: RefCell<String>,
    generation: Cell<i32>,
    /// The next `poll` must join (again).
    rejoin: Cell<bool>,
    /// Whoever waits in `poll` looks again.
    news: Rc<Notify>,
    failed: RefCell<Option<ClientError>>,
    heartbeat: RefCell<Option<JoinHandle<()>>>,
    /// Partitions by topic when this member, as leader, last assigned them.
    assigned_counts: RefCell<Option<BTreeMap<String, u32>>>,
}

impl Membership {
    pub(crate) fn new(client: Client, config: GroupConfig, news: Rc<Notify>) -> Rc<Self> {
        Rc::new(Self {
            lane: client.new_lane(),
            client,
            config,
            member: RefCell::default(),
            generation: Cell::new(-1),
            rejoin: Cell::new(true),
            news,
            failed: RefCell::new(None),
            heartbeat: RefCell::new(None),
            assigned_counts: RefCell::new(None),
        })
    }

    pub(crate) fn must_join(&self) -> bool {
        self.rejoin.get()
    }

    pub(crate) fn ask_to_join(&self) {
        self.rejoin.set(true);
        self.news.notify_all();
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation.get()
    }

    pub(crate) fn member(&self) -> String {
        self.member.borrow().clone()
    }

    pub(crate) fn lane(&self) -> Lane {
        self.lane
    }

    /// What ended the membership for good.
    pub(crate) fn failure(&self) -> Option<ClientError> {
        self.failed.borrow().clone()
    }

    /// Joins until a generation is stable, and starts to heartbeat.
    pub(crate) async fn join(
        self: &Rc<Self>,
        topics: &[String],
    ) -> Result<Assignment, ClientError> {
        self.stop_heartbeat();
        let mut backoff = Backoff::new(self.client.config().retry_backoff);
        loop {
            self.rejoin.set(false);
            match self.join_once(topics).await {
                Ok(assignment) => {
                    let task = heartbeat(self.clone(), self.generation.get());
                    let task = runtime::spawn(Class::Admin, "consumer heartbeat", task);
                    *self.heartbeat.borrow_mut() = Some(task);
                    return Ok(assignment);
                }
                Err(error) => {
                    self.rejoin.set(true);
                    self.digest(&error)?;
                    backoff.pause().await;
                }
            }
        }
    }

    /// What an error means for the membership: `Err` when it is for good.
    pub(crate) fn digest(&self, error: &ClientError) -> Result<(), ClientError> {
        match error.code() {
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                if error.code() == Some(ErrorCode::UnknownMemberId) {
                    self.member.borrow_mut().clear();
                }
                self.generation.set(-1);
                self.ask_to_join();
                Ok(())
            }
            Some(ErrorCode::RebalanceInProgress | ErrorCode::MemberIdRequired) => {
                self.ask_to_join();
                Ok(())
            }
            Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) => {
                self.client.forget_coordinator(&self.config.group);
                Ok(())
            }
            _ if error.is_retriable() => {
                self.client.forget_coordinator(&self.config.group);
                Ok(())
            }
            _ => {
                *self.failed.borrow_mut() = Some(error.clone());
                self.news.notify_all();
                Err(error.clone())
            }
        }
    }

    fn what(&self, doing: &str) -> String {
        format!("{doing} group '{}'", self.config.group)
    }

    async fn join_once(&self, topics: &[String]) -> Result<Assignment, ClientError> {
        let joined = self.send_join(topics).await?;
        let response: JoinGroupResponse<'_> = joined.decode()?;
        if response.error_code == ErrorCode::MemberIdRequired.code() {
            *self.member.borrow_mut() = response.member_id.into_owned();
            let joined = self.send_join(topics).await?;
            return self.sync(&joined).await;
        }
        self.sync(&joined).await
    }

    async fn send_join(&self, topics: &[String]) -> Result<Answer, ClientError> {
        let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        let metadata = encode_subscription(topics).map_err(|error| ClientError::Encode {
            api: "JoinGroup",
            error,
        })?;
        let request = JoinGroupRequest {
            group_id: self.config.group.as_str().into(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout),
            member_id: self.member().into(),
            group_instance_id: self.config.instance.as_deref().map(Into::into),
            protocol_type: CONSUMER.into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: RANGE.into(),
                metadata: metadata.into(),
            }]
            .into(),
            reason: None,
        };
        let connection = self
            .client
            .coordinator(&self.config.group, self.lane)
            .await?;
        let version = connection.version::<JoinGroupRequest<'_>>(i16::MAX)?;
        let in_flight = connection.begin_at(&request, version).await?;
        let patience = self.config.rebalance_timeout + self.client.config().request_timeout;
        in_flight.answer_within(patience).await
    }

    async fn sync(&self, joined: &Answer) -> Result<Assignment, ClientError> {
        let response: JoinGroupResponse<'_> = joined.decode()?;
        ClientError::check(response.error_code, || self.what("joining"), None)?;
        *self.member.borrow_mut() = response.member_id.clone().into_owned();
        self.generation.set(response.generation_id);
        let leads = response.leader == response.member_id && !response.skip_assignment;
        let assignments = if leads {
            self.assign(&response).await?
        } else {
            self.assigned_counts.borrow_mut().take();
            Vec::new()
        };
        let request = SyncGroupRequest {
            group_id: self.config.group.as_str().into(),
            generation_id: response.generation_id,
            member_id: response.member_id.clone(),
            group_instance_id: self.config.instance.as_deref().map(Into::into),
            protocol_type: Some(CONSUMER.into()),
            protocol_name: Some(RANGE.into()),
            assignments: assignments.into(),
        };
        let connection = self
            .client
            .coordinator(&self.config.group, self.lane)
            .await?;
        let version = connection.version::<SyncGroupRequest<'_>>(i16::MAX)?;
        let in_flight = connection.begin_at(&request, version).await?;
        let patience = self.config.rebalance_timeout + self.client.config().request_timeout;
        let answer = in_flight.answer_within(patience).await?;
        let synced: SyncGroupResponse<'_> = answer.decode()?;
        ClientError::check(synced.error_code, || self.what("syncing"), None)?;
        decode_assignment(&synced.assignment).map_err(|error| ClientError::Decode {
            api: "SyncGroup",
            error,
        })
    }

    /// As the group's leader: everybody's partitions.
    async fn assign(
        &self,
        response: &JoinGroupResponse<'_>,
    ) -> Result<Vec<SyncGroupRequestAssignment<'static>>, ClientError> {
        let mut subscribers = Vec::with_capacity(response.members.len());
        for member in &response.members {
            let topics =
                decode_subscription(&member.metadata).map_err(|error| ClientError::Decode {
                    api: "JoinGroup",
                    error,
                })?;
            subscribers.push(Subscriber {
                member: member.member_id.into_owned(),
                instance: member.group_instance_id.map(std::borrow::Cow::into_owned),
                topics,
            });
        }
        let mut wanted: Vec<String> = subscribers.iter().flat_map(|s| s.topics.clone()).collect();
        wanted.sort();
        wanted.dedup();
        let counts = self.partition_counts(&wanted).await?;
        let assigned = assign_ranges(&subscribers, &counts);
        *self.assigned_counts.borrow_mut() = Some(counts);
        let mut out = Vec::with_capacity(assigned.len());
        for (member, assignment) in assigned {
            let assignment =
                encode_assignment(&assignment).map_err(|error| ClientError::Encode {
                    api: "SyncGroup",
                    error,
                })?;
            out.push(SyncGroupRequestAssignment {
                member_id: member.into(),
                assignment: assignment.into(),
            });
        }
        Ok(out)
    }

    /// Partitions of those of `topics` that exist.
    async fn partition_counts(
        &self,
        topics: &[String],
    ) -> Result<BTreeMap<String, u32>, ClientError> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        match self.client.refresh(&names).await {
            // A topic that is not there yet: the others are in the cache.
            Ok(_) | Err(ClientError::UnknownTopic(_) | ClientError::Broker { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(topics
            .iter()
            .filter_map(|name| {
                let topic = self.client.cached_topic(name)?;
                Some((name.clone(), topic.partitions.len() as u32))
            })
            .collect())
    }

    /// As leader: joins again when a topic has got, or lost, partitions since they were assigned.
    pub(crate) async fn check_partitions(&self) -> Result<(), ClientError> {
        let Some(before) = self.assigned_counts.borrow().clone() else {
            return Ok(());
        };
        let topics: Vec<String> = before.keys().cloned().collect();
        if self.partition_counts(&topics).await? != before {
            self.ask_to_join();
        }
        Ok(())
    }

    fn stop_heartbeat(&self) {
        if let Some(task) = self.heartbeat.borrow_mut().take() {
            task.abort();
        }
    }

    /// Leaves, so that the others need not wait for the session to end. Static members stay (KIP-345).
    pub(crate) async fn leave(&self) -> Result<(), ClientError> {
        self.stop_heartbeat();
        let member = self.member();
        if member.is_empty() || self.config.instance.is_some() {
            return Ok(());
        }
        let connection = self
            .client
            .coordinator(&self.config.group, self.lane)
            .await?;
        let version = connection.version::<LeaveGroupRequest<'_>>(i16::MAX)?;
        let mut request = LeaveGroupRequest {
            group_id: self.config.group.as_str().into(),
            ..Default::default()
        };
        if version >= 3 {
            request.members = vec![MemberIdentity {
                member_id: member.into(),
                ..Default::default()
            }]
            .into();
        } else {
            request.member_id = member.into();
        }
        let answer = connection
            .begin_at(&request, version)
            .await?
            .answer()
            .await?;
        let response: LeaveGroupResponse<'_> = answer.decode()?;
        self.client.close_lane(self.lane);
        ClientError::check(response.error_code, || self.what("leaving"), None)
    }

    async fn beat(&self, generation: i32) -> Result<(), ClientError> {
        let request = HeartbeatRequest {
            group_id: self.config.group.as_str().into(),
            generation_id: generation,
            member_id: self.member().into(),
            group_instance_id: self.config.instance.as_deref().map(Into::into),
        };
        let answer = self
            .client
            .call_coordinator(&self.config.group, self.lane, &request, i16::MAX)
            .await?;
        let response: HeartbeatResponse = answer.decode()?;
        ClientError::check(response.error_code, || self.what("heartbeat to"), None)
    }
}

async fn heartbeat(membership: Rc<Membership>, generation: i32) {
    while membership.generation.get() == generation && !membership.must_join() {
        runtime::sleep(membership.config.heartbeat_interval).await;
        if let Err(error) = membership.beat(generation).await
            && membership.digest(&error).is_err()
        {
            return;
        }
    }
}
