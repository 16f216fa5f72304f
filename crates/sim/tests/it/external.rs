//! A node that reads a topic of another one, while both are killed: each record comes once.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};
use base::{Offset, PartitionIndex, PartitionKey, TimestampMs};
use broker::{Broker, Settings, open::leading_shard};
use kafka::batch::{BatchBuilder, Compression};
use runtime::{
    net::TcpListener,
    sim::{HostId, Sim, SimConfig},
};
use server::pipelines::{self, BrokerTopics, NodeTopics};
use sim::streams_node::read_records;
use sql::{catalog::Catalog, planner, statement};
use streams::{
    engine::{Engine, NewRelation, ReadAt, RowsOf},
    log::{Extent, ExternalTopic, TopicLog},
};

const PORT: u16 = 9092;
const LIMIT: Duration = Duration::from_secs(300);
const PARTITIONS: i32 = 3;

struct Shared {
    far: Cell<IpAddr>,
    /// The near node's relations are made; a restart takes them up.
    is_made: Cell<bool>,
    statements: RefCell<Vec<String>>,
}

fn settings() -> Settings {
    let mut settings = Settings::new("/forebay");
    settings.store.journal_file_bytes = 4 << 20;
    settings.store.free_bytes_min = 1 << 20;
    settings.store.free_bytes_warn = 2 << 20;
    settings
}

async fn serve_far(shared: Rc<Shared>) {
    let mut settings = settings();
    settings.advertised = Some((shared.far.get().to_string(), PORT));
    let opened = Broker::open(settings).await;
    let (broker, _) = opened.expect("nothing fails but power");
    if runtime::shard() == leading_shard() {
        let made = broker.ensure_topic("numbers", PARTITIONS).await;
        made.expect("the topic can be made");
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))).await;
        broker.serve(listener.expect("the port is free")).await;
    }
    broker.stopped().await;
}

async fn serve_near(shared: Rc<Shared>) {
    let (broker, _) = Broker::open(settings())
        .await
        .expect("nothing fails but power");
    let relations = match shared.is_made.get() {
        true => relations(&shared),
        false => Vec::new(),
    };
    let started = pipelines::start_on_shard(relations, usize::MAX).await;
    started.expect("a checkpoint is whole or not there");
    broker.stopped().await;
}

fn relations(shared: &Shared) -> Vec<NewRelation> {
    let mut catalog = Catalog::default();
    let mut relations = Vec::new();
    for (id, text) in (1..).zip(shared.statements.borrow().iter()) {
        let parsed = statement::parse(text).expect("a statement");
        let (relation, definition) = planner::define(&catalog, &parsed[0]).expect("a definition");
        let name = relation.name.clone();
        catalog.insert(relation);
        relations.push(NewRelation {
            id,
            name,
            definition,
        });
    }
    relations
}

