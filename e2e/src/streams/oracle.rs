//! What sinks must have written, by plain loops over the log.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::WINDOW_MS;

struct Transfer {
    id: i64,
    debit: i64,
    credit: i64,
    amount: i64,
    ms: i64,
}

/// Of a closed window: its newest time, its rows, and what they add up to.
pub type Window = (i64, i64, i64);

/// The log, and what a session saw of the table and the closed windows.
pub struct Oracle {
    transfers: Vec<Transfer>,
    owners: BTreeMap<i64, i64>,
    /// As they were shown before the sinks were looked at, and behind that.
    before: BTreeSet<Window>,
    windows: BTreeSet<Window>,
}

impl Oracle {
    pub fn new(
        log: &[String],
        owners: BTreeMap<i64, i64>,
        before: BTreeSet<Window>,
        windows: BTreeSet<Window>,
    ) -> Result<Self> {
        let transfers = log.iter().map(|value| {
            let value = parse(value)?;
            Ok(Transfer {
                id: integer(&value, "id")?,
                debit: integer(&value, "debit")?,
                credit: integer(&value, "credit")?,
                amount: integer(&value, "amount")?,
                ms: integer(&value, "ms")?,
            })
        });
        Ok(Self {
            transfers: transfers.collect::<Result<_>>()?,
            owners,
            before,
            windows,
        })
    }

    /// Each closed window has exactly its rows: none is later than the watermark waits. `all`: only the newest is open.
    pub fn check_windows(&self, all: bool) -> Result<()> {
        let mut windows: BTreeMap<i64, Window> = BTreeMap::new();
        for transfer in &self.transfers {
            let window = windows.entry(transfer.ms / WINDOW_MS).or_default();
            *window = (
                window.0.max(transfer.ms),
                window.1 + 1,
                window.2 + transfer.amount,
            );
        }
        for window in &self.windows {
            let expected = windows.get(&(window.0 / WINDOW_MS));
            ensure!(
                expected == Some(window),
                "a window is closed as {window:?}, the log has {expected:?}"
            );
        }
        if all {
            windows.pop_last();
            same(&self.windows, &windows.into_values().collect())?;
        }
        Ok(())
    }

    pub fn check_sink(&self, name: &str, values: &[String]) -> Result<()> {
        let large = self
            .transfers
            .iter()
            .filter(|transfer| transfer.amount > 900);
        match name {
            "large_out" => {
                let found = appended(values, |value| {
                    Ok((integer(value, "id")?, integer(value, "amount")?))
                })?;
                same(&found, &large.map(|t| (t.id, t.amount)).collect())
            }
            "windows_out" => {
                let found = appended(values, |value| {
                    let (newest, rows) = (integer(value, "newest")?, integer(value, "n")?);
                    Ok((newest, rows, integer(value, "total")?))
                })?;
                ensure!(
                    self.before.is_subset(&found) && found.is_subset(&self.windows),
                    "{:?} of {:?} were written",
                    found.len(),
                    self.windows.len()
                );
                Ok(())
            }
            "balances_out" => same(&chained(values)?, &self.balances()),
            "owned_out" => {
                let owned = large.map(|t| {
                    let version = self.owners.get(&t.credit).copied();
                    (t.id, vec![Some(t.amount), version])
                });
                same(&upserted(values)?, &owned.collect())
            }
            other => bail!("no such sink: {other}"),
        }
    }

    fn balances(&self) -> Rows {
        let mut balances: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for transfer in &self.transfers {
            let sides = [
                (transfer.debit, -transfer.amount),
                (transfer.credit, transfer.amount),
            ];
            for (account, amount) in sides {
                let balance = balances.entry(account).or_default();
                *balance = (balance.0 + amount, balance.1 + 1);
            }
        }
        let rows = balances.into_iter();
        rows.map(|(account, (balance, moves))| (account, vec![Some(balance), Some(moves)]))
            .collect()
    }
}

type Rows = BTreeMap<i64, Vec<Option<i64>>>;

fn parse(value: &str) -> Result<Value> {
    serde_json::from_str(value).with_context(|| format!("{value:?} is no JSON"))
}

fn integer(value: &Value, name: &str) -> Result<i64> {
    value[name]
        .as_i64()
        .with_context(|| format!("{name} of {value} is no integer"))
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Result<()> {
    ensure!(
        found == expected,
        "something is missing, or too much\nfound    {found:.500?}\nexpected {expected:.500?}"
    );
    Ok(())
}

fn appended<T: Ord + Copy + std::fmt::Debug>(
    values: &[String],
    row: impl Fn(&Value) -> Result<T>,
) -> Result<BTreeSet<T>> {
    let mut found = BTreeSet::new();
    for value in values {
        let row = row(&parse(value)?)?;
        ensure!(found.insert(row), "{row:?} is there twice");
    }
    Ok(found)
}

fn upserted(values: &[String]) -> Result<Rows> {
    let mut rows = Rows::new();
    for value in values {
        let value = parse(value)?;
        let row = vec![value["amount"].as_i64(), value["version"].as_i64()];
        let before = rows.insert(integer(&value, "id")?, row.clone());
        // Versions only grow, and a row is there before its owner is, if ever.
        let is_new = before.as_ref().is_none_or(|before| before[1] < row[1]);
        ensure!(is_new, "{row:?} follows {before:?}");
    }
    Ok(rows)
}

fn chained(values: &[String]) -> Result<Rows> {
    let mut rows = Rows::new();
    for value in values {
        let value = parse(value)?;
        let row = |side: &str| {
            let side = &value[side];
            let columns = || vec![side["balance"].as_i64(), side["moves"].as_i64()];
            side.is_object().then(columns)
        };
        let account = match value["after"].is_object() {
            true => integer(&value["after"], "account")?,
            false => integer(&value["before"], "account")?,
        };
        let known = rows.remove(&account);
        ensure!(
            row("before") == known,
            "{value} does not follow the change before it"
        );
        if let Some(after) = row("after") {
            rows.insert(account, after);
        }
    }
    Ok(rows)
}
