//! A node in the simulator, and a client that speaks any message at any version to it.
//!
//! Two ways to write a test: as a script that runs on the clients' machine (`World::run`, with `Client`), or as plain calls
//! that move the world on until they are answered (`World::client`, with `Caller`).

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use base::{ProducerEpoch, ProducerId, TimestampMs, TopicId};
use broker::{Broker, Settings, open::leading_shard};
use iobuf::{Buf, BufMut, IoBuf};
use kafka::{
    Message,
    batch::{BatchBuilder, Compression},
    error::ErrorCode,
    messages::{
        create_topics::{
            CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
        },
        fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic},
        produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData},
    },
    wire::{Reader, RequestHeader, Str, decode_response_header, encode_request},
};
use runtime::{
    Class,
    net::{TcpListener, TcpStream},
    sim::{HostId, Sim, SimConfig},
};

const PORT: u16 = 9092;

/// Virtual time that a test's script may take.
const SCRIPT_TIME: Duration = Duration::from_secs(3_600);

/// Virtual time that one call may take: longer than any wait a test asks for, far below the reaping of idle connections.
const CALL_TIME: Duration = Duration::from_secs(25);

/// Of the records in `batch`: near the simulated clocks' start.
pub const NOW: TimestampMs = TimestampMs(1_767_225_600_000);

/// One node, and one machine with clients.
pub struct World {
    pub sim: Sim,
    pub server: HostId,
    clients: HostId,
}

/// Small pools and files: a simulated machine has 1 GiB of disk.
fn settings() -> Settings {
    let mut settings = Settings::new("/forebay");
    settings.advertised = Some(("node".to_owned(), PORT));
    settings.network_bytes = 64 << 20;
    settings.fetch_bytes = 64 << 20;
    settings.store.journal_file_bytes = 8 << 20;
    settings.store.journal_files_max = 4;
    settings.store.cache_bytes = 16 << 20;
    settings.store.free_bytes_min = 8 << 20;
    settings.store.free_bytes_warn = 16 << 20;
    settings.offsets_partitions = 4;
    settings
}

impl World {
    /// Two shards, no faults.
    pub fn new(seed: u64) -> Self {
        Self::with(SimConfig::new(seed), 2, |_| {})
    }

    pub fn with(config: SimConfig, shards: u16, change: impl FnOnce(&mut Settings)) -> Self {
        let sim = Sim::new(config);
        let mut settings = settings();
        change(&mut settings);
        let server = sim.host("server", shards, move || serve(settings.clone()));
        let clients = sim.host("clients", 1, || async {});
        Self {
            sim,
            server,
            clients,
        }
    }

    /// Runs a script on the clients' machine.
    pub fn run<F, Fut>(&self, script: F) -> Fut::Output
    where
        F: FnOnce(SocketAddr) -> Fut,
        Fut: Future + 'static,
        Fut::Output: 'static,
    {
        self.run_within(SCRIPT_TIME, script(self.address()))
    }

    fn run_within<T: 'static>(
        &self,
        limit: Duration,
        script: impl Future<Output = T> + 'static,
    ) -> T {
        let outcome = self.sim.run_on(self.clients, limit, script);
        let fatal = self.sim.fatal_reason(self.server);
        outcome.unwrap_or_else(|| panic!("the script ends in time; node: {fatal:?}"))
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.sim.ip(self.server), PORT)
    }

    /// Runs a script that may be cut off.
    pub fn spawn<Fut: Future<Output = ()> + 'static>(
        &self,
        script: impl FnOnce(SocketAddr) -> Fut,
    ) {
        let script = script(self.address());
        self.sim.spawn_on(self.clients, "script", script);
    }

    pub fn client(&self) -> Caller<'_> {
        let address = self.address();
        Caller {
            world: self,
            client: self.run_within(CALL_TIME, Client::connect(address)),
        }
    }

    pub fn power_cut(&self) {
        self.sim.power_cut(self.server);
        self.sim.restart(self.server);
    }

    /// As by kill -9, and up again.
    pub fn kill(&self) {
        self.sim.kill(self.server);
        self.sim.restart(self.server);
    }

    /// Down in order, and up again.
    pub fn stop(&self) {
        self.end();
        self.sim.restart(self.server);
    }

    pub fn stop_and_start_with(&self, shards: u16) {
        self.end();
        self.sim.restart_with(self.server, shards);
    }

    fn end(&self) {
        // Opened on every shard before it can be stopped on any.
        drop(self.client());
        let stop = async { Broker::local().stop().await };
        let stopped = self.sim.run_on(self.server, CALL_TIME, stop);
        stopped.expect("the node stops in time");
    }

    pub fn sleep(&self, duration: Duration) {
        self.sim.run_for(duration);
    }

    /// Sum of a counter over all shards.
    pub fn metric(&self, read: impl Fn(&broker::MetricsSnapshot) -> u64) -> u64 {
        let snapshots = self.sim.run_on(self.server, CALL_TIME, async {
            let mut snapshots = Vec::new();
            for shard in Broker::shards() {
                let snapshot = || async { Broker::local().metrics_snapshot() };
                snapshots.push(runtime::invoke_on(shard, Class::Admin, "metrics", snapshot).await);
            }
            snapshots
        });
        let snapshots = snapshots.expect("the node runs");
        snapshots.iter().map(read).sum()
    }
}

