//! Sinks into a cluster that is down now and then, and says less than it knows, under a node that is killed at any moment.

use std::cell::{Cell, RefCell};

use runtime::{Class, sim::HostId};

use super::*;
use crate::{
    definition::{Envelope, Sink},
    log::WriteError,
};

const ELSEWHERE: &str = "kafka://elsewhere:9092/out";

/// What the cluster has, and how it behaves.
#[derive(Default)]
struct Cluster {
    values: RefCell<Vec<String>>,
    mark: Cell<Option<u64>>,
    /// Who writes now; those before are shut out.
    copy: Cell<u64>,
    is_down: Cell<bool>,
    /// Of a hundred transactions so many end in an error.
    errors: Cell<u64>,
    transactions: Cell<u64>,
    /// It lets itself be taken over, and no more.
    writes_nothing: Cell<bool>,
    /// What a transaction takes at least.
    slow_ms: Cell<u64>,
}

struct Writer {
    cluster: Rc<Cluster>,
    copy: Cell<u64>,
}

fn passing<T>(why: &str) -> Result<T, WriteError> {
    Err(WriteError::Passing(why.to_owned()))
}

async fn a_while() {
    runtime::sleep(Duration::from_millis(runtime::random_u64() % 30)).await;
}

impl Cluster {
    fn writer(self: &Rc<Self>) -> Rc<dyn EpochWriter> {
        Rc::new(Writer {
            cluster: self.clone(),
            copy: Cell::new(0),
        })
    }

    fn commit(&self, epoch: u64, batches: &[(PartitionIndex, Vec<u8>)]) {
        self.transactions.set(self.transactions.get() + 1);
        self.mark.set(Some(epoch));
        for (_, batch) in batches {
            let mut records = Records::new(batch, 1 << 20).expect("plain records");
            while let Some(record) = records.next_record().expect("sound records") {
                let value = record.value.unwrap_or_default();
                let value = String::from_utf8_lossy(value).into_owned();
                self.values.borrow_mut().push(value);
            }
        }
    }

    fn sorted(&self) -> Vec<i64> {
        let values = self.values.borrow();
        let numbers = values.iter().map(|value| {
            let digits = value.trim_matches(|c: char| !c.is_ascii_digit());
            digits.parse().expect("a number")
        });
        let mut numbers: Vec<i64> = numbers.collect();
        numbers.sort_unstable();
        numbers
    }
}

impl EpochWriter for Writer {
    fn take_over(&self) -> LocalFuture<'_, Result<Option<u64>, WriteError>> {
        Box::pin(async move {
            a_while().await;
            if self.cluster.is_down.get() {
                return passing("the cluster is down");
            }
            self.cluster.copy.set(self.cluster.copy.get() + 1);
            self.copy.set(self.cluster.copy.get());
            Ok(self.cluster.mark.get())
        })
    }

    fn write(
        &self,
        epoch: u64,
        batches: Vec<(PartitionIndex, Vec<u8>)>,
    ) -> LocalFuture<'_, Result<(), WriteError>> {
        Box::pin(async move {
            if self.cluster.writes_nothing.get() {
                return passing("it is full");
            }
            runtime::sleep(Duration::from_millis(self.cluster.slow_ms.get())).await;
            let is_early = runtime::random_u64().is_multiple_of(2);
            let fails = runtime::random_u64() % 100 < self.cluster.errors.get();
            let is_shut_out = || self.copy.get() != self.cluster.copy.get();
            let is_refused = || is_shut_out() || self.cluster.is_down.get();
            if is_early && !is_refused() {
                self.cluster.commit(epoch, &batches);
            }
            a_while().await;
            if fails || is_refused() {
                return passing("nobody knows");
            }
            if !is_early {
                self.cluster.commit(epoch, &batches);
            }
            a_while().await;
            Ok(())
        })
    }
}

