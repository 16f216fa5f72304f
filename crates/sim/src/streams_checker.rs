//! What sinks have written, against what the log says in plain loops.
//!
//! # Invariants
//! 1. A sink of form APPEND has written each row of its query once, at every moment at which the log is read to its end.
//! 2. A sink of form UPSERT or DEBEZIUM leaves, key by key, the rows of its query; no record repeats the one before it, and
//!    each `before` is the `after` of the record before.
//! 3. A window is closed once, with all of its rows but those that came when a reader had seen it closed.

use std::collections::{BTreeMap, BTreeSet};

/// Length of a window, in milliseconds.
pub(crate) const WINDOW_MS: i64 = 2000;

pub(crate) const LARGE_MIN: i128 = 900;

/// A record of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Option<String>,
    pub value: Option<String>,
}

/// What a topic holds: records in their order, by partition.
pub type Content = Vec<Vec<Record>>;

/// A record of the topic that everything comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub(crate) id: i128,
    pub(crate) debit: i128,
    pub(crate) credit: i128,
    pub(crate) amount: i128,
    pub(crate) ms: i128,
    /// Its window was seen closed when it was written.
    pub(crate) is_late: bool,
}

impl Transfer {
    pub(crate) fn encode(&self) -> String {
        let Self {
            id,
            debit,
            credit,
            amount,
            ms,
            is_late,
        } = self;
        format!(
            "{{\"id\":{id},\"debit\":{debit},\"credit\":{credit},\"amount\":{amount},\"at\":{ms},\"ms\":{ms},\"late\":{}}}",
            u8::from(*is_late)
        )
    }

    fn decode(text: &str) -> Self {
        let field = |name| number(text, name).expect("the workload writes all fields");
        Self {
            id: field("id"),
            debit: field("debit"),
            credit: field("credit"),
            amount: field("amount"),
            ms: field("ms"),
            is_late: field("late") == 1,
        }
    }

    fn is_large(&self) -> bool {
        self.amount > LARGE_MIN
    }
}

/// The number that a member of a JSON object without nested ones of that name has; `None` for null.
fn number(text: &str, name: &str) -> Option<i128> {
    let member = format!("\"{name}\":");
    let at = text
        .find(&member)
        .unwrap_or_else(|| panic!("{text} has no {name}"));
    let value = &text[at + member.len()..];
    let digits = value
        .find(|c: char| c != '-' && !c.is_ascii_digit())
        .unwrap_or(value.len());
    value[..digits].parse().ok()
}

/// Rows of a closed window: how many, their sum, the newest time.
pub(crate) type Window = (i128, i128, i128);

/// The log, and what readers saw of tables and closed windows once it was read to its end.
pub(crate) struct Oracle {
    transfers: Vec<Transfer>,
    /// Version by account.
    owners: BTreeMap<i128, i128>,
    windows: BTreeSet<Window>,
}

