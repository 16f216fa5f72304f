//! The shared part of producers, consumers and administration: connections and the metadata cache.
//!
//! # Place       one shard's; clones share it
//! # Invariants  at most one connection per broker and lane, opened once however many ask for it
//! # Yields      every call may await a connection; the metadata may change meanwhile, so it is read again afterwards
//! # Limits      topics in the cache are those that were asked for; lanes are as many as producers and consumers live

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    io,
    rc::Rc,
    time::Duration,
};

use base::{BrokerId, PartitionIndex};
use kafka::{
    Message,
    error::ErrorCode,
    messages::{
        find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse},
        metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse},
    },
};
use runtime::{Class, budget::Budget, net::look_up};

use crate::{
    connection::{Answer, Connection, ConnectionConfig},
    error::ClientError,
    metadata::{Metadata, TopicAnswer, TopicMetadata},
};

/// How to reach a cluster.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `host:port` of the brokers to ask first.
    pub bootstrap: Vec<String>,
    pub client_id: String,
    /// One request, from sending to its answer.
    pub request_timeout: Duration,
    /// One call of the API, with all its retries.
    pub api_timeout: Duration,
    /// Pause before a retry; doubles up to 16 times itself.
    pub retry_backoff: Duration,
    pub in_flight_max: usize,
    pub response_bytes_max: usize,
    /// Whether asking for a topic may create it (when the broker does that).
    pub create_topics: bool,
}

impl ClientConfig {
    /// Defaults for these brokers.
    #[must_use]
    pub fn new(bootstrap: Vec<String>) -> Self {
        Self {
            bootstrap,
            client_id: "forebay".into(),
            request_timeout: Duration::from_secs(30),
            api_timeout: Duration::from_secs(60),
            retry_backoff: Duration::from_millis(50),
            in_flight_max: 5,
            response_bytes_max: 128 << 20,
            create_topics: false,
        }
    }
}

/// A connection's purpose: requests of one lane wait for each other's answers, those of different lanes do not (a
/// fetch that waits for data must not hold up a heartbeat).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(u32);

impl Lane {
    /// Metadata and administration.
    pub const CONTROL: Self = Self(0);
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Rc<Inner>,
}

struct Inner {
    config: ClientConfig,
    metadata: RefCell<Metadata>,
    slots: RefCell<BTreeMap<(BrokerId, Lane), Rc<Slot>>>,
    bootstrap: Slot,
    lanes: Cell<u32>,
    /// Coordinators found.
    coordinators: RefCell<BTreeMap<(Coordinated, String), BrokerId>>,
    /// Topics whose cached leaders proved wrong.
    stale: RefCell<BTreeSet<String>>,
}

/// What a broker coordinates, as `FindCoordinator` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coordinated {
    Group = 0,
    /// The transactions of a transactional id.
    Transactions = 1,
}

struct Slot {
    connection: RefCell<Option<Connection>>,
    /// Held while connecting.
    turn: Budget,
}

impl Slot {
    fn new() -> Self {
        Self {
            connection: RefCell::new(None),
            turn: Budget::new("client connecting", 1),
        }
    }

    fn open(&self) -> Option<Connection> {
        let connection = self.connection.borrow();
        connection.clone().filter(|c| c.closed().is_none())
    }
}

/// Exponential pauses with jitter (so that many clients do not come back at once).
pub(crate) struct Backoff {
    base: Duration,
    factor: u32,
}

impl Backoff {
    const FACTOR_MAX: u32 = 16;

    pub(crate) fn new(base: Duration) -> Self {
        Self { base, factor: 1 }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let full = self.base * self.factor;
        self.factor = (self.factor * 2).min(Self::FACTOR_MAX);
        let spread = full.as_micros() as u64 / 4 + 1;
        full + Duration::from_micros(runtime::random_u64() % spread)
    }

    pub(crate) async fn pause(&mut self) {
        runtime::sleep(self.next()).await;
    }
}

