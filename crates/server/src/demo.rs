//! `forebay demo`: a node with real data in it.
//!
//! The node runs in this process as `forebay start` runs it; the data goes in, and the report comes out, through its
//! Kafka listener by the client every command uses.

mod flights;
mod report;
mod session;
#[cfg(feature = "pipelines")]
mod views;

#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{
    cli::{DemoArgs, format, shard::explain},
    config::{Loaded, Origin, Settings, TlsUse},
    exit,
    start::{Process, refuse},
    trace,
};
use flights::Flights;
use report::{Report, Tally};
use session::DemoClient;

const TOPIC: &str = "flights";
const PARTITIONS: i32 = 6;
/// Flights handed to the client at once; progress and Ctrl-C are looked at in between.
const CHUNK_FLIGHTS: usize = 8192;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// `forebay demo`.
#[must_use]
pub fn run(args: &DemoArgs) -> u8 {
    let begun = Instant::now();
    // Before any thread starts: they inherit it.
    runtime::signal::block_termination();
    let mut loaded = match args.node.load() {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    if loaded.settings.pg_users.is_some() || loaded.settings.pg_tls == TlsUse::Required {
        let message =
            "the demo asks its node in plain and without a password: leave pg_users and pg_tls out";
        return refuse(&message);
    }
    let dir = match choose_dir(&mut loaded) {
        Ok(dir) => dir,
        Err(error) => {
            note!("forebay: {error:#}");
            return exit::DIRECTORY;
        }
    };
    adapt(&mut loaded);
    let settings = loaded.settings;
    let _traces = match trace::start(&settings.log_level, settings.log_format) {
        Ok(guard) => guard,
        Err(error) => return refuse(&error),
    };
    let process = match Process::start(&settings, begun, crate::Programs::default()) {
        Ok(process) => process,
        Err(error) => {
            note!("forebay: {error}");
            return error.exit_code();
        }
    };
    let stop = Stop::watch();
    let shown = show(&process, &settings, args, &dir, &stop);
    if matches!(shown, Ok(true)) && !args.exit {
        stop.wait();
        note!("\nStopping.");
    }
    let stopped = process.stop();
    if let Err(error) = &shown {
        note!("forebay: {}", explain(error));
    }
    if let Err(error) = &stopped {
        note!("forebay: {error}");
    }
    match (shown, stopped) {
        (Ok(true), Ok(())) => exit::OK,
        _ => exit::FAILED,
    }
}

/// Where the demo's data goes; a directory of its own is deleted in the end.
struct Dir {
    temporary: Option<PathBuf>,
}

impl Drop for Dir {
    fn drop(&mut self) {
        if let Some(path) = &self.temporary
            && let Err(error) = std::fs::remove_dir_all(path)
        {
            note!("forebay: {} is not deleted: {error}", path.display());
        }
    }
}

fn choose_dir(loaded: &mut Loaded) -> anyhow::Result<Dir> {
    if loaded.origins["data_dir"] != Origin::Default {
        return Ok(Dir { temporary: None });
    }
    // /tmp is often memory; /var/tmp is on a disk, where syncing means something.
    let on_disk = Path::new("/var/tmp");
    let parent = match std::env::var_os("TMPDIR") {
        None if on_disk.is_dir() => on_disk.to_owned(),
        _ => std::env::temp_dir(),
    };
    let path = parent.join(format!("forebay-demo-{}", std::process::id()));
    std::fs::create_dir(&path).with_context(|| {
        format!(
            "cannot make the directory {} (--data-dir names another)",
            path.display()
        )
    })?;
    loaded.settings.data_dir.clone_from(&path);
    Ok(Dir {
        temporary: Some(path),
    })
}

/// What a demo does differently unless it is told: a taken port is no reason to fail, and the traces of a start would
/// stand in the middle of the report.
fn adapt(loaded: &mut Loaded) {
    let settings = &mut loaded.settings;
    let addrs = [
        ("kafka_addr", Some(&mut settings.kafka_addr)),
        ("http_addr", Some(&mut settings.http_addr)),
        ("pg_addr", Some(&mut settings.pg_addr)),
        ("registry_addr", settings.registry_addr.as_mut()),
    ];
    for (name, addr) in addrs {
        let Some(addr) = addr else {
            continue;
        };
        if loaded.origins[name] == Origin::Default && TcpListener::bind(*addr).is_err() {
            addr.set_port(0);
        }
    }
    if loaded.origins["log_level"] == Origin::Default {
        // Client and node share the CPUs here, so shards wait for a CPU now and then; /metrics counts that.
        settings.log_level = "warn,runtime::watchdog=error".into();
    }
}

/// Ctrl-C or SIGTERM, from now on.
struct Stop {
    flag: Arc<AtomicBool>,
    told: mpsc::Receiver<()>,
}

impl Stop {
    fn watch() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let seen = flag.clone();
        let watch = move || {
            runtime::signal::wait_for_termination();
            seen.store(true, Ordering::Relaxed);
            // Nobody listens only when the process is ending.
            let _ = tell.send(());
        };
        let thread = std::thread::Builder::new().name("signals".into());
        if let Err(error) = thread.spawn(watch) {
            tracing::warn!(%error, "signals are not watched: only SIGKILL ends this process");
        }
        Self { flag, told }
    }

    fn is_asked(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    fn wait(&self) {
        // Without a watcher it goes on for ever, as the warning said.
        while self.told.recv().is_err() {
            std::thread::park();
        }
    }
}

/// Loads, reads back and tells; whether the log holds what it should.
fn show(
    process: &Process,
    settings: &Settings,
    args: &DemoArgs,
    dir: &Dir,
    stop: &Stop,
) -> anyhow::Result<bool> {
    let style = Style::new();
    let kafka = process.kafka_addr;
    note!(
        "Forebay {} serves Kafka on {kafka} after {:.0} ms, with {} shard{}, in {}{}",
        env!("CARGO_PKG_VERSION"),
        process.ready_after.as_secs_f64() * 1000.0,
        process.shards,
        if process.shards == 1 { "" } else { "s" },
        settings.data_dir.display(),
        if dir.temporary.is_some() {
            " (deleted at the end; --data-dir keeps it)"
        } else {
            ""
        },
    );
    let client = DemoClient::connect(kafka)?;
    let flights = Arc::new(Flights::built_in()?);
    let is_new = client.create_topic()?;
    let mut shown = Shown::begin(process, is_new, &style)?;
    let expected = if is_new {
        load(&client, &flights, stop, &mut shown)?
    } else {
        note!("The topic {TOPIC} is there already: nothing is loaded, only read.");
        expected(&flights)
    };
    shown.end(&style)?;
    let report = read_back(&client, stop)?;
    let shape = client.shape()?;
    client.close();
    let is_right = report.tally == expected;
    let mut text = format!(
        "\n{}\n\n{}\n  {}\n",
        style.bold("Read back from the log:"),
        report.text(&shape, &style),
        verdict(&report, &expected, &style),
    );
    if !args.exit {
        text.push_str(&what_to_try(process, &style));
    }
    // Not `out!`: whatever happens to the reader, the node is stopped and its directory deleted in the end.
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.context("writing to standard output")?;
    // A node that somebody wrote to, or whose load was cut short, is worth looking at; only a script needs to know.
    Ok(is_right || !args.exit)
}

/// Every flight, acknowledged; what was sent.
fn load(
    client: &DemoClient,
    flights: &Arc<Flights>,
    stop: &Stop,
    shown: &mut Shown,
) -> anyhow::Result<Tally> {
    let count = flights.flights.len();
    let mut progress = Progress::new("loading", count as u64);
    let mut sent = Tally::default();
    for start in (0..count).step_by(CHUNK_FLIGHTS) {
        if stop.is_asked() {
            bail!("interrupted while loading");
        }
        let chunk = client.send(flights, start..(start + CHUNK_FLIGHTS).min(count))?;
        sent.add_all(&chunk);
        progress.at(sent.records, sent.bytes);
        shown.look(start, count)?;
    }
    let acknowledged = client.flush()?;
    progress.end(
        sent.records,
        sent.bytes,
        "acknowledged, each after its sync",
    );
    if acknowledged != sent.records {
        bail!(
            "{} records were sent, {acknowledged} acknowledged",
            sent.records
        );
    }
    Ok(sent)
}

/// The views, and how far the load was when they were looked at last.
struct Shown {
    #[cfg(feature = "pipelines")]
    sql: Option<views::SqlClient>,
    quarter: usize,
}

impl Shown {
    /// Declares the views, if the data directory is new.
    #[cfg(feature = "pipelines")]
    fn begin(process: &Process, is_new: bool, style: &Style) -> anyhow::Result<Self> {
        let addr = process
            .pg_addr
            .context("the node has no Postgres listener")?;
        let mut sql = views::SqlClient::connect(addr)?;
        if is_new {
            note!("\n{}", style.bold("Declared, before there is any data:"));
            for statement in views::STATEMENTS {
                sql.run(statement)?;
                note!("  {statement};");
            }
            note!("");
        }
        Ok(Self {
            sql: Some(sql),
            quarter: 0,
        })
    }

    #[cfg(not(feature = "pipelines"))]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "as with pipelines, where it can fail"
    )]
    fn begin(_process: &Process, _is_new: bool, _style: &Style) -> anyhow::Result<Self> {
        Ok(Self { quarter: 0 })
    }

    /// Shows the ranking after each quarter of the load: it changes while data flows.
    fn look(&mut self, done: usize, count: usize) -> anyhow::Result<()> {
        let quarter = done * 4 / count.max(1);
        if quarter > self.quarter {
            self.quarter = quarter;
            self.show(&format!(
                "The view `ranking` after {} % of the load:",
                quarter * 25
            ))?;
        }
        Ok(())
    }

    #[cfg(feature = "pipelines")]
    fn show(&mut self, title: &str) -> anyhow::Result<()> {
        if let Some(sql) = &mut self.sql {
            let style = Style::new();
            note!("\n  {}", style.bold(title));
            note!("{}", sql.run(views::RANKING)?.text(&style).trim_end());
        }
        Ok(())
    }

    #[cfg(not(feature = "pipelines"))]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "as with pipelines, where it can fail"
    )]
    fn show(&mut self, _title: &str) -> anyhow::Result<()> {
        Ok(())
    }

    /// When every view has seen everything.
    #[cfg(feature = "pipelines")]
    fn end(&mut self, _style: &Style) -> anyhow::Result<()> {
        if let Some(sql) = &mut self.sql {
            sql.run(views::FLUSH)?;
        }
        self.show("The view `ranking` over everything:")
    }

    #[cfg(not(feature = "pipelines"))]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "as with pipelines, where it can fail"
    )]
    fn end(&mut self, _style: &Style) -> anyhow::Result<()> {
        Ok(())
    }
}

