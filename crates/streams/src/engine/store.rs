//! Where the state of pipelines lasts: one trait, and which store has which relation's.
//!
//! # Place
//! Beside the engine's loop, on its shard. Asked by checkpoints, while epochs go on, and by restarts.
//!
//! # Invariants
//! 1. A version that a checkpoint names can be read until a version that builds on it is written behind another checkpoint:
//!    after a crash the one that the checkpoint names is there, and one ahead of it at most, which is then forgotten.
//! 2. What was written lasts when `sync` has ended. The engine names a version behind that only.
//!
//! # Instead of
//! A trait under the tables that operators compute with: a call and a codec per row
//! (docs/decisions/2026-11-22-state-backends.md).

mod run_store;

pub use run_store::RunStore;

pub use super::runs::{Held, Piece, ROWS, Run};

use std::{collections::BTreeMap, future::Future, pin::Pin, rc::Rc};

use runtime::sync::channel::{Receiver, Sender, bounded};

use super::{
    checkpoint::CheckpointError,
    runs::{Buffers, Pieces, Unsorted, entries},
};
use crate::{Delta, graph::StateKey};

/// What a checkpoint calls runs.
pub(super) const RUNS: &str = "";

/// Pieces of one relation on their way: of more, a store must have taken some before epochs go on.
const PIECES_MAX: usize = 64;
/// Of a piece of rows.
const ROWS_AT_ONCE: usize = 8 << 10;

/// The state of one relation as of one checkpoint: what the checkpoint says of it. Of nothing that was ever written, none.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    pub relation: u64,
    pub runs: &'a [Run],
}

/// Names an entry, wherever it goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName {
    pub node: u32,
    pub table: u8,
    pub key: Vec<u8>,
}

/// Entries of one table whose keys begin so, behind a key if one is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    pub node: u32,
    pub table: u8,
    pub prefix: Vec<u8>,
    pub after: Option<Vec<u8>>,
    pub entries_max: usize,
}

/// Work of a store, under way.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, CheckpointError>> + 'a>>;

/// Takes an entry that is there.
pub type TakeEntry<'a> = dyn FnMut(StateKey<'_>, &[u8]) -> Result<(), CheckpointError> + 'a;

/// See the module head. One call at a time. An entry of `ROWS` is a row with its weight, an i64: what a change says is added
/// to what is there, and a row whose weight is zero is none.
pub trait StateStore {
    /// Stands in the checkpoint: state is found where it was kept.
    fn name(&self) -> &'static str;

    /// Makes a version with this number of `base`, or of nothing where the changes are everything. Both can be read then. Where
    /// nothing has changed `base` may be the answer.
    fn write<'a>(&'a self, base: Version<'a>, number: u64, changes: Changes)
    -> Doing<'a, Vec<Run>>;

    /// What was written lasts.
    fn sync(&self) -> Doing<'_, ()>;

    /// Hands out all entries, each once; of a node those of table 255 in front of the others.
    fn read<'a>(&'a self, version: Version<'a>, take: &'a mut TakeEntry<'a>) -> Doing<'a, ()>;

    /// The values of these entries.
    fn get<'a>(
        &'a self,
        version: Version<'a>,
        names: Vec<EntryName>,
    ) -> Doing<'a, Vec<Option<Vec<u8>>>>;

    /// Keys and values in the order of the keys' bytes.
    fn scan<'a>(&'a self, version: Version<'a>, scan: Scan) -> Doing<'a, Vec<(Vec<u8>, Vec<u8>)>>;

    /// Removes what none of these is or builds on. It need not last: each start asks again before it writes.
    fn sweep<'a>(&'a self, named: Vec<Version<'a>>) -> Doing<'a, ()>;
}

/// Which store has which relation's state; that of all others is in runs.
#[derive(Clone, Default)]
pub struct Stores {
    pub default: Option<Rc<dyn StateStore>>,
    pub by_relation: BTreeMap<String, Rc<dyn StateStore>>,
}

