//! What the clients of a node's run do: produce, consume in a group, commit, and in the end read everything.

use crate::{node_run::Shared, record_checker::RecordId};
use base::{Offset, PartitionIndex};
use client::{
    Acks, Client, ClientConfig, Consumer, ConsumerConfig, Delivery, Fetched, Producer,
    ProducerConfig, ProducerRecord, Start,
    admin::{NewTopic, OffsetSpec},
    consumer::GroupConfig,
};
use kafka::{batch::Compression, error::ErrorCode};
use runtime::Class;
use std::{collections::BTreeMap, rc::Rc, time::Duration};

const TOPIC: &str = "ledger";
/// Consumers that share the topic.
const GROUP: &str = "readers";
/// A group without members: offsets committed from outside.
const OUTSIDE: &str = "outside";

fn below(bound: u64) -> u64 {
    runtime::random_u64() % bound.max(1)
}

async fn pause(range: (Duration, Duration)) {
    let (low, high) = (range.0.as_micros() as u64, range.1.as_micros() as u64);
    runtime::sleep(Duration::from_micros(low + below(high - low + 1))).await;
}

/// Starts the workload on the clients' machine.
pub(crate) fn start(shared: &Rc<Shared>) {
    drop(runtime::spawn(
        Class::Admin,
        "create",
        create_topic(shared.clone()),
    ));
    for _ in 0..shared.plan.producers {
        drop(runtime::spawn(
            Class::Produce,
            "producer",
            produce(shared.clone()),
        ));
    }
    for _ in 0..shared.plan.consumers {
        drop(runtime::spawn(
            Class::Fetch,
            "consumer",
            consume(shared.clone()),
        ));
    }
    drop(runtime::spawn(
        Class::Admin,
        "watch",
        watch_groups(shared.clone()),
    ));
    drop(runtime::spawn(
        Class::Admin,
        "commit",
        commit_outside(shared.clone()),
    ));
}

