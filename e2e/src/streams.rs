//! Pipelines under `kill -9`: answers that always add up, and sinks that write everything once.
//!
//! Four producers move money between accounts while the node is killed and started again. Beside them sessions read,
//! subscribe and change a table. What sinks have written is compared with plain loops over the topic that it all comes from.

mod external;
mod oracle;
mod sessions;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::Stage;
use crate::client::Worker;
use crate::node::Node;
use crate::record::{Seeded, base64};
use crate::report::Suite;
use crate::toolchain::{Family, Program};
use external::External;
use oracle::Oracle;
use sessions::{Session, Shared};

const TOPIC: &str = "transfers";
const PARTITIONS: u32 = 4;
const PRODUCERS: u32 = 4;
const ACCOUNTS: u64 = 50;
/// Longer than this no produce command tries; the watermark waits longer.
const PRODUCE_WITHIN_MS: u64 = 10_000;
const DISORDER_MS: u64 = 1000;
const WINDOW_MS: i64 = 2000;

const SINKS: [&str; 4] = ["large_out", "windows_out", "balances_out", "owned_out"];

const STATEMENTS: [&str; 12] = [
    "CREATE SOURCE transfers FROM TOPIC transfers (id BIGINT, debit INT, credit INT, amount BIGINT, ms BIGINT, \
     at TIMESTAMPTZ, WATERMARK FOR at AS at - INTERVAL '15 seconds') FORMAT JSON",
    "CREATE TABLE owners (account INT PRIMARY KEY, version BIGINT)",
    "CREATE MATERIALIZED VIEW balances AS SELECT account, CAST(sum(amount) AS BIGINT) AS balance, count(*) AS moves FROM \
     (SELECT credit AS account, amount FROM transfers UNION ALL SELECT debit, -amount FROM transfers) AS moves \
     GROUP BY account",
    "CREATE MATERIALIZED VIEW total AS SELECT CAST(sum(balance) AS BIGINT) AS total FROM balances",
    "CREATE MATERIALIZED VIEW moved AS SELECT count(*) AS transfers FROM transfers",
    "CREATE MATERIALIZED VIEW large AS SELECT id, credit, amount FROM transfers WHERE amount > 900",
    "CREATE MATERIALIZED VIEW owned AS SELECT l.id, l.amount, o.version FROM large AS l \
     LEFT JOIN owners AS o ON l.credit = o.account",
    "CREATE MATERIALIZED VIEW windows AS SELECT window_end, count(*) AS n, sum(amount) AS total, max(ms) AS newest \
     FROM TUMBLE(transfers, at, INTERVAL '2 seconds') GROUP BY window_end EMIT ON WINDOW CLOSE",
    "CREATE SINK large_out INTO TOPIC large_out AS SELECT id, amount FROM large",
    "CREATE SINK windows_out INTO TOPIC windows_out AS SELECT newest, n, total FROM windows",
    "CREATE SINK balances_out INTO TOPIC balances_out AS SELECT account, balance, moves FROM balances \
     FORMAT DEBEZIUM KEY (account)",
    "CREATE SINK owned_out INTO TOPIC owned_out AS SELECT id, amount, version FROM owned FORMAT UPSERT KEY (id) NOT ENFORCED",
];

