//! Coordination of consumer groups: a group's partition of the offsets topic decides which shard speaks for it.
//!
//! # Place
//! One `Coordinator` per shard, with the partitions of `__consumer_offsets` that the shard owns. Requests come from the
//! shard of their connection through `Broker::on_coordinator`.
//!
//! # Limits
//! Those of `group`. A parked join or sync holds a task on the coordinating shard.

mod error;
mod load;
mod offsets_partition;
mod write;

use std::{cell::RefCell, collections::BTreeMap, future::Future, rc::Rc, time::Duration};

use base::{PartitionIndex, TopicId, TopicName};
use cluster::{Change, Command, NewTopic, Refusal};
use runtime::Class;

use crate::{
    broker::Broker,
    group::{GroupConfig, GroupError, GroupId, Listed, MemberRef, partition_of},
    partition::Partition,
};

pub(crate) use error::code;
pub(crate) use offsets_partition::OffsetsPartition;

/// Name of the internal topic that holds groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// `segment.bytes` of the offsets topic: a snapshot trims the log before it, and only whole segments give their space back.
const OFFSETS_SEGMENT_BYTES: u64 = 16 << 20;

/// What an operator decides about groups.
#[derive(Clone, Debug)]
pub struct CoordinatorSettings {
    pub group: GroupConfig,
    /// Kafka's `offsets.retention.check.interval.ms`.
    pub sweep_interval: Duration,
}

impl Default for CoordinatorSettings {
    fn default() -> Self {
        Self {
            group: GroupConfig::default(),
            sweep_interval: Duration::from_secs(600),
        }
    }
}

/// A shard's groups.
#[derive(Default)]
pub struct Coordinator {
    settings: CoordinatorSettings,
    partitions: RefCell<BTreeMap<PartitionIndex, Rc<OffsetsPartition>>>,
}

impl Coordinator {
    #[must_use]
    pub fn new(settings: &CoordinatorSettings) -> Self {
        Self {
            settings: settings.clone(),
            partitions: RefCell::default(),
        }
    }

    /// A partition of the offsets topic was opened here: its groups load in the background.
    pub fn on_partition_opened(&self, _broker: &Rc<Broker>, partition: &Rc<Partition>) {
        let opened = OffsetsPartition::start(partition.clone(), &self.settings);
        let index = partition.key().partition;
        let before = self.partitions.borrow_mut().insert(index, opened);
        if let Some(before) = before {
            before.close();
        }
    }

    /// A partition of the offsets topic is gone.
    pub fn on_partition_closed(&self, partition: &Rc<Partition>) {
        let index = partition.key().partition;
        let closed = self.partitions.borrow_mut().remove(&index);
        if let Some(closed) = closed {
            closed.close();
        }
    }

    /// A topic was deleted: its committed offsets go too, in the background.
    pub fn on_topic_deleted(&self, topic: &TopicName) {
        for partition in self.all() {
            let topic = topic.clone();
            runtime::spawn(
                Class::Background,
                "offsets of a deleted topic",
                async move {
                    partition.forget_topic(&topic).await;
                },
            );
        }
    }

    /// The node stops: writes under way end, then whoever waits is told to look for another coordinator.
    pub async fn stop(&self) {
        for partition in self.all() {
            partition.stop().await;
        }
    }

    pub(crate) fn all(&self) -> Vec<Rc<OffsetsPartition>> {
        self.partitions.borrow().values().cloned().collect()
    }

    fn partition(&self, index: PartitionIndex) -> Option<Rc<OffsetsPartition>> {
        self.partitions.borrow().get(&index).cloned()
    }
}

