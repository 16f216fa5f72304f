//! Fetch sessions (KIP-227): what each consumer wants is remembered, so that it sends and gets only what changed.
//!
//! # Place
//! One cache per shard. A session belongs to the shard whose number is in its id; a client that comes back on a connection
//! to another shard hears FETCH_SESSION_ID_NOT_FOUND and starts anew, as it does after an eviction.
//!
//! # Invariants
//! 1. A session's epoch is that of its last request; a request with another one changes nothing.
//! 2. A partition is left out of an incremental response only when it has no records, no error, and the same high watermark
//!    and log start the client was told last.
//!
//! # Limits
//! `slots_max` sessions and `PARTITIONS_MAX` partitions in them per shard. When they are used up, a session unused for
//! `EVICTABLE_AFTER` makes room; without one the client is served without a session.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use base::{Offset, ShardId, TopicId};
use kafka::error::ErrorCode;
use runtime::Instant;

/// Kafka's `min.incremental.fetch.session.eviction.ms`.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

/// Partitions in all sessions of a shard: about 100 bytes each.
pub const PARTITIONS_MAX: usize = 200_000;

/// The session id of requests without one.
pub const NO_SESSION: i32 = 0;

/// Epoch of a request that opens a session with a full list.
pub const EPOCH_OPEN: i32 = 0;

/// Epoch of a request that wants none, or closes the one it names.
pub const EPOCH_CLOSE: i32 = -1;

/// Bits of a session id that name its shard.
const SHARD_BITS: u32 = 10;

/// A topic as the request named it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    Name(Rc<str>),
    Id(TopicId),
}

/// A partition as the request named it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantedKey {
    pub topic: TopicRef,
    pub partition: i32,
}

/// What a client wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub fetch_offset: i64,
    /// -1 when the client does not know one.
    pub leader_epoch: i32,
    pub bytes_max: i32,
}

/// What a response tells of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub high_watermark: Offset,
    pub log_start_offset: Offset,
    pub is_error: bool,
    pub has_records: bool,
}

/// The session part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    pub id: i32,
    pub epoch: i32,
    /// Topics are named by id (Fetch 13 and later).
    pub uses_ids: bool,
}

/// How a request is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// From its own list, without a session.
    Sessionless,
    /// From its own list, which is now also the session's.
    Full { id: i32 },
    /// From the session's list.
    Incremental { id: i32 },
}

struct Cached {
    wanted: Wanted,
    /// What the client was told last; -1 for nothing yet.
    high_watermark: Offset,
    log_start_offset: Offset,
    key: WantedKey,
}

struct Session {
    epoch: i32,
    uses_ids: bool,
    used: Instant,
    /// By position in the order in which they are served.
    order: BTreeMap<u64, Cached>,
    places: BTreeMap<WantedKey, u64>,
    next_place: u64,
}

/// The sessions of one shard.
pub struct FetchSessions {
    shard: ShardId,
    slots_max: usize,
    sessions: BTreeMap<i32, Session>,
    partitions: usize,
    evicted: u64,
}

impl Session {
    fn update(&mut self, key: WantedKey, wanted: Wanted) {
        let place = *self.places.entry(key.clone()).or_insert(self.next_place);
        if place == self.next_place {
            self.next_place += 1;
        }
        let cached = self.order.entry(place).or_insert_with(|| Cached {
            wanted,
            high_watermark: Offset(-1),
            log_start_offset: Offset(-1),
            key,
        });
        cached.wanted = wanted;
    }

    fn forget(&mut self, key: &WantedKey) {
        if let Some(place) = self.places.remove(key) {
            self.order.remove(&place);
        }
    }
}

/// After `i32::MAX` comes 1: 0 opens sessions.
fn next_epoch(epoch: i32) -> i32 {
    match epoch {
        i32::MAX => 1,
        epoch => epoch + 1,
    }
}

