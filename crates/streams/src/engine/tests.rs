//! The engine over a log in memory: records that hold no row, times from the future, pipelines that stop, other clusters.

mod delivery;

mod altering;
mod budget;
mod faults;
mod replace;
mod writers;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    future::Future,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use base::{Offset, PartitionIndex, PartitionKey, TimestampMs, TopicId};
use kafka::batch::{BatchBuilder, Compression, Records, batches};
use runtime::{
    Instant,
    sim::{DiskFaults, Sim, SimConfig},
};

use super::{Engine, NewRelation, PlantedBugs, ReadAt, RowsOf};
use crate::{
    Definition, Delta, Operator, Plan,
    definition::{Index, Metadata, OnMalformed, Source, View, Watermark},
    format::Format,
    log::{EpochWriter, Extent, ExternalTopic, LocalFuture, LogError, TopicLog, TopicShape},
    plan::{Aggregate, AggregateFunction, Input},
    source::{Decoded, SourceReader},
};

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Topic {
    name: String,
    /// Batches one behind the other, and the offset behind them.
    partitions: Vec<(Vec<u8>, i64)>,
}

#[derive(Default)]
struct Memory {
    topics: RefCell<Vec<Topic>>,
    /// What producers have written: partition, producer, first sequence.
    produced: RefCell<BTreeSet<(PartitionKey, i64, i32)>>,
    faults: Faults,
    /// Of partitions that were trimmed.
    starts: RefCell<BTreeMap<PartitionKey, Offset>>,
    /// Of all topics that are elsewhere.
    elsewhere: RefCell<Option<Rc<dyn EpochWriter>>>,
}

/// What goes wrong until it is said otherwise.
#[derive(Default)]
struct Faults {
    append: RefCell<Option<LogError>>,
    producer: RefCell<Option<LogError>>,
    read: RefCell<Option<LogError>>,
    /// A topic that seems to be gone.
    hidden: RefCell<Option<&'static str>>,
    /// A topic whose records do not come.
    stuck: RefCell<Option<TopicId>>,
    /// Partitions that are trimmed just before the next read.
    trims: RefCell<BTreeMap<PartitionKey, Offset>>,
}

fn fault(of: &RefCell<Option<LogError>>) -> Result<(), LogError> {
    of.borrow().clone().map_or(Ok(()), Err)
}

fn id_of(at: usize) -> TopicId {
    TopicId([at as u8 + 1; 16])
}

impl Memory {
    fn at<R>(&self, key: PartitionKey, work: impl FnOnce(&mut (Vec<u8>, i64)) -> R) -> R {
        let mut topics = self.topics.borrow_mut();
        let at = (0..topics.len()).find(|at| id_of(*at) == key.topic);
        let topic = &mut topics[at.expect("the topic was made")];
        work(&mut topic.partitions[key.partition.0 as usize])
    }

    fn make(&self, name: &str, partitions: i32) -> TopicShape {
        let mut topics = self.topics.borrow_mut();
        let at = topics.iter().position(|topic| topic.name == name);
        let at = at.unwrap_or_else(|| {
            topics.push(Topic {
                name: name.to_owned(),
                partitions: vec![(Vec::new(), 0); partitions as usize],
            });
            topics.len() - 1
        });
        TopicShape {
            id: id_of(at),
            partitions: topics[at].partitions.len() as i32,
        }
    }

    fn put(&self, name: &str, partition: i32, records: &[(Option<&str>, &str)]) {
        let key = PartitionKey {
            topic: self.topic(name).expect("the topic was made").id,
            partition: PartitionIndex(partition),
        };
        let mut builder = BatchBuilder::new(Compression::None);
        for (at, (record_key, value)) in records.iter().enumerate() {
            let headers: &[(&str, Option<&[u8]>)] = &[("own", Some(b"header"))];
            builder.push(
                TimestampMs(1_000 * (at as i64 + 1)),
                record_key.map(str::as_bytes),
                Some(value.as_bytes()),
                headers,
            );
        }
        self.put_batch(key, builder.finish());
    }

