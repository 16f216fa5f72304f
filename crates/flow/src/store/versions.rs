//! Versions of state in an ordered database: what is there, and the way back to the version before.
//!
//! # Place
//! Shared by the app's shard and the helper thread that makes its calls, one at a time.
//!
//! # Layout
//! ```text
//! name  = relation u64 | 0                                  its head
//!       | relation u64 | 1 | node u32 | 255 - table | key   an entry; integers big-endian
//!       | relation u64 | 2 | node u32 | 255 - table | key   what that entry was in the base: 0, or 1 and the value
//! head  = form u8 (1) | flags u8 (1: whole, 2: there is a way back) | version | base
//! version, base = 0 | 1 and number u64
//! ```
//! Entries of table 255 come first of their node, as a restart wants them.
//!
//! # Crash
//! A version is written in pieces, each as a whole or not at all. In this order: the way back behind the version before is
//! closed and cleared; the head says that the new version is under way; each piece has entries with what they were; the head
//! says that the version is whole. What is asked for is the version that a checkpoint names. If that is not the one that is
//! there it is the one before: then the entries become what they were, which may be begun any number of times.
//!
//! # Limits
//! `PIECE_BYTES` of what entries were and as much of what they become, and one entry more, in memory beside the changes.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use runtime::fs;
use streams::{
    NodeId,
    engine::{
        CheckpointError, Numbered,
        store::{
            Changes, Collected, Doing, EntryName, ROWS, Run, Scan, StateStore, TakeEntry, Version,
        },
    },
    graph::StateKey,
};

use super::Opening;

/// A piece of work is closed when it has grown to this.
const PIECE_BYTES: usize = 1 << 20;

const FORM: u8 = 1;
const HEAD: u8 = 0;
const ENTRY: u8 = 1;
const BASE: u8 = 2;

const WHOLE: u8 = 1;
const WAY_BACK: u8 = 2;

/// Bytes in front of an entry's node: relation and kind.
const KIND_BYTES: usize = 9;
/// In front of its key.
const PREFIX_BYTES: usize = KIND_BYTES + 5;

/// Values by names; `None` removes.
pub type Piece = Vec<(Vec<u8>, Option<Vec<u8>>)>;

type Done<T> = Result<T, CheckpointError>;

/// A database of values by names in the order of their bytes. All of it blocks.
pub trait Ordered: Send + Sync + 'static {
    const NAME: &'static str;

    /// As errors name it.
    fn path(&self) -> &str;

    /// Hands out the values of these names, in this order, until it is told to stop by false.
    fn get(&self, names: &[Vec<u8>], take: &mut dyn FnMut(Option<Vec<u8>>) -> bool) -> Done<()>;

    /// Hands out what is behind `from`, or is it, and begins so, until it is told to stop by false.
    fn range(
        &self,
        prefix: &[u8],
        from: &[u8],
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Done<()>;

    /// All of it or nothing; behind what was applied before, and in front of what comes.
    fn apply(&self, piece: Piece) -> Done<()>;

    /// What was applied lasts.
    fn sync(&self) -> Done<()>;
}

/// Entries, and behind which key the next begin, if there are more.
type Page = (Vec<(Vec<u8>, Vec<u8>)>, Option<Vec<u8>>);

/// What the database has of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    version: Option<u64>,
    base: Option<u64>,
    is_whole: bool,
    has_way_back: bool,
}

/// Of a relation of which nothing was written.
const NOTHING: Head = Head {
    version: None,
    base: None,
    is_whole: true,
    has_way_back: false,
};