/// Runs the rounds.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    if stage.is_peer() {
        suite.skipped("streams", "pipelines are Forebay's own");
        return Ok(());
    }
    let Some(program) = stage.toolchain.program(Family::FranzGo) else {
        suite.skipped(
            "streams",
            "the transfers come from franz-go, which is not there",
        );
        return Ok(());
    };
    let mut node = stage.node("node")?;
    let mut reader = Worker::spawn(program, &node.bootstrap())?;
    reader.create(TOPIC, PARTITIONS, &json!({}))?;
    let mut session = Session::connect(node.pg_port())?;
    for statement in STATEMENTS {
        session.execute(statement)?;
    }
    let mut external = External::start(stage, program, suite)?;
    if let Some(external) = &mut external {
        external.create(&mut session)?;
    }
    drop(session);
    let shared = Arc::new(Shared::new(node.pg_port()));
    let threads = start(&shared, program, &node)?;
    let rounds = stage.options.stream_rounds;
    let mut seeded = Seeded::new(rounds.into());
    let mut readers = Readers {
        own: reader,
        external,
    };
    for round in 1..=rounds {
        let result = (|| {
            thread::sleep(Duration::from_millis(500 + seeded.below(2500)));
            node.kill()?;
            let (answers, changes) = (shared.answers(), shared.changes());
            node.start()?;
            shared.wait_for(Shared::answers, answers + 10)?;
            shared.wait_for(Shared::changes, changes + 100)?;
            // Reading everything in each of many rounds would cost the square of their number.
            match round % (rounds / 10 + 1) {
                0 => shared.while_quiet(|| look(&shared, &mut readers, stage.place, Windows::Some)),
                _ => shared.check(),
            }
        })();
        let failed = result.is_err();
        suite.case(format!("round {round}"), result);
        if failed {
            break;
        }
    }
    let mut expected = Vec::new();
    if readers.external.is_some() {
        suite.case(
            "Apache Kafka goes and comes",
            outage(&shared, &mut readers, stage.place),
        );
        expected = external::WARNINGS.to_vec();
    }
    suite.case(
        "every window is closed, and everything is there once",
        close_windows(&shared, &mut readers, stage.place),
    );
    // Who listens hears nothing any more, until the node goes.
    let restarted = node.restart();
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a thread of the test panicked"))?;
    }
    suite.case("answers always added up", shared.check());
    suite.case(
        "and after SIGTERM",
        restarted.and_then(|()| look(&shared, &mut readers, stage.place, Windows::All)),
    );
    println!(
        "streams: {} transfers, {} answers, {} changes of balances",
        shared.sent(),
        shared.answers(),
        shared.changes()
    );
    suite.case(
        "the node's log has no warning",
        node.is_quiet_but_for(&expected),
    );
    Ok(())
}

fn start(
    shared: &Arc<Shared>,
    program: &Program,
    node: &Node,
) -> Result<Vec<thread::JoinHandle<()>>> {
    let mut threads = Vec::new();
    for number in 0..PRODUCERS {
        let worker = Worker::spawn(program, &node.bootstrap())?;
        let shared = shared.clone();
        threads.push(thread::spawn(move || produce(&shared, worker, number)));
    }
    for _ in 0..2 {
        let shared = shared.clone();
        threads.push(thread::spawn(move || shared.until_stopped(Session::ask)));
    }
    let told = shared.clone();
    threads.push(thread::spawn(move || told.until_stopped(Session::listen)));
    let changed = shared.clone();
    threads.push(thread::spawn(move || {
        changed.until_stopped(Session::change_owners);
    }));
    Ok(threads)
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}

/// Sends transfers; whether one that was not acknowledged is there, the log tells.
fn produce(shared: &Shared, mut worker: Worker, number: u32) {
    let mut seeded = Seeded::new(u64::from(number) + 1);
    while !shared.is_stopped() {
        if !shared.begin() {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        let count = 20 + seeded.below(80);
        let values: Vec<String> = (0..count)
            .map(|_| {
                let ms = now_ms() - seeded.below(DISORDER_MS) as i64;
                transfer(
                    shared.next_id(),
                    [seeded.below(ACCOUNTS), seeded.below(ACCOUNTS)],
                    seeded.below(1000),
                    ms,
                )
            })
            .collect();
        let partition = seeded.below(PARTITIONS.into()) as u32;
        // While the node is down the client tries again; what it gives up may be there all the same.
        let _ = send(&mut worker, partition, &values);
        shared.end();
        thread::sleep(Duration::from_millis(seeded.below(20)));
    }
}

fn transfer(id: u64, [debit, credit]: [u64; 2], amount: u64, ms: i64) -> String {
    format!(
        "{{\"id\":{id},\"debit\":{debit},\"credit\":{credit},\"amount\":{amount},\"at\":{ms},\"ms\":{ms}}}"
    )
}

fn send(worker: &mut Worker, partition: u32, values: &[String]) -> Result<()> {
    let records: Vec<_> = values
        .iter()
        .map(|value| json!({ "t": 0, "k": null, "v": base64(value.as_bytes()), "h": [] }))
        .collect();
    worker
        .call(&json!({
            "op": "produce", "topic": TOPIC, "partition": partition, "compression": "none", "idempotent": true,
            "records": records, "timeout_ms": PRODUCE_WITHIN_MS,
        }))
        .map(drop)
}

/// Who reads what sinks have written.
struct Readers {
    own: Worker,
    external: Option<External>,
}

/// Which windows the view must show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Windows {
    Some,
    /// All but the newest.
    All,
}

