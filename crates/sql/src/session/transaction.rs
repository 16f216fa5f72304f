//! A transaction of a session: the epoch it reads, what it wrote and has not shown to anyone yet.

use std::collections::BTreeMap;

use streams::Delta;

use super::{Answer, Session, Tag};
use crate::{backend::SqlError, statement::StatementKind};

/// Changes that wait for a COMMIT.
const WRITES_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    /// Several statements that came as one.
    Implicit,
    Open,
    Failed,
}

/// A change of a table that nobody else has seen.
#[derive(Debug)]
pub(super) struct Write {
    table: String,
    delta: Delta,
    /// Epoch of what it was computed from.
    as_of: Option<u64>,
    /// Of its rows, where the table has a key.
    keys: Vec<Key>,
}

/// Of a row, as `arrow::row` has it.
pub(super) type Key = Vec<u8>;

/// See the module head.
#[derive(Debug, Default)]
pub struct Transaction {
    state: State,
    pub(super) is_read_only: bool,
    /// That reads are of, once there was one.
    pub(super) epoch: Option<u64>,
    /// What there was at that epoch.
    pub(super) rows: BTreeMap<String, Vec<Delta>>,
    /// When it began, as `now()` says it.
    pub(super) began_us: Option<i64>,
    /// By table, in the order they were made.
    writes: Vec<Write>,
    /// By table and key: how many rows more, or fewer, there are for all the writes.
    keys: BTreeMap<String, BTreeMap<Key, i64>>,
    /// Names, and how many writes were there at that time.
    savepoints: Vec<(String, usize)>,
}

impl Transaction {
    /// BEGIN was said.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Failed)
    }

    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.state == State::Failed
    }

    pub(super) fn is_implicit(&self) -> bool {
        self.state == State::Implicit
    }

    /// Reads stay with one epoch, writes wait.
    pub(super) fn holds(&self) -> bool {
        self.state != State::None
    }

    pub(super) fn begin_implicit(&mut self) {
        if self.state == State::None {
            self.state = State::Implicit;
        }
    }

    pub(super) fn fail(&mut self) {
        if self.state == State::Open {
            self.state = State::Failed;
        }
    }

    /// What it wrote; the next begins afresh.
    pub(super) fn end(&mut self) -> Vec<Write> {
        std::mem::take(self).writes
    }

    pub(super) fn write(
        &mut self,
        table: String,
        delta: Delta,
        as_of: Option<u64>,
        keys: Vec<Key>,
    ) -> Result<(), SqlError> {
        if self.writes.len() >= WRITES_MAX {
            return Err(SqlError::new(
                *b"53400",
                "too many changes in one transaction",
            ));
        }
        let write = Write {
            table,
            delta,
            as_of,
            keys,
        };
        self.count(&write, 1);
        self.writes.push(write);
        Ok(())
    }

    /// How many rows of a key it made, less those it took.
    pub(super) fn rows_of_key(&self, table: &str, key: &[u8]) -> i64 {
        let found = self.keys.get(table).and_then(|keys| keys.get(key));
        found.copied().unwrap_or(0)
    }

    fn count(&mut self, write: &Write, times: i64) {
        let known = self.keys.entry(write.table.clone()).or_default();
        for (row, key) in write.keys.iter().enumerate() {
            let rows = known.entry(key.clone()).or_default();
            *rows += times * write.delta.weight(row);
            // What savepoints take back leaves nothing.
            if *rows == 0 {
                known.remove(key);
            }
        }
    }

    fn forget_writes(&mut self, kept: usize) {
        for write in self.writes.split_off(kept) {
            self.count(&write, -1);
        }
    }

    /// What it wrote to a table.
    pub(super) fn written(&self, table: &str) -> impl Iterator<Item = &Delta> {
        let writes = self.writes.iter().filter(move |write| write.table == table);
        writes.map(|write| &write.delta)
    }

    fn savepoint(&self, name: &str) -> Result<usize, SqlError> {
        let found = self.savepoints.iter().rposition(|(known, _)| known == name);
        found
            .ok_or_else(|| SqlError::new(*b"3B001", format!("savepoint \"{name}\" does not exist")))
    }
}

