//! A node with pipelines for a simulated run: what it serves, who works with it, and what can be seen of it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use arrow_array::{Array, Int32Array, Int64Array, RecordBatch};
use base::{Offset, PartitionIndex, PartitionKey, TimestampMs};
use broker::{Broker, open::leading_shard};
use kafka::batch::{self, BatchBuilder, Compression};
use runtime::{Class, Instant};
use server::pipelines::{self, BrokerTopics};
use sql::{catalog::Catalog, planner, statement};
use streams::{
    Definition, Delta,
    engine::{Engine, NewRelation, PlantedBugs, QuestionError, ReadAt, Snapshot},
    log::{Extent, LocalFuture, LogError, TopicLog, TopicShape},
    source::{Decoded, SourceReader},
};

use crate::{
    node_plan::NodePlan,
    streams_checker::{Content, LARGE_MIN, Oracle, Record, Transfer, WINDOW_MS},
    streams_rows::columns,
};

const TOPIC: &str = "transfers";
const PARTITIONS: i32 = 3;
const SINK_PARTITIONS: i32 = 2;
const ACCOUNTS: u64 = 12;
/// Rows come so much later than they say at most; the watermark waits longer.
const DISORDER_MS: u64 = 700;
/// Of the table that the workload writes.
const OWNERS: &str = "owners";
/// The sink that is made while the node runs.
const LATER: &str = "later_out";
pub(crate) const SINKS: [&str; 5] = [
    "large_out",
    "windows_out",
    "balances_out",
    "credits_out",
    "owned_out",
];

