//! Views over transfers between accounts, through crashes: what they say must add up at every moment.
//!
//! # Invariants
//! 1. The balances of all accounts add up to 0 in every answer, and so does the view over the view.
//! 2. Views of one topic in one answer show the same prefix: the number of transfers that one counts is the number that the
//!    other's rows add up to.
//! 3. No answer shows less than one before it, also across crashes, and once all is quiet everything acknowledged is there.
//! 4. In the end the balances are those of a model that reads the log itself.

use std::{
    cell::Cell,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    time::Duration,
};

use arrow_array::{Array, RecordBatch, cast::AsArray, types::Int64Type};
use base::{PartitionIndex, PartitionKey, TimestampMs};
use broker::{Broker, open::leading_shard};
use kafka::batch::{BatchBuilder, Compression};
use runtime::{
    Class,
    sim::{HostId, Sim, SimConfig},
};
use server::pipelines;
use sql::{catalog::Catalog, planner, statement};
use streams::engine::{Engine, NewRelation, ReadAt, RowsOf, Snapshot};

use crate::{
    node_plan::{NodeBugs, NodePlan},
    seeds::{Ran, Seed},
};

const TOPIC: &str = "transfers";
const PARTITIONS: i32 = 3;
const ACCOUNTS: u64 = 20;
const START_LIMIT: Duration = Duration::from_secs(60);

const STATEMENTS: [(&str, &str); 5] = [
    (
        "transfers",
        "CREATE SOURCE transfers FROM TOPIC transfers (debit INT, credit INT, amount BIGINT) FORMAT JSON",
    ),
    (
        "balances",
        "CREATE MATERIALIZED VIEW balances AS SELECT account, sum(amount) AS balance, count(*) AS moves FROM \
         (SELECT credit AS account, amount FROM transfers UNION ALL SELECT debit, -amount FROM transfers) AS moves \
         GROUP BY account",
    ),
    (
        "total",
        "CREATE MATERIALIZED VIEW total AS SELECT sum(balance) AS total, count(*) AS accounts FROM balances",
    ),
    (
        "moved",
        "CREATE MATERIALIZED VIEW moved AS SELECT count(*) AS transfers FROM transfers",
    ),
    (
        "large",
        "CREATE MATERIALIZED VIEW large AS SELECT debit, credit, amount FROM transfers WHERE amount > 900",
    ),
];

struct Shared {
    plan: NodePlan,
    ip: Cell<IpAddr>,
    is_serving: Cell<bool>,
    acknowledged: Cell<u64>,
    /// Transfers that an answer has shown.
    shown: Cell<u64>,
    answers: Cell<u64>,
    is_draining: Cell<bool>,
    writers: Cell<u64>,
}

/// The node's program, on each of its shards.
async fn serve(shared: Rc<Shared>) {
    let settings = shared.plan.settings(shared.ip.get());
    let (broker, _) = Broker::open(settings)
        .await
        .expect("nothing fails but power");
    if runtime::shard() == leading_shard() {
        let ensured = broker.ensure_topic(TOPIC, PARTITIONS).await;
        ensured.expect("the topic can be made");
        let shard = pipelines::engine_shard(runtime::shard_count());
        let started = runtime::invoke_on(shard, Class::Admin, "start streams", || async {
            pipelines::start_on_shard(relations()).await.map(drop)
        });
        started.await.expect("a checkpoint is whole or not there");
        for _ in 0..2 {
            shared.writers.set(shared.writers.get() + 1);
            runtime::spawn(Class::Produce, "writer", write(shared.clone()));
        }
        runtime::spawn(Class::Query, "reader", read(shared.clone()));
        shared.is_serving.set(true);
    }
    broker.stopped().await;
}

fn relations() -> Vec<NewRelation> {
    let mut catalog = Catalog::default();
    let define = |(id, (name, text)): (u64, (&str, &str))| {
        let parsed = statement::parse(text).expect("the statement is one");
        let (relation, definition) =
            planner::define(&catalog, &parsed[0]).expect("the statement makes sense");
        catalog.insert(relation);
        NewRelation {
            id,
            name: name.to_owned(),
            definition,
        }
    };
    (1..).zip(STATEMENTS).map(define).collect()
}