async fn serve(settings: Settings) {
    let opened = Broker::open(settings).await;
    let (broker, _) = opened.unwrap_or_else(|error| panic!("the node opens: {error}"));
    if runtime::shard() == leading_shard() {
        let address = SocketAddr::from(([0, 0, 0, 0], PORT));
        let listener = TcpListener::bind(address).await.expect("the port is free");
        broker.serve(listener).await;
    }
    broker.stopped().await;
}

/// A received response, without its size, kept to borrow from.
pub struct Frame {
    pub bytes: Vec<u8>,
    key: i16,
    version: i16,
}

impl Frame {
    pub fn decode<'a, M: Message<'a>>(&'a self) -> M {
        let header = decode_response_header(&self.bytes, self.key, self.version);
        let (_, mut reader) = header.expect("a response header");
        M::decode(&mut reader, self.version)
            .unwrap_or_else(|error| panic!("key {} version {}: {error}", self.key, self.version))
    }
}

/// A request in bytes, as it goes out.
pub struct Encoded {
    frame: IoBuf,
    key: i16,
    version: i16,
    correlation_id: i32,
}

/// A connection, for scripts.
#[derive(Clone)]
pub struct Client {
    stream: TcpStream,
    correlation: Rc<Cell<i32>>,
    /// Received behind the last frame.
    held: Rc<RefCell<Vec<u8>>>,
}

impl Client {
    /// Connects, for as long as it takes.
    pub async fn connect(address: SocketAddr) -> Self {
        loop {
            if let Ok(stream) = TcpStream::connect(address).await {
                return Self {
                    stream,
                    correlation: Rc::default(),
                    held: Rc::default(),
                };
            }
            runtime::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn encode<'a, M: Message<'a>>(&self, version: i16, request: &M) -> Encoded {
        let correlation_id = self.correlation.get() + 1;
        self.correlation.set(correlation_id);
        let header = RequestHeader {
            api_key: M::API_KEY,
            api_version: version,
            correlation_id,
            client_id: Some("test"),
        };
        let frame = encode_request(&header, request)
            .unwrap_or_else(|error| panic!("key {} version {version}: {error}", M::API_KEY));
        Encoded {
            frame,
            key: M::API_KEY,
            version,
            correlation_id,
        }
    }

    /// The bytes of the next frame, or an error when the connection ends.
    pub async fn read_frame(&self) -> io::Result<Vec<u8>> {
        loop {
            let mut held = self.held.take();
            let size = held.first_chunk::<4>();
            let size = size.map_or(0, |size| i32::from_be_bytes(*size));
            let end = usize::try_from(size).expect("a size") + 4;
            if held.len() >= 4 && held.len() >= end {
                self.held.replace(held.split_off(end));
                held.drain(..4);
                return Ok(held);
            }
            let (read, buf) = self.stream.read(BufMut::with_capacity(64 << 10)).await;
            let count = read?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            held.extend_from_slice(&buf[..count]);
            self.held.replace(held);
        }
    }

    async fn exchange(&self, request: Encoded) -> io::Result<Frame> {
        let (key, version, id) = (request.key, request.version, request.correlation_id);
        self.stream.write(request.frame).await?;
        self.receive(key, version, id).await
    }

    /// The next response, which must be that of `correlation_id`.
    async fn receive(&self, key: i16, version: i16, correlation_id: i32) -> io::Result<Frame> {
        let bytes = self.read_frame().await?;
        let found = i32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
        assert_eq!(found, correlation_id, "answers come in request order");
        Ok(Frame {
            bytes,
            key,
            version,
        })
    }

    /// The response, or an error when the connection ends.
    pub async fn try_call<'a, M: Message<'a>>(
        &self,
        version: i16,
        request: &M,
    ) -> io::Result<Frame> {
        self.exchange(self.encode(version, request)).await
    }

    pub async fn call<'a, M: Message<'a>>(&self, version: i16, request: &M) -> Frame {
        let called = self.try_call(version, request).await;
        called.unwrap_or_else(|error| panic!("key {} version {version}: {error}", M::API_KEY))
    }

    pub async fn create_topic(&self, name: &str, partitions: i32) {
        let frame = self.call(7, &create_request(name, partitions, &[])).await;
        created(&frame);
    }
}

/// A connection, for plain calls.
pub struct Caller<'w> {
    world: &'w World,
    pub client: Client,
}

impl Caller<'_> {
    pub fn send<'a, M: Message<'a>>(&mut self, version: i16, body: &M) -> i32 {
        let request = self.client.encode(version, body);
        let correlation_id = request.correlation_id;
        self.write_all(request.frame);
        correlation_id
    }

