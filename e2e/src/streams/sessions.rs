//! Sessions that read, subscribe and write while the node comes and goes, and what they all share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, NoTls};

use super::{ACCOUNTS, oracle::Window};
use crate::record::Seeded;

const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// What all threads know.
pub struct Shared {
    pub pg_port: u16,
    next_id: AtomicU64,
    answers: AtomicU64,
    changes: AtomicU64,
    /// Transfers that an answer has shown.
    shown: AtomicI64,
    is_stopped: AtomicBool,
    is_paused: AtomicBool,
    writing: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Shared {
    pub fn new(pg_port: u16) -> Self {
        Self {
            pg_port,
            next_id: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            shown: AtomicI64::new(0),
            is_stopped: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            writing: AtomicU64::new(0),
            failure: Mutex::new(None),
        }
    }

    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::SeqCst)
    }

    pub fn sent(&self) -> u64 {
        self.next_id.load(Ordering::SeqCst)
    }

    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }

    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Whether somebody may write now; then `end` follows.
    pub fn begin(&self) -> bool {
        self.writing.fetch_add(1, Ordering::SeqCst);
        let may = !self.is_paused.load(Ordering::SeqCst) && !self.is_stopped();
        if !may {
            self.end();
        }
        may
    }

    pub fn end(&self) {
        self.writing.fetch_sub(1, Ordering::SeqCst);
    }

    /// Does something while nobody writes.
    pub fn while_quiet(&self, look: impl FnOnce() -> Result<()>) -> Result<()> {
        self.is_paused.store(true, Ordering::SeqCst);
        let end = Instant::now() + ANSWERS_WITHIN;
        while self.writing.load(Ordering::SeqCst) > 0 {
            ensure!(Instant::now() < end, "writers do not end");
            thread::sleep(Duration::from_millis(5));
        }
        let looked = look();
        self.is_paused.store(false, Ordering::SeqCst);
        looked
    }

    /// Until there are so many answers, or changes.
    pub fn wait_for(&self, of: impl Fn(&Self) -> u64, count: u64) -> Result<()> {
        let end = Instant::now() + ANSWERS_WITHIN;
        while of(self) < count {
            self.check()?;
            ensure!(Instant::now() < end, "no answers a minute after the start");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Fails when a thread has seen what must not be.
    pub fn check(&self) -> Result<()> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failure {
            Some(failure) => bail!("{failure}"),
            None => Ok(()),
        }
    }

    /// Runs sessions one after the other: each ends with the node.
    pub fn until_stopped(&self, mut work: impl FnMut(&mut Session, &Shared) -> Result<()>) {
        while !self.is_stopped() {
            let outcome = Session::connect(self.pg_port).and_then(|mut session| {
                let worked = work(&mut session, self);
                worked.map_err(|error| session.judge(error))
            });
            if let Err(error) = outcome
                && error.downcast_ref::<Wrong>().is_some()
            {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| format!("{error:#}"));
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Not a node that comes and goes: an answer that must not be.
#[derive(Debug)]
struct Wrong(String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// One connection.
pub struct Session {
    pub client: Client,
}

impl Session {
    pub fn connect(port: u16) -> Result<Self> {
        let address =
            format!("host=127.0.0.1 port={port} user=test dbname=forebay connect_timeout=5");
        let client = Client::connect(&address, NoTls).context("cannot connect")?;
        Ok(Self { client })
    }

    /// An error that a living node answers is wrong; one that a node makes by going is not.
    fn judge(&self, error: anyhow::Error) -> anyhow::Error {
        let answered = error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<postgres::Error>())
            .find_map(postgres::Error::as_db_error);
        match answered {
            // Class 57 is an operator's intervention: the node stops.
            Some(told) if !told.code().code().starts_with("57") => {
                Wrong(format!("the node answered {told}")).into()
            }
            _ => error,
        }
    }

    pub fn execute(&mut self, statement: &str) -> Result<()> {
        let done = self.client.batch_execute(statement);
        done.with_context(|| statement.to_owned())
    }

    /// Asks several views in one statement, again and again.
    pub fn ask(&mut self, shared: &Shared) -> Result<()> {
        const QUESTION: &str = "SELECT CAST(sum(b.balance) AS BIGINT), CAST(sum(b.moves) AS BIGINT), min(m.transfers) \
                                FROM balances AS b CROSS JOIN moved AS m";
        while !shared.is_stopped() {
            let before = shared.shown.load(Ordering::SeqCst);
            let row = self.client.query_one(QUESTION, &[])?;
            let number = |at: usize| row.get::<_, Option<i64>>(at).unwrap_or(0);
            let (sum, moves, transfers) = (number(0), number(1), number(2));
            if sum != 0 || moves != 2 * transfers || transfers < before {
                let said = format!(
                    "the balances add up to {sum}; {moves} moves of {transfers} transfers, of which {before} were seen before"
                );
                return Err(Wrong(said).into());
            }
            shared.shown.fetch_max(transfers, Ordering::SeqCst);
            shared.answers.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Listens to all balances: after each epoch every account is there once, and they add up to 0.
    pub fn listen(&mut self, shared: &Shared) -> Result<()> {
        let nothing: [i32; 0] = [];
        let mut changes = self
            .client
            .query_raw("SUBSCRIBE TO balances WITH SNAPSHOT", nothing)?;
        let (mut rows, mut last) = (BTreeMap::new(), None);
        while let Some(change) = changes.next()? {
            let epoch: i64 = change.get("epoch");
            if last.is_some_and(|last| last != epoch) {
                check_balances(&rows)?;
            }
            last = Some(epoch);
            let row: (i32, i64, i64) = (
                change.get("account"),
                change.get("balance"),
                change.get("moves"),
            );
            let weight = rows.entry(row).or_insert(0);
            *weight += change.get::<_, i64>("weight");
            if *weight == 0 {
                rows.remove(&row);
            }
            shared.changes.fetch_add(1, Ordering::SeqCst);
            if shared.is_stopped() {
                return Ok(());
            }
        }
        match shared.is_stopped() {
            true => Ok(()),
            false => Err(Wrong("the subscription ended".to_owned()).into()),
        }
    }

    /// Counts up versions in the table that a view joins.
    pub fn change_owners(&mut self, shared: &Shared) -> Result<()> {
        let mut seeded = Seeded::new(shared.answers());
        while !shared.is_stopped() {
            thread::sleep(Duration::from_millis(20 + seeded.below(80)));
            if !shared.begin() {
                continue;
            }
            let account = seeded.below(ACCOUNTS) as i32;
            let changed = self.client.execute(
                "UPDATE owners SET version = version + 1 WHERE account = $1",
                &[&account],
            );
            let done = changed.and_then(|count| match count {
                0 => self
                    .client
                    .execute("INSERT INTO owners VALUES ($1, 1)", &[&account]),
                count => Ok(count),
            });
            shared.end();
            done?;
        }
        Ok(())
    }

    pub fn owners(&mut self) -> Result<BTreeMap<i64, i64>> {
        let rows = self
            .client
            .query("SELECT account, version FROM owners", &[])?;
        let row = |row: &postgres::Row| (i64::from(row.get::<_, i32>(0)), row.get(1));
        Ok(rows.iter().map(row).collect())
    }

    pub fn windows(&mut self) -> Result<BTreeSet<Window>> {
        let rows = self
            .client
            .query("SELECT newest, n, CAST(total AS BIGINT) FROM windows", &[])?;
        let row = |row: &postgres::Row| (row.get(0), row.get(1), row.get(2));
        Ok(rows.iter().map(row).collect())
    }
}

/// Rows by account, balance and moves, with how often they are there.
fn check_balances(rows: &BTreeMap<(i32, i64, i64), i64>) -> Result<()> {
    let accounts: BTreeSet<i32> = rows.keys().map(|(account, ..)| *account).collect();
    let sum: i64 = rows.keys().map(|(_, balance, _)| balance).sum();
    if accounts.len() == rows.len() && rows.values().all(|times| *times == 1) && sum == 0 {
        return Ok(());
    }
    Err(Wrong(format!("an epoch left {sum} in {rows:?}")).into())
}
