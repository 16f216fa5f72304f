//! Where the state of pipelines lasts: one trait, and which store has which relation's.
//!
//! # Place
//! Beside the engine's loop, on its shard. Asked between two epochs: by checkpoints and by restarts.
//!
//! # Invariants
//! 1. A version that a checkpoint names can be read until a version that builds on it is written behind another checkpoint:
//!    after a crash the one that the checkpoint names is there, and one ahead of it at most, which is then forgotten.
//! 2. What was written lasts when `sync` has ended. The engine names a version behind that only.
//!
//! # Instead of
//! A trait under the tables that operators compute with: a call and a codec per row
//! (docs/decisions/2026-11-22-state-backends.md).

mod runs;

pub use runs::{RunStore, added};

use std::{collections::BTreeMap, future::Future, pin::Pin, rc::Rc};

use iobuf::crc32c;

use super::checkpoint::{CheckpointError, Reader};
use crate::{NodeId, graph::StateKey};

/// The node number of a relation's own rows. An entry of it is a row with a weight, an i64: what a change says is added to
/// what is there, and a row with the weight zero is none.
pub const ROWS: NodeId = NodeId(u32::MAX as usize);

/// What is written at once; versions are made of such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub number: u64,
    pub bytes: u64,
}

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

/// See the module head. One call at a time.
pub trait StateStore {
    /// Stands in the checkpoint: state is found where it was kept.
    fn name(&self) -> &'static str;

    /// Whether what is to be written behind this version is best everything.
    fn wants_all(&self, version: Version<'_>) -> bool;

    /// Makes a version with this number of `base`, or of nothing where the changes are everything. Both can be read then.
    fn write<'a>(&'a self, base: Version<'a>, number: u64, changes: Changes)
    -> Doing<'a, Vec<Run>>;

    /// What was written lasts.
    fn sync(&self) -> Doing<'_, ()>;

    /// Hands out all entries, each once; a row may come in parts. Of a node those of table 255 come first, if they were first
    /// in each write.
    fn read<'a>(&'a self, version: Version<'a>, take: &'a mut TakeEntry<'a>) -> Doing<'a, ()>;

    /// The values of these entries.
    fn get<'a>(
        &'a self,
        version: Version<'a>,
        names: Vec<EntryName>,
    ) -> Doing<'a, Vec<Option<Vec<u8>>>>;

    /// Keys and values in the order of the keys' bytes.
    fn scan<'a>(&'a self, version: Version<'a>, scan: Scan) -> Doing<'a, Vec<(Vec<u8>, Vec<u8>)>>;

    /// Removes what none of these is or builds on.
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

const MAGIC: [u8; 8] = *b"FBRUN\0\0\x01";
/// Blocks are closed when they have grown to this.
const BLOCK_BYTES: usize = 1 << 20;
/// One entry may be as large as a batch of records allows, and some.
const BLOCK_BYTES_MAX: usize = 256 << 20;
const REMOVED: u32 = u32::MAX;

/// Entries on their way into a store, as a run has them: what is gone first, for it may have come again.
pub struct Changes {
    bytes: Vec<u8>,
    /// Where the present block's payload begins.
    block_at: usize,
    entries: u64,
    is_all: bool,
}

impl Changes {
    /// What changed; or, `is_all`, everything that is there.
    #[must_use]
    pub fn new(is_all: bool) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([0; 8]);
        Self {
            block_at: bytes.len(),
            bytes,
            entries: 0,
            is_all,
        }
    }

    pub fn put(&mut self, key: StateKey<'_>, value: Option<&[u8]>) {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("entries fit into blocks");
        self.bytes.extend((key.node.0 as u32).to_le_bytes());
        self.bytes.push(key.table);
        self.bytes.extend(length(key.key).to_le_bytes());
        self.bytes
            .extend(value.map_or(REMOVED, length).to_le_bytes());
        self.bytes.extend_from_slice(key.key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.entries += 1;
        if self.bytes.len() - self.block_at >= BLOCK_BYTES {
            self.close_block();
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    #[must_use]
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    fn close_block(&mut self) {
        let payload = &self.bytes[self.block_at..];
        let (length, checksum) = (payload.len() as u32, crc32c(payload));
        self.bytes[self.block_at - 8..self.block_at - 4].copy_from_slice(&length.to_le_bytes());
        self.bytes[self.block_at - 4..self.block_at].copy_from_slice(&checksum.to_le_bytes());
        self.bytes.extend([0; 8]);
        self.block_at = self.bytes.len();
    }

    /// As a run is written.
    fn finish(mut self) -> Vec<u8> {
        self.end();
        self.bytes
    }

    fn end(&mut self) {
        if self.bytes.len() > self.block_at {
            self.close_block();
        }
    }

    /// Goes through the entries as they were put: names, and values where they are not gone.
    pub fn each<'a>(&'a mut self, mut take: impl FnMut(StateKey<'a>, Option<&'a [u8]>)) {
        const OWN: &str = "bytes that were put here";
        self.end();
        let bytes = &self.bytes;
        let mut at = MAGIC.len();
        loop {
            let mut head = Reader::new(&bytes[at..at + 8], "");
            let length = head.u32().expect(OWN) as usize;
            at += 8;
            if length == 0 {
                return;
            }
            let payload = &bytes[at..at + length];
            each_entry(payload, "", &mut |key, value| {
                take(key, value);
                Ok(())
            })
            .expect(OWN);
            at += length;
        }
    }
}

/// Entries of a block's payload.
fn each_entry<'a>(
    payload: &'a [u8],
    path: &'a str,
    take: &mut dyn FnMut(StateKey<'a>, Option<&'a [u8]>) -> Result<(), CheckpointError>,
) -> Result<(), CheckpointError> {
    let mut entries = Reader::new(payload, path);
    while !entries.is_empty() {
        let node = NodeId(entries.u32()? as usize);
        let table = entries.u8()?;
        let (key, value) = (entries.u32()?, entries.u32()?);
        let key = entries.take(key as usize)?;
        let value = match value {
            REMOVED => None,
            length => Some(entries.take(length as usize)?),
        };
        take(StateKey { node, table, key }, value)?;
    }
    Ok(())
}