fn statements() -> Vec<(&'static str, String)> {
    let text = |(name, text): (&'static str, &str)| (name, text.to_owned());
    let fixed = [
        (
            TOPIC,
            "CREATE SOURCE transfers FROM TOPIC transfers (id BIGINT, debit INT, credit INT, amount BIGINT, ms BIGINT, \
             at TIMESTAMPTZ, WATERMARK FOR at AS at - INTERVAL '2 seconds') FORMAT JSON",
        ),
        (
            OWNERS,
            "CREATE TABLE owners (account INT PRIMARY KEY, version BIGINT)",
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
            "windows",
            "CREATE MATERIALIZED VIEW windows AS SELECT window_end, count(*) AS n, sum(amount) AS total, \
             max(ms) AS newest FROM TUMBLE(transfers, at, INTERVAL '2 seconds') GROUP BY window_end EMIT ON WINDOW CLOSE",
        ),
    ];
    let mut all: Vec<_> = fixed.into_iter().map(text).collect();
    let large = format!(
        "CREATE MATERIALIZED VIEW large AS SELECT id, credit, amount FROM transfers WHERE amount > {LARGE_MIN}"
    );
    all.push(("large", large));
    let sinks = [
        (
            "windows_out",
            "CREATE SINK windows_out INTO TOPIC windows_out AS SELECT newest, n, total FROM windows WHERE n % 2 = 0",
        ),
        (
            "owned",
            "CREATE MATERIALIZED VIEW owned AS SELECT l.id, l.amount, o.version FROM large AS l \
             LEFT JOIN owners AS o ON l.credit = o.account",
        ),
        (
            "large_out",
            "CREATE SINK large_out INTO TOPIC large_out AS SELECT id, amount FROM large",
        ),
        (
            "balances_out",
            "CREATE SINK balances_out INTO TOPIC balances_out AS SELECT account, balance, moves FROM balances \
             FORMAT DEBEZIUM KEY (account)",
        ),
        (
            "credits_out",
            "CREATE SINK credits_out INTO TOPIC credits_out AS SELECT credit, count(*) AS moves FROM transfers \
             GROUP BY credit FORMAT UPSERT KEY (credit)",
        ),
        (
            "owned_out",
            "CREATE SINK owned_out INTO TOPIC owned_out AS SELECT id, amount, version FROM owned \
             FORMAT UPSERT KEY (id) NOT ENFORCED",
        ),
        (
            LATER,
            "CREATE SINK later_out INTO TOPIC later_out AS SELECT id, amount FROM large",
        ),
    ];
    all.extend(sinks.into_iter().map(text));
    all
}

thread_local! {
    /// Planned once: it takes longer than a run of a node.
    static RELATIONS: Vec<NewRelation> = plan();
}

fn plan() -> Vec<NewRelation> {
    define(&statements())
}

/// Relations by their statements, with ids from 1 on.
///
/// # Panics
/// When one of them makes no sense.
#[must_use]
pub fn define(statements: &[(&'static str, String)]) -> Vec<NewRelation> {
    let mut catalog = Catalog::default();
    let define = |(id, (name, text)): (u64, &(&str, String))| {
        let parsed = statement::parse(text).expect("the statement is one");
        let defined = planner::define(&catalog, &parsed[0]);
        let (relation, definition) =
            defined.unwrap_or_else(|error| panic!("{text}: {}", error.message));
        catalog.insert(relation);
        NewRelation {
            id,
            name: (*name).to_owned(),
            definition,
        }
    };
    (1..).zip(statements).map(define).collect()
}

/// Where the engine is, as far as the log under it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It asks for high watermarks.
    Cut,
    /// It reads records.
    Read,
    /// It decides an epoch.
    Record,
    /// A sink appends.
    Append,
    /// A checkpoint is there, and the outbox is trimmed.
    Trim,
}

/// What the run shares with the node's program; it outlives crashes.
pub(crate) struct Shared {
    pub(crate) plan: NodePlan,
    pub(crate) planted: PlantedBugs,
    /// Which of `SINKS` there are.
    pub(crate) sinks: BTreeSet<&'static str>,
    pub(crate) think_ms: u64,
    pub(crate) ip: Cell<IpAddr>,
    /// Awaits under way, by kind.
    pub(crate) phases: RefCell<BTreeMap<Phase, u64>>,
    pub(crate) is_serving: Cell<bool>,
    has_topics: Cell<bool>,
    pub(crate) acknowledged: Cell<u64>,
    next_id: Cell<i128>,
    /// Transfers that an answer has shown.
    pub(crate) shown: Cell<u64>,
    pub(crate) answers: Cell<u64>,
    /// Windows that an answer has shown closed.
    closed: RefCell<BTreeSet<(i128, i128, i128)>>,
    /// Versions that the table has acknowledged, by account.
    versions: RefCell<BTreeMap<i128, i128>>,
    /// The sink that is made later: the metadata has it.
    pub(crate) has_later: Cell<bool>,
    pub(crate) wants_later: Cell<bool>,
    /// Nobody begins to write.
    pub(crate) is_paused: Cell<bool>,
    pub(crate) writing: Cell<u64>,
    /// Someone waits for a look at everything.
    pub(crate) wants_check: Cell<bool>,
    pub(crate) checks: Cell<u64>,
    pub(crate) late_rows: Cell<u64>,
}

impl Shared {
    pub(crate) fn new(plan: NodePlan, planted: PlantedBugs) -> Self {
        Self {
            plan,
            planted,
            sinks: BTreeSet::new(),
            think_ms: 1,
            ip: Cell::new(std::net::Ipv4Addr::UNSPECIFIED.into()),
            phases: RefCell::default(),
            is_serving: Cell::new(false),
            has_topics: Cell::new(false),
            acknowledged: Cell::new(0),
            next_id: Cell::new(0),
            shown: Cell::new(0),
            answers: Cell::new(0),
            closed: RefCell::default(),
            versions: RefCell::default(),
            has_later: Cell::new(false),
            wants_later: Cell::new(false),
            is_paused: Cell::new(false),
            writing: Cell::new(0),
            wants_check: Cell::new(false),
            checks: Cell::new(0),
            late_rows: Cell::new(0),
        }
    }

    /// Everything that ran is gone.
    pub(crate) fn on_crash(&self) {
        self.phases.borrow_mut().clear();
        self.is_serving.set(false);
        self.has_topics.set(false);
        self.writing.set(0);
        self.wants_check.set(false);
    }

    pub(crate) fn is_in(&self, phase: Phase) -> bool {
        self.phases.borrow().get(&phase).is_some_and(|n| *n > 0)
    }

    fn relations(&self) -> Vec<NewRelation> {
        let is_there = |relation: &&NewRelation| match relation.definition {
            Definition::Sink(_) if relation.name == LATER => self.has_later.get(),
            Definition::Sink(_) => self.sinks.contains(relation.name.as_str()),
            _ => true,
        };
        RELATIONS.with(|all| all.iter().filter(is_there).cloned().collect())
    }

    fn topics(&self) -> impl Iterator<Item = &'static str> {
        self.sinks.iter().copied().chain([LATER])
    }
}

/// The node's program, on each of its shards.
pub(crate) async fn serve(shared: Rc<Shared>) {
    let settings = shared.plan.settings(shared.ip.get());
    let (broker, _) = Broker::open(settings)
        .await
        .expect("nothing fails but power");
    if runtime::shard() == leading_shard() {
        let topics = [(TOPIC, PARTITIONS), ("__forebay_table_owners", 1)];
        let sinks = shared.topics().map(|sink| (sink, SINK_PARTITIONS));
        for (topic, partitions) in topics.into_iter().chain(sinks) {
            let ensured = broker.ensure_topic(topic, partitions).await;
            ensured.expect("the topic can be made");
        }
        shared.has_topics.set(true);
    }
    if runtime::shard() == pipelines::engine_shard(runtime::shard_count()) {
        while !shared.has_topics.get() {
            runtime::sleep(Duration::from_micros(200)).await;
        }
        start_engine(&shared, &broker).await;
    }
    broker.stopped().await;
}

async fn start_engine(shared: &Rc<Shared>, broker: &Rc<Broker>) {
    let topics = Rc::new(Watched {
        topics: BrokerTopics::new(broker.clone()),
        shared: shared.clone(),
    });
    let data_dir = broker.settings.data_dir.clone();
    let started = Engine::start(
        topics.clone(),
        &data_dir,
        shared.relations(),
        shared.planted,
        usize::MAX,
    );
    let engine = started.await.expect("a checkpoint is whole or not there");
    runtime::set_local(engine.clone());
    for number in 0..2 {
        let writer = write(shared.clone(), number);
        runtime::spawn(Class::Produce, "writer", writer);
    }
    runtime::spawn(Class::Query, "reader", read(shared.clone(), engine.clone()));
    let owners = write_table(shared.clone(), engine.clone());
    runtime::spawn(Class::Query, "table writer", owners);
    let checks = watch_for_checks(shared.clone(), engine, topics);
    runtime::spawn(Class::Query, "checker", checks);
    shared.is_serving.set(true);
}

/// Waits for the run's wishes: the later sink, and checks.
async fn watch_for_checks(shared: Rc<Shared>, engine: Rc<Engine>, topics: Rc<Watched>) {
    loop {
        if shared.wants_later.get() && !shared.has_later.get() {
            let mut all = RELATIONS.with(Vec::clone);
            all.retain(|relation| relation.name == LATER);
            let new = all.pop().expect("it is one of the statements");
            engine.prepare(&new).await.expect("it can be made");
            // Where the metadata is made to last, in a whole node.
            shared.has_later.set(true);
            engine.create(new).await.expect("it can be made");
        }
        if shared.wants_check.get() && shared.writing.get() == 0 {
            check_everything(&shared, &engine, &topics).await;
            shared.checks.set(shared.checks.get() + 1);
            shared.wants_check.set(false);
        }
        runtime::sleep(Duration::from_millis(5)).await;
    }
}

/// With nobody writing: what all sinks have written is what the log says.
async fn check_everything(shared: &Shared, engine: &Engine, topics: &Watched) {
    engine.flush().await.expect("everything can be read");
    let answer = ask(engine).await;
    check_answer(shared, &answer);
    let log = read_topic(topics, TOPIC).await;
    let owners = owners(engine).await.1;
    let windows: BTreeSet<_> = windows(&answer).into_iter().collect();
    let oracle = Oracle::new(&log, owners, windows);
    let shown = shared.shown.get();
    assert_eq!(shown, oracle.count() as u64, "the log has another number");
    let balances = columns(&answer, "balances");
    let balances: BTreeMap<i128, Vec<Option<i128>>> = balances
        .into_iter()
        .map(|row| (row[0].expect("an account"), row[1..].to_vec()))
        .collect();
    assert_eq!(
        balances,
        oracle.balances(),
        "the view is not what the log says"
    );
    assert_eq!(columns(&answer, "large").len(), oracle.large().len());
    oracle.check_windows();
    for sink in shared.topics() {
        if sink == LATER && !shared.has_later.get() {
            continue;
        }
        oracle.check_sink(sink, &read_topic(topics, sink).await);
    }
}

/// Everything a topic holds.
///
/// # Panics
/// When it is not there or cannot be read.
pub async fn read_topic(topics: &dyn TopicLog, name: &str) -> Content {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let record = |record: batch::Record<'_>| Record {
        key: record.key.as_deref().map(text),
        value: record.value.as_deref().map(text),
    };
    read_records(topics, name, record).await
}