    /// Writes bytes that may be no request.
    pub fn write(&mut self, bytes: &[u8]) {
        self.write_all(Buf::from(bytes.to_vec()).into());
    }

    fn write_all(&self, bytes: IoBuf) {
        let stream = self.client.stream.clone();
        let write = async move { stream.write(bytes).await };
        let written = self.world.run_within(CALL_TIME, write);
        written.expect("the node reads");
    }

    /// The next response, which must be that of `correlation_id`.
    pub fn receive(&mut self, key: i16, version: i16, correlation_id: i32) -> Frame {
        let client = self.client.clone();
        let receive = async move { client.receive(key, version, correlation_id).await };
        self.world
            .run_within(CALL_TIME, receive)
            .expect("an answer")
    }

    /// The next response when it comes in this time.
    pub fn try_receive_within(
        &mut self,
        limit: Duration,
        key: i16,
        version: i16,
        correlation_id: i32,
    ) -> Option<Frame> {
        let client = self.client.clone();
        let receive = async move { client.receive(key, version, correlation_id).await };
        let received = self.world.sim.run_on(self.world.clients, limit, receive);
        received.and_then(Result::ok)
    }

    /// As `write`; the node may have closed the connection.
    pub fn write_or_closed(&mut self, bytes: &[u8]) {
        let stream = self.client.stream.clone();
        let bytes = Buf::from(bytes.to_vec()).into();
        let write = async move { stream.write(bytes).await };
        drop(self.world.run_within(CALL_TIME, write));
    }

    /// A frame's bytes, or `None` when the node has closed the connection.
    pub fn read_frame(&mut self) -> Option<Vec<u8>> {
        let client = self.client.clone();
        let read = async move { client.read_frame().await };
        self.world.run_within(CALL_TIME, read).ok()
    }

    pub fn call<'a, M: Message<'a>>(&mut self, version: i16, body: &M) -> Frame {
        let id = self.send(version, body);
        self.receive(M::API_KEY, version, id)
    }

    /// Creates a topic, whatever it takes, and returns its id.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> TopicId {
        created(&self.try_create_topic(name, partitions, configs))
    }

    pub fn try_create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Frame {
        self.call(7, &create_request(name, partitions, configs))
    }

    /// Sends one batch with acks=all and returns its outcome.
    pub fn produce(&mut self, topic: &str, partition: i32, batch: &[u8]) -> Produced {
        let frame = self.call(9, &produce_request(topic, partition, batch, -1));
        Produced::of(&frame)
    }

    /// Fetches one partition from an offset without a session.
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64, wait_ms: i32) -> Fetched {
        let request = fetch_request(topic, &[(partition, offset)], wait_ms, 1);
        let mut all = Fetched::all(&self.call(12, &request));
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Values of everything a partition holds from an offset on, in as many fetches as it takes.
    pub fn values(&mut self, topic: &str, partition: i32, mut offset: i64) -> Vec<String> {
        let mut values = Vec::new();
        loop {
            let fetched = self.fetch(topic, partition, offset, 0);
            assert_eq!(
                fetched.error,
                ErrorCode::None,
                "{topic}-{partition} from {offset}"
            );
            let more = fetched.values();
            if more.is_empty() {
                assert_eq!(offset, fetched.high_watermark, "{topic}-{partition}");
                return values;
            }
            offset += i64::try_from(more.len()).expect("small");
            values.extend(more);
        }
    }
}