/// The numbers of the source, as they come, into the other cluster.
fn relations(policy: OnMalformed) -> Vec<NewRelation> {
    let mut plan = Plan::default();
    let (operator, columns) = input("s", &[0]);
    plan.add(operator, &[], columns);
    let sink = Sink {
        topic: Some(ELSEWHERE.to_owned()),
        plan,
        format: Format::Json {
            paths: vec![vec!["n".to_owned()]],
        },
        envelope: Envelope::Append,
        key: Vec::new(),
    };
    let all = [
        ("s", Definition::Source(source(policy))),
        ("v", view("s", &[0])),
        ("k", Definition::Sink(sink)),
    ];
    let named = (1..).zip(all).map(|(id, (name, definition))| NewRelation {
        id,
        name: name.to_owned(),
        definition,
    });
    named.collect()
}

struct World {
    sim: Sim,
    node: HostId,
    log: Rc<Memory>,
    cluster: Rc<Cluster>,
    engine: Rc<RefCell<Option<Rc<Engine>>>>,
    next: Cell<i64>,
}

impl World {
    fn new(seed: u64, planted: PlantedBugs) -> Self {
        Self::of(seed, planted, OnMalformed::Skip)
    }

    fn of(seed: u64, planted: PlantedBugs, policy: OnMalformed) -> Self {
        let sim = Sim::new(SimConfig::new(seed));
        let (log, cluster) = (Rc::new(Memory::default()), Rc::new(Cluster::default()));
        log.make("in", 2);
        log.make(ELSEWHERE, 2);
        log.elsewhere.replace(Some(cluster.writer()));
        let engine = Rc::new(RefCell::new(None));
        let (its_log, its_engine) = (log.clone(), engine.clone());
        let node = sim.host("node", 1, move || {
            let (log, engine) = (its_log.clone(), its_engine.clone());
            let all = relations(policy.clone());
            async move {
                let started = Engine::start(log, Path::new("data"), all, planted, usize::MAX).await;
                engine.replace(Some(started.expect("a sound checkpoint")));
                std::future::pending::<()>().await;
            }
        });
        Self {
            sim,
            node,
            log,
            cluster,
            engine,
            next: Cell::new(0),
        }
    }

    fn put(&self, count: i64) {
        let from = self.next.replace(self.next.get() + count);
        for n in from..from + count {
            let value = format!("{{\"n\":{n}}}");
            self.log.put("in", (n % 2) as i32, &[(None, &value)]);
        }
    }

    fn run_ms(&self, ms: u64) {
        self.sim.run_for(Duration::from_millis(ms));
    }

    fn ask<F: Future + 'static>(&self, what: impl FnOnce(Rc<Engine>) -> F) -> F::Output {
        let engine = self.engine.borrow().clone().expect("it has started");
        let asked = self.sim.run_on(self.node, LIMIT, what(engine));
        asked.expect("an answer in time")
    }

    fn report(&self) -> crate::engine::PipelineReport {
        let report = self.ask(|engine| async move { engine.report().await });
        let pipelines = report.expect("it runs").pipelines;
        let mut pipelines = pipelines.into_iter();
        pipelines.find(|p| p.name == "k").expect("the sink")
    }

    fn failure(&self) -> Option<String> {
        let engine = self.engine.borrow().clone().expect("it has started");
        let relations = engine.relations();
        let sink = relations.iter().find(|relation| relation.name == "k");
        sink.expect("the sink").failure()
    }

    /// Of the view.
    fn rows(&self) -> usize {
        self.ask(|engine| async move {
            let found = engine.snapshot(vec!["v".to_owned()], ReadAt::default());
            match &found.await.expect("views are there").rows["v"] {
                RowsOf::View(rows) => rows.batches().iter().map(|rows| rows.num_rows()).sum(),
                RowsOf::Source(_) => 0,
            }
        })
    }

    /// Everything once, and nothing waits.
    fn check(&self) -> Result<(), String> {
        self.run_ms(20_000);
        let sink = self.report();
        if let Some(why) = sink.failure {
            return Err(why);
        }
        let wanted: Vec<i64> = (0..self.next.get()).collect();
        let found = self.cluster.sorted();
        if found != wanted {
            return Err(format!("{found:?} instead of 0..{}", wanted.len()));
        }
        match sink.delivery.map(|delivery| delivery.backlog_epochs) {
            Some(0) => Ok(()),
            other => Err(format!("{other:?} wait")),
        }
    }
}