/// What a whole load would have sent.
fn expected(flights: &Flights) -> Tally {
    let (mut tally, mut value) = (Tally::default(), Vec::new());
    for flight in &flights.flights {
        flights.write_json(flight, &mut value);
        tally.add(flight.at, flights.route(flight).origin.as_bytes(), &value);
    }
    tally
}

fn read_back(client: &DemoClient, stop: &Stop) -> anyhow::Result<Report> {
    let mut progress = Progress::new("reading", client.begin_reading()?);
    loop {
        if stop.is_asked() {
            bail!("interrupted while reading");
        }
        let (records, report) = client.read()?;
        if let Some(report) = report {
            let tally = &report.tally;
            progress.end(
                tally.records,
                tally.bytes,
                "from the first offset to the last",
            );
            return Ok(report);
        }
        progress.at(records, 0);
    }
}

fn verdict(report: &Report, expected: &Tally, style: &Style) -> String {
    let tally = &report.tally;
    if tally == expected {
        return style.green("✓ every record that was acknowledged is there, once, byte for byte");
    }
    let text = if tally.records == expected.records {
        "✗ the number of records is right, but their content is not what was loaded".to_owned()
    } else {
        format!(
            "✗ the demo's data set has {} records, the log {} ({} of them not the demo's): was loading interrupted, or \
             did somebody write to the topic?",
            format::grouped(expected.records),
            format::grouped(tally.records),
            format::grouped(report.foreign),
        )
    };
    style.red(&text)
}