impl Head {
    fn encode(self) -> Vec<u8> {
        let flags = u8::from(self.is_whole) * WHOLE + u8::from(self.has_way_back) * WAY_BACK;
        let mut out = vec![FORM, flags];
        for number in [self.version, self.base] {
            out.push(u8::from(number.is_some()));
            out.extend(number.unwrap_or(0).to_be_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let (is_some, number) = bytes.get(at..at + 9)?.split_first()?;
            let number = u64::from_be_bytes(number.try_into().ok()?);
            Some((*is_some == 1).then_some(number))
        };
        let flags = *bytes.get(1)?;
        let is_one = bytes.len() == 20 && bytes[0] == FORM && flags <= WHOLE + WAY_BACK;
        is_one.then_some(Self {
            version: number(2)?,
            base: number(11)?,
            is_whole: flags & WHOLE != 0,
            has_way_back: flags & WAY_BACK != 0,
        })
    }
}

fn prefix(relation: u64, kind: u8) -> Vec<u8> {
    let mut name = relation.to_be_bytes().to_vec();
    name.push(kind);
    name
}

fn name(relation: u64, kind: u8, node: u32, table: u8, key: &[u8]) -> Vec<u8> {
    let mut name = prefix(relation, kind);
    name.reserve(PREFIX_BYTES - KIND_BYTES + key.len());
    name.extend(node.to_be_bytes());
    name.push(u8::MAX - table);
    name.extend_from_slice(key);
    name
}

/// The same entry's name of another kind.
fn of_kind(kind: u8, entry: &[u8]) -> Vec<u8> {
    let mut name = entry.to_vec();
    name[KIND_BYTES - 1] = kind;
    name
}

/// The least name behind this one.
fn behind(mut name: Vec<u8>) -> Vec<u8> {
    name.push(0);
    name
}

/// How an entry changes.
enum Change<'a> {
    To(Option<&'a [u8]>),
    /// A row's weight, by so much.
    By([u8; 8]),
}

/// What is done with a database, on the thread that may block.
struct Work<D>(Arc<D>);

impl<D> Clone for Work<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: Ordered> Work<D> {
    /// Values of names from the first on, at least one, until they are so many bytes.
    fn values(&self, names: &[Vec<u8>], bytes_max: usize) -> Done<Vec<Option<Vec<u8>>>> {
        let (mut values, mut bytes) = (Vec::new(), 0);
        self.0.get(names, &mut |value| {
            bytes += value.as_ref().map_or(0, Vec::len);
            values.push(value);
            bytes < bytes_max
        })?;
        Ok(values)
    }

    fn head(&self, relation: u64) -> Done<Head> {
        let found = self.values(&[prefix(relation, HEAD)], usize::MAX)?;
        let Some(Some(bytes)) = found.into_iter().next() else {
            return Ok(NOTHING);
        };
        Head::decode(&bytes).ok_or_else(|| self.damaged("the head of a relation's state"))
    }

    fn damaged(&self, expected: &'static str) -> CheckpointError {
        CheckpointError::Damaged {
            path: self.0.path().to_owned(),
            at: 0,
            expected,
        }
    }

    fn set_head(&self, relation: u64, head: Head) -> Done<()> {
        let value = (head != NOTHING).then(|| head.encode());
        self.0.apply(vec![(prefix(relation, HEAD), value)])
    }

    /// Sees to it that what is there is this version.
    fn go_to(&self, relation: u64, wanted: Option<u64>) -> Done<()> {
        let head = self.head(relation)?;
        if head.is_whole && head.version == wanted {
            return Ok(());
        }
        if !head.has_way_back || head.base != wanted {
            return Err(CheckpointError::Other {
                path: self.0.path().to_owned(),
                relation,
                found: Numbered(head.version),
                wanted: Numbered(wanted),
            });
        }
        let is_whole = false;
        self.set_head(relation, Head { is_whole, ..head })?;
        self.pieces(&prefix(relation, BASE), |was, value, piece| {
            let value = match value.split_first() {
                Some((0, [])) => None,
                Some((1, value)) => Some(value.to_vec()),
                _ => return Err(self.damaged("what an entry was")),
            };
            piece.push((of_kind(ENTRY, was), value));
            Ok(())
        })?;
        let version = head.base;
        self.set_head(relation, Head { version, ..NOTHING })
    }

