//! Consumer: fetches from partition leaders, alone or as member of a group.
//!
//! # Place       one shard's; one fetch in flight per leader, by tasks of their own
//! # Invariants
//! 1. A partition's records come in order and once: a fetch's result counts only while the partition is still at the
//!    position it was asked for.
//! 2. What `poll` returned counts as processed at the next `poll`; only then is it committed.
//! # Limits      `fetch_bytes_max` per leader, fetched ahead once

pub(crate) mod assignor;
mod fetcher;
pub mod membership;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use base::{BrokerId, Offset, PartitionIndex, TimestampMs};
use iobuf::Buf;
use kafka::{
    batch::{BatchError, Record, batches, for_each_record},
    error::ErrorCode,
};
use runtime::{Instant, sync::Notify};

pub use membership::GroupConfig;

use crate::{
    Admin, Client, ClientError, Lane,
    admin::{ListedOffset, OffsetSpec},
};
use membership::Membership;

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Beginning,
    End,
    At(Offset),
    /// The first record with this timestamp or a later one; the end when there is none.
    Timestamp(TimestampMs),
    /// So many records before the end, or the beginning.
    BeforeEnd(u64),
}

/// What to do when a position does not exist (any more), or a group has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    Earliest,
    Latest,
    Fail,
}

/// Whether records of transactions are seen before these are committed (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    /// Reads end at the last stable offset, and leave out what was aborted.
    ReadCommitted,
}

/// How a consumer fetches.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    pub group: Option<GroupConfig>,
    pub reset: Reset,
    pub isolation: Isolation,
    /// How long a broker may wait for `fetch_bytes_min`.
    pub fetch_wait: Duration,
    pub fetch_bytes_min: i32,
    pub fetch_bytes_max: i32,
    pub partition_bytes_max: i32,
    /// How often a group's leader looks for new partitions.
    pub metadata_interval: Duration,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group: None,
            reset: Reset::Earliest,
            isolation: Isolation::ReadUncommitted,
            fetch_wait: Duration::from_millis(500),
            fetch_bytes_min: 1,
            fetch_bytes_max: 16 << 20,
            partition_bytes_max: 4 << 20,
            metadata_interval: Duration::from_secs(30),
        }
    }
}

/// A topic's partition by name.
pub type TopicPartition = (Rc<str>, PartitionIndex);

/// Whole batches of one partition, as they came.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub topic: Rc<str>,
    pub partition: PartitionIndex,
    /// Where reading was; the first batch may begin before.
    pub from: Offset,
    /// Where reading goes on.
    pub next: Offset,
    pub high_watermark: Offset,
    pub records: Buf,
}

/// Decompressed size of one batch: above any batch a broker takes, below what hurts.
const BATCH_OUTPUT_BYTES_MAX: usize = 256 << 20;

impl Fetched {
    /// Hands over each record from `from` on, without control records; `each` returns whether to go on.
    pub fn for_each(&self, mut each: impl FnMut(Record<'_>) -> bool) -> Result<(), BatchError> {
        let mut go_on = true;
        for batch in batches(&self.records) {
            let (header, bytes) = batch?;
            if header.is_control() || header.last_offset() < self.from {
                continue;
            }
            for_each_record(bytes, BATCH_OUTPUT_BYTES_MAX, |record| {
                go_on = record.offset < self.from || each(record);
                go_on
            })?;
            if !go_on {
                break;
            }
        }
        Ok(())
    }
}

struct Position {
    next: Offset,
    /// Of what `poll` has handed out, what the application has seen the end of.
    processed: Offset,
    high_watermark: Option<Offset>,
    fetching: bool,
    is_paused: bool,
    /// After an error, not before this.
    not_before: Option<Instant>,
}

impl Position {
    fn at(next: Offset) -> Self {
        Self {
            next,
            processed: next,
            high_watermark: None,
            fetching: false,
            is_paused: false,
            not_before: None,
        }
    }
}

/// State shared with fetches on their way. No borrow lives across an await.
struct Shared {
    client: Client,
    lane: Lane,
    config: ConsumerConfig,
    positions: RefCell<BTreeMap<TopicPartition, Position>>,
    busy: RefCell<BTreeSet<BrokerId>>,
    arrived: RefCell<VecDeque<fetcher::Arrival>>,
    news: Rc<Notify>,
}

/// Reads records; one task polls it.
pub struct Consumer {
    shared: Rc<Shared>,
    admin: Admin,
    membership: Option<Rc<Membership>>,
    topics: RefCell<Vec<String>>,
    committed_at: Cell<Option<Instant>>,
    metadata_at: Cell<Option<Instant>>,
    rebalances: Cell<u64>,
}

impl Consumer {
    #[must_use]
    pub fn new(client: &Client, config: ConsumerConfig) -> Self {
        let news = Rc::new(Notify::new());
        let membership = config
            .group
            .clone()
            .map(|group| Membership::new(client.clone(), group, news.clone()));
        Self {
            admin: client.admin(),
            membership,
            shared: Rc::new(Shared {
                client: client.clone(),
                lane: client.new_lane(),
                config,
                positions: RefCell::default(),
                busy: RefCell::default(),
                arrived: RefCell::default(),
                news,
            }),
            topics: RefCell::default(),
            committed_at: Cell::new(None),
            metadata_at: Cell::new(None),
            rebalances: Cell::new(0),
        }
    }

