//! Fetch (key 1): reading record batches, waiting for new ones, sessions.
//!
//! # Invariants
//! 1. Nothing above the high watermark leaves.
//! 2. A wait ends at the first move of a high watermark that may satisfy it, never by looking again and again.
//! 3. The first partition with records gives at least one batch, whatever the limits (KIP-74): a consumer always moves on.
//!
//! # Cost
//! From the cache no record byte is copied: the response links slices of the log's buffers. One message there and back per
//! other shard and round of reading; while waiting one more, and one to call it off.
//!
//! # Yields
//! At reads from disk (in the Fetch class) and while waiting. High watermarks may move meanwhile; log starts too, and then
//! the client hears OFFSET_OUT_OF_RANGE.
//!
//! # Limits
//! A response takes at most `fetch.max.bytes`, and at most an eighth of the shard's fetch memory, which is held until it is
//! on the wire. A request names at most `PARTITIONS_MAX` partitions; more closes its connection.

use std::{rc::Rc, time::Duration};

use base::{Offset, PartitionIndex, PartitionKey, ShardId, TopicId};
use iobuf::IoBuf;
use kafka::{
    error::ErrorCode,
    messages::fetch::{
        FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
    },
    wire::{List, Records},
};
use runtime::{Class, Instant, budget::Permit};

use crate::{
    broker::Broker,
    errors::Failure,
    fetch_session::{
        EPOCH_CLOSE, NO_SESSION, Opened, SessionRequest, Told, TopicRef, Wanted, WantedKey,
    },
    fetch_wait::{self, Watched},
    owners::Question,
    partition::Partition,
    request::{Reply, RequestContext, RequestError, Response},
};

/// From this version on topics are named by id (KIP-516).
const VERSION_TOPIC_IDS: i16 = 13;

/// From this version on there are sessions (KIP-227).
const VERSION_SESSIONS: i16 = 7;

/// One response takes at most this part of the shard's fetch memory.
const BUDGET_SHARE: u64 = 8;

/// Reserved for a read at least: the first batch comes whatever the limit, and few are larger than this.
const FIRST_BATCH_BYTES: u64 = 1 << 20;

const READ_COMMITTED: i8 = 1;

/// Partitions one request may name: ten times what a consumer of everything on a large node reads.
const PARTITIONS_MAX: usize = 100_000;

/// What the request asks for beside its partitions.
#[derive(Clone, Copy)]
struct Terms {
    bytes_min: usize,
    bytes_max: usize,
    deadline: Instant,
    is_read_committed: bool,
}

/// One partition to serve, in the order of serving.
struct Line {
    key: WantedKey,
    wanted: Wanted,
    place: Result<(ShardId, PartitionKey), ErrorCode>,
    read: PartitionRead,
}

/// One partition's question to its owner.
#[derive(Clone, Copy)]
struct Ask {
    key: PartitionKey,
    wanted: Wanted,
}

/// And the answer.
struct PartitionRead {
    error: Option<ErrorCode>,
    high_watermark: Offset,
    log_start_offset: Offset,
    records: IoBuf,
    /// What could have been read had nothing but the partition's limit held it back: `min_bytes` counts this.
    available: usize,
}

impl PartitionRead {
    fn failed(error: ErrorCode) -> Self {
        Self {
            error: Some(error),
            high_watermark: Offset(-1),
            log_start_offset: Offset(-1),
            records: IoBuf::new(),
            available: 0,
        }
    }
}

pub async fn handle(mut context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let (terms, opened, wanted) = {
        let request: FetchRequest<'_> = context.decode()?;
        check_count(&request)?;
        let (wanted, forgotten) = read_lists(&request, context.version);
        match open_session(&context, &request, wanted, &forgotten) {
            Err(error) => {
                return context.reply(&FetchResponse {
                    error_code: error.code(),
                    ..FetchResponse::default()
                });
            }
            Ok((opened, wanted)) => (terms(&broker, &request), opened, wanted),
        }
    };
    context.let_go();
    let mut lines: Vec<_> = wanted
        .into_iter()
        .map(|(key, wanted)| line(&broker, key, wanted))
        .collect();
    let permit = serve(&broker, &mut lines, terms).await;
    let mut response = respond(&context, opened, lines, terms)?;
    response.permit = permit;
    Ok(Reply::Now(response))
}

