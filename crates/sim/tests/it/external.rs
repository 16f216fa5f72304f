//! A node that reads a topic of another one, while both are killed: each record comes once.

use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use base::{Offset, PartitionIndex, PartitionKey, TimestampMs};
use broker::{Broker, Settings, open::leading_shard};
use kafka::batch::{BatchBuilder, Compression, batches, for_each_record};
use runtime::{
    net::TcpListener,
    sim::{HostId, Sim, SimConfig},
};
use server::pipelines::{self, BrokerTopics};
use sql::{catalog::Catalog, planner, statement};
use streams::{
    engine::{Engine, NewRelation},
    log::TopicLog,
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
            let shape = log.topic("copied").expect("the sink's topic");
            let mut found = Vec::new();
            for partition in 0..shape.partitions {
                let key = PartitionKey {
                    topic: shape.id,
                    partition: PartitionIndex(partition),
                };
                found.extend(values(&log, key).await);
            }
            found
        });
        found.sort_unstable();
        found
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

async fn values(log: &BrokerTopics, key: PartitionKey) -> Vec<i64> {
    let mut found = Vec::new();
    let mut from = Offset::ZERO;
    loop {
        let read = log.batches(key, from, 1 << 20).await;
        let (_, bytes) = read.expect("it is readable");
        if bytes.is_empty() {
            return found;
        }
        for item in batches(&bytes) {
            let (header, batch) = item.expect("whole batches");
            from = header.last_offset().plus(1);
            let read = for_each_record(batch, 1 << 20, |record| {
                let value = String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned();
                let digits = value.trim_matches(|c: char| !c.is_ascii_digit());
                found.push(digits.parse().expect("a number"));
                true
            });
            read.expect("sound records");
        }
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
    world.sim.kill(world.near);
    world.write(30);
    world.on(world.far, async {
        let log = BrokerTopics::new(Broker::local());
        for n in 0..i64::from(PARTITIONS) {
            log.trim(numbers(&log, n), Offset(15))
                .await
                .expect("it can be");
        }
    });
    world.sim.restart(world.near);
    let engine = world.engine();
    let mut why = Vec::new();
    for _ in 0..40 {
        world.sim.run_for(Duration::from_millis(500));
        let engine = engine.clone();
        let report = world.on(world.near, async move { engine.report().await });
        let pipelines = report.expect("it runs").pipelines;
        why = pipelines.into_iter().filter_map(|p| p.failure).collect();
        if why.len() == 2 {
            break;
        }
    }
    let is_told = |why: &String| why.contains("is gone: the partition begins at 15");
    assert!(why.len() == 2 && why.iter().all(is_told), "{why:?}");
}