    fn put_batch(&self, key: PartitionKey, mut batch: Vec<u8>) -> Offset {
        self.at(key, |(bytes, end)| {
            batch[..8].copy_from_slice(&end.to_be_bytes());
            let (header, _) = batches(&batch)
                .next()
                .expect("a batch")
                .expect("a sound one");
            *end = header.last_offset().0 + 1;
            bytes.extend_from_slice(&batch);
            Offset(*end)
        })
    }

    /// Values of a topic's records with their headers.
    fn records(&self, name: &str) -> Vec<(String, BTreeMap<String, String>)> {
        let topics = self.topics.borrow();
        let topic = topics
            .iter()
            .find(|topic| topic.name == name)
            .expect("the topic");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut all = Vec::new();
        for (bytes, _) in &topic.partitions {
            for batch in batches(bytes) {
                let (_, batch) = batch.expect("a sound batch");
                let mut records = Records::new(batch, 1 << 20).expect("plain records");
                while let Some(record) = records.next_record().expect("sound records") {
                    let headers = record.headers().into_iter();
                    let headers = headers.map(|(name, value)| {
                        (name.to_string(), text(value.as_deref().unwrap_or_default()))
                    });
                    all.push((text(record.value.unwrap_or_default()), headers.collect()));
                }
            }
        }
        all
    }
}

fn done<'a, T: 'a>(value: T) -> LocalFuture<'a, T> {
    Box::pin(async move { value })
}

impl TopicLog for Memory {
    fn topic(&self, name: &str) -> Option<TopicShape> {
        let is_there = self.topics.borrow().iter().any(|topic| topic.name == name);
        let is_there = is_there && *self.faults.hidden.borrow() != Some(name);
        is_there.then(|| self.make(name, 0))
    }