    /// Goes through what begins so, a piece at a time, and applies what is made of it.
    fn pieces(
        &self,
        prefix: &[u8],
        mut make: impl FnMut(&[u8], &[u8], &mut Piece) -> Done<()>,
    ) -> Done<()> {
        let mut from = prefix.to_vec();
        loop {
            let (mut piece, mut bytes, mut made) = (Vec::new(), 0, Ok(()));
            let mut last = None;
            self.0.range(prefix, &from, &mut |name, value| {
                made = make(name, value, &mut piece);
                bytes += name.len() + value.len();
                last = (bytes >= PIECE_BYTES).then(|| name.to_vec());
                last.is_none() && made.is_ok()
            })?;
            made?;
            if !piece.is_empty() {
                self.0.apply(piece)?;
            }
            match last {
                Some(name) => from = behind(name),
                None => return Ok(()),
            }
        }
    }

    fn remove(&self, prefix: &[u8]) -> Done<()> {
        self.pieces(prefix, |name, _, piece| {
            piece.push((name.to_vec(), None));
            Ok(())
        })
    }

    fn write(
        &self,
        relation: u64,
        base: Option<u64>,
        number: u64,
        changes: &Collected,
    ) -> Done<()> {
        self.go_to(relation, base)?;
        let head = Head {
            version: base,
            ..NOTHING
        };
        // From here on what was before the base is not to be had: a piece of its way back is worse than none.
        self.set_head(relation, head)?;
        self.remove(&prefix(relation, BASE))?;
        let head = Head {
            version: Some(number),
            base,
            is_whole: false,
            has_way_back: true,
        };
        self.set_head(relation, head)?;
        let is_all = changes.is_all();
        let changes = merged(changes);
        if is_all {
            self.remove_others(relation, &changes)?;
        }
        let mut rest = changes.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|(key, change)| {
                let is_in = bytes < PIECE_BYTES;
                bytes += PREFIX_BYTES + key.key.len();
                if let Change::To(Some(value)) = change {
                    bytes += value.len();
                }
                is_in
            });
            let fits = fits.count();
            let changed = self.change(relation, is_all, &rest[..fits])?;
            rest = &rest[changed..];
        }
        let is_whole = true;
        self.set_head(relation, Head { is_whole, ..head })
    }

    /// Changes these entries, and keeps what they were: the first of them, as many as were a piece. How many.
    fn change(
        &self,
        relation: u64,
        is_all: bool,
        changes: &[(StateKey<'_>, Change<'_>)],
    ) -> Done<usize> {
        let names = changes.iter().map(|(key, _)| {
            let node = key.node.0 as u32;
            name(relation, ENTRY, node, key.table, key.key)
        });
        let names: Vec<Vec<u8>> = names.collect();
        let found = self.values(&names, PIECE_BYTES)?;
        let count = found.len();
        let mut piece = Vec::with_capacity(2 * count);
        for ((name, was), (_, change)) in names.into_iter().zip(found).zip(changes) {
            let is = match change {
                Change::To(value) => value.map(<[u8]>::to_vec),
                Change::By(weight) => {
                    let before = was.as_deref().filter(|_| !is_all).unwrap_or(&[0; 8]);
                    let sum = added(before, *weight);
                    let sum = sum.ok_or_else(|| self.damaged("a row's weight"))?;
                    (sum != [0; 8]).then(|| sum.to_vec())
                }
            };
            self.put(name, was, is, &mut piece);
        }
        self.0.apply(piece)?;
        Ok(count)
    }

    fn put(&self, name: Vec<u8>, was: Option<Vec<u8>>, is: Option<Vec<u8>>, piece: &mut Piece) {
        if was == is {
            return;
        }
        let mut before = vec![u8::from(was.is_some())];
        before.extend(was.unwrap_or_default());
        piece.push((of_kind(BASE, &name), Some(before)));
        piece.push((name, is));
    }

    /// Removes all entries but those that are to be changed, which stand in their order.
    fn remove_others(&self, relation: u64, changes: &[(StateKey<'_>, Change<'_>)]) -> Done<()> {
        let mut stay = changes.iter().map(|(key, _)| order(key)).peekable();
        self.pieces(&prefix(relation, ENTRY), |entry, value, piece| {
            let Some(key) = entry_key(entry) else {
                return Err(self.damaged("an entry's name"));
            };
            while stay.next_if(|stays| *stays < order(&key)).is_some() {}
            if stay.peek() != Some(&order(&key)) {
                self.put(entry.to_vec(), Some(value.to_vec()), None, piece);
            }
            Ok(())
        })
    }

    /// Entries from a name on, a piece of them; the name behind them where there are more.
    fn read(&self, relation: u64, version: Option<u64>, from: &[u8]) -> Done<Page> {
        self.go_to(relation, version)?;
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, None);
        self.0
            .range(&prefix(relation, ENTRY), from, &mut |name, value| {
                if bytes >= PIECE_BYTES {
                    next = Some(name.to_vec());
                    return false;
                }
                bytes += name.len() + value.len();
                entries.push((name.to_vec(), value.to_vec()));
                true
            })?;
        Ok((entries, next))
    }

    fn scan(
        &self,
        relation: u64,
        version: Option<u64>,
        scan: &Scan,
    ) -> Done<Vec<(Vec<u8>, Vec<u8>)>> {
        self.go_to(relation, version)?;
        let named = |key: &[u8]| name(relation, ENTRY, scan.node, scan.table, key);
        let prefix = named(&scan.prefix);
        let after = scan.after.as_ref().map(|after| behind(named(after)));
        let from = after.map_or(prefix.clone(), |after| after.max(prefix.clone()));
        let mut found = Vec::new();
        if scan.entries_max == 0 {
            return Ok(found);
        }
        self.0.range(&prefix, &from, &mut |name, value| {
            found.push((name[PREFIX_BYTES..].to_vec(), value.to_vec()));
            found.len() < scan.entries_max
        })?;
        Ok(found)
    }

    /// Removes all of relations that are not named.
    fn sweep(&self, named: &[u64]) -> Done<()> {
        let mut from = Vec::new();
        loop {
            let mut relation = None;
            self.0.range(&[], &from, &mut |name, _| {
                let id = name.first_chunk::<8>();
                relation = id.map(|id| u64::from_be_bytes(*id));
                false
            })?;
            let Some(id) = relation else {
                return Ok(());
            };
            if !named.contains(&id) {
                self.remove(&prefix(id, ENTRY))?;
                self.remove(&prefix(id, BASE))?;
                self.remove(&prefix(id, HEAD))?;
            }
            let Some(next) = id.checked_add(1) else {
                return Ok(());
            };
            from = next.to_be_bytes().to_vec();
        }
    }
}

