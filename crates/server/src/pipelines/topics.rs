//! The node's own partitions, as the stream engine sees them.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use base::{Offset, PartitionKey, TopicName};
use broker::{
    broker::Broker,
    errors::Failure,
    fetch_wait::{self, Watched},
    partition::ProduceError,
    raft_log::RaftAppendError,
    topics::WantedTopic,
};
use kafka::{batch::BatchHeader, error::ErrorCode};
use runtime::{Class, Instant};
use storage::AppendError;
use streams::{
    log::{Extent, LocalFuture, LogError, TopicLog, TopicShape},
    source::{Decoded, SourceReader},
};

/// See the module head.
pub struct BrokerTopics {
    broker: Rc<Broker>,
}

impl BrokerTopics {
    /// On the engine's shard.
    #[must_use]
    pub fn new(broker: Rc<Broker>) -> Self {
        Self { broker }
    }

    fn owner(&self, key: PartitionKey) -> Result<base::ShardId, LogError> {
        self.broker.owner(key).ok_or(LogError::Deleted)
    }
}

/// On the owner's shard: a batch of an idempotent producer, unless the partition has it.
async fn produce(broker: &Rc<Broker>, key: PartitionKey, batch: &[u8]) -> Result<(), LogError> {
    let partition = broker.partition(key).ok_or(LogError::Deleted)?;
    let loaded = partition.load_producers().await;
    loaded.map_err(|error| LogError::Refused(error.to_string()))?;
    let header =
        BatchHeader::decode(batch).map_err(|error| LogError::Refused(error.to_string()))?;
    let last = partition.with_producers(|producers| {
        let mut active = producers.active();
        active.find_map(|(id, _, last, _)| (id == header.producer_id).then_some(last))
    });
    // Sequences begin again behind the greatest: which of two is later shows in the shorter way between them.
    let is_there = last.flatten().is_some_and(|last| {
        let ahead = last.wrapping_sub(header.base_sequence) & i32::MAX;
        ahead >= header.last_offset_delta && ahead < i32::MAX / 2
    });
    if is_there {
        // It may be on its way still.
        return match partition.raft().wait_all_committed().await {
            true => Ok(()),
            false => Err(LogError::Stopping),
        };
    }
    let sequenced = match partition.produce(batch, true, &broker.checks).await {
        Err(ProduceError::Append(RaftAppendError::Log(AppendError::Full { .. }))) => {
            return Err(LogError::Full);
        }
        sequenced => sequenced.map_err(|error| LogError::Refused(error.to_string()))?,
    };
    let Some((leader_epoch, index)) = sequenced.awaits else {
        return Ok(());
    };
    match partition.raft().wait_committed(leader_epoch, index).await {
        true => Ok(()),
        false => Err(LogError::Stopping),
    }
}

/// Of what the metadata log was asked for: it has one replica, so that only the disk keeps it from answering.
fn refused(failure: Failure) -> LogError {
    match failure.code {
        ErrorCode::NotEnoughReplicas => return LogError::Full,
        ErrorCode::BrokerNotAvailable => return LogError::Stopping,
        _ => {}
    }
    let text = failure.message;
    LogError::Refused(text.unwrap_or_else(|| format!("{:?}", failure.code)))
}

impl TopicLog for BrokerTopics {
    fn topic(&self, name: &str) -> Option<TopicShape> {
        let (id, partitions) = self.broker.topic_shape(name)?;
        Some(TopicShape { id, partitions })
    }