    fn ensure_topic(
        &self,
        name: String,
        partitions: i32,
        _keeps_all: bool,
    ) -> LocalFuture<'_, Result<TopicShape, LogError>> {
        done(Ok(self.make(&name, partitions.max(1))))
    }

    fn delete_topic(&self, name: String) -> LocalFuture<'_, Result<(), LogError>> {
        let mut topics = self.topics.borrow_mut();
        // Ids go by place: it stays, without its name.
        for topic in topics.iter_mut().filter(|topic| topic.name == name) {
            topic.name = String::new();
        }
        done(Ok(()))
    }

    fn extents(&self, partitions: Vec<PartitionKey>) -> LocalFuture<'_, Vec<Option<Extent>>> {
        let extent = |key: &PartitionKey| {
            let start = self.starts.borrow().get(key).copied();
            Some(Extent {
                log_start_offset: start.unwrap_or_default(),
                high_watermark: Offset(self.at(*key, |(_, end)| *end)),
            })
        };
        done(partitions.iter().map(extent).collect())
    }

    fn wait(&self, _seen: Vec<(PartitionKey, Offset)>, deadline: Instant) -> LocalFuture<'_, ()> {
        Box::pin(runtime::sleep_until(deadline))
    }

    fn read(
        &self,
        partition: PartitionKey,
        from: Offset,
        until: Offset,
        _bytes_max: usize,
        reader: Arc<SourceReader>,
    ) -> LocalFuture<'_, Result<Decoded, LogError>> {
        Box::pin(async move {
            fault(&self.faults.read)?;
            if *self.faults.stuck.borrow() == Some(partition.topic) {
                std::future::pending::<()>().await;
            }
            let trimmed = self.faults.trims.take().into_iter();
            self.starts.borrow_mut().extend(trimmed);
            let start = self.starts.borrow().get(&partition).copied();
            if let Some(start) = start.filter(|start| from < *start) {
                return Err(LogError::Trimmed {
                    wanted: from,
                    start,
                });
            }
            let bytes = self.at(partition, |(bytes, _)| bytes.clone());
            let decoded = reader.decode(partition.partition.0, &bytes, from, until);
            decoded
                .await
                .map_err(|error| LogError::Refused(error.to_string()))
        })
    }

    fn append(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<Offset, LogError>> {
        let appended = fault(&self.faults.append);
        done(appended.map(|()| self.put_batch(partition, batch)))
    }

    fn produce(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<(), LogError>> {
        let (header, _) = batches(&batch)
            .next()
            .expect("a batch")
            .expect("a sound one");
        let first = (partition, header.producer_id.0, header.base_sequence);
        if self.produced.borrow_mut().insert(first) {
            self.put_batch(partition, batch);
        }
        done(Ok(()))
    }

    fn trim(&self, key: PartitionKey, to: Offset) -> LocalFuture<'_, Result<(), LogError>> {
        self.starts.borrow_mut().insert(key, to);
        done(Ok(()))
    }

    fn epoch_writer(&self, topic: &str, _sink: u64) -> Option<Rc<dyn EpochWriter>> {
        ExternalTopic::parse(topic)?;
        self.elsewhere.borrow().clone()
    }

    fn batches(
        &self,
        partition: PartitionKey,
        from: Offset,
        _bytes_max: usize,
    ) -> LocalFuture<'_, Result<(Offset, Vec<u8>), LogError>> {
        let start = self.starts.borrow().get(&partition).copied();
        let from = from.max(start.unwrap_or_default());
        let behind = |(bytes, _): &mut (Vec<u8>, i64)| {
            let found = batches(bytes).map(|batch| batch.expect("a sound batch"));
            let behind = found.filter(|(header, _)| header.last_offset() >= from);
            behind.flat_map(|(_, bytes)| bytes.to_vec()).collect()
        };
        done(Ok((from, self.at(partition, behind))))
    }

    fn producer_id(&self) -> LocalFuture<'_, Result<i64, LogError>> {
        done(fault(&self.faults.producer).map(|()| 7))
    }
}

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields = fields.iter();
    let fields = fields.map(|(name, of)| Field::new(*name, of.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn source(on_malformed: OnMalformed) -> Source {
    let fields = [
        ("n", DataType::Int64),
        ("at", TIME),
        ("place", DataType::Int64),
        ("name", DataType::Utf8),
    ];
    Source {
        topic: "in".to_owned(),
        schema: schema(&fields),
        format: Format::Json { paths: Vec::new() },
        metadata: BTreeMap::from([(2, Metadata::Offset), (3, Metadata::Key)]),
        watermark: Some(Watermark {
            column: 1,
            delay_us: 0,
            future_us_max: 1_000_000,
        }),
        on_malformed,
    }
}

fn input(relation: &str, columns: &[usize]) -> (Operator, SchemaRef) {
    let all = source(OnMalformed::Skip).schema;
    let input = Input {
        relation: relation.to_owned(),
        columns: columns.to_vec(),
        is_append_only: true,
        time: columns.iter().position(|column| *column == 1),
    };
    let schema = Arc::new(all.project(columns).expect("columns that are there"));
    (Operator::Input(input), schema)
}

/// These columns of a relation, as they are.
fn view(relation: &str, columns: &[usize]) -> Definition {
    let mut plan = Plan::default();
    let (operator, schema) = input(relation, columns);
    plan.add(operator, &[], schema);
    Definition::View(View { plan, key: None })
}

/// How often each number is there; or how many there are.
fn counts(relation: &str) -> Definition {
    counted(relation, &[0])
}

fn counted(relation: &str, keys: &[usize]) -> Definition {
    let mut plan = Plan::default();
    let (operator, columns) = input(relation, &[0]);
    let rows = plan.add(operator, &[], columns);
    let aggregates = vec![Aggregate {
        function: AggregateFunction::Count,
        arguments: Vec::new(),
        distinct: false,
        filter: None,
        order: Vec::new(),
    }];
    let all = [("n", DataType::Int64), ("count", DataType::Int64)];
    let columns = schema(&all[1 - keys.len()..]);
    let key = Some(keys.to_vec());
    let keys = keys.to_vec();
    plan.add(Operator::Aggregate { keys, aggregates }, &[rows], columns);
    Definition::View(View { plan, key })
}

async fn make(
    engine: &Rc<Engine>,
    id: u64,
    name: &str,
    definition: Definition,
) -> Result<(), String> {
    let new = new(id, name, definition);
    let prepared = engine.prepare(&new).await;
    prepared.map_err(|error| error.to_string())?;
    let created = engine.create(new).await;
    created.map_err(|error| error.to_string())
}

async fn rows_of(engine: &Rc<Engine>, name: &str) -> Result<usize, String> {
    engine.flush().await.map_err(|error| error.to_string())?;
    let names = vec![name.to_owned()];
    let found = engine.snapshot(names, ReadAt::default()).await;
    match &found.map_err(|error| error.to_string())?.rows[name] {
        RowsOf::View(rows) => Ok(rows.batches().iter().map(|rows| rows.num_rows()).sum()),
        RowsOf::Source(_) => Ok(0),
    }
}

/// Runs it on a simulated shard with an engine over a topic of two partitions.
fn on_engine<F: Future<Output = ()> + 'static>(
    test: impl FnOnce(Rc<Memory>, Rc<Engine>) -> F + 'static,
) {
    on_log(async move |log| {
        let engine = start(&log, "data", Vec::new(), usize::MAX).await;
        test(log, engine).await;
    });
}

/// As above, without an engine.
fn on_log<F: Future<Output = ()> + 'static>(test: impl FnOnce(Rc<Memory>) -> F + 'static) {
    on_disk(DiskFaults::none(), test);
}