/// What is made of each record that a topic holds, by partition.
///
/// # Panics
/// When it is not there or cannot be read.
pub async fn read_records<T>(
    topics: &dyn TopicLog,
    name: &str,
    mut each: impl FnMut(batch::Record<'_>) -> T,
) -> Vec<Vec<T>> {
    let shape = topics.topic(name).expect("the topic was made");
    let mut content = Vec::new();
    for partition in 0..shape.partitions {
        let key = PartitionKey {
            topic: shape.id,
            partition: PartitionIndex(partition),
        };
        let mut records = Vec::new();
        let mut next = Offset::ZERO;
        loop {
            let read = topics.batches(key, next, 1 << 20).await;
            let (_, bytes) = read.expect("the partition can be read");
            if bytes.is_empty() {
                break;
            }
            let from = next;
            for item in batch::batches(&bytes) {
                let (header, bytes) = item.expect("the log holds whole batches");
                batch::for_each_record(bytes, 64 << 20, |record| {
                    if record.offset >= from {
                        records.push(each(record));
                    }
                    true
                })
                .expect("the log holds whole records");
                next = Offset(header.last_offset().0 + 1);
            }
        }
        content.push(records);
    }
    content
}

/// Writes transfers, and counts those that are acknowledged.
async fn write(shared: Rc<Shared>, number: u64) {
    loop {
        let think = runtime::random_u64() % (shared.think_ms * 2000);
        runtime::sleep(Duration::from_micros(think)).await;
        if shared.is_paused.get() {
            continue;
        }
        shared.writing.set(shared.writing.get() + 1);
        let count = 1 + runtime::random_u64() % 6;
        // Now and then one partition is left out for a while.
        let quiet = runtime::now().0 / 4_000_000_000 % 4;
        let partition = (runtime::random_u64() + number) % PARTITIONS as u64;
        let partition = if partition == quiet {
            (partition + 1) % PARTITIONS as u64
        } else {
            partition
        };
        let transfers = (0..count).map(|_| draw_transfer(&shared));
        if append(partition as i32, transfers.collect()).await {
            shared.acknowledged.set(shared.acknowledged.get() + count);
        }
        shared.writing.set(shared.writing.get() - 1);
    }
}

fn draw_transfer(shared: &Shared) -> Transfer {
    let account = || i128::from(runtime::random_u64() % ACCOUNTS);
    let id = shared.next_id.get();
    shared.next_id.set(id + 1);
    let now = i128::from(runtime::wall().0);
    let mut ms = now - i128::from(runtime::random_u64() % DISORDER_MS);
    let closed = shared.closed.borrow();
    let is_late = runtime::random_u64().is_multiple_of(30) && !closed.is_empty();
    if is_late {
        let nth = runtime::random_u64() as usize % closed.len();
        ms = closed.iter().nth(nth).expect("one of them").2;
        shared.late_rows.set(shared.late_rows.get() + 1);
    }
    Transfer {
        id,
        debit: account(),
        credit: account(),
        amount: i128::from(runtime::random_u64() % 1000),
        ms,
        is_late,
    }
}

/// Rows that are so much later than all others that every window before them is closed.
pub(crate) async fn close_windows(shared: &Shared) {
    for partition in 0..PARTITIONS {
        let id = shared.next_id.get();
        shared.next_id.set(id + 1);
        let transfer = Transfer {
            id,
            debit: 0,
            credit: 0,
            amount: 0,
            ms: i128::from(runtime::wall().0 + 100 * WINDOW_MS),
            is_late: false,
        };
        if append(partition, vec![transfer]).await {
            shared.acknowledged.set(shared.acknowledged.get() + 1);
        }
    }
}

async fn append(partition: i32, transfers: Vec<Transfer>) -> bool {
    let values = transfers.iter().map(Transfer::encode).collect();
    append_values(TOPIC, partition, values).await
}

/// Appends records to a topic; whether they are acknowledged.
pub async fn append_values(topic: &str, partition: i32, values: Vec<String>) -> bool {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        let now = TimestampMs(runtime::wall().0);
        builder.push(now, None, Some(value.as_bytes()), &[]);
    }
    let batch = builder.finish();
    let broker = Broker::local();
    let Some((topic, _)) = broker.topic_shape(topic) else {
        return false;
    };
    let key = PartitionKey {
        topic,
        partition: PartitionIndex(partition),
    };
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
    done.is_some()
}