fn terms(broker: &Broker, request: &FetchRequest<'_>) -> Terms {
    let share = broker.fetch.total_bytes() / BUDGET_SHARE;
    let bytes_max = u64::try_from(request.max_bytes).unwrap_or(0).min(share);
    let wait_ms = u64::try_from(request.max_wait_ms).unwrap_or(0);
    // While a request waits its connection is not read: nobody would notice that its client is gone.
    let wait = Duration::from_millis(wait_ms).min(broker.settings.connection_idle);
    Terms {
        // More than the response may hold would wait for nothing.
        bytes_min: usize::try_from(u64::try_from(request.min_bytes).unwrap_or(0).min(bytes_max))
            .unwrap_or(usize::MAX),
        bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
        deadline: runtime::now().plus(wait),
        is_read_committed: request.isolation_level == READ_COMMITTED,
    }
}

fn check_count(request: &FetchRequest<'_>) -> Result<(), RequestError> {
    let wanted = request.topics.iter().map(|topic| topic.partitions.len());
    let forgotten = request.forgotten_topics_data.iter();
    let forgotten = forgotten.map(|topic| topic.partitions.len());
    let partitions = wanted.sum::<usize>() + forgotten.sum::<usize>();
    if partitions <= PARTITIONS_MAX {
        return Ok(());
    }
    Err(RequestError::TooMany {
        partitions,
        partitions_max: PARTITIONS_MAX,
    })
}

type Lists = (Vec<(WantedKey, Wanted)>, Vec<WantedKey>);

fn read_lists(request: &FetchRequest<'_>, version: i16) -> Lists {
    let topic_ref = |name: &str, id: TopicId| match version >= VERSION_TOPIC_IDS {
        true => TopicRef::Id(id),
        false => TopicRef::Name(name.into()),
    };
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let topic_ref = topic_ref(&topic.topic, topic.topic_id);
        for partition in &topic.partitions {
            let key = WantedKey {
                topic: topic_ref.clone(),
                partition: partition.partition,
            };
            let fetch = Wanted {
                fetch_offset: partition.fetch_offset,
                leader_epoch: partition.current_leader_epoch,
                bytes_max: partition.partition_max_bytes,
            };
            wanted.push((key, fetch));
        }
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let topic_ref = topic_ref(&topic.topic, topic.topic_id);
        let keys = topic.partitions.iter().map(|partition| WantedKey {
            topic: topic_ref.clone(),
            partition,
        });
        forgotten.extend(keys);
    }
    (wanted, forgotten)
}

/// The session's decision and the list to serve.
fn open_session(
    context: &RequestContext,
    request: &FetchRequest<'_>,
    wanted: Vec<(WantedKey, Wanted)>,
    forgotten: &[WantedKey],
) -> Result<(Opened, Vec<(WantedKey, Wanted)>), ErrorCode> {
    if context.version < VERSION_SESSIONS
        || (request.session_id == NO_SESSION && request.session_epoch == EPOCH_CLOSE)
    {
        return Ok((Opened::Sessionless, wanted));
    }
    let session = SessionRequest {
        id: request.session_id,
        epoch: request.session_epoch,
        uses_ids: context.version >= VERSION_TOPIC_IDS,
    };
    let mut sessions = context.broker.fetch_sessions.borrow_mut();
    let random = runtime::random_u64();
    let opened = sessions.open(session, &wanted, forgotten, runtime::now(), random)?;
    let list = match opened {
        Opened::Incremental { id } => sessions.wanted(id),
        Opened::Full { .. } | Opened::Sessionless => wanted,
    };
    Ok((opened, list))
}

fn line(broker: &Broker, key: WantedKey, wanted: Wanted) -> Line {
    let place = broker.with_metadata(|image| {
        let (topic, unknown) = match &key.topic {
            TopicRef::Id(id) => (image.topic(*id), ErrorCode::UnknownTopicId),
            TopicRef::Name(name) => (image.topic_named(name), ErrorCode::UnknownTopicOrPartition),
        };
        let topic = topic.ok_or(unknown)?;
        let index = PartitionIndex(key.partition);
        let spec = topic
            .partition(index)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let partition_key = PartitionKey {
            topic: topic.id,
            partition: index,
        };
        Ok((Broker::shard_of_home(spec.home), partition_key))
    });
    let unread = place.err().unwrap_or(ErrorCode::UnknownServerError);
    Line {
        key,
        wanted,
        place,
        read: PartitionRead::failed(unread),
    }
}