/// The sum of two weights.
fn added(weight: &[u8], more: [u8; 8]) -> Option<[u8; 8]> {
    let weight = i64::from_le_bytes(weight.try_into().ok()?);
    let sum = weight.checked_add(i64::from_le_bytes(more))?;
    Some(sum.to_le_bytes())
}

/// What an entry's name says.
fn entry_key(name: &[u8]) -> Option<StateKey<'_>> {
    let (node, rest) = name.get(KIND_BYTES..)?.split_first_chunk::<4>()?;
    let (table, key) = rest.split_first()?;
    Some(StateKey {
        node: NodeId(u32::from_be_bytes(*node) as usize),
        table: u8::MAX - table,
        key,
    })
}

/// Entries are ordered by this as their names are.
fn order<'a>(key: &StateKey<'a>) -> (usize, u8, &'a [u8]) {
    (key.node.0, u8::MAX - key.table, key.key)
}

/// Each entry once, in order: what was put last counts, and of a row all together.
fn merged(changes: &Collected) -> Vec<(StateKey<'_>, Change<'_>)> {
    let mut put: Vec<_> = changes.each().collect();
    put.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
    let mut merged: Vec<(StateKey<'_>, Change<'_>)> = Vec::with_capacity(put.len());
    for (key, value) in put {
        let known = merged.last_mut().filter(|(known, _)| *known == key);
        let weight = value.and_then(|value| <[u8; 8]>::try_from(value).ok());
        match (known, weight.filter(|_| key.node == ROWS)) {
            (Some((_, Change::By(sum))), Some(weight)) => {
                let (sum_now, weight) = (i64::from_le_bytes(*sum), i64::from_le_bytes(weight));
                *sum = sum_now.saturating_add(weight).to_le_bytes();
            }
            (Some((_, change)), None) => *change = Change::To(value),
            (_, Some(weight)) => merged.push((key, Change::By(weight))),
            (None, None) => merged.push((key, Change::To(value))),
        }
    }
    merged
}