    /// Reads these partitions (instead of those before), each from its start.
    pub async fn assign(&self, wanted: &[(TopicPartition, Start)]) -> Result<(), ClientError> {
        let positions = self.resolve(wanted).await?;
        *self.shared.positions.borrow_mut() = positions;
        Ok(())
    }

    /// Every partition of the topics, from `start`.
    pub async fn assign_topics(&self, topics: &[&str], start: Start) -> Result<(), ClientError> {
        let mut wanted = Vec::new();
        for name in topics {
            let topic = self.shared.client.topic(name).await?;
            let partitions = topic.partitions.iter();
            wanted.extend(partitions.map(|p| ((topic.name.clone(), p.index), start)));
        }
        self.assign(&wanted).await
    }

    /// Reads the partitions of these topics that the group gives to this member. Needs a group.
    pub fn subscribe(&self, topics: &[String]) {
        *self.topics.borrow_mut() = topics.to_vec();
        if let Some(membership) = &self.membership {
            membership.ask_to_join();
        }
    }

    async fn resolve(
        &self,
        wanted: &[(TopicPartition, Start)],
    ) -> Result<BTreeMap<TopicPartition, Position>, ClientError> {
        let listed = wanted.iter().filter_map(|(partition, start)| {
            let spec = match start {
                Start::Beginning => OffsetSpec::Earliest,
                Start::End | Start::BeforeEnd(_) => OffsetSpec::Latest,
                Start::Timestamp(at) => OffsetSpec::At(*at),
                Start::At(_) => return None,
            };
            Some((partition.clone(), spec))
        });
        let found = self.list(&listed.collect::<Vec<_>>()).await?;
        let of = |partition: &TopicPartition| found.get(partition).and_then(|found| found.offset);
        // Where no record is as late as asked, reading starts at the end; where the start is counted from the end,
        // it must not lie before the beginning.
        let more = wanted.iter().filter_map(|(partition, start)| match start {
            Start::Timestamp(_) if of(partition).is_none() => {
                Some((partition.clone(), OffsetSpec::Latest))
            }
            Start::BeforeEnd(_) => Some((partition.clone(), OffsetSpec::Earliest)),
            _ => None,
        });
        let second = self.list(&more.collect::<Vec<_>>()).await?;
        let second = |partition: &TopicPartition| {
            let found = second.get(partition).and_then(|found| found.offset);
            found.unwrap_or(Offset::ZERO)
        };
        Ok(wanted
            .iter()
            .map(|(partition, start)| {
                let first = of(partition);
                let next = match start {
                    Start::At(offset) => *offset,
                    Start::Timestamp(_) => first.unwrap_or_else(|| second(partition)),
                    Start::BeforeEnd(count) => {
                        let end = first.unwrap_or(Offset::ZERO).0;
                        let back = i64::try_from(*count).unwrap_or(i64::MAX);
                        Offset(end.saturating_sub(back)).max(second(partition))
                    }
                    Start::Beginning | Start::End => first.unwrap_or(Offset::ZERO),
                };
                (partition.clone(), Position::at(next))
            })
            .collect())
    }