impl Stores {
    pub(super) fn of(&self, relation: &str) -> Option<&Rc<dyn StateStore>> {
        let own = self.by_relation.get(relation);
        own.or(self.default.as_ref())
    }

    /// Each of them once.
    pub(super) fn all(&self) -> Vec<&Rc<dyn StateStore>> {
        let mut all: Vec<&Rc<dyn StateStore>> = Vec::new();
        for store in self.default.iter().chain(self.by_relation.values()) {
            if !all.iter().any(|known| Rc::ptr_eq(known, store)) {
                all.push(store);
            }
        }
        all
    }
}

/// Entries on their way into a store: of one that is there more than once, what comes last counts.
pub struct Changes {
    is_all: bool,
    put: Pieces,
    coming: Option<Receiver<Unsorted>>,
    buffers: Buffers,
}

impl Changes {
    /// What changed; or, `is_all`, everything that is there.
    #[must_use]
    pub fn new(is_all: bool) -> Self {
        Self {
            is_all,
            put: Pieces::default(),
            coming: None,
            buffers: Buffers::default(),
        }
    }

    /// The same while it is being put.
    pub(super) fn coming(is_all: bool, buffers: &Buffers) -> (Putting, Self) {
        let (to, coming) = bounded(PIECES_MAX);
        let putting = Putting {
            pieces: Pieces::new(buffers.clone()),
            to,
        };
        let changes = Self {
            coming: Some(coming),
            buffers: buffers.clone(),
            ..Self::new(is_all)
        };
        (putting, changes)
    }

    /// `None`: it is gone.
    pub fn put(&mut self, key: StateKey<'_>, value: Option<&[u8]>) {
        self.put.put(key, value);
    }

    #[must_use]
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    /// What comes next of it; rows and others each in their order.
    pub(super) async fn next(&mut self) -> Option<Unsorted> {
        match (self.put.take(), &mut self.coming) {
            (None, Some(coming)) => coming.recv().await,
            (put, _) => put,
        }
    }

    pub(super) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// All of it, once nothing more comes.
    pub async fn collected(mut self) -> Collected {
        let mut pieces = Vec::new();
        while let Some(piece) = self.next().await {
            pieces.push(piece.into_entries().await);
        }
        Collected {
            is_all: self.is_all,
            pieces,
        }
    }
}

/// Changes that can go to another thread.
pub struct Collected {
    is_all: bool,
    pieces: Vec<Vec<u8>>,
}

impl Collected {
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// What was put, rows and others each in their order.
    pub fn each(&self) -> impl Iterator<Item = (StateKey<'_>, Option<&[u8]>)> {
        self.pieces.iter().flat_map(|piece| entries(piece))
    }
}

/// Puts entries that a store takes at the same time. What comes when it takes no more, as it has failed, is lost.
pub(super) struct Putting {
    pieces: Pieces,
    to: Sender<Unsorted>,
}

impl Putting {
    pub fn put(&mut self, key: StateKey<'_>, value: Option<&[u8]>) {
        self.pieces.put(key, value);
    }

    /// Sends what fills pieces, if it must as soon as there is room.
    pub async fn send(&mut self) {
        while let Some(full) = self.pieces.take_full() {
            drop(self.to.send(full).await);
        }
    }

    /// Rows that come and go, as they are.
    pub async fn put_rows(&mut self, deltas: impl Iterator<Item = Delta>) {
        let (mut some, mut rows) = (Vec::new(), 0);
        for delta in deltas {
            rows += delta.len();
            some.push(delta);
            if rows >= ROWS_AT_ONCE {
                rows = 0;
                let piece = self.pieces.rows(std::mem::take(&mut some));
                drop(self.to.send(piece).await);
            }
        }
        if !some.is_empty() {
            drop(self.to.send(self.pieces.rows(some)).await);
        }
    }

    /// Sends the rest.
    pub async fn end(mut self) {
        while let Some(piece) = self.pieces.take() {
            drop(self.to.send(piece).await);
        }
    }
}