struct World {
    sim: Sim,
    near: HostId,
    far: HostId,
    shared: Rc<Shared>,
    written: Cell<i64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let sim = Sim::new(SimConfig::new(seed));
        let shared = Rc::new(Shared {
            far: Cell::new(Ipv4Addr::UNSPECIFIED.into()),
            is_made: Cell::new(false),
            statements: RefCell::default(),
        });
        let slot = shared.clone();
        let far = sim.host("far", 1, move || serve_far(slot.clone()));
        shared.far.set(sim.ip(far));
        let slot = shared.clone();
        let near = sim.host("near", 1, move || serve_near(slot.clone()));
        let at = format!("WITH (bootstrap_servers = '{}:{PORT}')", shared.far.get());
        shared.statements.replace(vec![
            format!("CREATE SOURCE s FROM TOPIC numbers (n BIGINT) {at}"),
            "CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM s".to_owned(),
            "CREATE SINK k INTO TOPIC copied AS SELECT n FROM s".to_owned(),
            format!("CREATE SINK back INTO TOPIC numbers {at} AS SELECT n FROM s"),
        ]);
        Self {
            sim,
            near,
            far,
            shared,
            written: Cell::new(0),
        }
    }

    fn on<F: Future + 'static>(&self, host: HostId, task: F) -> F::Output {
        let done = self.sim.run_on(host, LIMIT, task);
        done.expect("it ends in time")
    }

    fn engine(&self) -> Rc<Engine> {
        self.on(self.near, async {
            loop {
                if let Some(engine) = runtime::local::<Engine>() {
                    return engine;
                }
                runtime::sleep(Duration::from_millis(50)).await;
            }
        })
    }

    /// As sessions do; the relation that is not made, and why.
    fn make(&self, count: usize) -> Result<(), String> {
        let engine = self.engine();
        let relations = relations(&self.shared);
        for new in relations.into_iter().take(count) {
            let engine = engine.clone();
            let made = self.on(self.near, async move {
                engine.prepare(&new).await?;
                engine.create(new).await
            });
            made.map_err(|error| error.to_string())?;
        }
        self.shared.statements.borrow_mut().truncate(count);
        self.shared.is_made.set(true);
        Ok(())
    }

    /// So many numbers more, at the far node.
    fn write(&self, count: i64) {
        let from = self.written.replace(self.written.get() + count);
        self.on(self.far, async move {
            while runtime::local::<Broker>().is_none()
                || Broker::local().topic_shape("numbers").is_none()
            {
                runtime::sleep(Duration::from_millis(20)).await;
            }
            let log = BrokerTopics::new(Broker::local());
            for n in from..from + count {
                let mut builder = BatchBuilder::new(Compression::None);
                let value = format!("{{\"n\":{n}}}");
                builder.push(TimestampMs(0), None, Some(value.as_bytes()), &[]);
                let batch = builder.finish();
                // Elections of a start may be under way.
                while log.append(numbers(&log, n), batch.clone()).await.is_err() {
                    runtime::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }

    /// What the sink has put into the near node's own topic, in order.
    fn copied(&self) -> Vec<i64> {
        self.engine();
        let mut found = self.on(self.near, async {
            let log = BrokerTopics::new(Broker::local());
            let found = read_records(&log, "copied", |record| {
                let value = String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned();
                let digits = value.trim_matches(|c: char| !c.is_ascii_digit());
                digits.parse().expect("a number")
            });
            found.await.concat()
        });
        found.sort_unstable();
        found
    }

    /// The rows of a relation, as a session gets them.
    fn rows(&self, name: &'static str) -> Result<Vec<RecordBatch>, String> {
        let engine = self.engine();
        self.on(self.near, async move {
            let found = engine.snapshot(vec![name.to_owned()], ReadAt::default());
            let found = found.await.map_err(|error| error.to_string())?;
            Ok(match &found.rows[name] {
                RowsOf::View(rows) => rows.batches(),
                RowsOf::Source(deltas) => deltas.iter().map(|d| d.rows().clone()).collect(),
            })
        })
    }

    /// How many records a question to the source finds.
    fn asked(&self) -> Result<usize, String> {
        let rows = self.rows("s")?;
        Ok(rows.iter().map(RecordBatch::num_rows).sum())
    }

    /// How many the view has counted.
    fn counted(&self) -> Result<i64, String> {
        let rows = self.rows("v")?;
        let rows = rows.iter().filter(|rows| rows.num_rows() > 0);
        let counts = rows.map(|rows| rows.column(0).as_primitive::<Int64Type>().value(0));
        Ok(counts.sum())
    }

    fn check(&self, seed: u64) {
        let wanted: Vec<i64> = (0..self.written.get()).collect();
        for _ in 0..100 {
            if self.copied().len() >= wanted.len() {
                break;
            }
            self.sim.run_for(Duration::from_millis(500));
        }
        assert_eq!(self.copied(), wanted, "seed {seed}");
        assert_eq!(self.counted(), Ok(self.written.get()), "seed {seed}");
    }

    /// Why pipelines have stopped.
    fn failures(&self) -> Vec<String> {
        let engine = self.engine();
        let report = self.on(self.near, async move { engine.report().await });
        let pipelines = report.expect("it runs").pipelines;
        pipelines.into_iter().filter_map(|p| p.failure).collect()
    }

    fn drop_relation(&self, name: &'static str) {
        let engine = self.engine();
        self.on(self.near, async move {
            engine.prepare_drop(name).expect("nobody reads it");
            engine.drop_relation(name).await;
        });
    }

    /// Removes what stands before an offset in each partition of the far node.
    fn trim(&self, until: Offset) {
        self.on(self.far, async move {
            let log = BrokerTopics::new(Broker::local());
            for n in 0..i64::from(PARTITIONS) {
                let trimmed = log.trim(numbers(&log, n), until).await;
                trimmed.expect("it can be");
            }
        });
    }

    /// The far node's topic, made anew under its name.
    fn make_topic_anew(&self) {
        self.on(self.far, async {
            let log = BrokerTopics::new(Broker::local());
            let deleted = log.delete_topic("numbers".to_owned()).await;
            deleted.expect("it can be");
            let made = Broker::local().ensure_topic("numbers", PARTITIONS).await;
            made.expect("the topic can be made");
        });
    }

    /// The far node's topic, as the near one calls it.
    fn name_here(&self) -> String {
        let external = ExternalTopic {
            brokers: format!("{}:{PORT}", self.shared.far.get()),
            topic: "numbers".to_owned(),
        };
        external.to_string()
    }

    /// What is read ahead at the near node of the first partition, once a reader has come to that offset.
    fn read_ahead(&self, position: Offset) -> (Extent, Option<String>) {
        let name = self.name_here();
        self.on(self.near, async move {
            let topics = runtime::local::<NodeTopics>().expect("they are there");
            let shape = topics.topic(&name).expect("it is known");
            let key = PartitionKey {
                topic: shape.id,
                partition: PartitionIndex(0),
            };
            topics.note_read(&BTreeMap::from([(key, position)]));
            let extents = topics.extents(vec![key]).await;
            (
                extents[0].expect("somebody reads it"),
                topics.trouble(&name),
            )
        })
    }

    fn run_ms(&self, ms: u64) {
        self.sim.run_for(Duration::from_millis(ms));
    }

    fn kill(&self, host: HostId) {
        match self.sim.draw(2) {
            0 => self.sim.kill(host),
            _ => self.sim.power_cut(host),
        }
    }
}

fn numbers(log: &BrokerTopics, n: i64) -> PartitionKey {
    let shape = log.topic("numbers").expect("it was made");
    PartitionKey {
        topic: shape.id,
        partition: PartitionIndex((n % i64::from(PARTITIONS)) as i32),
    }
}

#[test]
fn records_of_another_node_come_once_whatever_dies() {
    for seed in 0..12 {
        let world = World::new(seed);
        world.write(world.sim.draw(50) as i64);
        world.make(3).expect("the far node answers");
        for _ in 0..5 {
            for _ in 0..world.sim.draw(6) {
                world.write(world.sim.draw(20) as i64);
                world
                    .sim
                    .run_for(Duration::from_millis(world.sim.draw(2000)));
            }
            match world.sim.draw(4) {
                0 => {
                    world.kill(world.far);
                    world
                        .sim
                        .run_for(Duration::from_millis(world.sim.draw(3000)));
                    world.sim.restart(world.far);
                }
                1 => {
                    world.kill(world.far);
                    world.kill(world.near);
                    world.sim.restart(world.near);
                    world
                        .sim
                        .run_for(Duration::from_millis(world.sim.draw(3000)));
                    world.sim.restart(world.far);
                }
                _ => {
                    world.kill(world.near);
                    world.sim.restart(world.near);
                }
            }
        }
        world.check(seed);
    }
}

#[test]
fn a_cluster_without_transactions_takes_no_sink() {
    let world = World::new(1);
    let why = world.make(4).expect_err("the far node has none");
    assert!(why.contains("has no transactions"), "{why}");
}

#[test]
fn records_that_are_gone_stop_who_needs_them_and_say_so() {
    let world = World::new(2);
    world.write(30);
    world.make(3).expect("the far node answers");
    world.check(2);
    // A checkpoint has it.
    world.run_ms(6000);
    world.sim.kill(world.near);
    world.write(30);
    world.trim(Offset(15));
    world.sim.restart(world.near);
    let mut why = Vec::new();
    for _ in 0..40 {
        world.run_ms(500);
        why = world.failures();
        if why.len() == 2 {
            break;
        }
    }
    let is_told = |why: &String| why.contains("is gone: the partition begins at 15");
    assert!(why.len() == 2 && why.iter().all(is_told), "{why:?}");
}

#[test]
fn a_node_starts_and_stops_while_the_cluster_is_away() {
    let world = World::new(3);
    world.make(3).expect("the far node answers");
    world.write(30);
    world.check(3);
    world.sim.kill(world.near);
    world.sim.kill(world.far);
    world.sim.restart(world.near);
    let engine = world.engine();
    let asked = async move { engine.report().await };
    let answer = world.sim.run_on(world.near, Duration::from_secs(30), asked);
    assert!(answer.is_none(), "nothing is decided behind the checkpoint");
    world.on(world.near, pipelines::stop());
    world.sim.kill(world.near);
    world.sim.restart(world.near);
    world.run_ms(5_000);
    world.sim.restart(world.far);
    world.check(3);
}

#[test]
fn a_source_that_no_view_reads_any_more_shows_what_comes() {
    let world = World::new(4);
    world.write(30);
    world.make(2).expect("the far node answers");
    world.drop_relation("v");
    world.write(10);
    assert_eq!(world.asked(), Ok(40));
    // Nobody fetches it any more.
    world.run_ms(60_000);
    world.write(10);
    assert_eq!(world.asked(), Ok(50));
    world.drop_relation("s");
    world.run_ms(1_000);
    let name = world.name_here();
    let topic = world.on(world.near, async move {
        runtime::local::<NodeTopics>()?.topic(&name)
    });
    assert_eq!(topic, None, "it is forgotten");
}

#[test]
fn a_source_begins_where_its_topic_does_now() {
    let world = World::new(5);
    world.write(30);
    world.make(1).expect("the far node answers");
    assert_eq!(world.asked(), Ok(30));
    world.trim(Offset(5));
    assert_eq!(world.asked(), Ok(15));
}

#[test]
fn a_topic_that_was_made_anew_is_not_taken_for_the_old_one() {
    for is_up in [true, false] {
        let world = World::new(6);
        world.make(3).expect("the far node answers");
        world.write(30);
        world.check(6);
        if !is_up {
            world.sim.kill(world.near);
        }
        world.make_topic_anew();
        world.write(60);
        if !is_up {
            world.sim.restart(world.near);
        }
        for _ in 0..100 {
            world.run_ms(200);
            if world.failures().len() == 2 {
                break;
            }
            assert_eq!(world.counted().unwrap_or(30), 30, "up: {is_up}");
        }
        let why = world.failures();
        let is_told = |why: &String| why.contains("was deleted");
        assert!(why.len() == 2 && why.iter().all(is_told), "{why:?}");
        assert_eq!(world.copied(), (0..30).collect::<Vec<i64>>(), "up: {is_up}");
        // A question is about the topic that there is.
        assert_eq!(world.asked(), Ok(60), "up: {is_up}");
    }
}

#[test]
fn an_offset_behind_the_end_is_shown() {
    let world = World::new(7);
    world.write(30);
    world.make(1).expect("the far node answers");
    world.read_ahead(Offset(1_000));
    for _ in 0..10 {
        world.run_ms(1_000);
        let (_, trouble) = world.read_ahead(Offset(1_000));
        let trouble = trouble.unwrap_or_default();
        assert!(trouble.contains("OFFSET_OUT_OF_RANGE"), "{trouble:?}");
    }
}

#[test]
fn what_is_read_ahead_goes_on_behind_what_was_trimmed() {
    let world = World::new(8);
    world.write(30);
    world.make(1).expect("the far node answers");
    world.trim(Offset(10));
    world.read_ahead(Offset(5));
    world.run_ms(2_000);
    assert_eq!(world.read_ahead(Offset(5)).0.log_start_offset, Offset(10));
    // Whoever read it before has stopped; another begins.
    world.read_ahead(Offset(10));
    world.write(15);
    world.run_ms(2_000);
    assert_eq!(world.read_ahead(Offset(10)).0.high_watermark, Offset(15));
}

#[test]
fn a_view_has_read_what_there_was_when_it_is_made() {
    let world = World::new(9);
    world.write(600);
    world.make(2).expect("the far node answers");
    assert_eq!(world.counted(), Ok(600));
}

#[test]
fn a_restart_without_the_cluster_stands_where_it_was() {
    let world = World::new(10);
    world.write(30);
    world.make(2).expect("the far node answers");
    world.run_ms(10_000);
    world.sim.kill(world.near);
    world.sim.kill(world.far);
    world.sim.restart(world.near);
    let engine = world.engine();
    let report = world.on(world.near, async move { engine.report().await });
    let pipelines = report.expect("it runs").pipelines;
    let positions = pipelines.iter().flat_map(|pipeline| &pipeline.positions);
    let places: Vec<_> = positions
        .map(|place| (place.next_offset, place.high_watermark))
        .collect();
    assert_eq!(places, [(Offset(10), Offset(10)); PARTITIONS as usize]);
    assert_eq!(world.counted(), Ok(30));
    let why = world.asked().expect_err("the far node is away");
    assert!(why.contains("cannot be read"), "{why}");
}

#[test]
fn a_new_sink_holds_up_others_only_for_a_while() {
    let world = World::new(11);
    world.write(30);
    let sink = relations(&world.shared).remove(2);
    world.make(2).expect("the far node answers");
    world.run_ms(1_000);
    world.sim.kill(world.far);
    let engine = world.engine();
    let made = world.on(world.near, async move {
        engine.prepare(&sink).await.expect("it can be made");
        engine.create(sink).await
    });
    let why = made.expect_err("the far node is away").to_string();
    assert!(why.contains("cannot be read"), "{why}");
    assert_eq!(world.failures(), Vec::<String>::new());
    assert_eq!(world.counted(), Ok(30));
}

#[test]
fn what_waits_for_its_cluster_can_be_dropped() {
    let world = World::new(12);
    world.make(3).expect("the far node answers");
    world.write(30);
    world.check(12);
    world.sim.kill(world.near);
    world.sim.kill(world.far);
    world.sim.restart(world.near);
    world.run_ms(5_000);
    world.drop_relation("k");
    world.drop_relation("v");
    assert_eq!(world.failures(), Vec::<String>::new());
}