    async fn list(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>, ClientError> {
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.admin.list_offsets(wanted).await
    }

    /// Goes on at `offset`. A fetch that is on its way is ignored.
    pub fn seek(&self, topic: &str, partition: PartitionIndex, offset: Offset) {
        let mut positions = self.shared.positions.borrow_mut();
        if let Some(position) = positions.get_mut(&(topic.into(), partition)) {
            let fetching = position.fetching;
            *position = Position::at(offset);
            position.fetching = fetching;
        }
    }

    /// Fetches nothing more of a partition, or again; what is on its way still comes.
    pub fn pause(&self, topic: &str, partition: PartitionIndex, is_paused: bool) {
        let mut positions = self.shared.positions.borrow_mut();
        if let Some(position) = positions.get_mut(&(topic.into(), partition)) {
            position.is_paused = is_paused;
        }
    }

    /// The partitions read, and the next offset of each.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<TopicPartition, Offset> {
        let positions = self.shared.positions.borrow();
        let next = |(partition, position): (&TopicPartition, &Position)| {
            (partition.clone(), position.next)
        };
        positions.iter().map(next).collect()
    }

    /// High watermarks (with `ReadCommitted`: last stable offsets) as of the last fetches.
    #[must_use]
    pub fn high_watermarks(&self) -> BTreeMap<TopicPartition, Offset> {
        let positions = self.shared.positions.borrow();
        let known = positions.iter();
        known
            .filter_map(|(partition, position)| Some((partition.clone(), position.high_watermark?)))
            .collect()
    }

    /// How often the group has given partitions to this member.
    #[must_use]
    pub fn rebalances(&self) -> u64 {
        self.rebalances.get()
    }

    /// The group's member id of this consumer; empty before it has joined.
    #[must_use]
    pub fn member_id(&self) -> String {
        self.membership
            .as_ref()
            .map_or_else(String::new, |m| m.member())
    }

    /// Waits up to `wait` for records, joining the group when that is due. Empty when none came in time.
    pub async fn poll(&self, wait: Duration) -> Result<Vec<Fetched>, ClientError> {
        let deadline = runtime::now().plus(wait);
        self.mark_processed();
        loop {
            let news = self.shared.news.notified();
            self.tend_group().await?;
            let fetched = self.take_arrivals().await?;
            let retry_at = fetcher::start(&self.shared).await;
            if !fetched.is_empty() {
                return Ok(fetched);
            }
            let now = runtime::now();
            if now >= deadline {
                return Ok(Vec::new());
            }
            let until = retry_at.map_or(deadline, |at| at.min(deadline));
            // Elapsed or notified: both mean looking again.
            let _ = runtime::timeout(until.since(now), news).await;
        }
    }

    fn mark_processed(&self) {
        for position in self.shared.positions.borrow_mut().values_mut() {
            position.processed = position.next;
        }
    }

    /// Turns what arrived into results and moves the positions.
    async fn take_arrivals(&self) -> Result<Vec<Fetched>, ClientError> {
        let mut out = Vec::new();
        loop {
            let arrival = self.shared.arrived.borrow_mut().pop_front();
            let Some(arrival) = arrival else { break };
            match fetcher::take(&self.shared, arrival) {
                fetcher::Taken::Records(fetched) => out.push(fetched),
                fetcher::Taken::Nothing => {}
                fetcher::Taken::OutOfRange(partition) => self.reset(partition).await?,
                fetcher::Taken::Failed(error) => return Err(error),
            }
        }
        Ok(out)
    }

    async fn reset(&self, partition: TopicPartition) -> Result<(), ClientError> {
        let start = match self.shared.config.reset {
            Reset::Earliest => Start::Beginning,
            Reset::Latest => Start::End,
            Reset::Fail => {
                let (topic, index) = &partition;
                return ClientError::check(
                    ErrorCode::OffsetOutOfRange.code(),
                    || format!("fetching from {topic}/{index}"),
                    None,
                );
            }
        };
        let resolved = self.resolve(&[(partition, start)]).await?;
        let mut positions = self.shared.positions.borrow_mut();
        for (partition, position) in resolved {
            if let Some(current) = positions.get_mut(&partition) {
                *current = position;
            }
        }
        Ok(())
    }