/// Commands that work as they stand.
fn what_to_try(process: &Process, style: &Style) -> String {
    let (kafka, http) = (process.kafka_addr, process.http_addr);
    let program = std::env::args().next().unwrap_or_else(|| "forebay".into());
    let at = if kafka.port() == 9092 {
        String::new()
    } else {
        format!(" -b {kafka}")
    };
    let head = style.bold("It stays up. In another terminal:");
    let sql = process.pg_addr.map_or_else(String::new, |pg| {
        let psql = format!(
            "psql 'host={} port={} user=forebay dbname=forebay'",
            pg.ip(),
            pg.port()
        );
        format!(
            r#"
  {psql} -c '\d'
  {psql} -c 'SELECT * FROM ranking'
  {psql} -c 'SELECT d.* FROM delays d JOIN ranking r USING (origin) ORDER BY d.delay DESC LIMIT 10'
  {psql} -c 'COPY (SUBSCRIBE ranking WITH SNAPSHOT) TO STDOUT'      {note}
  kcat -b {kafka} -t worst -C -o beginning -e -f '%k %s\n'
  Grafana: data source PostgreSQL, host {pg}, database forebay, user forebay, TLS disabled
"#,
            note = style.dim("# and produce to the topic meanwhile"),
        )
    });
    let python = style.dim("# python, after pip install confluent-kafka");
    format!(
        r#"
{head}
{sql}
  kcat -b {kafka} -t {TOPIC} -C -o -5 -e
  {program} consume{at} {TOPIC} -o @2001-01-24T18:00:00Z -n 3
  {program} topic describe{at} {TOPIC}
  echo '{{"hello": "log"}}' | {program} produce{at} greetings
  {program} status{at}
  curl http://{http}/metrics

  {python}
  from confluent_kafka import Consumer
  c = Consumer({{"bootstrap.servers": "{kafka}", "group.id": "me", "auto.offset.reset": "earliest"}})
  c.subscribe(["{TOPIC}"])
  for m in c.consume(5, timeout=10):
      print(m.key().decode(), m.value().decode())

Ctrl-C stops it.
"#
    )
}

