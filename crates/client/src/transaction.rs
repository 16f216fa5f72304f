//! A transactional producer: batches into a topic and a mark of how far that is, all or nothing.
//!
//! # Place       one shard's; at any time one task calls it
//! # Invariants
//! 1. The mark is the metadata of an offset that a group has committed for partition 0 of the topic, in the same transaction
//!    as the batches. So it says exactly which of them consumers with `read_committed` see (KIP-98).
//! 2. `write` needs a `take_over` before it, and after every error another one. That raises the producer's epoch: what was
//!    on its way is refused from then on, a transaction that was open is aborted, one that was about to commit has committed,
//!    and the mark that is read afterwards stays.
//!
//! # Limits      a transaction is aborted by the cluster when it is open for `Transactions::timeout`
//! # Instead of  the protocol of KIP-890 (implicit partitions, an epoch per transaction), which only newer clusters speak:
//!               with a new epoch after every error nothing late can come into a later transaction here either

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use base::{BrokerId, PartitionIndex, ProducerEpoch, ProducerId};
use iobuf::IoBuf;
use kafka::{
    Message,
    batch::{self, BatchHeader},
    error::ErrorCode,
    messages::{
        add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse},
        add_partitions_to_txn::{
            AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
        },
        end_txn::{EndTxnRequest, EndTxnResponse},
        init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
        produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData},
        txn_offset_commit::{
            TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
            TxnOffsetCommitResponse,
        },
    },
    wire::Records,
};

use crate::{Answer, Client, ClientError, Lane, client::Coordinated};

/// Versions of before KIP-890's second part: behind them the requests mean something else.
const INIT_PRODUCER_ID: i16 = 4;
const ADD_PARTITIONS: i16 = 3;
const ADD_OFFSETS: i16 = 3;
const OFFSET_COMMIT: i16 = 3;
const END: i16 = 3;
const PRODUCE: i16 = 11;

/// For the acknowledgement of all replicas.
const PRODUCE_WAIT_MS: i32 = 30_000;

/// Whose transactions these are.
#[derive(Clone, Debug)]
pub struct Transactions {
    /// Who takes it over shuts out whoever had it before.
    pub transactional_id: String,
    /// The group that commits the mark.
    pub group: String,
    pub topic: String,
    pub timeout: Duration,
}

/// Why a transaction was not written, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// `take_over` tells what became of it; trying again may help.
    #[error("{0}")]
    Unsettled(ClientError),
    /// It would be refused again.
    #[error("{0}")]
    Refused(ClientError),
}

impl From<ClientError> for TransactionError {
    fn from(error: ClientError) -> Self {
        let is_refusal = match &error {
            ClientError::Broker { code, .. } => matches!(
                code,
                ErrorCode::MessageTooLarge
                    | ErrorCode::RecordListTooLarge
                    | ErrorCode::InvalidRecord
                    | ErrorCode::UnsupportedForMessageFormat
                    | ErrorCode::OffsetMetadataTooLarge
            ),
            ClientError::Version { .. } | ClientError::Encode { .. } => true,
            _ => false,
        };
        match is_refusal {
            true => Self::Refused(error),
            false => Self::Unsettled(error),
        }
    }
}

/// See the module head.
pub struct TransactionalProducer {
    client: Client,
    lane: Lane,
    config: Transactions,
    /// Since the last `take_over`.
    producer: Cell<Option<(ProducerId, ProducerEpoch)>>,
    /// The next one of each partition.
    sequences: Cell<BTreeMap<PartitionIndex, i32>>,
}

impl TransactionalProducer {
    #[must_use]
    pub fn new(client: &Client, config: Transactions) -> Self {
        Self {
            client: client.clone(),
            lane: client.new_lane(),
            config,
            producer: Cell::new(None),
            sequences: Cell::default(),
        }
    }