fn create_request<'a>(
    name: &'a str,
    partitions: i32,
    configs: &[(&'a str, &'a str)],
) -> CreateTopicsRequest<'a> {
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
    });
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: -1,
        configs: configs.collect(),
        ..CreatableTopic::default()
    };
    CreateTopicsRequest {
        topics: vec![topic].into(),
        timeout_ms: 1000,
        validate_only: false,
    }
}

fn created(frame: &Frame) -> TopicId {
    let response: CreateTopicsResponse<'_> = frame.decode();
    let result = response.topics.iter().next().expect("one topic");
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    result.topic_id
}

/// What Produce said of its only partition.
#[derive(Debug, PartialEq, Eq)]
pub struct Produced {
    pub error: ErrorCode,
    pub base_offset: i64,
    pub message: Option<String>,
}

impl Produced {
    pub fn of(frame: &Frame) -> Self {
        let response: ProduceResponse<'_> = frame.decode();
        let topic = response.responses.iter().next().expect("one topic");
        let partition = topic
            .partition_responses
            .iter()
            .next()
            .expect("one partition");
        Self {
            error: ErrorCode::from_i16(partition.error_code).expect("a known code"),
            base_offset: partition.base_offset,
            message: partition.error_message.map(Str::into_owned),
        }
    }
}

/// What Fetch said of one partition.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetched {
    pub partition: i32,
    pub error: ErrorCode,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub records: Vec<u8>,
}

impl Fetched {
    pub fn all(frame: &Frame) -> Vec<Self> {
        let response: FetchResponse<'_> = frame.decode();
        assert_eq!(response.error_code, 0);
        let topics = response.responses.iter();
        let partitions = topics.flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
        partitions
            .map(|partition| Self {
                partition: partition.partition_index,
                error: ErrorCode::from_i16(partition.error_code).expect("a known code"),
                high_watermark: partition.high_watermark,
                log_start_offset: partition.log_start_offset,
                records: partition.records.as_wire().expect("not null").to_vec(),
            })
            .collect()
    }

    /// Values of all records.
    pub fn values(&self) -> Vec<String> {
        let mut values = Vec::new();
        for batch in kafka::batch::batches(&self.records) {
            let (_, bytes) = batch.expect("a whole batch");
            kafka::batch::for_each_record(bytes, 1 << 20, |record| {
                let value = record.value.expect("a value");
                values.push(String::from_utf8(value.into_owned()).expect("text"));
                true
            })
            .expect("readable records");
        }
        values
    }
}

pub fn produce_request<'a>(
    topic: &'a str,
    partition: i32,
    batch: &'a [u8],
    acks: i16,
) -> ProduceRequest<'a> {
    let data = PartitionProduceData {
        index: partition,
        records: batch.into(),
    };
    let topic = TopicProduceData {
        name: topic.into(),
        partition_data: vec![data].into(),
        ..TopicProduceData::default()
    };
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![topic].into(),
        ..ProduceRequest::default()
    }
}

pub fn fetch_request<'a>(
    topic: &'a str,
    partitions: &[(i32, i64)],
    wait_ms: i32,
    bytes_min: i32,
) -> FetchRequest<'a> {
    let partitions = partitions.iter().map(|(partition, offset)| FetchPartition {
        partition: *partition,
        fetch_offset: *offset,
        current_leader_epoch: -1,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    });
    let topic = FetchTopic {
        topic: topic.into(),
        partitions: partitions.collect(),
        ..FetchTopic::default()
    };
    FetchRequest {
        max_wait_ms: wait_ms,
        min_bytes: bytes_min,
        max_bytes: 50 << 20,
        topics: vec![topic].into(),
        ..FetchRequest::default()
    }
}

/// One batch of these values.
pub fn batch(values: &[&str]) -> Vec<u8> {
    batch_of(BatchBuilder::new(Compression::None), values)
}

/// One batch of an idempotent producer.
pub fn idempotent(producer: ProducerId, epoch: i16, sequence: i32, values: &[&str]) -> Vec<u8> {
    let builder = BatchBuilder::new(Compression::None);
    batch_of(
        builder.producer(producer, ProducerEpoch(epoch), sequence),
        values,
    )
}

fn batch_of(mut builder: BatchBuilder, values: &[&str]) -> Vec<u8> {
    for value in values {
        builder.push(NOW, None, Some(value.as_bytes()), &[]);
    }
    builder.finish()
}

/// Reads a message out of bytes that no client decoded yet.
pub fn decode_body<'a, M: Message<'a>>(bytes: &'a [u8], version: i16) -> M {
    M::decode(&mut Reader::new(bytes), version).expect("a body")
}