/// With nobody writing: what all sinks have written is what the log says.
fn look(shared: &Shared, readers: &mut Readers, place: &Path, which: Windows) -> Result<()> {
    let began = Instant::now();
    let mut session = Session::connect(shared.pg_port)?;
    session.client.batch_execute("FLUSH")?;
    let owners = session.owners()?;
    // Partitions that are silent become idle: windows may close while this looks.
    let before = session.windows()?;
    let log = dump(&mut readers.own, TOPIC, place)?;
    let mut found = Vec::new();
    for sink in SINKS {
        found.push((sink, dump(&mut readers.own, sink, place)?));
    }
    if let Some(external) = &mut readers.external {
        found.extend(external.dump(&mut readers.own, &log, place)?);
    }
    let oracle = Oracle::new(&log, owners, before, session.windows()?)?;
    oracle.check_windows(which == Windows::All)?;
    for (sink, values) in found {
        oracle
            .check_sink(sink, &values)
            .with_context(|| sink.to_owned())?;
    }
    ensure!(
        began.elapsed() < Duration::from_secs(120),
        "looking at everything took {:?}",
        began.elapsed()
    );
    shared.check()
}

/// Rows that are so much later than all others that every window before them closes. Nobody writes afterwards: it would all
/// be late.
fn close_windows(shared: &Shared, readers: &mut Readers, place: &Path) -> Result<()> {
    shared.while_quiet(|| {
        shared.stop();
        let ms = now_ms() + 100 * WINDOW_MS;
        for partition in 0..PARTITIONS {
            let value = transfer(shared.next_id(), [0, 0], 0, ms);
            send(&mut readers.own, partition, &[value])?;
        }
        look(shared, readers, place, Windows::All)
    })
}

/// While the external cluster is away, views go on; when it is there again, so do the sinks.
fn outage(shared: &Shared, readers: &mut Readers, place: &Path) -> Result<()> {
    let Some(external) = &mut readers.external else {
        return Ok(());
    };
    external.kill()?;
    let changes = shared.changes();
    shared.wait_for(Shared::changes, changes + 1000)?;
    let mut session = Session::connect(shared.pg_port)?;
    external.wait_until_it_shows(&mut session)?;
    external.restart()?;
    shared.while_quiet(|| look(shared, readers, place, Windows::Some))
}

/// The values of a topic, by partition, in their order.
fn dump(reader: &mut Worker, topic: &str, place: &Path) -> Result<Vec<String>> {
    let file = place.join(topic);
    reader.call(&json!({
        "op": "dump", "topic": topic, "file": file, "committed": true, "timeout_ms": 60_000,
    }))?;
    let text = std::fs::read_to_string(&file)?;
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().with_context(|| format!("line {line:?}"));
        let place: (u32, i64) = (word()?.parse()?, word()?.parse()?);
        lines.push((place, word()?.to_owned()));
    }
    lines.sort();
    Ok(lines.into_iter().map(|(_, value)| value).collect())
}