    /// Fails when the cluster offers no transactions.
    pub async fn check_offered(client: &Client) -> Result<(), ClientError> {
        let connection = client.any_broker().await?;
        connection.version::<InitProducerIdRequest<'_>>(INIT_PRODUCER_ID)?;
        connection.version::<AddPartitionsToTxnRequest<'_>>(ADD_PARTITIONS)?;
        connection.version::<AddOffsetsToTxnRequest<'_>>(ADD_OFFSETS)?;
        connection.version::<TxnOffsetCommitRequest<'_>>(OFFSET_COMMIT)?;
        connection.version::<EndTxnRequest<'_>>(END)?;
        Ok(())
    }

    /// Shuts out whoever had this transactional id, ends what they had begun, and says what mark was committed last.
    pub async fn take_over(&self) -> Result<Option<String>, TransactionError> {
        self.producer.set(None);
        self.sequences.take();
        let producer = self
            .at_coordinator("taking the transactional id over", async || {
                let request = InitProducerIdRequest {
                    transactional_id: Some(self.config.transactional_id.as_str().into()),
                    transaction_timeout_ms: millis(self.config.timeout),
                    producer_id: -1,
                    producer_epoch: -1,
                };
                let answer = self.ask(&request, INIT_PRODUCER_ID).await?;
                let response: InitProducerIdResponse = answer.decode()?;
                self.check(response.error_code, "taking over")?;
                let id = ProducerId(response.producer_id);
                Ok((id, ProducerEpoch(response.producer_epoch)))
            })
            .await?;
        // Only stable offsets are told, and by now every transaction of this id has ended.
        let committed = self.client.admin().committed(&self.config.group).await?;
        let place = (self.config.topic.clone(), PartitionIndex(0));
        let mark = committed.get(&place).map(|found| found.metadata.clone());
        self.producer.set(Some(producer));
        Ok(mark)
    }

    /// One transaction: these batches, in their order, and the mark. `number` is what the group's offset shows of it.
    pub async fn write(
        &self,
        batches: Vec<(PartitionIndex, Vec<u8>)>,
        mark: &str,
        number: i64,
    ) -> Result<(), TransactionError> {
        // Whatever goes wrong, nothing more is written by this producer's epoch.
        let producer = self.producer.take().ok_or_else(|| ClientError::Broker {
            what: "writing without having taken over".to_owned(),
            code: ErrorCode::InvalidTxnState,
            message: None,
        })?;
        let mut partitions: Vec<PartitionIndex> = batches.iter().map(|(at, _)| *at).collect();
        partitions.sort_unstable();
        partitions.dedup();
        self.add_partitions(producer, &partitions).await?;
        self.produce(producer, batches).await?;
        self.add_offsets(producer).await?;
        self.commit_mark(producer, mark, number).await?;
        self.end(producer).await?;
        self.producer.set(Some(producer));
        Ok(())
    }