/// Reads, and waits and reads again while there is too little. The permit covers what was read.
async fn serve(broker: &Rc<Broker>, lines: &mut [Line], terms: Terms) -> Option<Permit> {
    let share = broker.fetch.total_bytes() / BUDGET_SHARE;
    let mut reserved = (terms.bytes_max as u64).max(FIRST_BATCH_BYTES.min(share));
    loop {
        let mut permit = broker.fetch.acquire(reserved).await;
        let (bytes, available) = read_round(broker, lines, terms.bytes_max).await;
        if bytes as u64 > reserved && reserved < broker.fetch.total_bytes() {
            // A first batch beyond every limit: again, with room for it.
            lines
                .iter_mut()
                .for_each(|line| line.read.records = IoBuf::new());
            reserved = (bytes as u64).min(broker.fetch.total_bytes());
            continue;
        }
        permit.shrink_to(bytes as u64);
        let is_enough = available >= terms.bytes_min;
        // Partitions that nobody knows are no reason to answer before the others have something.
        let is_error = lines
            .iter()
            .any(|line| line.place.is_ok() && line.read.error.is_some());
        let is_over = lines.iter().all(|line| line.place.is_err())
            || runtime::now() >= terms.deadline
            || broker.shutdown.is_triggered();
        if is_enough || is_error || is_over {
            return Some(permit);
        }
        // What was read is read again: it costs nothing from the cache, and holding it would hold memory.
        drop(permit);
        let watched = lines.iter().filter_map(|line| {
            let (owner, key) = line.place.ok()?;
            let seen = line.read.high_watermark;
            Some((owner, Watched { key, seen }))
        });
        let watched = watched.collect();
        for line in lines.iter_mut() {
            line.read.records = IoBuf::new();
        }
        fetch_wait::wait(broker, watched, terms.bytes_min - available, terms.deadline).await;
    }
}

/// One pass over all partitions; returns the bytes read, and those available.
async fn read_round(broker: &Rc<Broker>, lines: &mut [Line], bytes_max: usize) -> (usize, usize) {
    let questions = lines.iter().filter_map(|line| {
        let (to, key) = line.place.ok()?;
        let ask = Ask {
            key,
            wanted: line.wanted,
        };
        Some(Question { to, ask })
    });
    let questions: Vec<_> = questions.collect();
    let read = move |broker: Rc<Broker>, asks: Vec<Ask>| async move {
        read_here(&broker, asks, bytes_max).await
    };
    let answers = broker
        .ask_owners(Class::Fetch, "fetch", questions, read)
        .await;
    let placed = lines.iter_mut().filter(|line| line.place.is_ok());
    let (mut bytes, mut available) = (0, 0);
    for (line, mut answer) in placed.zip(answers) {
        available += answer.available;
        let more = answer.records.len();
        // Each shard kept to the limit on its own; together they may be over it.
        if bytes > 0 && bytes + more > bytes_max {
            answer.records = IoBuf::new();
        } else {
            bytes += more;
        }
        line.read = answer;
    }
    (bytes, available)
}

/// On the owner's shard: reads in order until the limit is used up.
async fn read_here(broker: &Rc<Broker>, asks: Vec<Ask>, bytes_max: usize) -> Vec<PartitionRead> {
    let mut bytes_left = bytes_max;
    let mut is_first = true;
    let mut reads = Vec::with_capacity(asks.len());
    for ask in asks {
        let read = match broker.partition(ask.key) {
            None => PartitionRead::failed(ErrorCode::NotLeaderOrFollower),
            Some(partition) => {
                let limit = usize::try_from(ask.wanted.bytes_max)
                    .unwrap_or(0)
                    .min(bytes_left);
                let outcome = read_partition(&partition, ask.wanted, limit, is_first).await;
                outcome.unwrap_or_else(|failure| PartitionRead::failed(failure.code))
            }
        };
        bytes_left = bytes_left.saturating_sub(read.records.len());
        is_first &= read.records.is_empty();
        reads.push(read);
        if runtime::should_yield() {
            runtime::yield_now().await;
        }
    }
    reads
}