/// Counts the versions of the table's rows up, one row at a time; now and then one goes, and comes again as it was.
async fn write_table(shared: Rc<Shared>, engine: Rc<Engine>) {
    loop {
        let think = runtime::random_u64() % (shared.think_ms * 10_000);
        runtime::sleep(Duration::from_micros(think)).await;
        if shared.is_paused.get() {
            continue;
        }
        shared.writing.set(shared.writing.get() + 1);
        let (epoch, owners) = owners(&engine).await;
        for (account, version) in shared.versions.borrow().iter() {
            // It may have gone since.
            let shown = owners.get(account).copied().unwrap_or(*version);
            assert!(
                shown >= *version,
                "version {version} was acknowledged, {shown} is there"
            );
        }
        let account = i128::from(runtime::random_u64() % ACCOUNTS);
        let version = owners.get(&account).copied();
        let known = shared.versions.borrow().get(&account).copied();
        let next = match version {
            Some(version) => version + 1,
            None => known.unwrap_or(1),
        };
        let mut rows: Vec<_> = version
            .map(|version| (account, version, -1))
            .into_iter()
            .collect();
        if version.is_none() || !runtime::random_u64().is_multiple_of(3) {
            rows.push((account, next, 1));
        }
        match engine.write(OWNERS, delta(&rows), Some(epoch)).await {
            Ok(()) => {
                let last = rows.last().expect("something was changed");
                shared.versions.borrow_mut().insert(account, last.1);
            }
            Err(error) => assert_eq!(error, QuestionError::Stopping),
        }
        shared.writing.set(shared.writing.get() - 1);
    }
}