fn run(seed: u64, planted: PlantedBugs) -> Result<(), String> {
    let world = World::new(seed, planted);
    world.cluster.errors.set(world.sim.draw(30));
    for _ in 0..6 {
        for _ in 0..world.sim.draw(12) {
            let count = world.sim.draw(5) as i64;
            world.put(count);
            world.run_ms(world.sim.draw(700));
            let is_down = world.sim.draw(4) == 0;
            world.cluster.is_down.set(is_down);
        }
        match world.sim.draw(2) {
            0 => world.sim.kill(world.node),
            _ => world.sim.power_cut(world.node),
        }
        world.sim.restart(world.node);
    }
    world.cluster.is_down.set(false);
    world.cluster.errors.set(0);
    world.check()
}

const SEEDS: u64 = 60;

#[test]
fn each_row_is_elsewhere_once_whatever_dies() {
    let count = std::env::var("FOREBAY_SEEDS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..count {
        if let Err(why) = run(seed, PlantedBugs::default()) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn planted_bugs_show() {
    let bugs = [
        PlantedBugs {
            ignore_marks: true,
            ..PlantedBugs::default()
        },
        PlantedBugs {
            trim_undelivered: true,
            ..PlantedBugs::default()
        },
    ];
    for planted in bugs {
        let found = (0..5 * SEEDS).any(|seed| run(seed, planted).is_err());
        assert!(found, "{planted:?} stays hidden");
    }
}

#[test]
fn a_cluster_that_is_down_holds_epochs_back_once_too_much_waits() {
    let world = World::new(1, PlantedBugs::default());
    world.run_ms(1000);
    world.cluster.is_down.set(true);
    world.ask(|engine| async move { engine.set_backlog_bytes_max(10_000) });
    for _ in 0..200 {
        world.put(10);
        world.run_ms(150);
    }
    let sink = world.report();
    let delivery = sink.delivery.expect("it writes elsewhere");
    assert!(delivery.holds_back, "{delivery:?}");
    assert!(delivery.backlog_bytes < 13_000, "{delivery:?}");
    assert_eq!(delivery.trouble.as_deref(), Some("the cluster is down"));
    let rows = world.rows();
    assert!(rows > 0 && rows < 2000, "{rows}");
    // What waits survives a restart, and waits again.
    world.run_ms(6000);
    world.sim.kill(world.node);
    world.sim.restart(world.node);
    world.run_ms(1000);
    // What stood in the log at the start is seen after it.
    assert_eq!(world.rows(), 2000);
    world.ask(|engine| async move { engine.set_backlog_bytes_max(10_000) });
    world.put(10);
    world.run_ms(1000);
    assert_eq!(world.rows(), 2000);
    let waiting = world.report().delivery.expect("it writes elsewhere");
    assert!(
        waiting.backlog_epochs >= delivery.backlog_epochs,
        "{waiting:?}"
    );
    world.cluster.is_down.set(false);
    world.check().expect("everything is there");
    let few = world.cluster.transactions.get();
    assert!(few < delivery.backlog_epochs, "{few} transactions");
}

#[test]
fn a_cluster_that_has_forgotten_is_not_written_twice() {
    let world = World::new(2, PlantedBugs::default());
    world.put(10);
    world.run_ms(7000);
    world.put(10);
    world.run_ms(1000);
    world.sim.kill(world.node);
    world.cluster.mark.set(None);
    world.sim.restart(world.node);
    let why = world.check().expect_err("nobody can know");
    assert!(why.contains("has forgotten"), "{why}");
    assert_eq!(world.cluster.sorted(), (0..20).collect::<Vec<_>>());
}

#[test]
fn what_this_node_never_decided_is_not_built_upon() {
    let world = World::new(3, PlantedBugs::default());
    world.put(10);
    world.run_ms(1000);
    world.sim.kill(world.node);
    world.cluster.mark.set(Some(1 << 40));
    world.sim.restart(world.node);
    world.put(10);
    let why = world.check().expect_err("its state is older");
    assert!(why.contains("never decided"), "{why}");
}

#[test]
fn somebody_else_under_the_same_name_ends_it() {
    let world = World::new(4, PlantedBugs::default());
    world.put(10);
    world.run_ms(1000);
    world.cluster.copy.set(100);
    world.cluster.mark.set(Some(1 << 40));
    world.put(10);
    let why = world.check().expect_err("two write");
    assert!(why.contains("somebody else"), "{why}");
}

/// What was written last is in a checkpoint, also when nothing comes behind it.
#[test]
fn a_cluster_that_forgets_while_nothing_comes_is_not_written_twice() {
    for rounds in 1..3 {
        let world = World::new(5, PlantedBugs::default());
        for _ in 0..rounds {
            world.run_ms(7000);
            world.put(10);
        }
        world.run_ms(12_000);
        world.sim.kill(world.node);
        world.cluster.mark.set(None);
        world.sim.restart(world.node);
        world.put(10);
        world
            .check()
            .expect("nothing waited, and all is there once");
    }
}

#[test]
fn what_a_sink_put_out_before_it_stopped_is_written_after_a_restart() {
    let world = World::of(6, PlantedBugs::default(), OnMalformed::Stop);
    world.put(10);
    world.run_ms(7000);
    world.cluster.is_down.set(true);
    world.put(10);
    world.run_ms(1000);
    world.log.put("in", 0, &[(None, "x")]);
    world.run_ms(7000);
    assert!(world.failure().is_some());
    for _ in 0..2 {
        world.sim.kill(world.node);
        world.sim.restart(world.node);
        world.run_ms(7000);
        let why = world.failure().expect("it does not go on");
        assert!(why.contains("had stopped"), "{why}");
        assert_eq!(world.cluster.sorted().len(), 10);
    }
    world.cluster.is_down.set(false);
    world.run_ms(10_000);
    assert_eq!(world.cluster.sorted(), (0..20).collect::<Vec<_>>());
    world.sim.kill(world.node);
    world.sim.restart(world.node);
    world.run_ms(10_000);
    assert_eq!(world.cluster.sorted().len(), 20, "and once");
}

/// Where the delivery itself found that it must not go on, a restart knows no better.
#[test]
fn a_delivery_that_was_refused_does_not_go_on_after_a_restart() {
    let world = World::new(7, PlantedBugs::default());
    world.put(10);
    world.run_ms(1000);
    world.cluster.copy.set(100);
    world.cluster.mark.set(Some(1 << 40));
    world.put(10);
    world.run_ms(20_000);
    assert!(world.failure().is_some());
    let transactions = world.cluster.transactions.get();
    world.cluster.mark.set(None);
    world.sim.kill(world.node);
    world.sim.restart(world.node);
    world.run_ms(10_000);
    assert!(world.failure().is_some());
    assert_eq!(world.cluster.transactions.get(), transactions);
}

#[test]
fn trouble_shows_until_something_was_written() {
    let world = World::new(8, PlantedBugs::default());
    world.cluster.writes_nothing.set(true);
    world.put(10);
    world.run_ms(1000);
    for _ in 0..200 {
        let delivery = world.report().delivery.expect("it writes elsewhere");
        assert_eq!(delivery.trouble.as_deref(), Some("it is full"));
        world.run_ms(97);
    }
    world.cluster.writes_nothing.set(false);
    world.check().expect("everything is there");
    let delivery = world.report().delivery.expect("it writes elsewhere");
    assert_eq!(delivery.trouble, None);
}

#[test]
fn a_flush_ends_while_more_and_more_comes() {
    let world = World::new(9, PlantedBugs::default());
    world.cluster.slow_ms.set(400);
    world.run_ms(1000);
    let (log, cluster) = (world.log.clone(), world.cluster.clone());
    world.ask(|engine| async move {
        runtime::spawn(Class::Streams, "producer", async move {
            for n in 0..400 {
                let value = format!("{{\"n\":{n}}}");
                log.put("in", 0, &[(None, &value)]);
                runtime::sleep(Duration::from_millis(50)).await;
            }
        });
        runtime::sleep(Duration::from_secs(2)).await;
        let written = cluster.values.borrow().len();
        let flushed = runtime::timeout(Duration::from_secs(5), engine.flush()).await;
        flushed.expect("it ends").expect("the node runs");
        assert!(cluster.values.borrow().len() >= 40.max(written));
    });
}