impl Session {
    pub(super) async fn transact(&mut self, kind: &StatementKind) -> Result<Answer, SqlError> {
        let done = |tag| Ok(Answer::Done(Tag::Fixed(tag)));
        match kind {
            StatementKind::Begin { is_read_only } => {
                if self.transaction.is_open() {
                    self.notice(*b"25001", "there is already a transaction in progress");
                    return done("BEGIN");
                }
                self.transaction.state = State::Open;
                self.transaction.is_read_only = *is_read_only;
                self.settings.begin();
                done("BEGIN")
            }
            StatementKind::Commit => self.commit().await,
            StatementKind::Rollback => {
                if !self.transaction.is_open() {
                    self.notice(*b"25P01", "there is no transaction in progress");
                }
                self.transaction.end();
                self.settings.end(false);
                self.forget_cursors();
                done("ROLLBACK")
            }
            StatementKind::Savepoint { name } => {
                self.check_open("SAVEPOINT")?;
                let writes = self.transaction.writes.len();
                if self.transaction.savepoints.len() >= WRITES_MAX {
                    return Err(SqlError::new(*b"53400", "too many savepoints"));
                }
                self.transaction.savepoints.push((name.clone(), writes));
                done("SAVEPOINT")
            }
            StatementKind::ReleaseSavepoint { name } => {
                self.check_open("RELEASE SAVEPOINT")?;
                let at = self.transaction.savepoint(name)?;
                self.transaction.savepoints.truncate(at);
                done("RELEASE")
            }
            StatementKind::RollbackTo { name } => {
                self.check_open("ROLLBACK TO SAVEPOINT")?;
                let at = self.transaction.savepoint(name)?;
                let writes = self.transaction.savepoints[at].1;
                self.transaction.savepoints.truncate(at + 1);
                self.transaction.forget_writes(writes);
                self.transaction.state = State::Open;
                done("ROLLBACK")
            }
            _ => Err(SqlError::new(*b"XX000", "not a statement of transactions")),
        }
    }

    fn check_open(&self, what: &str) -> Result<(), SqlError> {
        if self.transaction.is_open() {
            return Ok(());
        }
        let message = format!("{what} can only be used in transaction blocks");
        Err(SqlError::new(*b"25P01", message))
    }

    async fn commit(&mut self) -> Result<Answer, SqlError> {
        if !self.transaction.is_open() {
            self.notice(*b"25P01", "there is no transaction in progress");
        }
        let failed = self.transaction.is_failed();
        let writes = self.transaction.end();
        self.settings.end(!failed);
        self.forget_cursors();
        if failed {
            return Ok(Answer::Done(Tag::Fixed("ROLLBACK")));
        }
        self.write_all(writes).await?;
        Ok(Answer::Done(Tag::Fixed("COMMIT")))
    }

    pub(super) async fn write_all(&self, writes: Vec<Write>) -> Result<(), SqlError> {
        for write in by_table(writes)? {
            self.backend
                .write(write.table, write.delta, write.as_of)
                .await?;
        }
        Ok(())
    }
}

/// All that happens to one table as one change of it: the second would find the table changed by the first.
fn by_table(writes: Vec<Write>) -> Result<Vec<Write>, SqlError> {
    let mut tables: BTreeMap<String, (Option<u64>, Vec<Delta>)> = BTreeMap::new();
    for write in writes {
        let (as_of, deltas) = tables.entry(write.table).or_default();
        *as_of = match (*as_of, write.as_of) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        deltas.push(write.delta);
    }
    let merged = tables.into_iter().map(|(table, (as_of, mut deltas))| {
        let delta = match deltas.len() {
            1 => deltas.swap_remove(0),
            _ => together(&deltas)?,
        };
        Ok(Write {
            table,
            delta,
            as_of,
            keys: Vec::new(),
        })
    });
    merged.collect()
}

fn together(deltas: &[Delta]) -> Result<Delta, SqlError> {
    let schema = deltas[0].rows().schema();
    let rows = arrow::compute::concat_batches(&schema, deltas.iter().map(Delta::rows))?;
    let weights = deltas
        .iter()
        .flat_map(|delta| (0..delta.len()).map(|row| delta.weight(row)));
    Ok(Delta::new(rows, weights.collect()))
}