/// Writes transfers, and counts those that are acknowledged.
async fn write(shared: Rc<Shared>) {
    while !shared.is_draining.get() {
        let count = 1 + runtime::random_u64() % 20;
        let mut builder = BatchBuilder::new(Compression::None);
        for _ in 0..count {
            let (debit, credit) = (account(), account());
            let amount = runtime::random_u64() % 1000;
            let value = format!("{{\"debit\":{debit},\"credit\":{credit},\"amount\":{amount}}}");
            builder.push(
                TimestampMs(runtime::wall().0),
                None,
                Some(value.as_bytes()),
                &[],
            );
        }
        let batch = builder.finish();
        let broker = Broker::local();
        let Some((topic, _)) = broker.topic_shape(TOPIC) else {
            return;
        };
        let partition = PartitionIndex((runtime::random_u64() % PARTITIONS as u64) as i32);
        let key = PartitionKey { topic, partition };
        let owner = broker.owner(key).expect("the partition exists");
        let there = move |broker: Rc<Broker>| async move {
            let partition = broker.partition(key)?;
            let proposed = partition.append_own(&batch).await.ok()?;
            let raft = partition.raft();
            raft.wait_committed(proposed.leader_epoch, proposed.index)
                .await
                .then_some(())
        };
        let done = broker.on_shard(owner, Class::Produce, "write", there).await;
        if done.is_some() {
            shared.acknowledged.set(shared.acknowledged.get() + count);
        }
        runtime::sleep(Duration::from_micros(runtime::random_u64() % 3000)).await;
    }
    shared.writers.set(shared.writers.get() - 1);
}

fn account() -> u64 {
    runtime::random_u64() % ACCOUNTS
}

/// Asks for all views together, again and again.
async fn read(shared: Rc<Shared>) {
    while !shared.is_draining.get() {
        check_answer(&shared, &ask().await);
        runtime::sleep(Duration::from_micros(runtime::random_u64() % 5000)).await;
    }
}

async fn ask() -> Snapshot {
    let shard = pipelines::engine_shard(runtime::shard_count());
    let asked = runtime::invoke_on(shard, Class::Query, "ask", || async {
        let engine = runtime::local::<Engine>().expect("the engine was started");
        let names = ["balances", "total", "moved", "large"].map(String::from);
        engine.snapshot(names.to_vec(), ReadAt::default()).await
    });
    asked.await.expect("views are read while the node is up")
}

fn rows(snapshot: &Snapshot, name: &str) -> Vec<RecordBatch> {
    match &snapshot.rows[name] {
        RowsOf::View(rows) => rows.batches(),
        RowsOf::Source(deltas) => deltas.iter().map(|delta| delta.rows().clone()).collect(),
    }
}

/// The integers of a column; numbers that the view holds as decimals count as such.
fn column(snapshot: &Snapshot, name: &str, at: usize) -> Vec<i128> {
    let mut values = Vec::new();
    for batch in rows(snapshot, name) {
        let column = batch.column(at);
        let all = 0..column.len();
        match column.as_primitive_opt::<Int64Type>() {
            Some(integers) => values.extend(all.map(|row| i128::from(integers.value(row)))),
            None => match column.as_primitive_opt::<arrow_array::types::Decimal128Type>() {
                Some(decimals) => values.extend(all.map(|row| decimals.value(row))),
                None => {
                    let integers = column.as_primitive::<arrow_array::types::Int32Type>();
                    values.extend(all.map(|row| i128::from(integers.value(row))));
                }
            },
        }
    }
    values
}

fn check_answer(shared: &Shared, answer: &Snapshot) {
    shared.answers.set(shared.answers.get() + 1);
    let sum: i128 = column(answer, "balances", 1).iter().sum();
    assert_eq!(sum, 0, "the balances do not add up, epoch {}", answer.epoch);
    let moves: i128 = column(answer, "balances", 2).iter().sum();
    let moved = column(answer, "moved", 0).first().copied().unwrap_or(0);
    assert_eq!(
        moves,
        moved * 2,
        "two views show two prefixes, epoch {}",
        answer.epoch
    );
    let accounts = column(answer, "balances", 0).len() as i128;
    let total = column(answer, "total", 1).first().copied().unwrap_or(0);
    assert_eq!(
        total, accounts,
        "a view of a view is behind, epoch {}",
        answer.epoch
    );
    let shown = u64::try_from(moved).expect("counts are not negative");
    assert!(
        shown >= shared.shown.get(),
        "an answer shows {shown} transfers, one before it {}",
        shared.shown.get()
    );
    shared.shown.set(shown);
}

struct Run {
    sim: Sim,
    node: HostId,
    shared: Rc<Shared>,
    crashes: u64,
}