/// A client of its own, connected as soon as the node answers.
async fn connect(shared: &Shared) -> Client {
    loop {
        let mut config = ClientConfig::new(vec![shared.address().to_string()]);
        // Longer than any stall or split of a run: a request that is given up while it is under way could overtake
        // its successor on another connection.
        config.request_timeout = Duration::from_secs(30);
        config.api_timeout = Duration::from_secs(90);
        match Client::connect(config).await {
            Ok(client) => return client,
            Err(_) => runtime::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn create_topic(shared: Rc<Shared>) {
    let client = connect(&shared).await;
    loop {
        let topic = NewTopic::new(TOPIC, shared.plan.partitions);
        match client.admin().create_topic(&topic).await {
            Ok(_) => break,
            // The answer to an earlier try was lost.
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => break,
            Err(_) => runtime::sleep(Duration::from_millis(100)).await,
        }
    }
    shared.has_topic.set(true);
}

async fn topic_made(shared: &Shared) {
    while !shared.has_topic.get() {
        runtime::sleep(Duration::from_millis(20)).await;
    }
}

fn partitions(shared: &Shared) -> impl Iterator<Item = PartitionIndex> + use<> {
    (0..shared.plan.partitions).map(PartitionIndex)
}

// ---- producing ----

async fn produce(shared: Rc<Shared>) {
    topic_made(&shared).await;
    while !shared.is_draining.get() {
        produce_one_life(&shared).await;
    }
    shared.producers_done.set(shared.producers_done.get() + 1);
}

/// One producer, until it vanishes with what it had under way, or is drained.
async fn produce_one_life(shared: &Rc<Shared>) {
    let client = connect(shared).await;
    let number = shared.producers_made.get() + 1;
    shared.producers_made.set(number);
    let compressions = [Compression::None, Compression::Lz4, Compression::Zstd];
    let config = ProducerConfig {
        acks: Acks::All,
        idempotent: true,
        compression: compressions[below(3) as usize],
        batch_bytes: 256 << below(6),
        linger: Duration::from_millis(below(4)),
        buffer_bytes: 256 << 10,
        in_flight_max: 1 + below(5) as usize,
        ..ProducerConfig::default()
    };
    let producer = Producer::new(&client, config);
    let mut sequence = 0;
    let mut turns = 20 + below(2000);
    while turns > 0 && !shared.is_draining.get() {
        turns -= 1;
        pause(shared.plan.think).await;
        for _ in 0..=below(shared.plan.burst_max) {
            sequence += 1;
            let id = RecordId {
                producer: number,
                sequence,
            };
            if !send(shared, &producer, id).await {
                return;
            }
        }
    }
    if shared.is_draining.get() {
        // What failed before was told to the deliveries.
        let _ = producer.flush().await;
    }
}

/// Sends one record; false when the producer is of no use any more.
async fn send(shared: &Rc<Shared>, producer: &Producer, id: RecordId) -> bool {
    let mut value = vec![id.sequence as u8; 16 + below(shared.plan.record_bytes_max) as usize];
    value[..16].copy_from_slice(&id.encode());
    let partition = PartitionIndex(below(shared.plan.partitions as u64) as i32);
    let record = ProducerRecord {
        topic: TOPIC,
        partition: Some(partition),
        value: Some(&value),
        ..ProducerRecord::default()
    };
    match producer.send(record).await {
        Ok(delivery) => {
            let shared = shared.clone();
            let acknowledge = acknowledge(shared, delivery, id);
            drop(runtime::spawn(Class::Produce, "acknowledged", acknowledge));
            true
        }
        Err(error) => {
            shared.note(|| format!("{:?} send {id:?}: {error}", runtime::now()));
            false
        }
    }
}

async fn acknowledge(shared: Rc<Shared>, delivery: Delivery, id: RecordId) {
    match delivery.ack().await {
        Ok(ack) => {
            shared.note(|| format!("{:?} acknowledged {id:?} {ack:?}", runtime::now()));
            let mut history = shared.history.borrow_mut();
            history.on_acknowledged(id, ack.partition, ack.offset);
        }
        // It may be in the log or not.
        Err(error) => shared.note(|| format!("{:?} failed {id:?}: {error}", runtime::now())),
    }
}

// ---- consuming ----

async fn consume(shared: Rc<Shared>) {
    topic_made(&shared).await;
    while !shared.is_over.get() {
        consume_one_life(&shared).await;
    }
}

/// One member of the group, until it leaves or vanishes.
async fn consume_one_life(shared: &Rc<Shared>) {
    let client = connect(shared).await;
    let group = GroupConfig {
        session_timeout: Duration::from_secs(6),
        rebalance_timeout: Duration::from_secs(10),
        heartbeat_interval: Duration::from_secs(1),
        auto_commit: None,
        ..GroupConfig::new(GROUP)
    };
    let config = ConsumerConfig {
        group: Some(group),
        partition_bytes_max: 1 << (8 + below(8)),
        ..ConsumerConfig::default()
    };
    let consumer = Consumer::new(&client, config);
    consumer.subscribe(&[TOPIC.to_owned()]);
    let mut turns = 50 + below(300);
    while turns > 0 && !shared.is_over.get() {
        turns -= 1;
        match consumer.poll(Duration::from_millis(200)).await {
            Ok(all) => all.iter().for_each(|fetched| on_fetched(shared, fetched)),
            Err(error) => {
                shared.note(|| format!("{:?} poll: {error}", runtime::now()));
                runtime::sleep(Duration::from_millis(100)).await;
            }
        }
        if below(4) == 0 {
            // What failed is committed with the next one.
            let _ = consumer.commit_all().await;
        }
    }
    if below(2) == 0 {
        let _ = consumer.close().await;
    }
}

/// Whole, in order, without a gap, and what everybody else was told.
fn on_fetched(shared: &Shared, fetched: &Fetched) {
    let mut expected = fetched.from;
    let mut history = shared.history.borrow_mut();
    let whole = fetched.for_each(|record| {
        assert_eq!(record.offset, expected, "{:?}", fetched.partition);
        expected = expected.plus(1);
        history.on_read((fetched.partition, record.offset), record.value.as_deref());
        true
    });
    whole.unwrap_or_else(|error| panic!("{:?} at {}: {error}", fetched.partition, fetched.from));
    assert_eq!(fetched.next, expected, "{:?}", fetched.partition);
    assert!(
        fetched.next <= fetched.high_watermark,
        "{:?}: read to {} over the high watermark {}",
        fetched.partition,
        fetched.next,
        fetched.high_watermark
    );
}

// ---- committed offsets ----

async fn watch_groups(shared: Rc<Shared>) {
    let client = connect(&shared).await;
    while !shared.is_over.get() {
        pause((Duration::from_millis(50), Duration::from_secs(2))).await;
        for group in [GROUP, OUTSIDE] {
            drop(read_committed(&shared, &client, group).await);
        }
    }
}

async fn read_committed(
    shared: &Shared,
    client: &Client,
    group: &'static str,
) -> Option<BTreeMap<PartitionIndex, Offset>> {
    let before = shared.history.borrow().committed(group);
    match client.admin().committed(group).await {
        Ok(found) => {
            let found: BTreeMap<_, _> = found
                .into_iter()
                .map(|((_, partition), committed)| (partition, committed.offset))
                .collect();
            shared.note(|| format!("{:?} {group} committed {found:?}", runtime::now()));
            let mut history = shared.history.borrow_mut();
            history.on_committed_read(group, &before, &found);
            Some(found)
        }
        Err(error) => {
            shared.note(|| format!("{:?} {group} committed: {error}", runtime::now()));
            None
        }
    }
}

/// Commits ever larger offsets from outside the group; each that is answered is a promise.
async fn commit_outside(shared: Rc<Shared>) {
    topic_made(&shared).await;
    let client = connect(&shared).await;
    let mut offset = Offset::ZERO;
    while !shared.is_over.get() {
        pause((Duration::from_millis(10), Duration::from_millis(500))).await;
        offset = offset.plus(1);
        let offsets: BTreeMap<_, _> = partitions(&shared)
            .map(|partition| ((TOPIC.to_owned(), partition), offset))
            .collect();
        match client.admin().reset_offsets(OUTSIDE, &offsets).await {
            Ok(()) => {
                let mut history = shared.history.borrow_mut();
                for partition in partitions(&shared) {
                    history.on_committed(OUTSIDE, partition, offset);
                }
            }
            Err(error) => shared.note(|| format!("{:?} commit: {error}", runtime::now())),
        }
    }
}

// ---- at the end ----

/// Reads every partition from its start to its end and compares with all that was told before.
pub(crate) async fn read_all(shared: Rc<Shared>) {
    let client = connect(&shared).await;
    let consumer = Consumer::new(&client, ConsumerConfig::default());
    let wanted: Vec<_> = partitions(&shared)
        .map(|partition| ((Rc::<str>::from(TOPIC), partition), Start::Beginning))
        .collect();
    until_done(async || consumer.assign(&wanted).await).await;
    let ends = ends(&shared, &client).await;
    let is_whole = || {
        let positions = consumer.positions();
        ends.iter().all(|(partition, end)| {
            let at = positions.get(&(Rc::<str>::from(TOPIC), *partition));
            at.is_some_and(|at| at >= end)
        })
    };
    while !is_whole() {
        if let Ok(all) = consumer.poll(Duration::from_millis(500)).await {
            all.iter().for_each(|fetched| on_fetched(&shared, fetched));
        }
    }
    let history = shared.history.borrow();
    for (partition, end) in &ends {
        let ids: Vec<_> = (0..end.0)
            .map(|offset| history.record((*partition, Offset(offset))))
            .map(|id| id.expect("it was read just now"))
            .collect();
        history.on_whole(*partition, &ids);
    }
    history.on_all_read();
}

/// The high watermark of each partition.
async fn ends(shared: &Shared, client: &Client) -> BTreeMap<PartitionIndex, Offset> {
    let mut ends = BTreeMap::new();
    for partition in partitions(shared) {
        let admin = client.admin();
        let listed = until_done(async || {
            admin
                .list_offset(TOPIC, partition, OffsetSpec::Latest)
                .await
        })
        .await;
        ends.insert(partition, listed.offset.expect("a partition has an end"));
    }
    ends
}

/// The group's committed offsets reach the end of every partition.
pub(crate) async fn groups_catch_up(shared: Rc<Shared>) {
    let client = connect(&shared).await;
    let ends = ends(&shared, &client).await;
    loop {
        let found = read_committed(&shared, &client, GROUP).await;
        let found = found.unwrap_or_default();
        let is_done = |(partition, end): (&PartitionIndex, &Offset)| {
            *end == Offset::ZERO || found.get(partition) == Some(end)
        };
        if ends.iter().all(is_done) {
            return;
        }
        runtime::sleep(Duration::from_millis(500)).await;
    }
}

/// Repeats a request until it is answered.
async fn until_done<T, E>(mut request: impl AsyncFnMut() -> Result<T, E>) -> T {
    loop {
        match request().await {
            Ok(value) => return value,
            Err(_) => runtime::sleep(Duration::from_millis(100)).await,
        }
    }
}