    fn ensure_topic(
        &self,
        name: String,
        partitions: i32,
        keeps_all: bool,
    ) -> LocalFuture<'_, Result<TopicShape, LogError>> {
        Box::pin(async move {
            if let Some(shape) = self.topic(&name) {
                return Ok(shape);
            }
            let topic = TopicName::new(&name);
            let topic = topic.map_err(|error| LogError::Refused(error.to_string()))?;
            let keep = |config: &str| (config.to_owned(), "-1".to_owned());
            let configs = match keeps_all {
                true => BTreeMap::from([keep("retention.ms"), keep("retention.bytes")]),
                false => BTreeMap::new(),
            };
            let wanted = WantedTopic {
                partitions: match partitions {
                    0 => self.broker.auto_partitions(&name),
                    wanted => wanted,
                },
                name: topic,
                configs,
            };
            self.broker.ensure_wanted(wanted).await.map_err(refused)?;
            self.topic(&name).ok_or(LogError::Deleted)
        })
    }

    fn delete_topic(&self, name: String) -> LocalFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            let Some(shape) = self.topic(&name) else {
                return Ok(());
            };
            let deleted = self.broker.delete_topics(vec![shape.id]).await.pop();
            match deleted {
                Some(Err(failure)) if self.topic(&name).is_some() => Err(refused(failure)),
                _ => Ok(()),
            }
        })
    }

    fn extents(&self, partitions: Vec<PartitionKey>) -> LocalFuture<'_, Vec<Option<Extent>>> {
        Box::pin(async move {
            let mut by_owner: BTreeMap<base::ShardId, Vec<PartitionKey>> = BTreeMap::new();
            for key in &partitions {
                if let Ok(owner) = self.owner(*key) {
                    by_owner.entry(owner).or_default().push(*key);
                }
            }
            let mut found = BTreeMap::new();
            for (owner, keys) in by_owner {
                let look = move |broker: Rc<Broker>| async move {
                    let extents = keys.iter().filter_map(|key| {
                        let partition = broker.partition(*key)?;
                        let extent = Extent {
                            log_start_offset: partition.log().log_start_offset(),
                            high_watermark: partition.high_watermark(),
                        };
                        Some((*key, extent))
                    });
                    extents.collect::<Vec<_>>()
                };
                let extents = self.broker.on_shard(owner, Class::Streams, "extents", look);
                found.extend(extents.await);
            }
            partitions
                .iter()
                .map(|key| found.get(key).copied())
                .collect()
        })
    }

    fn wait(&self, seen: Vec<(PartitionKey, Offset)>, deadline: Instant) -> LocalFuture<'_, ()> {
        Box::pin(async move {
            let watched = seen.into_iter().filter_map(|(key, seen)| {
                let owner = self.broker.owner(key)?;
                Some((owner, Watched { key, seen }))
            });
            let watched: Vec<_> = watched.collect();
            if watched.is_empty() {
                runtime::sleep_until(deadline).await;
            } else {
                fetch_wait::wait(&self.broker, watched, 0, deadline).await;
            }
        })
    }

    fn read(
        &self,
        partition: PartitionKey,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        reader: Arc<SourceReader>,
    ) -> LocalFuture<'_, Result<Decoded, LogError>> {
        Box::pin(async move {
            let owner = self.owner(partition)?;
            let there = move |broker: Rc<Broker>| async move {
                let found = broker.partition(partition).ok_or(LogError::Deleted)?;
                let log = found.log();
                let start = log.log_start_offset();
                if from < start {
                    return Err(LogError::Trimmed {
                        wanted: from,
                        start,
                    });
                }
                // Whole batches, also one that goes on behind the cut: its records are looked at one by one.
                let end = found.high_watermark();
                let read = log.read(from, end, bytes_max, true).await;
                let read = read.map_err(|error| LogError::Refused(error.to_string()))?;
                let batches = read.batches.to_contiguous();
                let decoded = reader.decode(partition.partition.0, &batches, from, until);
                decoded
                    .await
                    .map_err(|error| LogError::Refused(error.to_string()))
            };
            self.broker
                .on_shard(owner, Class::Streams, "stream read", there)
                .await
        })
    }

    fn append(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<Offset, LogError>> {
        Box::pin(async move {
            let owner = self.owner(partition)?;
            let there = move |broker: Rc<Broker>| async move {
                let found = broker.partition(partition).ok_or(LogError::Deleted)?;
                match found.append_own_for_good(&batch).await {
                    Err(RaftAppendError::Log(AppendError::Full { .. })) => Err(LogError::Full),
                    Err(error) => Err(LogError::Refused(error.to_string())),
                    Ok(next_offset) => next_offset.ok_or(LogError::Stopping),
                }
            };
            self.broker
                .on_shard(owner, Class::Streams, "stream append", there)
                .await
        })
    }

    fn produce(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            let owner = self.owner(partition)?;
            let there =
                move |broker: Rc<Broker>| async move { produce(&broker, partition, &batch).await };
            self.broker
                .on_shard(owner, Class::Streams, "stream produce", there)
                .await
        })
    }

    fn trim(
        &self,
        partition: PartitionKey,
        log_start_offset: Offset,
    ) -> LocalFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            let owner = self.owner(partition)?;
            let there = move |broker: Rc<Broker>| async move {
                let found = broker.partition(partition).ok_or(LogError::Deleted)?;
                let trimmed = found.raft().trim(log_start_offset).await;
                trimmed
                    .map(drop)
                    .map_err(|error| LogError::Refused(error.to_string()))
            };
            self.broker
                .on_shard(owner, Class::Streams, "stream trim", there)
                .await
        })
    }

    fn batches(
        &self,
        partition: PartitionKey,
        from: Offset,
        bytes_max: usize,
    ) -> LocalFuture<'_, Result<(Offset, Vec<u8>), LogError>> {
        Box::pin(async move {
            let owner = self.owner(partition)?;
            let there = move |broker: Rc<Broker>| async move {
                let found = broker.partition(partition).ok_or(LogError::Deleted)?;
                let log = found.log();
                let from = from.max(log.log_start_offset());
                let read = log
                    .read(from, found.high_watermark(), bytes_max, true)
                    .await;
                let read = read.map_err(|error| LogError::Refused(error.to_string()))?;
                Ok((from, read.batches.to_contiguous().to_vec()))
            };
            self.broker
                .on_shard(owner, Class::Streams, "stream read", there)
                .await
        })
    }

    fn producer_id(&self) -> LocalFuture<'_, Result<i64, LogError>> {
        Box::pin(async move {
            let id = self.broker.new_producer_id().await;
            id.map(|id| id.0).map_err(refused)
        })
    }
}