/// A store of states in a database. See the module head.
pub struct Versions<D> {
    work: Work<D>,
}

fn number_of(version: Version<'_>) -> Option<u64> {
    version.runs.last().map(|run| run.number)
}

impl<D: Ordered> Versions<D> {
    /// The database at this path, which is made where there is none.
    pub fn open(path: PathBuf, open: fn(&Path) -> Done<D>) -> Opening {
        Box::pin(async move {
            let failed =
                |error: &std::io::Error| CheckpointError::io(&path.display().to_string(), error);
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            let dir = dir.unwrap_or(Path::new("."));
            let is_there = fs::exists(dir).await.map_err(|error| failed(&error))?;
            if !is_there {
                let made = fs::create_dir_all_durable(dir).await;
                made.map_err(|error| failed(&error))?;
            }
            let at = path.clone();
            let database = runtime::blocking(move || open(&at)).await?;
            // A new database's name is to last too.
            let synced = fs::sync_dir(dir).await;
            synced.map_err(|error| failed(&error))?;
            let work = Work(Arc::new(database));
            Ok(Rc::new(Self { work }) as _)
        })
    }

    /// Has it done where it may block.
    async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&Work<D>) -> Done<R> + Send + 'static,
    ) -> Done<R> {
        let work = self.work.clone();
        runtime::blocking(move || call(&work)).await
    }
}

impl<D: Ordered> StateStore for Versions<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn write<'a>(
        &'a self,
        base: Version<'a>,
        number: u64,
        changes: Changes,
    ) -> Doing<'a, Vec<Run>> {
        Box::pin(async move {
            let changes = changes.collected().await;
            if changes.is_empty() && !changes.is_all() {
                return Ok(base.runs.to_vec());
            }
            let (relation, base) = (base.relation, number_of(base));
            self.call(move |work| work.write(relation, base, number, &changes))
                .await?;
            Ok(vec![Run {
                number,
                ..Run::default()
            }])
        })
    }

    fn sync(&self) -> Doing<'_, ()> {
        Box::pin(self.call(|work| work.0.sync()))
    }

    fn read<'a>(&'a self, version: Version<'a>, take: &'a mut TakeEntry<'a>) -> Doing<'a, ()> {
        Box::pin(async move {
            let (relation, number) = (version.relation, number_of(version));
            let mut next = Some(prefix(relation, ENTRY));
            while let Some(from) = next {
                let read = self.call(move |work| work.read(relation, number, &from));
                let (entries, more) = read.await?;
                for (name, value) in &entries {
                    let key = entry_key(name);
                    take(
                        key.ok_or_else(|| self.work.damaged("an entry's name"))?,
                        value,
                    )?;
                }
                next = more;
                if runtime::should_yield() {
                    runtime::yield_now().await;
                }
            }
            Ok(())
        })
    }

    fn get<'a>(
        &'a self,
        version: Version<'a>,
        names: Vec<EntryName>,
    ) -> Doing<'a, Vec<Option<Vec<u8>>>> {
        Box::pin(async move {
            let (relation, number) = (version.relation, number_of(version));
            self.call(move |work| {
                work.go_to(relation, number)?;
                let names = names.iter();
                let named =
                    |entry: &EntryName| name(relation, ENTRY, entry.node, entry.table, &entry.key);
                work.values(&names.map(named).collect::<Vec<_>>(), usize::MAX)
            })
            .await
        })
    }

    fn scan<'a>(&'a self, version: Version<'a>, scan: Scan) -> Doing<'a, Vec<(Vec<u8>, Vec<u8>)>> {
        let (relation, number) = (version.relation, number_of(version));
        Box::pin(self.call(move |work| work.scan(relation, number, &scan)))
    }

    fn sweep<'a>(&'a self, named: Vec<Version<'a>>) -> Doing<'a, ()> {
        let named: Vec<u64> = named.iter().map(|version| version.relation).collect();
        Box::pin(self.call(move |work| work.sweep(&named)))
    }
}

#[cfg(test)]
mod tests;