impl Client {
    /// Connects to the first bootstrap broker that answers and reads the cluster's brokers.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let client = Self {
            inner: Rc::new(Inner {
                config,
                metadata: RefCell::new(Metadata::default()),
                slots: RefCell::new(BTreeMap::new()),
                bootstrap: Slot::new(),
                lanes: Cell::new(1),
                coordinators: RefCell::new(BTreeMap::new()),
                stale: RefCell::new(BTreeSet::new()),
            }),
        };
        client.fetch_metadata(Some(&[])).await?;
        Ok(client)
    }

    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// A lane nobody else uses.
    #[must_use]
    pub fn new_lane(&self) -> Lane {
        let lane = self.inner.lanes.get();
        self.inner.lanes.set(lane + 1);
        Lane(lane)
    }

    /// Closes the connections of a lane.
    pub fn close_lane(&self, lane: Lane) {
        let mut slots = self.inner.slots.borrow_mut();
        slots.retain(|(_, at), _| *at != lane);
    }

    pub fn admin(&self) -> crate::Admin {
        crate::Admin::new(self.clone())
    }

    /// The cluster as last seen.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.inner.metadata.borrow().clone()
    }

    /// The topic as last seen.
    #[must_use]
    pub fn cached_topic(&self, name: &str) -> Option<Rc<TopicMetadata>> {
        self.inner.metadata.borrow().topics.get(name).cloned()
    }

    /// The topic, from the cache when it is there; waits (within `api_timeout`) while it has no partitions or while a
    /// broker that creates topics by itself is at it.
    pub async fn topic(&self, name: &str) -> Result<Rc<TopicMetadata>, ClientError> {
        if let Some(topic) = self.cached_topic(name) {
            return Ok(topic);
        }
        self.retrying("finding the topic", async || {
            let found = self.refresh(&[name]).await?;
            found
                .into_iter()
                .next()
                .ok_or_else(|| ClientError::UnknownTopic(name.to_owned()))
        })
        .await
    }

    /// Asks for these topics again; those found, or the first one's error.
    pub async fn refresh(&self, names: &[&str]) -> Result<Vec<Rc<TopicMetadata>>, ClientError> {
        let mut found = Vec::with_capacity(names.len());
        for answer in self.fetch_metadata(Some(names)).await? {
            match answer {
                TopicAnswer::Found(topic) => found.push(topic),
                TopicAnswer::Missing(name, ErrorCode::UnknownTopicOrPartition)
                    if !self.inner.config.create_topics =>
                {
                    return Err(ClientError::UnknownTopic(name.to_string()));
                }
                TopicAnswer::Missing(name, code) => {
                    ClientError::check(code.code(), || format!("topic '{name}'"), None)?;
                }
            }
        }
        Ok(found)
    }

    /// Every topic of the cluster.
    pub async fn all_topics(&self) -> Result<Vec<Rc<TopicMetadata>>, ClientError> {
        let answers = self.fetch_metadata(None).await?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                TopicAnswer::Found(topic) => Some(topic),
                TopicAnswer::Missing(..) => None,
            })
            .collect())
    }

    async fn fetch_metadata(
        &self,
        names: Option<&[&str]>,
    ) -> Result<Vec<TopicAnswer>, ClientError> {
        let request = MetadataRequest {
            topics: names.map(|names| {
                let topic = |name: &&str| MetadataRequestTopic {
                    name: Some((*name).to_owned().into()),
                    ..Default::default()
                };
                names.iter().map(topic).collect()
            }),
            allow_auto_topic_creation: self.inner.config.create_topics
                && names.is_some_and(|names| !names.is_empty()),
            ..Default::default()
        };
        let connection = self.any_broker().await?;
        let answer = connection.call(&request, i16::MAX).await?;
        let response: MetadataResponse<'_> = answer.decode()?;
        ClientError::check(response.error_code, || "Metadata".into(), None)?;
        let mut stale = self.inner.stale.borrow_mut();
        match names {
            Some(names) => names.iter().for_each(|name| _ = stale.remove(*name)),
            None => stale.clear(),
        }
        Ok(self.inner.metadata.borrow_mut().update(&response))
    }

    /// A connection for what any broker can answer: an open one, or the first that can be reached.
    pub async fn any_broker(&self) -> Result<Connection, ClientError> {
        let known: Vec<_> = {
            let metadata = self.inner.metadata.borrow();
            metadata.brokers.keys().copied().collect()
        };
        for broker in &known {
            let slot = self.slot(*broker, Lane::CONTROL);
            if let Some(open) = slot.open() {
                return Ok(open);
            }
        }
        let mut last = match self.bootstrap().await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        for broker in known {
            match self.broker(broker, Lane::CONTROL).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn bootstrap(&self) -> Result<Connection, ClientError> {
        let slot = &self.inner.bootstrap;
        let _turn = slot.turn.acquire(1).await;
        if let Some(open) = slot.open() {
            return Ok(open);
        }
        let mut last = ClientError::Connect {
            addr: String::new(),
            error: "no broker is given".into(),
        };
        for at in &self.inner.config.bootstrap {
            let (host, port) = split_host(at);
            match self.open(host, port).await {
                Ok(connection) => {
                    *slot.connection.borrow_mut() = Some(connection.clone());
                    return Ok(connection);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn slot(&self, broker: BrokerId, lane: Lane) -> Rc<Slot> {
        let mut slots = self.inner.slots.borrow_mut();
        slots
            .entry((broker, lane))
            .or_insert_with(|| Rc::new(Slot::new()))
            .clone()
    }

    /// The lane's connection to a broker, opened when there is none.
    pub async fn broker(&self, broker: BrokerId, lane: Lane) -> Result<Connection, ClientError> {
        let slot = self.slot(broker, lane);
        if let Some(open) = slot.open() {
            return Ok(open);
        }
        let _turn = slot.turn.acquire(1).await;
        if let Some(open) = slot.open() {
            return Ok(open);
        }
        let addr = {
            let metadata = self.inner.metadata.borrow();
            metadata.brokers.get(&broker).cloned()
        };
        let addr = addr.ok_or(ClientError::UnknownBroker(broker.0))?;
        let connection = self.open(&addr.host, addr.port).await?;
        *slot.connection.borrow_mut() = Some(connection.clone());
        Ok(connection)
    }

    async fn open(&self, host: &str, port: u16) -> Result<Connection, ClientError> {
        let config = &self.inner.config;
        let failed = |error: io::Error| ClientError::Connect {
            addr: format!("{host}:{port}"),
            error: error.to_string(),
        };
        let mut last = failed(io::ErrorKind::NotFound.into());
        // A resolver is asked no longer than a broker.
        let found = runtime::timeout(config.request_timeout, look_up(host, port)).await;
        let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        for addr in found.map_err(failed)? {
            let config = ConnectionConfig {
                client_id: config.client_id.clone(),
                in_flight_max: config.in_flight_max,
                request_timeout: config.request_timeout,
                response_bytes_max: config.response_bytes_max,
                class: Class::Admin,
            };
            match Connection::open(addr, config).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Drops a topic from the cache.
    pub fn forget_topic(&self, topic: &str) {
        self.inner.metadata.borrow_mut().topics.remove(topic);
    }

    /// Notes that a topic's cached leaders proved wrong; the next look at them asks again.
    pub fn mark_stale(&self, topic: &str) {
        self.inner.stale.borrow_mut().insert(topic.to_owned());
    }

    #[must_use]
    pub fn is_stale(&self, topic: &str) -> bool {
        self.inner.stale.borrow().contains(topic)
    }

    /// The partition's leader, from the cache.
    pub fn leader(
        &self,
        topic: &str,
        partition: PartitionIndex,
    ) -> Result<Option<BrokerId>, ClientError> {
        let metadata = self.inner.metadata.borrow();
        let Some(topic_metadata) = metadata.topics.get(topic) else {
            return Ok(None);
        };
        let found = topic_metadata.partition(partition);
        let found = found.ok_or_else(|| ClientError::UnknownPartition {
            topic: topic.to_owned(),
            partition: partition.0,
        })?;
        Ok(found.leader)
    }

    /// Runs `call` until it succeeds, fails for good, or `api_timeout` is over.
    pub async fn retrying<T>(
        &self,
        what: &'static str,
        call: impl AsyncFn() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let config = &self.inner.config;
        let deadline = runtime::now().plus(config.api_timeout);
        let mut backoff = Backoff::new(config.retry_backoff);
        loop {
            match call().await {
                Ok(value) => return Ok(value),
                // Without topic creation, an unknown topic stays unknown.
                Err(error @ ClientError::UnknownTopic(_)) => return Err(error),
                Err(error) if error.is_retriable() && runtime::now() < deadline => {
                    tracing::debug!(what, %error, "trying again");
                    backoff.pause().await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends `request` to the coordinator of `group` on `lane`. Errors that mean "elsewhere" are for the caller to
    /// see in the answer and to report with [`Client::forget_coordinator`].
    pub async fn call_coordinator<'a, M: Message<'a>>(
        &self,
        group: &str,
        lane: Lane,
        request: &M,
        version_max: i16,
    ) -> Result<Answer, ClientError> {
        let connection = self.coordinator(group, lane).await?;
        let answer = connection.call(request, version_max).await;
        if answer.is_err() {
            self.forget_coordinator(group);
        }
        answer
    }

    /// The connection to the coordinator of `group`.
    pub async fn coordinator(&self, group: &str, lane: Lane) -> Result<Connection, ClientError> {
        self.coordinator_of(Coordinated::Group, group, lane).await
    }

    pub(crate) async fn coordinator_of(
        &self,
        what: Coordinated,
        key: &str,
        lane: Lane,
    ) -> Result<Connection, ClientError> {
        let name = (what, key.to_owned());
        let known = self.inner.coordinators.borrow().get(&name).copied();
        let broker = match known {
            Some(broker) => broker,
            None => self.find_coordinator(what, key).await?,
        };
        let connection = self.broker(broker, lane).await;
        if connection.is_err() {
            self.forget_coordinator_of(what, key);
        }
        connection
    }

    pub fn forget_coordinator(&self, group: &str) {
        self.forget_coordinator_of(Coordinated::Group, group);
    }

    pub(crate) fn forget_coordinator_of(&self, what: Coordinated, key: &str) {
        let mut coordinators = self.inner.coordinators.borrow_mut();
        coordinators.remove(&(what, key.to_owned()));
    }

    async fn find_coordinator(&self, of: Coordinated, key: &str) -> Result<BrokerId, ClientError> {
        let connection = self.any_broker().await?;
        let version = connection.version::<FindCoordinatorRequest<'_>>(i16::MAX)?;
        let mut request = FindCoordinatorRequest {
            key_type: of as i8,
            ..Default::default()
        };
        if version >= 4 {
            request.coordinator_keys = vec![key.to_owned().into()].into();
        } else {
            request.key = key.to_owned().into();
        }
        let answer = connection.call(&request, version).await?;
        let response: FindCoordinatorResponse<'_> = answer.decode()?;
        let what = || match of {
            Coordinated::Group => format!("finding the coordinator of group '{key}'"),
            Coordinated::Transactions => {
                format!("finding the coordinator of transactional id '{key}'")
            }
        };
        let (broker, host, port) = if version >= 4 {
            let found = response.coordinators.iter().next();
            let found = found.ok_or_else(|| ClientError::Broker {
                what: what(),
                code: ErrorCode::CoordinatorNotAvailable,
                message: None,
            })?;
            ClientError::check(found.error_code, what, found.error_message.as_deref())?;
            (found.node_id, found.host.into_owned(), found.port)
        } else {
            ClientError::check(response.error_code, what, response.error_message.as_deref())?;
            (response.node_id, response.host.to_string(), response.port)
        };
        let broker = BrokerId(broker);
        if let Ok(port) = u16::try_from(port) {
            let mut metadata = self.inner.metadata.borrow_mut();
            let addr = crate::metadata::BrokerAddr { host, port };
            metadata.brokers.insert(broker, addr);
        }
        // Bounded by forgetting all: finding again costs one request.
        const COORDINATORS_MAX: usize = 1024;
        let mut coordinators = self.inner.coordinators.borrow_mut();
        if coordinators.len() >= COORDINATORS_MAX {
            coordinators.clear();
        }
        coordinators.insert((of, key.to_owned()), broker);
        Ok(broker)
    }
}

/// `host:port`, `[::1]:9092`, or a host with Kafka's default port.
pub(crate) fn split_host(text: &str) -> (&str, u16) {
    const DEFAULT_PORT: u16 = 9092;
    if let Some((host, port)) = text.rsplit_once(':')
        && let Ok(port) = port.parse()
        && (!host.contains(':') || host.starts_with('['))
    {
        return (host.trim_start_matches('[').trim_end_matches(']'), port);
    }
    (
        text.trim_start_matches('[').trim_end_matches(']'),
        DEFAULT_PORT,
    )
}