impl Broker {
    /// Runs `act` where the group is coordinated.
    pub(crate) async fn on_coordinator<F, Fut, R>(
        &self,
        group: &str,
        act: F,
    ) -> Result<R, GroupError>
    where
        F: FnOnce(Rc<OffsetsPartition>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, GroupError>> + 'static,
        R: Send + 'static,
    {
        let (_, partitions) = self
            .topic_shape(OFFSETS_TOPIC)
            .ok_or(GroupError::NotCoordinator)?;
        let index = partition_of(group, partitions);
        let (shard, _) = self
            .owner_by_name(OFFSETS_TOPIC, index)
            .ok_or(GroupError::NotCoordinator)?;
        let there = move |broker: Rc<Broker>| async move {
            let partition = broker.coordinator.partition(index);
            act(partition.ok_or(GroupError::NotAvailable)?).await
        };
        // A join waits for the other members.
        self.parked_on_shard(shard, Class::Produce, "group", there)
            .await
    }

    /// Makes sure that the offsets topic exists.
    pub(crate) async fn ensure_offsets_topic(&self) -> Result<(), GroupError> {
        if self.topic_shape(OFFSETS_TOPIC).is_some() {
            return Ok(());
        }
        let name = TopicName::new(OFFSETS_TOPIC).expect("a legal topic name");
        let mut id = [0; 16];
        runtime::random_bytes(&mut id);
        let count = self.settings.offsets_partitions.max(1);
        let homes = self.with_metadata(|image| image.place(&name, count));
        // Trimmed behind each snapshot of the groups instead: nothing may expire on its own.
        let configs = [
            ("retention.ms", "-1".to_owned()),
            ("retention.bytes", "-1".to_owned()),
            ("segment.bytes", OFFSETS_SEGMENT_BYTES.to_string()),
        ];
        let create = Command::CreateTopic(NewTopic {
            id: TopicId::from_random(id),
            name,
            internal: true,
            homes,
            configs: configs.map(|(key, value)| (key.to_owned(), value)).into(),
        });
        match self.commit_one(create).await {
            Ok(Ok(Change::TopicCreated(_)) | Err(Refusal::TopicExists(_))) => Ok(()),
            Ok(outcome) => {
                tracing::error!(?outcome, "the offsets topic cannot be created");
                Err(GroupError::NotAvailable)
            }
            Err(_) => Err(GroupError::NotAvailable),
        }
    }

    /// Every group of this node; `LoadInProgress` while some are still being loaded.
    pub(crate) async fn list_groups(&self) -> Result<Vec<Listed>, GroupError> {
        let mut listed = Vec::new();
        for shard in Self::shards() {
            let list = |broker: Rc<Broker>| async move {
                let mut listed = Vec::new();
                for partition in broker.coordinator.all() {
                    match partition.list() {
                        Ok(groups) => listed.extend(groups),
                        Err(GroupError::LoadInProgress) => return Err(GroupError::LoadInProgress),
                        // Said aloud when it was opened; the other groups can be listed.
                        Err(_) => {}
                    }
                    if runtime::should_yield() {
                        runtime::yield_now().await;
                    }
                }
                Ok(listed)
            };
            listed.extend(
                self.on_shard(shard, Class::Admin, "list groups", list)
                    .await?,
            );
        }
        Ok(listed)
    }
}

/// A string that fits the log's records, which have 16-bit lengths.
pub(crate) fn text(text: &str) -> Result<&str, GroupError> {
    match i16::try_from(text.len()) {
        Ok(_) => Ok(text),
        Err(_) => Err(GroupError::InvalidGroupId),
    }
}

/// The id of a group with members: not empty.
pub(crate) fn group_id(id: &str) -> Result<GroupId, GroupError> {
    match id {
        "" => Err(GroupError::InvalidGroupId),
        id => Ok(text(id)?.into()),
    }
}

pub(crate) fn member_ref(
    member_id: &str,
    instance: Option<&str>,
    generation: i32,
) -> Result<MemberRef, GroupError> {
    Ok(MemberRef {
        member_id: text(member_id)?.into(),
        instance: instance.map(text).transpose()?.map(Into::into),
        generation,
    })
}
