//! Starting and stopping nodes, and a blocking client that speaks in messages.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use base::{ProducerEpoch, ProducerId, ShardId, TimestampMs, TopicId};
use broker::{Broker, Settings};
use kafka::{
    Message,
    batch::{BatchBuilder, Compression},
    error::ErrorCode,
    messages::{
        create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse},
        fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic},
        produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData},
    },
    wire::{Reader, RequestHeader, Str, decode_response_header, encode_request},
};
use runtime::{Class, Running};

/// A directory of its own, removed at the end.
pub struct TestDir(PathBuf);

impl TestDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("forebay-broker-it-{}-{n}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).expect("a writable temporary directory");
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running node.
pub struct Node {
    running: Option<Running>,
    pub address: SocketAddr,
}

/// Settings small enough for many nodes in one test run.
pub fn settings(dir: &TestDir) -> Settings {
    let mut settings = Settings::new(dir.path().join("data"));
    settings.store.journal_file_bytes = 4 << 20;
    settings.store.journal_files_max = 4;
    settings.store.cache_bytes = 16 << 20;
    settings.store.free_bytes_min = 0;
    settings.store.free_bytes_warn = 0;
    settings.offsets_partitions = 2;
    settings
}

impl Node {
    pub fn start(settings: Settings, shards: u16) -> Self {
        let (sender, receiver) = mpsc::channel();
        let config = runtime::Config {
            shards,
            stall: Duration::from_secs(1),
            ..runtime::Config::default()
        };
        let main = move || {
            let (settings, sender) = (settings.clone(), sender.clone());
            async move {
                let (broker, _) = Broker::open(settings).await.expect("the node opens");
                if runtime::shard() == ShardId(0) {
                    let any = "127.0.0.1:0".parse().expect("an address");
                    let listener = runtime::net::TcpListener::bind(any).await.expect("a port");
                    let address = listener.local_addr();
                    broker.serve(listener).await;
                    sender.send(address).expect("the test waits for it");
                }
                broker.stopped().await;
            }
        };
        let running = runtime::start(config, main).expect("shards start");
        let address = receiver
            .recv_timeout(Duration::from_secs(20))
            .expect("the node serves");
        Self {
            running: Some(running),
            address,
        }
    }

    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(running) = self.running.take() {
            let handle = running.handle();
            let stop = || async { Broker::local().stop().await };
            handle.call_blocking(ShardId(0), Class::Admin, "stop", stop);
            running.join().expect("shards end well");
        }
    }

    /// Sum of a counter over all shards.
    pub fn metric(&self, read: impl Fn(&broker::MetricsSnapshot) -> u64) -> u64 {
        let handle = self.running.as_ref().expect("it runs").handle();
        let shards = (0..handle.shard_count()).map(|shard| {
            let snapshot = || async { Broker::local().metrics_snapshot() };
            handle.call_blocking(ShardId(shard), Class::Admin, "metrics", snapshot)
        });
        shards.map(|snapshot| read(&snapshot)).sum()
    }

    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the node listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a socket option");
        stream.set_nodelay(true).expect("a socket option");
        Client { stream, next: 1 }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// A received response, without its size.
pub struct Frame {
    pub bytes: Vec<u8>,
    key: i16,
    version: i16,
}

impl Frame {
    pub fn decode<'a, M: Message<'a>>(&'a self) -> M {
        let (_, mut reader) =
            decode_response_header(&self.bytes, self.key, self.version).expect("a header");
        M::decode(&mut reader, self.version).expect("a body")
    }
}

/// One blocking connection.
pub struct Client {
    pub stream: TcpStream,
    next: i32,
}

impl Client {
    pub fn send<'a, M: Message<'a>>(&mut self, version: i16, body: &M) -> i32 {
        let correlation_id = self.next;
        self.next += 1;
        let header = RequestHeader {
            api_key: M::API_KEY,
            api_version: version,
            correlation_id,
            client_id: Some("it"),
        };
        let frame = encode_request(&header, body).expect("an encodable request");
        self.stream
            .write_all(&frame.to_vec())
            .expect("the node reads");
        correlation_id
    }

    /// The next response, which must be that of `correlation_id`.
    pub fn receive(&mut self, key: i16, version: i16, correlation_id: i32) -> Frame {
        let bytes = self.read_frame().expect("an answer");
        let found = i32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
        assert_eq!(found, correlation_id, "answers come in request order");
        Frame {
            bytes,
            key,
            version,
        }
    }

    /// A frame's bytes, or `None` when the node has closed the connection.
    pub fn read_frame(&mut self) -> Option<Vec<u8>> {
        let mut size = [0; 4];
        if self.stream.read_exact(&mut size).is_err() {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(i32::from_be_bytes(size)).expect("a size")];
        self.stream.read_exact(&mut bytes).expect("a whole frame");
        Some(bytes)
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
        let frame = self.try_create_topic(name, partitions, configs);
        let response: CreateTopicsResponse<'_> = frame.decode();
        let result = response.topics.iter().next().expect("one topic");
        assert_eq!(result.error_code, 0, "{name}: {:?}", result.error_message);
        result.topic_id
    }

    pub fn try_create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Frame {
        let configs = configs.iter().map(|(name, value)| {
            kafka::messages::create_topics::CreatableTopicConfig {
                name: (*name).into(),
                value: Some((*value).into()),
            }
        });
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: -1,
            configs: configs.collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic].into(),
            timeout_ms: 1000,
            validate_only: false,
        };
        self.call(7, &request)
    }

    /// Sends one batch with acks=all and returns its outcome.
    pub fn produce(&mut self, topic: &str, partition: i32, batch: &[u8]) -> Produced {
        let frame = self.call(9, &produce_request(topic, partition, batch, -1));
        Produced::of(&frame)
    }

    /// Fetches one partition from an offset without a session.
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64, wait_ms: i32) -> Fetched {
        let frame = self.call(
            12,
            &fetch_request(topic, &[(partition, offset)], wait_ms, 1),
        );
        let mut all = Fetched::all(&frame);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }
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
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_millis()).expect("a time");
    for value in values {
        builder.push(TimestampMs(now), None, Some(value.as_bytes()), &[]);
    }
    builder.finish()
}

/// Reads a message out of bytes that no client decoded yet.
pub fn decode_body<'a, M: Message<'a>>(bytes: &'a [u8], version: i16) -> M {
    M::decode(&mut Reader::new(bytes), version).expect("a body")
}
