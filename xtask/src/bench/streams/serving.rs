//! What a reader of a view waits for: a look-up by key, a record's way into the view, a restart with much state.
//!
//! # Place
//! One view counts records by key. First all is loaded as fast as it goes; half of that rate is the pace at which look-ups and
//! changes are timed. Then keys are added until the state is large, the node is killed, and the clock runs from its
//! start to the first answer.

use std::{
    ops::Range,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use e2e::node::Node;
use postgres::{Client, fallible_iterator::FallibleIterator};

use super::{Loader, forebay::connect};

const TOPIC: &str = "served";
/// Keys of the view while it is read under load.
const KEYS: u64 = 100_000;
const UNPACED_RECORDS: u64 = 2_000_000;
const SECONDS: u64 = 20;
/// Between two look-ups: often enough for a p99, seldom enough to leave the load its pace.
const LOOK_UP_EVERY: Duration = Duration::from_millis(2);
/// After the last change.
const SETTLES: Duration = Duration::from_secs(2);
/// One key in so many has its changes listened to.
const PROBED: u64 = 1_000;
/// Of the restart's view, its operators' and its rows. One key and its record take some 250 bytes of both.
const STATE_BYTES: u64 = 1 << 30;
const RECORDS_PER_STEP: u64 = 500_000;

/// The figures; times in milliseconds.
pub struct Served {
    pub records_per_s: f64,
    pub paced_per_s: u64,
    pub look_up: Spread,
    pub visible: Spread,
    pub state_mib: f64,
    pub keys: u64,
    pub ready: Duration,
    pub answered: Duration,
}

/// How many times were taken, and p50, p99 and the longest in milliseconds.
pub struct Spread {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
    pub longest: f64,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Result<Self> {
        ensure!(!times.is_empty(), "nothing was timed");
        times.sort_unstable();
        let at = |share: f64| {
            let place = (times.len() as f64 * share) as usize;
            times[place.min(times.len() - 1)].as_secs_f64() * 1e3
        };
        Ok(Self {
            count: times.len(),
            p50: at(0.5),
            p99: at(0.99),
            longest: at(1.0),
        })
    }
}

/// Measures a started node, which is killed and started again.
pub fn measure(node: &mut Node, loader: &Loader) -> Result<Served> {
    let mut sql = connect(node)?;
    let mut load = Pace {
        topic: TOPIC,
        // Each key once, so that every look-up finds its row.
        numbers: 0..KEYS,
        per_second: 0,
        keys: KEYS,
    };
    load.run(node, loader)?;
    sql.batch_execute(&format!(
        "CREATE SOURCE {TOPIC} FROM TOPIC {TOPIC} (key BIGINT, sent BIGINT, note TEXT) FORMAT JSON;
         CREATE MATERIALIZED VIEW served_keys AS
             SELECT key, count(*) AS records, max(sent) AS sent, max(note) AS note FROM {TOPIC} GROUP BY key;
         CREATE MATERIALIZED VIEW served_probes AS
             SELECT key, max(sent) AS sent FROM {TOPIC} WHERE key < {} GROUP BY key",
        KEYS / PROBED
    ))?;
    let began = Instant::now();
    load.numbers = 0..UNPACED_RECORDS;
    load.run(node, loader)?;
    sql.batch_execute("FLUSH")?;
    let records_per_s = UNPACED_RECORDS as f64 / began.elapsed().as_secs_f64();
    println!("served: {records_per_s:.0} records a second at most");
    let paced_per_s = (records_per_s / 2.0) as u64;
    load.numbers = 0..paced_per_s * SECONDS;
    load.per_second = paced_per_s;
    let load = load.start(node, loader)?;
    let visible = listen(node)?;
    let look_up = look_up(&mut sql, Instant::now() + Duration::from_secs(SECONDS))?;
    ended(load)?;
    let mut late = Vec::new();
    while let Ok(time) = visible.recv_timeout(SETTLES) {
        late.push(time);
    }
    let visible = Spread::of(late)?;
    let (state, keys) = grow(node, loader, &mut sql)?;
    drop(sql);
    node.kill()?;
    let began = Instant::now();
    let ready = node.start()?;
    let mut sql = connect(node)?;
    let row = sql.query_one("SELECT records FROM served_large WHERE key = 0", &[])?;
    let answered = began.elapsed();
    ensure!(row.get::<_, i64>(0) == 1, "another count after the restart");
    Ok(Served {
        records_per_s,
        paced_per_s,
        look_up,
        visible,
        state_mib: state as f64 / 1_048_576.0,
        keys,
        ready,
        answered,
    })
}

/// Records to be sent to a topic: their numbers say which of the keys they have.
struct Pace {
    topic: &'static str,
    numbers: Range<u64>,
    /// 0: as fast as it goes.
    per_second: u64,
    keys: u64,
}

impl Pace {
    fn start(&self, node: &Node, loader: &Loader) -> Result<Child> {
        let records = self.numbers.end - self.numbers.start;
        let numbers = [self.numbers.start, records, self.per_second, self.keys];
        Command::new(&loader.program)
            .args(["pace", &node.bootstrap(), self.topic])
            .args(numbers.map(|number| number.to_string()))
            .stdout(Stdio::null())
            .spawn()
            .context("the load")
    }

    fn run(&self, node: &Node, loader: &Loader) -> Result<()> {
        ended(self.start(node, loader)?)
    }
}

fn ended(mut load: Child) -> Result<()> {
    let status = load.wait()?;
    ensure!(status.success(), "the load: {status}");
    Ok(())
}

/// Times from a record's sending to the row it changed, as changes come.
fn listen(node: &Node) -> Result<mpsc::Receiver<Duration>> {
    let mut sql = connect(node)?;
    let (found, times) = mpsc::channel();
    thread::spawn(move || {
        let nothing: [i32; 0] = [];
        let mut rows = sql.query_raw("SUBSCRIBE TO served_probes", nothing)?;
        while let Some(row) = rows.next()? {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now_us = now.map_or(0, |now| now.as_micros() as i64);
            let is_added = row.get::<_, i64>("weight") > 0;
            let late = now_us - row.get::<_, i64>("sent");
            if is_added
                && found
                    .send(Duration::from_micros(late.max(0) as u64))
                    .is_err()
            {
                break;
            }
        }
        Ok::<(), postgres::Error>(())
    });
    Ok(times)
}

fn look_up(sql: &mut Client, end: Instant) -> Result<Spread> {
    let question = sql.prepare("SELECT records, sent, note FROM served_keys WHERE key = $1")?;
    let mut times = Vec::new();
    let mut key = 0_u64;
    while Instant::now() < end {
        key = (key + 7_919) % KEYS;
        let began = Instant::now();
        let row = sql.query_one(&question, &[&(key as i64)])?;
        times.push(began.elapsed());
        ensure!(row.get::<_, i64>(0) > 0, "a key without records");
        thread::sleep(LOOK_UP_EVERY);
    }
    Spread::of(times)
}

/// Adds keys until the view's state is as large as wanted, and waits for what is read to be in a checkpoint.
fn grow(node: &Node, loader: &Loader, sql: &mut Client) -> Result<(u64, u64)> {
    sql.batch_execute("DROP MATERIALIZED VIEW served_keys; DROP MATERIALIZED VIEW served_probes")?;
    let topic = "served_large";
    let most = 60 * RECORDS_PER_STEP;
    let mut keys = 0;
    loop {
        let load = Pace {
            topic,
            numbers: keys..keys + RECORDS_PER_STEP,
            per_second: 0,
            keys: most,
        };
        load.run(node, loader)?;
        keys += RECORDS_PER_STEP;
        if keys == RECORDS_PER_STEP {
            sql.batch_execute(&format!(
                "CREATE SOURCE {topic}_source FROM TOPIC {topic} (key BIGINT, sent BIGINT, note TEXT) FORMAT JSON;
                 CREATE MATERIALIZED VIEW {topic} AS
                     SELECT key, count(*) AS records, max(sent) AS sent, max(note) AS note FROM {topic}_source GROUP BY key"
            ))?;
        }
        sql.batch_execute("FLUSH")?;
        let state = state_bytes(sql, topic)?;
        println!("served: {keys} keys, {} MiB of state", state >> 20);
        if state >= STATE_BYTES || keys >= most {
            // Checkpoints are taken every few seconds.
            thread::sleep(Duration::from_secs(20));
            return Ok((state, keys));
        }
    }
}

fn state_bytes(sql: &mut Client, pipeline: &str) -> Result<u64> {
    let question = "SELECT state_bytes + rows_bytes FROM forebay.pipelines WHERE name = $1";
    let row = sql.query_one(question, &[&pipeline])?;
    Ok(row.get::<_, i64>(0).max(0) as u64)
}