async fn read_partition(
    partition: &Rc<Partition>,
    wanted: Wanted,
    bytes_max: usize,
    at_least_one: bool,
) -> Result<PartitionRead, Failure> {
    check_leader_epoch(partition, wanted.leader_epoch)?;
    let log = partition.log();
    if let Some(corrupt) = partition.quarantined() {
        return Err(Failure::new(
            ErrorCode::KafkaStorageError,
            corrupt.to_string(),
        ));
    }
    let until = partition.high_watermark();
    let mut read = PartitionRead {
        error: None,
        high_watermark: until,
        log_start_offset: log.log_start_offset(),
        records: IoBuf::new(),
        available: 0,
    };
    let from = Offset(wanted.fetch_offset);
    if from < read.log_start_offset || from > log.next_offset() {
        return Err(ErrorCode::OffsetOutOfRange.into());
    }
    if from >= until || (bytes_max == 0 && !at_least_one) {
        return Ok(read);
    }
    let batches = match log.read_cached(from, until, bytes_max, at_least_one) {
        Some(outcome) => outcome,
        None => {
            // From disk, in a class that gives way to produce.
            let log = log.clone();
            let task = runtime::spawn(Class::Fetch, "disk read", async move {
                log.read(from, until, bytes_max, at_least_one).await
            });
            let outcome = task.await;
            outcome.map_err(|_| Failure::from(ErrorCode::NotLeaderOrFollower))?
        }
    };
    let batches = batches?;
    read.available = match batches.next_offset < until {
        true => bytes_max.max(batches.batches.len()),
        false => batches.batches.len(),
    };
    read.records = batches.batches;
    Ok(read)
}

/// KIP-320: what the client believes about the leader must be what is. And somebody must lead: before, nobody knows how
/// far the log is committed, and a client told "the end is here" would go back.
pub fn check_leader_epoch(partition: &Partition, believed: i32) -> Result<(), ErrorCode> {
    if partition.quarantined().is_some() {
        return Err(ErrorCode::KafkaStorageError);
    }
    if !partition.raft().is_leader() {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    match believed {
        ..0 => Ok(()),
        epoch if epoch < partition.leader_epoch().0 => Err(ErrorCode::FencedLeaderEpoch),
        epoch if epoch > partition.leader_epoch().0 => Err(ErrorCode::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

fn respond(
    context: &RequestContext,
    opened: Opened,
    lines: Vec<Line>,
    terms: Terms,
) -> Result<Response, RequestError> {
    let broker = &context.broker;
    let (session_id, is_incremental) = match opened {
        Opened::Sessionless => (NO_SESSION, false),
        Opened::Full { id } => (id, false),
        Opened::Incremental { id } => (id, true),
    };
    let mut sessions = broker.fetch_sessions.borrow_mut();
    let mut topics: Vec<(TopicRef, Vec<PartitionData<'static>>)> = Vec::new();
    let (mut bytes, mut errors) = (0, 0);
    for line in lines {
        let told = Told {
            high_watermark: line.read.high_watermark,
            log_start_offset: line.read.log_start_offset,
            is_error: line.read.error.is_some(),
            has_records: !line.read.records.is_empty(),
        };
        let is_news = session_id == NO_SESSION || sessions.tell(session_id, &line.key, told);
        if is_incremental && !is_news {
            continue;
        }
        bytes += line.read.records.len() as u64;
        errors += u64::from(told.is_error);
        let data = partition_data(&line.key, line.read, terms);
        match topics.last_mut() {
            Some((topic, partitions)) if *topic == line.key.topic => partitions.push(data),
            _ => topics.push((line.key.topic, vec![data])),
        }
    }
    broker.metrics.update(|metrics| {
        metrics.fetched_bytes += bytes;
        metrics.fetch_errors += errors;
        metrics.fetch_sessions = sessions.len() as u64;
        metrics.fetch_sessions_evicted = sessions.evicted();
    });
    drop(sessions);
    let responses = topics.iter_mut().map(|(topic, partitions)| {
        let partitions = List::from(std::mem::take(partitions));
        match topic {
            TopicRef::Id(id) => FetchableTopicResponse {
                topic_id: *id,
                partitions,
                ..FetchableTopicResponse::default()
            },
            TopicRef::Name(name) => FetchableTopicResponse {
                topic: name.to_string().into(),
                partitions,
                ..FetchableTopicResponse::default()
            },
        }
    });
    let responses: Vec<_> = responses.collect();
    context.encode(&FetchResponse {
        session_id,
        responses: List::from(responses),
        ..FetchResponse::default()
    })
}

fn partition_data(key: &WantedKey, read: PartitionRead, terms: Terms) -> PartitionData<'static> {
    PartitionData {
        partition_index: key.partition,
        error_code: read.error.map_or(0, ErrorCode::code),
        high_watermark: read.high_watermark.0,
        // Without transactions everything below the high watermark is stable.
        last_stable_offset: read.high_watermark.0,
        log_start_offset: read.log_start_offset.0,
        current_leader: LeaderIdAndEpoch::default(),
        aborted_transactions: terms.is_read_committed.then(List::default),
        preferred_read_replica: -1,
        // Empty, not null: librdkafka refuses null records.
        records: Records::Chain(read.records),
        ..PartitionData::default()
    }
}
