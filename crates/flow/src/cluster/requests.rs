//! The requests that a cluster is asked with: offsets, records, producers, and batches as they were decided.

use std::{collections::BTreeMap, rc::Rc};

use base::{BrokerId, Offset, PartitionIndex, PartitionKey, TopicId};
use client::{ClientError, Connection, Lane};
use iobuf::IoBuf;
use kafka::{
    batch::{self, BatchHeader},
    error::ErrorCode,
    messages::{
        describe_producers::{
            DescribeProducersRequest, DescribeProducersResponse, TopicRequest as ProducersTopic,
        },
        fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic},
        list_offsets::{
            ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
        },
        produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData},
    },
    wire::Records,
};
use streams::log::LogError;

use super::{Absence, ClusterLog, RETRY, writer::unreadable};

pub(super) const LATEST: i64 = -1;
pub(super) const EARLIEST: i64 = -2;

/// From here on topics are named by id only (KIP-516).
const BY_ID: i16 = 13;

/// Records of transactions that are not committed are not to be seen.
const READ_COMMITTED: i8 = 1;

const FETCH_WAIT_MS: i32 = 500;

/// For the acknowledgement of all replicas.
const PRODUCE_WAIT_MS: i32 = 30_000;

impl ClusterLog {
    fn leader(&self, name: &str, partition: PartitionIndex) -> Result<BrokerId, ClientError> {
        let leader = self.client.leader(name, partition)?;
        leader.ok_or_else(|| ClientError::Broker {
            what: format!("{name}/{partition}"),
            code: ErrorCode::LeaderNotAvailable,
            message: None,
        })
    }

    /// The leader's connection; asks anew who leads when that is in doubt.
    async fn connection(
        &self,
        name: &str,
        partition: PartitionIndex,
        lane: Lane,
    ) -> Result<Connection, ClientError> {
        if self.client.cached_topic(name).is_none() || self.client.is_stale(name) {
            self.client.refresh(&[name]).await?;
        }
        let leader = self.leader(name, partition)?;
        let opened = self.client.broker(leader, lane).await;
        self.noted(name, opened)
    }

    /// After an error that may be over somewhere else, who leads is asked anew.
    fn noted<T>(&self, name: &str, result: Result<T, ClientError>) -> Result<T, ClientError> {
        if result.as_ref().is_err_and(ClientError::is_retriable) {
            self.client.mark_stale(name);
        }
        result
    }

    /// Offsets of those partitions that answer; topics that the cluster says it has not are noted as gone.
    pub(super) async fn list_offsets(
        &self,
        keys: &[PartitionKey],
        which: i64,
    ) -> BTreeMap<PartitionKey, Offset> {
        let mut by_leader: BTreeMap<BrokerId, Vec<(Rc<str>, PartitionKey)>> = BTreeMap::new();
        let mut found = BTreeMap::new();
        for key in keys {
            let Ok(name) = self.name(*key) else { continue };
            if self.client.cached_topic(&name).is_none() || self.client.is_stale(&name) {
                let refreshed = self.client.refresh(&[&*name]).await;
                let is_gone = refreshed.as_ref().is_err_and(is_unknown_topic);
                match is_gone {
                    true => self.gone.borrow_mut().insert(key.topic),
                    false => self.gone.borrow_mut().remove(&key.topic),
                };
                if refreshed.is_err() {
                    continue;
                }
            }
            if let Ok(leader) = self.leader(&name, key.partition) {
                by_leader.entry(leader).or_default().push((name, *key));
            } else {
                self.client.mark_stale(&name);
            }
        }
        for (leader, wanted) in by_leader {
            match self.list_at(leader, &wanted, which).await {
                Ok(offsets) => found.extend(offsets),
                Err(error) => {
                    tracing::debug!(%error, "offsets cannot be listed now");
                    wanted
                        .iter()
                        .for_each(|(name, _)| self.client.mark_stale(name));
                }
            }
        }
        found
    }