    async fn tend_group(&self) -> Result<(), ClientError> {
        let Some(membership) = &self.membership else {
            return Ok(());
        };
        if let Some(failure) = membership.failure() {
            return Err(failure);
        }
        let now = runtime::now();
        if due(
            &self.metadata_at,
            Some(self.shared.config.metadata_interval),
            now,
        ) {
            membership.check_partitions().await?;
        }
        if due(&self.committed_at, membership.config.auto_commit, now) && !membership.must_join() {
            self.commit_or_digest(membership).await?;
        }
        while membership.must_join() {
            if membership.config.auto_commit.is_some() {
                self.commit_or_digest(membership).await?;
            }
            self.shared.positions.borrow_mut().clear();
            self.join(membership).await?;
        }
        Ok(())
    }

    async fn join(&self, membership: &Rc<Membership>) -> Result<(), ClientError> {
        let topics = self.topics.borrow().clone();
        let assignment = membership.join(&topics).await?;
        let partitions: Vec<TopicPartition> = assignment
            .iter()
            .flat_map(|(topic, partitions)| {
                let name: Rc<str> = topic.as_str().into();
                partitions.iter().map(move |p| (name.clone(), *p))
            })
            .collect();
        let committed = self.admin.committed(&membership.config.group).await?;
        let reset = match self.shared.config.reset {
            Reset::Latest => Start::End,
            Reset::Earliest | Reset::Fail => Start::Beginning,
        };
        let mut wanted = Vec::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            let start = match committed.get(&(topic.to_string(), partition)) {
                Some(committed) => Start::At(committed.offset),
                None => reset,
            };
            wanted.push(((topic, partition), start));
        }
        let positions = self.resolve(&wanted).await?;
        *self.shared.positions.borrow_mut() = positions;
        self.committed_at.set(Some(runtime::now()));
        self.rebalances.set(self.rebalances.get() + 1);
        Ok(())
    }

    /// Commits what is processed; an error that only means "join again" or "try later" is none.
    async fn commit_or_digest(&self, membership: &Rc<Membership>) -> Result<(), ClientError> {
        match self.commit().await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "committing offsets failed");
                membership.digest(&error)
            }
        }
    }

    /// Commits the position behind what `poll` had returned before its last call. Needs a group.
    pub async fn commit(&self) -> Result<(), ClientError> {
        let offsets = {
            let positions = self.shared.positions.borrow();
            let processed = positions.iter();
            processed
                .map(|((topic, partition), at)| ((topic.to_string(), *partition), at.processed))
                .collect()
        };
        self.commit_offsets(&offsets).await
    }

    /// Commits everything `poll` has returned. Needs a group.
    pub async fn commit_all(&self) -> Result<(), ClientError> {
        self.mark_processed();
        self.commit().await
    }

    /// Commits these offsets (each the next one to read).
    pub async fn commit_offsets(
        &self,
        offsets: &BTreeMap<(String, PartitionIndex), Offset>,
    ) -> Result<(), ClientError> {
        let Some(membership) = &self.membership else {
            return Ok(());
        };
        if offsets.is_empty() || membership.generation() < 0 {
            return Ok(());
        }
        let config = &membership.config;
        let member = membership.member();
        let generation = membership.generation();
        let instance = config.instance.as_deref();
        let lane = membership.lane();
        self.admin
            .commit(&config.group, &member, generation, instance, lane, offsets)
            .await
    }

    /// Commits what was returned (with auto-commit) and leaves the group.
    pub async fn close(self) -> Result<(), ClientError> {
        self.shared.client.close_lane(self.shared.lane);
        let Some(membership) = &self.membership else {
            return Ok(());
        };
        if membership.config.auto_commit.is_some() && !membership.must_join() {
            self.mark_processed();
            self.commit_or_digest(membership).await?;
        }
        membership.leave().await
    }
}

/// Whether `interval` has passed since `last`, which then starts again; the first call only starts it.
fn due(last: &Cell<Option<Instant>>, interval: Option<Duration>, now: Instant) -> bool {
    let Some(interval) = interval else {
        return false;
    };
    match last.get() {
        Some(at) if at.plus(interval) > now => false,
        before => {
            last.set(Some(now));
            before.is_some()
        }
    }
}