impl Oracle {
    pub(crate) fn new(
        log: &Content,
        owners: BTreeMap<i128, i128>,
        windows: BTreeSet<Window>,
    ) -> Self {
        let records = log.iter().flatten();
        let values = records.map(|record| record.value.as_deref().expect("each has a value"));
        Self {
            transfers: values.map(Transfer::decode).collect(),
            owners,
            windows,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.transfers.len()
    }

    pub(crate) fn large(&self) -> BTreeSet<(i128, i128)> {
        let large = self.transfers.iter().filter(|transfer| transfer.is_large());
        large
            .map(|transfer| (transfer.id, transfer.amount))
            .collect()
    }

    pub(crate) fn balances(&self) -> BTreeMap<i128, Vec<Option<i128>>> {
        let mut balances: BTreeMap<i128, (i128, i128)> = BTreeMap::new();
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

    fn credits(&self) -> BTreeMap<i128, Vec<Option<i128>>> {
        let mut credits: BTreeMap<i128, i128> = BTreeMap::new();
        for transfer in &self.transfers {
            *credits.entry(transfer.credit).or_default() += 1;
        }
        let rows = credits.into_iter();
        rows.map(|(account, count)| (account, vec![Some(count)]))
            .collect()
    }

    fn owned(&self) -> BTreeMap<i128, Vec<Option<i128>>> {
        let large = self.transfers.iter().filter(|transfer| transfer.is_large());
        large
            .map(|transfer| {
                let version = self.owners.get(&transfer.credit).copied();
                (transfer.id, vec![Some(transfer.amount), version])
            })
            .collect()
    }

    /// Each window that readers see closed is as the log has it.
    pub(crate) fn check_windows(&self) {
        let mut windows: BTreeMap<i128, Window> = BTreeMap::new();
        for transfer in self.transfers.iter().filter(|transfer| !transfer.is_late) {
            let window = windows
                .entry(transfer.ms / i128::from(WINDOW_MS))
                .or_default();
            *window = (
                window.0 + 1,
                window.1 + transfer.amount,
                window.2.max(transfer.ms),
            );
        }
        for window in &self.windows {
            let number = window.2 / i128::from(WINDOW_MS);
            assert_eq!(
                windows.get(&number),
                Some(window),
                "window {number} is closed with other rows than the log has"
            );
        }
    }

    /// Whether a sink's topic holds what it must.
    pub(crate) fn check_sink(&self, name: &str, content: &Content) {
        match name {
            "large_out" | "later_out" => {
                let found = appended(name, content, |value| {
                    (number_in(value, "id"), number_in(value, "amount"))
                });
                same(name, &found, &self.large());
            }
            "windows_out" => {
                let found = appended(name, content, |value| {
                    (
                        number_in(value, "n"),
                        number_in(value, "total"),
                        number_in(value, "newest"),
                    )
                });
                let closed = self.windows.iter().copied();
                // The sink leaves out some, so that there are closed ones of which no sink has anything to say.
                let expected = closed.filter(|window| window.0 % 2 == 0).collect();
                same(name, &found, &expected);
            }
            "balances_out" => {
                let found = chained(name, content, "account", &["balance", "moves"]);
                same(name, &found, &self.balances());
            }
            "credits_out" => {
                let found = upserted(name, content, "credit", &["moves"], true);
                same(name, &found, &self.credits());
            }
            "owned_out" => {
                let found = upserted(name, content, "id", &["amount", "version"], false);
                same(name, &found, &self.owned());
            }
            _ => panic!("no such sink: {name}"),
        }
    }
}

fn number_in(text: &str, name: &str) -> i128 {
    number(text, name).unwrap_or_else(|| panic!("{text}: {name} is no number"))
}

fn same<T: PartialEq + std::fmt::Debug>(name: &str, found: &T, expected: &T) {
    // Whole contents would fill the screen; a seed that is looked at is run again alone.
    assert!(
        found == expected,
        "{name} is not what the log says: something is missing, or too much\nfound    {found:.300?}\nexpected {expected:.300?}"
    );
}

fn appended<T: Ord + Copy + std::fmt::Debug>(
    name: &str,
    content: &Content,
    row: impl Fn(&str) -> T,
) -> BTreeSet<T> {
    let mut found = BTreeSet::new();
    for record in content.iter().flatten() {
        let value = record.value.as_deref().expect("rows never go");
        let row = row(value);
        assert!(found.insert(row), "{name}: {row:?} is there twice");
    }
    found
}

type Rows = BTreeMap<i128, Vec<Option<i128>>>;

fn upserted(name: &str, content: &Content, key: &str, columns: &[&str], only_grows: bool) -> Rows {
    let mut rows = Rows::new();
    for record in content.iter().flatten() {
        let key = number_in(record.key.as_deref().expect("upserts have keys"), key);
        let value = record.value.as_deref().expect("no row of these ever goes");
        let row: Vec<_> = columns.iter().map(|column| number(value, column)).collect();
        let before = rows.insert(key, row.clone());
        let is_new = match &before {
            Some(before) if only_grows => row[0] > before[0],
            Some(before) => *before != row,
            None => true,
        };
        assert!(is_new, "{name}: {row:?} follows {before:?}");
    }
    rows
}

fn chained(name: &str, content: &Content, key: &str, columns: &[&str]) -> Rows {
    let mut rows = Rows::new();
    let parse = |text: &str| -> Option<Vec<Option<i128>>> {
        let is_row = text.starts_with('{');
        is_row.then(|| columns.iter().map(|column| number(text, column)).collect())
    };
    for record in content.iter().flatten() {
        let key = number_in(record.key.as_deref().expect("changes have keys"), key);
        let value = record.value.as_deref().expect("each change has a value");
        let (before, after) = value
            .strip_prefix("{\"before\":")
            .and_then(|rest| rest.split_once(",\"after\":"))
            .unwrap_or_else(|| panic!("{name}: {value} is no change"));
        let known = rows.remove(&key);
        assert_eq!(
            parse(before),
            known,
            "{name}: a change of {key} does not follow the one before"
        );
        if let Some(after) = parse(after) {
            rows.insert(key, after);
        }
    }
    rows
}