    async fn list_at(
        &self,
        leader: BrokerId,
        wanted: &[(Rc<str>, PartitionKey)],
        which: i64,
    ) -> Result<BTreeMap<PartitionKey, Offset>, ClientError> {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (name, key) in wanted {
            let partition = ListOffsetsPartition {
                partition_index: key.partition.0,
                current_leader_epoch: -1,
                timestamp: which,
            };
            topics.entry(name).or_default().push(partition);
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| ListOffsetsTopic {
                name: name.into(),
                partitions: partitions.into(),
            });
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: READ_COMMITTED,
            topics: topics.collect(),
            timeout_ms: FETCH_WAIT_MS,
        };
        let connection = self.client.broker(leader, Lane::CONTROL).await?;
        let answer = connection.call(&request, i16::MAX).await?;
        let response: ListOffsetsResponse<'_> = answer.decode()?;
        let mut found = BTreeMap::new();
        for topic in &response.topics {
            for partition in &topic.partitions {
                let key = wanted.iter().find(|(name, key)| {
                    **name == *topic.name && key.partition.0 == partition.partition_index
                });
                match (key, partition.error_code) {
                    (Some((_, key)), 0) => {
                        found.insert(*key, Offset(partition.offset));
                    }
                    _ => self.client.mark_stale(&topic.name),
                }
            }
        }
        Ok(found)
    }

    /// Batches from an offset on, at least one: it must be below what was seen as the partition's end.
    pub(super) async fn fetch_some(
        &self,
        key: PartitionKey,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<u8>, LogError> {
        let name = self.name(key)?;
        let mut absence = Absence::default();
        loop {
            let fetched = self.fetch(&name, key, from, bytes_max).await;
            if self.id_now(&name).is_some_and(|id| id != key.topic) {
                return Err(LogError::Deleted);
            }
            let is_gone = absence.is_for_good(runtime::now(), &fetched);
            match self.noted(&name, fetched) {
                Ok(batches) if !batches.is_empty() => return Ok(batches),
                _ if self.stopping.get() => return Err(LogError::Stopping),
                _ if is_gone => return Err(LogError::Deleted),
                Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
                    let starts = self.list_offsets(&[key], EARLIEST).await;
                    match starts.get(&key).copied() {
                        Some(start) if start > from => {
                            return Err(LogError::Trimmed {
                                wanted: from,
                                start,
                            });
                        }
                        Some(_) => return Err(LogError::Refused(error.to_string())),
                        // Who leads is not known now; it is asked again.
                        None => runtime::sleep(RETRY).await,
                    }
                }
                Err(error) if !error.is_retriable() => {
                    return Err(LogError::Refused(error.to_string()));
                }
                Err(error) => {
                    tracing::debug!(%error, "fetching again");
                    runtime::sleep(RETRY).await;
                }
                Ok(_) => runtime::sleep(RETRY).await,
            }
        }
    }

    /// As `fetch_some`, with the offset behind the last whole batch. Fails when there is none.
    pub(super) async fn fetch_whole(
        &self,
        key: PartitionKey,
        from: Offset,
        bytes_max: usize,
    ) -> Result<(Vec<u8>, Offset), LogError> {
        let found = self.fetch_some(key, from, bytes_max).await?;
        let mut behind = from;
        for item in batch::batches(&found) {
            let (header, _) = item.map_err(|error| unreadable(&error))?;
            behind = behind.max(header.last_offset().plus(1));
        }
        match behind > from {
            true => Ok((found, behind)),
            false => Err(unreadable(&"no whole batch")),
        }
    }

    async fn fetch(
        &self,
        name: &str,
        key: PartitionKey,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<u8>, ClientError> {
        let connection = self.connection(name, key.partition, self.lane).await?;
        let id = self.topic_id(name);
        // Another topic of this name has other records at these offsets.
        if self.id_now(name) != Some(key.topic) {
            return Err(ClientError::UnknownTopic(name.to_owned()));
        }
        let bytes_max = i32::try_from(bytes_max).unwrap_or(i32::MAX);
        let partition = FetchPartition {
            partition: key.partition.0,
            current_leader_epoch: -1,
            fetch_offset: from.0,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: bytes_max,
            ..Default::default()
        };
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: FETCH_WAIT_MS,
            min_bytes: 1,
            max_bytes: bytes_max,
            isolation_level: READ_COMMITTED,
            session_id: 0,
            // No session.
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: name.into(),
                topic_id: id,
                partitions: vec![partition].into(),
            }]
            .into(),
            ..Default::default()
        };
        let answer = connection.call(&request, version_max(id)).await?;
        let response: FetchResponse<'_> = answer.decode()?;
        ClientError::check(response.error_code, || "Fetch".into(), None)?;
        let mut parts = response
            .responses
            .iter()
            .flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
        if let Some(partition) = parts.next() {
            let what = || format!("fetching from {name}/{}", key.partition);
            ClientError::check(partition.error_code, what, None)?;
            let aborted = partition.aborted_transactions.iter().flatten();
            let aborted = aborted.map(|t| (Offset(t.first_offset), t.producer_id));
            let bytes = partition.records.as_wire().unwrap_or_default();
            return Ok(batch::without_aborted(bytes, aborted.collect()));
        }
        Ok(Vec::new())
    }

    fn topic_id(&self, name: &str) -> TopicId {
        let topic = self.client.cached_topic(name);
        topic.map_or(TopicId::ZERO, |topic| topic.id)
    }

    /// The last sequence that a partition has of a producer, if it has any.
    async fn last_sequence(
        &self,
        name: &str,
        key: PartitionKey,
        producer: i64,
    ) -> Result<Option<i32>, ClientError> {
        let request = DescribeProducersRequest {
            topics: vec![ProducersTopic {
                name: name.into(),
                partition_indexes: vec![key.partition.0].into(),
            }]
            .into(),
        };
        let connection = self.connection(name, key.partition, Lane::CONTROL).await?;
        let answer = connection.call(&request, i16::MAX).await?;
        let response: DescribeProducersResponse<'_> = answer.decode()?;
        let mut parts = response
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
        if let Some(partition) = parts.next() {
            let what = || format!("producers of {name}/{}", key.partition);
            ClientError::check(partition.error_code, what, None)?;
            let mut producers = partition.active_producers.iter();
            let found = producers.find(|known| known.producer_id == producer);
            return Ok(found
                .map(|known| known.last_sequence)
                .filter(|last| *last >= 0));
        }
        Ok(None)
    }

    /// Sends a batch and waits until all replicas have it; its offset, or -1 when the broker has had it and forgot where.
    pub(super) async fn send(
        &self,
        name: &str,
        partition: PartitionIndex,
        batch: IoBuf,
    ) -> Result<Offset, ClientError> {
        let connection = self.connection(name, partition, self.lane).await?;
        let id = self.topic_id(name);
        let request = ProduceRequest {
            transactional_id: None,
            acks: -1,
            timeout_ms: PRODUCE_WAIT_MS,
            topic_data: vec![TopicProduceData {
                name: name.into(),
                topic_id: id,
                partition_data: vec![PartitionProduceData {
                    index: partition.0,
                    records: Records::Chain(batch),
                }]
                .into(),
            }]
            .into(),
        };
        let answer = connection.call(&request, version_max(id)).await?;
        let response: ProduceResponse<'_> = answer.decode()?;
        let mut parts = response
            .responses
            .iter()
            .flat_map(|topic| topic.partition_responses.iter().collect::<Vec<_>>());
        if let Some(answered) = parts.next() {
            let what = || format!("producing to {name}/{partition}");
            ClientError::check(answered.error_code, what, None)?;
            return Ok(Offset(answered.base_offset));
        }
        Err(ClientError::UnknownPartition {
            topic: name.to_owned(),
            partition: partition.0,
        })
    }

    /// A batch whose producer and sequence were decided before, unless it is there already.
    pub(super) async fn produce_once(
        &self,
        key: PartitionKey,
        batch: Vec<u8>,
    ) -> Result<(), LogError> {
        let name = self.name(key)?;
        let header = BatchHeader::decode(&batch);
        let header = header.map_err(|error| LogError::Refused(error.to_string()))?;
        let (producer, first) = (header.producer_id.0, header.base_sequence);
        let last = first.wrapping_add(header.last_offset_delta) & i32::MAX;
        let batch = IoBuf::from(batch);
        loop {
            let known = self.known.borrow().get(&(key, producer)).copied();
            let known = match known {
                Some(known) => known,
                None => {
                    let asked = self.until_done("asking for a producer's sequence", || async {
                        let asked = self.last_sequence(&name, key, producer).await;
                        self.noted(&name, asked)
                    });
                    asked.await?
                }
            };
            self.known.borrow_mut().insert((key, producer), known);
            if known.is_some_and(|known| is_behind(known, last)) {
                return Ok(());
            }
            let sent = self.send(&name, key.partition, batch.clone()).await;
            match self.noted(&name, sent) {
                Ok(_) => {
                    self.known.borrow_mut().insert((key, producer), Some(last));
                    return Ok(());
                }
                Err(_) if self.stopping.get() => return Err(LogError::Stopping),
                // Whether it is there is asked again; the broker knows it by its sequence in any case.
                Err(error)
                    if error.is_retriable()
                        || error.code() == Some(ErrorCode::DuplicateSequenceNumber) =>
                {
                    tracing::debug!(%error, "producing again");
                    self.known.borrow_mut().remove(&(key, producer));
                    runtime::sleep(RETRY).await;
                }
                Err(error) => return Err(LogError::Refused(error.to_string())),
            }
        }
    }
}

/// The cluster has answered, and has no such topic.
fn is_unknown_topic(error: &ClientError) -> bool {
    matches!(error, ClientError::UnknownTopic(_))
        || error.code() == Some(ErrorCode::UnknownTopicOrPartition)
}

/// Whether a batch that ends there was there when the producer's last sequence was `known`. Sequences begin again behind the
/// greatest: which of two is later shows in the shorter way between them.
fn is_behind(known: i32, last: i32) -> bool {
    let ahead = known.wrapping_sub(last) & i32::MAX;
    ahead < i32::MAX / 2
}

fn version_max(id: TopicId) -> i16 {
    match id {
        TopicId::ZERO => BY_ID - 1,
        _ => i16::MAX,
    }
}

#[cfg(test)]
mod tests;