    async fn add_partitions(
        &self,
        (id, epoch): (ProducerId, ProducerEpoch),
        partitions: &[PartitionIndex],
    ) -> Result<(), ClientError> {
        // The transaction before may still be ending: the coordinator says so, and is asked again.
        self.at_coordinator("beginning a transaction", async || {
            let partitions: Vec<i32> = partitions.iter().map(|at| at.0).collect();
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: self.config.transactional_id.as_str().into(),
                v3_and_below_producer_id: id.0,
                v3_and_below_producer_epoch: epoch.0,
                v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                    name: self.config.topic.as_str().into(),
                    partitions: partitions.into(),
                }]
                .into(),
                ..Default::default()
            };
            let answer = self.ask(&request, ADD_PARTITIONS).await?;
            let response: AddPartitionsToTxnResponse<'_> = answer.decode()?;
            for topic in &response.results_by_topic_v3_and_below {
                for partition in &topic.results_by_partition {
                    self.check(partition.partition_error_code, "adding partitions")?;
                }
            }
            Ok(())
        })
        .await
    }

    /// One batch of each partition in one request per leader, then the next.
    async fn produce(
        &self,
        producer: (ProducerId, ProducerEpoch),
        batches: Vec<(PartitionIndex, Vec<u8>)>,
    ) -> Result<(), ClientError> {
        let mut queues: BTreeMap<PartitionIndex, VecDeque<Vec<u8>>> = BTreeMap::new();
        let mut sequences = self.sequences.take();
        for (partition, mut batch) in batches {
            let sequence = sequences.entry(partition).or_default();
            let header = BatchHeader::decode(&batch).map_err(|error| ClientError::Broker {
                what: format!("a batch for partition {partition}: {error}"),
                code: ErrorCode::InvalidRecord,
                message: None,
            })?;
            batch::stamp_transactional(&mut batch, producer.0, producer.1, *sequence);
            // Sequences begin again at 0 behind the greatest.
            *sequence = sequence.wrapping_add(header.last_offset_delta + 1) & i32::MAX;
            queues.entry(partition).or_default().push_back(batch);
        }
        while !queues.is_empty() {
            let mut round = BTreeMap::new();
            for (partition, queue) in &mut queues {
                if let Some(batch) = queue.pop_front() {
                    round.insert(*partition, IoBuf::from(batch));
                }
            }
            queues.retain(|_, queue| !queue.is_empty());
            let round = Cell::new(round);
            self.client
                .retrying("producing in a transaction", async || {
                    let left = round.take();
                    let (left, result) = self.produce_round(left).await;
                    round.set(left);
                    result
                })
                .await?;
        }
        self.sequences.set(sequences);
        Ok(())
    }

    /// Sends what there is to its leaders; what is left, and why.
    async fn produce_round(
        &self,
        mut round: BTreeMap<PartitionIndex, IoBuf>,
    ) -> (BTreeMap<PartitionIndex, IoBuf>, Result<(), ClientError>) {
        let name = &self.config.topic;
        if (self.client.cached_topic(name).is_none() || self.client.is_stale(name))
            && let Err(error) = self.client.refresh(&[name]).await
        {
            return (round, Err(error));
        }
        let mut by_leader: BTreeMap<BrokerId, Vec<PartitionIndex>> = BTreeMap::new();
        for partition in round.keys() {
            match self.client.leader(name, *partition) {
                Ok(Some(leader)) => by_leader.entry(leader).or_default().push(*partition),
                Ok(None) => {
                    self.client.mark_stale(name);
                    let code = ErrorCode::LeaderNotAvailable.code();
                    let none = ClientError::check(code, || format!("{name}/{partition}"), None);
                    return (round, none);
                }
                Err(error) => return (round, Err(error)),
            }
        }
        for (leader, partitions) in by_leader {
            let part = partitions.iter().map(|at| (*at, round[at].clone()));
            if let Err(error) = self.produce_at(leader, part.collect()).await {
                self.client.mark_stale(name);
                return (round, Err(error));
            }
            partitions.iter().for_each(|at| _ = round.remove(at));
        }
        (round, Ok(()))
    }

    async fn produce_at(
        &self,
        leader: BrokerId,
        batches: Vec<(PartitionIndex, IoBuf)>,
    ) -> Result<(), ClientError> {
        let name = self.config.topic.as_str();
        let partitions = batches
            .into_iter()
            .map(|(partition, batch)| PartitionProduceData {
                index: partition.0,
                records: Records::Chain(batch),
            });
        let request = ProduceRequest {
            transactional_id: Some(self.config.transactional_id.as_str().into()),
            acks: -1,
            timeout_ms: PRODUCE_WAIT_MS,
            topic_data: vec![TopicProduceData {
                name: name.into(),
                partition_data: partitions.collect::<Vec<_>>().into(),
                ..Default::default()
            }]
            .into(),
        };
        let connection = self.client.broker(leader, self.lane).await?;
        let answer = connection.call(&request, PRODUCE).await?;
        let response: ProduceResponse<'_> = answer.decode()?;
        for topic in &response.responses {
            for partition in &topic.partition_responses {
                // It is there since a try before this one.
                if partition.error_code == ErrorCode::DuplicateSequenceNumber.code() {
                    continue;
                }
                let what = || format!("producing to {name}/{}", partition.index);
                let message = partition.error_message.as_deref();
                ClientError::check(partition.error_code, what, message)?;
            }
        }
        Ok(())
    }

    async fn add_offsets(
        &self,
        (id, epoch): (ProducerId, ProducerEpoch),
    ) -> Result<(), ClientError> {
        self.at_coordinator("adding a group to a transaction", async || {
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.config.transactional_id.as_str().into(),
                producer_id: id.0,
                producer_epoch: epoch.0,
                group_id: self.config.group.as_str().into(),
            };
            let answer = self.ask(&request, ADD_OFFSETS).await?;
            let response: AddOffsetsToTxnResponse = answer.decode()?;
            self.check(response.error_code, "adding the group")
        })
        .await
    }

    async fn commit_mark(
        &self,
        (id, epoch): (ProducerId, ProducerEpoch),
        mark: &str,
        number: i64,
    ) -> Result<(), ClientError> {
        let group = self.config.group.as_str();
        self.client
            .retrying("committing a mark", async || {
                let partition = TxnOffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: number,
                    committed_leader_epoch: -1,
                    committed_metadata: Some(mark.into()),
                };
                let request = TxnOffsetCommitRequest {
                    transactional_id: self.config.transactional_id.as_str().into(),
                    group_id: group.into(),
                    producer_id: id.0,
                    producer_epoch: epoch.0,
                    topics: vec![TxnOffsetCommitRequestTopic {
                        name: self.config.topic.as_str().into(),
                        partitions: vec![partition].into(),
                    }]
                    .into(),
                    ..Default::default()
                };
                let committed = async {
                    let answer = self
                        .client
                        .call_coordinator(group, self.lane, &request, OFFSET_COMMIT)
                        .await?;
                    let response: TxnOffsetCommitResponse<'_> = answer.decode()?;
                    for topic in &response.topics {
                        for partition in &topic.partitions {
                            self.check(partition.error_code, "committing the mark")?;
                        }
                    }
                    Ok(())
                };
                let committed = committed.await;
                if committed.is_err() {
                    self.client.forget_coordinator(group);
                }
                committed
            })
            .await
    }

    async fn end(&self, (id, epoch): (ProducerId, ProducerEpoch)) -> Result<(), ClientError> {
        self.at_coordinator("committing a transaction", async || {
            let request = EndTxnRequest {
                transactional_id: self.config.transactional_id.as_str().into(),
                producer_id: id.0,
                producer_epoch: epoch.0,
                committed: true,
            };
            let answer = self.ask(&request, END).await?;
            let response: EndTxnResponse = answer.decode()?;
            self.check(response.error_code, "committing")
        })
        .await
    }

    fn check(&self, code: i16, what: &'static str) -> Result<(), ClientError> {
        let id = &self.config.transactional_id;
        ClientError::check(code, || format!("transactional id '{id}': {what}"), None)
    }

    async fn ask<'a, M: Message<'a>>(
        &self,
        request: &M,
        version_max: i16,
    ) -> Result<Answer, ClientError> {
        let id = &self.config.transactional_id;
        let kind = Coordinated::Transactions;
        let connection = self.client.coordinator_of(kind, id, self.lane).await?;
        connection.call(request, version_max).await
    }

    /// [`Client::retrying`] that looks for the coordinator again after each failure, unless it has only asked to wait.
    async fn at_coordinator<T>(
        &self,
        what: &'static str,
        call: impl AsyncFn() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.client
            .retrying(what, async || {
                let result = call().await;
                if let Err(error) = &result
                    && error.code() != Some(ErrorCode::ConcurrentTransactions)
                {
                    let id = &self.config.transactional_id;
                    self.client
                        .forget_coordinator_of(Coordinated::Transactions, id);
                }
                result
            })
            .await
    }
}

impl Drop for TransactionalProducer {
    fn drop(&mut self) {
        self.client.close_lane(self.lane);
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