impl FetchSessions {
    #[must_use]
    pub fn new(shard: ShardId, slots_max: usize) -> Self {
        Self {
            shard,
            slots_max,
            sessions: BTreeMap::new(),
            partitions: 0,
            evicted: 0,
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Sessions evicted so far.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Takes a request in. `random` makes new ids.
    pub fn open(
        &mut self,
        request: SessionRequest,
        wanted: &[(WantedKey, Wanted)],
        forgotten: &[WantedKey],
        now: Instant,
        random: u64,
    ) -> Result<Opened, ErrorCode> {
        if matches!(request.epoch, EPOCH_OPEN | EPOCH_CLOSE) {
            self.remove(request.id);
            if request.epoch == EPOCH_CLOSE || wanted.is_empty() {
                return Ok(Opened::Sessionless);
            }
            return Ok(self.create(request.uses_ids, wanted, now, random));
        }
        let session = self.sessions.get_mut(&request.id);
        let session = session.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_ids != request.uses_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.epoch = next_epoch(session.epoch);
        session.used = now;
        let before = session.order.len();
        for (key, wanted) in wanted {
            session.update(key.clone(), *wanted);
        }
        for key in forgotten {
            session.forget(key);
        }
        let after = session.order.len();
        self.partitions = self.partitions + after - before;
        if after == 0 || self.partitions > PARTITIONS_MAX {
            self.remove(request.id);
            // The client learns from session id 0 that its session is over.
            return match after {
                0 => Ok(Opened::Sessionless),
                _ => Err(ErrorCode::FetchSessionIdNotFound),
            };
        }
        Ok(Opened::Incremental { id: request.id })
    }

    fn create(
        &mut self,
        uses_ids: bool,
        wanted: &[(WantedKey, Wanted)],
        now: Instant,
        random: u64,
    ) -> Opened {
        while self.sessions.len() >= self.slots_max
            || self.partitions + wanted.len() > PARTITIONS_MAX
        {
            if !self.evict(now) {
                return Opened::Sessionless;
            }
        }
        let mut session = Session {
            epoch: next_epoch(EPOCH_OPEN),
            uses_ids,
            used: now,
            order: BTreeMap::new(),
            places: BTreeMap::new(),
            next_place: 0,
        };
        for (key, wanted) in wanted {
            session.update(key.clone(), *wanted);
        }
        self.partitions += session.order.len();
        let id = self.free_id(random);
        self.sessions.insert(id, session);
        Opened::Full { id }
    }

    /// An unused id with this shard's number in its low bits.
    fn free_id(&self, random: u64) -> i32 {
        let step = |n: u64| {
            let high = random.wrapping_add(n) << SHARD_BITS;
            let bits = (high | u64::from(self.shard.0)) & u64::from(i32::MAX.unsigned_abs());
            i32::try_from(bits).expect("31 bits")
        };
        let mut ids = (0..).map(step);
        let free = ids.find(|id| *id != NO_SESSION && !self.sessions.contains_key(id));
        free.expect("there are more ids than slots")
    }

    /// Evicts the longest unused session, when it has been unused for long enough.
    fn evict(&mut self, now: Instant) -> bool {
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
        match oldest {
            Some((id, session)) if now.since(session.used) >= EVICTABLE_AFTER => {
                self.remove(*id);
                self.evicted += 1;
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partitions -= session.order.len();
        }
    }

    /// What the session wants, in the order in which it is to be served.
    #[must_use]
    pub fn wanted(&self, id: i32) -> Vec<(WantedKey, Wanted)> {
        let order = self.sessions.get(&id).map(|session| &session.order);
        let cached = order.into_iter().flat_map(BTreeMap::values);
        cached
            .map(|cached| (cached.key.clone(), cached.wanted))
            .collect()
    }

    /// Remembers what the client is being told; whether an incremental response must say it.
    ///
    /// A partition that gave records goes to the end of the order: with a bounded response each gets its turn.
    pub fn tell(&mut self, id: i32, key: &WantedKey, told: Told) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return true;
        };
        let Some(place) = session.places.get(key).copied() else {
            return true;
        };
        let cached = session
            .order
            .get_mut(&place)
            .expect("each place is in the order");
        let is_news = told.is_error
            || told.has_records
            || told.high_watermark != cached.high_watermark
            || told.log_start_offset != cached.log_start_offset;
        // After an error the client is told the whole state again.
        let watermark = if told.is_error {
            Offset(-1)
        } else {
            told.high_watermark
        };
        cached.high_watermark = watermark;
        cached.log_start_offset = told.log_start_offset;
        if told.has_records {
            let cached = session.order.remove(&place).expect("it was there");
            session.order.insert(session.next_place, cached);
            session.places.insert(key.clone(), session.next_place);
            session.next_place += 1;
        }
        is_news
    }
}

#[cfg(test)]
mod tests;