/// A line that tells how far it is; rewritten in place on a terminal, otherwise written once.
struct Progress {
    what: &'static str,
    total: u64,
    begun: Instant,
    shown: Instant,
    is_terminal: bool,
}

impl Progress {
    fn new(what: &'static str, total: u64) -> Self {
        let now = Instant::now();
        Self {
            what,
            total,
            begun: now,
            shown: now,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    fn line(&self, records: u64, bytes: u64) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let rate = |count: u64| (count as f64 / seconds) as u64;
        let volume = if bytes == 0 {
            String::new()
        } else {
            format!(", {}/s", format::bytes(rate(bytes)))
        };
        format!(
            "{} {:>3} %  {:>7} of {} records, {}/s{volume}",
            self.what,
            (records * 100).checked_div(self.total).unwrap_or(100),
            format::grouped(records),
            format::grouped(self.total),
            format::grouped(rate(records)),
        )
    }

    fn at(&mut self, records: u64, bytes: u64) {
        if self.is_terminal && self.shown.elapsed() >= PROGRESS_INTERVAL {
            self.shown = Instant::now();
            crate::output::note(format_args!("\r{}\x1b[K", self.line(records, bytes)));
        }
    }

    fn end(&self, records: u64, bytes: u64, how: &str) {
        let start = if self.is_terminal { "\r" } else { "" };
        let clear = if self.is_terminal { "\x1b[K" } else { "" };
        let seconds = self.begun.elapsed().as_secs_f64();
        let line = self.line(records, bytes);
        note!("{start}{line} ({seconds:.1} s; {how}){clear}");
    }
}

/// Emphasis on a terminal, plain text elsewhere and with `NO_COLOR` (no-color.org).
pub struct Style {
    is_on: bool,
}

impl Style {
    fn new() -> Self {
        let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            is_on: is_wanted && io::stdout().is_terminal(),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.is_on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    fn green(&self, text: &str) -> String {
        self.paint("32", text)
    }

    fn red(&self, text: &str) -> String {
        self.paint("31", text)
    }

    fn blue(&self, text: &str) -> String {
        self.paint("34", text)
    }
}