/// Tells the last events of a seed that is looked at.
impl Drop for Run {
    fn drop(&mut self) {
        for line in self.sim.trace_lines() {
            eprintln!("{line}");
        }
    }
}

/// Runs one seed. Panics when something promised was not kept.
pub fn run(seed: Seed) -> Ran {
    let plan = NodePlan::draw(seed.seed, NodeBugs::default());
    let mut config = SimConfig::new(seed.seed);
    config.disk = plan.sound_disk();
    config.trace_lines = seed.trace_lines;
    let sim = Sim::new(config);
    let shared = Rc::new(Shared {
        plan,
        ip: Cell::new(Ipv4Addr::UNSPECIFIED.into()),
        is_serving: Cell::new(false),
        acknowledged: Cell::new(0),
        shown: Cell::new(0),
        answers: Cell::new(0),
        is_draining: Cell::new(false),
        writers: Cell::new(0),
    });
    let slot = shared.clone();
    let node = sim.host("node", shared.plan.shards, move || serve(slot.clone()));
    shared.ip.set(sim.ip(node));
    let mut run = Run {
        sim,
        node,
        shared,
        crashes: 0,
    };
    for _ in 0..3 {
        run.round();
    }
    run.finish();
    Ran {
        simulated: run.sim.elapsed(),
        crashes: run.crashes,
        acknowledged: run.shared.acknowledged.get(),
        trace_hash: run.sim.trace_hash(),
    }
}

impl Run {
    fn round(&mut self) {
        // A checkpoint is taken every few seconds: rounds are longer and shorter than that.
        let time = Duration::from_millis(self.sim.draw(9000));
        self.sim.run_for(time);
        self.check_up();
        match self.sim.draw(3) {
            0 => self.sim.kill(self.node),
            _ => self.sim.power_cut(self.node),
        }
        self.crashes += 1;
        self.shared.is_serving.set(false);
        self.shared.writers.set(0);
        self.sim.restart(self.node);
    }

    fn check_up(&self) {
        if let Some(reason) = self.sim.fatal_reason(self.node) {
            panic!("the node ended itself: {reason}");
        }
    }

    /// Everything acknowledged is shown, and it is what the log says.
    fn finish(&mut self) {
        let shared = self.shared.clone();
        let is_serving = || shared.is_serving.get();
        assert!(
            self.sim.run_until(START_LIMIT, is_serving),
            "the node does not serve"
        );
        self.sim.run_for(Duration::from_millis(500));
        self.shared.is_draining.set(true);
        let is_drained = || shared.writers.get() == 0;
        assert!(
            self.sim.run_until(START_LIMIT, is_drained),
            "writers do not end"
        );
        let all = self.sim.run_on(self.node, START_LIMIT, async {
            let shard = pipelines::engine_shard(runtime::shard_count());
            let flushed = runtime::invoke_on(shard, Class::Query, "flush", || async {
                let engine = runtime::local::<Engine>().expect("the engine was started");
                engine.flush().await.expect("everything can be read");
                let names = vec![TOPIC.to_owned()];
                engine.snapshot(names, ReadAt::default()).await
            });
            let source = flushed.await.expect("the source can be read");
            (ask().await, source)
        });
        self.check_up();
        let (answer, source) = all.expect("asking ends");
        check_answer(&self.shared, &answer);
        let (acknowledged, shown) = (self.shared.acknowledged.get(), self.shared.shown.get());
        assert!(
            shown >= acknowledged,
            "{acknowledged} acknowledged, {shown} shown"
        );
        assert!(self.shared.answers.get() > 3, "hardly anything was asked");
        let mut model: BTreeMap<i128, i128> = BTreeMap::new();
        let amounts = column(&source, TOPIC, 2);
        let pairs = column(&source, TOPIC, 0)
            .into_iter()
            .zip(column(&source, TOPIC, 1));
        for ((debit, credit), amount) in pairs.zip(&amounts) {
            *model.entry(debit).or_default() -= amount;
            *model.entry(credit).or_default() += amount;
        }
        let balances = column(&answer, "balances", 0).into_iter();
        let balances: BTreeMap<i128, i128> = balances.zip(column(&answer, "balances", 1)).collect();
        assert_eq!(balances, model, "the view is not what the log says");
        let large = amounts.iter().filter(|amount| **amount > 900).count();
        assert_eq!(
            column(&answer, "large", 2).len(),
            large,
            "rows are lost or doubled"
        );
    }
}