fn on_disk<F: Future<Output = ()> + 'static>(
    disk: DiskFaults,
    test: impl FnOnce(Rc<Memory>) -> F + 'static,
) {
    let sim = Sim::new(SimConfig {
        disk,
        ..SimConfig::new(1)
    });
    let node = sim.host("node", 1, std::future::pending::<()>);
    sim.run_for(Duration::from_millis(1));
    let ended = sim.run_on(node, LIMIT, async move {
        let log = Rc::new(Memory::default());
        log.make("in", 2);
        test(log).await;
    });
    assert!(ended.is_some(), "it takes too long");
}

async fn start(
    log: &Rc<Memory>,
    dir: &str,
    relations: Vec<NewRelation>,
    state_bytes_max: usize,
) -> Rc<Engine> {
    let (log, dir, none) = (log.clone(), Path::new(dir), PlantedBugs::default());
    let started = Engine::start(log, dir, relations, none, state_bytes_max);
    started.await.expect("a checkpoint is whole or not there")
}

fn new(id: u64, name: &str, definition: Definition) -> NewRelation {
    NewRelation {
        id,
        name: name.to_owned(),
        definition,
    }
}

const BAD: [(Option<&str>, &str); 3] = [
    (Some("a"), r#"{"n": 1, "at": "1970-01-01 00:00:01"}"#),
    (Some("b"), r#"{"n": "x"}"#),
    (None, r#"{"n": 2}"#),
];

#[test]
fn dead_letters_are_written_once_and_say_where_they_are_from() {
    on_engine(|log, engine| async move {
        log.put("in", 1, &BAD);
        let topic = "bad".to_owned();
        let policy = OnMalformed::DeadLetter { topic };
        let made = make(&engine, 1, "s", Definition::Source(source(policy))).await;
        made.expect("a source");
        make(&engine, 2, "one", view("s", &[0, 2, 3]))
            .await
            .expect("a view");
        make(&engine, 3, "two", counts("s")).await.expect("a view");
        // A view that reads no such column has no trouble with the record.
        make(&engine, 4, "three", view("s", &[3]))
            .await
            .expect("a view");
        assert_eq!(rows_of(&engine, "one").await, Ok(2));
        assert_eq!(rows_of(&engine, "three").await, Ok(3));
        let letters = log.records("bad");
        let [(value, headers)] = &letters[..] else {
            panic!("{letters:?}");
        };
        assert_eq!(value, BAD[1].1);
        let said = |name: &str| headers.get(name).map(String::as_str);
        assert_eq!(said("own"), Some("header"));
        assert_eq!(said("forebay.topic"), Some("in"));
        assert_eq!(said("forebay.partition"), Some("1"));
        assert_eq!(said("forebay.offset"), Some("1"));
        let why = "column n, at byte 6: not a value of type bigint";
        assert_eq!(said("forebay.error"), Some(why));
        let report = engine.report().await.expect("the engine runs");
        let counted: u64 = report.pipelines.iter().map(|p| p.counts.dead_letters).sum();
        assert_eq!(counted, 1);
    });
}

#[test]
fn a_malformed_record_stops_who_reads_it_and_nobody_else() {
    on_engine(|log, engine| async move {
        let stops = Definition::Source(source(OnMalformed::Stop));
        make(&engine, 1, "s", stops).await.expect("a source");
        let skips = Definition::Source(source(OnMalformed::Skip));
        make(&engine, 2, "t", skips).await.expect("a source");
        make(&engine, 3, "strict", counts("s"))
            .await
            .expect("a view");
        make(&engine, 4, "lax", counts("t")).await.expect("a view");
        make(&engine, 5, "above", view("strict", &[0]))
            .await
            .expect("a view of a view");
        log.put("in", 1, &BAD);
        assert_eq!(rows_of(&engine, "lax").await, Ok(2));
        let stopped = rows_of(&engine, "strict")
            .await
            .expect_err("it has stopped");
        assert!(
            stopped.contains("topic \"in\", partition 1, offset 1: column n"),
            "{stopped}"
        );
        let above = rows_of(&engine, "above")
            .await
            .expect_err("it has stopped too");
        assert!(
            above.contains("\"strict\", which it reads, has stopped"),
            "{above}"
        );
    });
}

#[test]
fn times_from_the_future_move_no_watermark() {
    on_engine(|log, engine| async move {
        let policy = OnMalformed::Skip;
        let made = make(&engine, 1, "s", Definition::Source(source(policy))).await;
        made.expect("a source");
        make(&engine, 2, "v", view("s", &[0, 1]))
            .await
            .expect("a view");
        let near = r#"{"n": 1, "at": "1970-01-01 00:00:01"}"#;
        let far = r#"{"n": 2, "at": "9999-01-01 00:00:01"}"#;
        for partition in 0..2 {
            log.put("in", partition, &[(None, near), (None, far)]);
        }
        assert_eq!(rows_of(&engine, "v").await, Ok(4));
        let report = engine.report().await.expect("the engine runs");
        assert_eq!(report.pipelines[0].watermark, Some(1_000_000));
    });
}

#[test]
fn rows_are_found_by_key_and_by_index() {
    on_engine(|log, engine| async move {
        let policy = OnMalformed::Skip;
        let made = make(&engine, 1, "s", Definition::Source(source(policy))).await;
        made.expect("a source");
        make(&engine, 2, "v", counts("s")).await.expect("a view");
        let index = Index {
            relation: "v".to_owned(),
            columns: vec![1],
        };
        make(&engine, 3, "i", Definition::Index(index))
            .await
            .expect("an index");
        let values = [1, 2, 2, 3].map(|n| format!("{{\"n\": {n}}}"));
        let records: Vec<(Option<&str>, &str)> =
            values.iter().map(|value| (None, value.as_str())).collect();
        log.put("in", 0, &records);
        engine.flush().await.expect("all is read");
        let found = async |columns: &[usize], value: i64| {
            let keys: ArrayRef = Arc::new(Int64Array::from(vec![value]));
            let found = engine
                .lookup("v", columns, &[keys])
                .await
                .expect("the view runs");
            let RowsOf::View(rows) = &found.rows["v"] else {
                panic!("a view has rows");
            };
            rows.batches()
                .iter()
                .map(|rows| rows.num_rows())
                .sum::<usize>()
        };
        assert_eq!(found(&[0], 2).await, 1);
        assert_eq!(found(&[0], 9).await, 0);
        assert_eq!(found(&[1], 1).await, 2);
        assert_eq!(found(&[1], 2).await, 1);
        engine.prepare_drop("i").expect("nothing reads an index");
        engine.drop_relation("i").await;
        // All rows are looked at then.
        assert_eq!(found(&[1], 2).await, 3);
    });
}

#[test]
fn a_table_made_again_has_no_rows_of_the_one_before() {
    on_engine(async move |_, engine| {
        let field = Field::new("n", DataType::Int64, false);
        let schema = Arc::new(Schema::new(vec![field]));
        let table = || {
            Definition::Table(crate::definition::Table {
                schema: schema.clone(),
                key: Some(vec![0]),
            })
        };
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let rows = RecordBatch::try_new(schema.clone(), vec![column]).expect("one column");
        for id in 1..3 {
            make(&engine, id, "t", table()).await.expect("a table");
            assert_eq!(rows_of(&engine, "t").await, Ok(0));
            let delta = Delta::insert(rows.clone());
            engine.write("t", delta, None).await.expect("two rows");
            assert_eq!(rows_of(&engine, "t").await, Ok(2));
            engine.prepare_drop("t").expect("nothing reads it");
            engine.drop_relation("t").await;
        }
    });
}