fn delta(rows: &[(i128, i128, i64)]) -> Delta {
    let schema = RELATIONS.with(|all| {
        let mut tables = all
            .iter()
            .filter_map(|relation| match &relation.definition {
                Definition::Table(table) => Some(table.schema.clone()),
                _ => None,
            });
        tables.next().expect("there is a table")
    });
    let accounts = rows.iter().map(|row| row.0 as i32);
    let versions = rows.iter().map(|row| row.1 as i64);
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(accounts.collect::<Int32Array>()),
        Arc::new(versions.collect::<Int64Array>()),
    ];
    let batch = RecordBatch::try_new(schema, columns).expect("the columns of the schema");
    Delta::new(batch, rows.iter().map(|row| row.2).collect())
}

async fn owners(engine: &Engine) -> (u64, BTreeMap<i128, i128>) {
    let names = vec![OWNERS.to_owned()];
    let read = engine.snapshot(names, ReadAt::default()).await;
    let snapshot = read.expect("tables are read while the node is up");
    let rows = columns(&snapshot, OWNERS);
    let rows = rows
        .iter()
        .map(|row| (row[0].expect("a key"), row[1].expect("a version")));
    (snapshot.epoch, rows.collect())
}

/// Asks for all views together, again and again.
async fn read(shared: Rc<Shared>, engine: Rc<Engine>) {
    loop {
        check_answer(&shared, &ask(&engine).await);
        let think = runtime::random_u64() % (shared.think_ms * 4000);
        runtime::sleep(Duration::from_micros(think)).await;
        look_up(&shared, &engine);
    }
}

/// Looks all accounts up as other threads do, whatever the engine is at.
fn look_up(shared: &Shared, engine: &Engine) {
    let accounts: Arc<dyn Array> = Arc::new(Int32Array::from_iter_values(0..ACCOUNTS as i32));
    if let Some(found) = engine.views().lookup("balances", &[0], &[accounts]) {
        let balances = columns(&found, "balances");
        let sum = |at: usize| balances.iter().filter_map(|row| row[at]).sum::<i128>();
        assert_eq!(sum(1), 0, "looked up half an epoch, {}", found.epoch);
        let shown = u64::try_from(sum(2) / 2).expect("counts are not negative");
        let before = shared.shown.replace(shown);
        assert!(shown >= before, "looked up an older epoch");
    }
}

async fn ask(engine: &Engine) -> Snapshot {
    let names = ["balances", "total", "moved", "large", "windows"].map(String::from);
    let asked = engine.snapshot(names.to_vec(), ReadAt::default()).await;
    asked.expect("views are read while the node is up")
}

fn windows(answer: &Snapshot) -> Vec<(i128, i128, i128)> {
    let rows = columns(answer, "windows");
    let rows = rows.iter().map(|row| {
        let number = |at: usize| row[at].expect("an aggregate of a window with rows");
        (number(1), number(2), number(3))
    });
    rows.collect()
}

/// What every answer must say.
fn check_answer(shared: &Shared, answer: &Snapshot) {
    shared.answers.set(shared.answers.get() + 1);
    let balances = columns(answer, "balances");
    let sum: i128 = balances.iter().filter_map(|row| row[1]).sum();
    assert_eq!(sum, 0, "the balances do not add up, epoch {}", answer.epoch);
    let moves: i128 = balances.iter().filter_map(|row| row[2]).sum();
    let one = |name: &str, at: usize| {
        let rows = columns(answer, name);
        rows.first().and_then(|row| row[at]).unwrap_or(0)
    };
    let moved = one("moved", 0);
    assert_eq!(
        moves,
        moved * 2,
        "two views show two prefixes, epoch {}",
        answer.epoch
    );
    assert_eq!(one("total", 0), 0, "epoch {}", answer.epoch);
    assert_eq!(
        one("total", 1),
        balances.len() as i128,
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
    let windows: BTreeSet<_> = windows(answer).into_iter().collect();
    let mut closed = shared.closed.borrow_mut();
    let gone: Vec<_> = closed.difference(&windows).collect();
    assert!(
        gone.is_empty(),
        "closed windows are other ones now: {gone:?}"
    );
    *closed = windows;
}

/// The node's topics, and a look at who uses them.
pub(crate) struct Watched {
    topics: BrokerTopics,
    shared: Rc<Shared>,
}

impl Watched {
    fn during<'a, T: 'a>(&'a self, phase: Phase, work: LocalFuture<'a, T>) -> LocalFuture<'a, T> {
        Box::pin(async move {
            *self.shared.phases.borrow_mut().entry(phase).or_default() += 1;
            let done = work.await;
            let mut phases = self.shared.phases.borrow_mut();
            if let Some(count) = phases.get_mut(&phase) {
                *count = count.saturating_sub(1);
            }
            done
        })
    }
}

impl TopicLog for Watched {
    fn topic(&self, name: &str) -> Option<TopicShape> {
        self.topics.topic(name)
    }

    fn ensure_topic(
        &self,
        name: String,
        partitions: i32,
        keeps_all: bool,
    ) -> LocalFuture<'_, Result<TopicShape, LogError>> {
        self.topics.ensure_topic(name, partitions, keeps_all)
    }

    fn delete_topic(&self, name: String) -> LocalFuture<'_, Result<(), LogError>> {
        self.topics.delete_topic(name)
    }

    fn extents(&self, partitions: Vec<PartitionKey>) -> LocalFuture<'_, Vec<Option<Extent>>> {
        self.during(Phase::Cut, self.topics.extents(partitions))
    }

    fn wait(&self, seen: Vec<(PartitionKey, Offset)>, deadline: Instant) -> LocalFuture<'_, ()> {
        self.topics.wait(seen, deadline)
    }

    fn read(
        &self,
        partition: PartitionKey,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        reader: Arc<SourceReader>,
    ) -> LocalFuture<'_, Result<Decoded, LogError>> {
        let read = self.topics.read(partition, from, until, bytes_max, reader);
        self.during(Phase::Read, read)
    }

    fn append(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<Offset, LogError>> {
        self.during(Phase::Record, self.topics.append(partition, batch))
    }

    fn produce(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<(), LogError>> {
        self.during(Phase::Append, self.topics.produce(partition, batch))
    }

    fn trim(
        &self,
        partition: PartitionKey,
        log_start_offset: Offset,
    ) -> LocalFuture<'_, Result<(), LogError>> {
        self.during(Phase::Trim, self.topics.trim(partition, log_start_offset))
    }

    fn batches(
        &self,
        partition: PartitionKey,
        from: Offset,
        bytes_max: usize,
    ) -> LocalFuture<'_, Result<(Offset, Vec<u8>), LogError>> {
        self.topics.batches(partition, from, bytes_max)
    }

    fn producer_id(&self) -> LocalFuture<'_, Result<i64, LogError>> {
        self.topics.producer_id()
    }
}
