//! Cold reads: aligned blocks of segment files, read once for all who want them.
//!
//! # Place       one per home; the tail cache never holds what was read here, nor the other way round
//! # Invariants
//! 1. A block is read by a task of its own, so a reader that goes away leaves nothing half done.
//! 2. A block that was read while its segment still grew is read again when more of it is wanted.
//!
//! # Limits
//! `BLOCKS_MAX` blocks of `BLOCK_BYTES` are kept, oldest out first; sequential readers have `AHEAD` blocks read ahead.
//!
//! # Instead of
//! Reads of exactly the bytes asked for: several readers of one range could not share them, and small ones cost a
//! device read each.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

use base::FilePos;
use iobuf::Buf;
use runtime::{Class, sync::oneshot};

use crate::{LogId, home::Home, retry, segment::SegmentName};

/// Large enough for near sequential speed, small enough that a random read of one batch is not slow.
pub(crate) const BLOCK_BYTES: u64 = 128 << 10;
const BLOCKS_MAX: usize = 128;
/// Blocks read ahead of a sequential reader: 1 MiB.
const AHEAD: u64 = 8;

type Waiting = Vec<oneshot::Sender<Result<Buf, String>>>;

enum Block {
    Loading(Waiting),
    Loaded(Buf),
}

#[derive(Default)]
pub(crate) struct Blocks {
    blocks: RefCell<BTreeMap<(SegmentName, u64), Block>>,
    order: RefCell<VecDeque<(SegmentName, u64)>>,
}

impl Blocks {
    /// The block numbered `number` of a segment that ends at `end`. Contains at least what lies below `end`.
    pub(crate) async fn get(
        &self,
        home: &Rc<Home>,
        name: SegmentName,
        number: u64,
        end: u64,
    ) -> Result<Buf, String> {
        let waits = {
            let mut blocks = self.blocks.borrow_mut();
            match blocks.get_mut(&(name, number)) {
                Some(Block::Loaded(buf)) if covers(buf, number, end) => return Ok(buf.clone()),
                Some(Block::Loading(waiting)) => {
                    let (done, waits) = oneshot::channel();
                    waiting.push(done);
                    Some(waits)
                }
                _ => None,
            }
        };
        let waits = match waits {
            Some(waits) => waits,
            None => {
                let (done, waits) = oneshot::channel();
                self.load(home, name, number, end, vec![done]);
                waits
            }
        };
        let buf = waits.await.ok_or("the home was closed")??;
        if covers(&buf, number, end) {
            return Ok(buf);
        }
        // It was being read when the segment was shorter.
        let (done, waits) = oneshot::channel();
        self.load(home, name, number, end, vec![done]);
        waits.await.ok_or("the home was closed")?
    }

    /// Starts reading the blocks behind `number`, for a reader that goes through the segment in order.
    pub(crate) fn read_ahead(&self, home: &Rc<Home>, name: SegmentName, number: u64, end: u64) {
        for next in number + 1..=number + AHEAD {
            if next * BLOCK_BYTES >= end {
                return;
            }
            if !self.blocks.borrow().contains_key(&(name, next)) {
                self.load(home, name, next, end, Vec::new());
            }
        }
    }

    fn load(&self, home: &Rc<Home>, name: SegmentName, number: u64, end: u64, waiting: Waiting) {
        let key = (name, number);
        let before = self
            .blocks
            .borrow_mut()
            .insert(key, Block::Loading(waiting));
        match before {
            None => self.order.borrow_mut().push_back(key),
            Some(Block::Loading(mut others)) => {
                if let Some(Block::Loading(waiting)) = self.blocks.borrow_mut().get_mut(&key) {
                    waiting.append(&mut others);
                }
            }
            Some(Block::Loaded(_)) => {}
        }
        self.trim();
        home.stats.borrow_mut().cache_misses += 1;
        let home = Rc::clone(home);
        runtime::spawn(Class::Fetch, "cold read", async move {
            let read = read_block(&home, name, number, end).await;
            home.blocks.loaded(key, read);
        });
    }

    fn loaded(&self, key: (SegmentName, u64), read: Result<Buf, String>) {
        let mut blocks = self.blocks.borrow_mut();
        let before = match &read {
            Ok(buf) => match blocks.get_mut(&key) {
                Some(block) => Some(std::mem::replace(block, Block::Loaded(buf.clone()))),
                None => None,
            },
            Err(_) => blocks.remove(&key),
        };
        drop(blocks);
        if let Some(Block::Loading(waiting)) = before {
            for done in waiting {
                done.send(read.clone());
            }
        }
    }

    /// Oldest blocks out; one that is being read stays, its readers hold it anyway.
    fn trim(&self) {
        let mut order = self.order.borrow_mut();
        let mut blocks = self.blocks.borrow_mut();
        let mut looked = 0;
        while order.len() > BLOCKS_MAX && looked < BLOCKS_MAX {
            looked += 1;
            let Some(key) = order.pop_front() else { return };
            if matches!(blocks.get(&key), Some(Block::Loading(_))) {
                order.push_back(key);
            } else {
                blocks.remove(&key);
            }
        }
    }

    /// Drops what was read of a log, because its segments changed other than by growing.
    pub(crate) fn forget(&self, log_id: LogId) {
        self.blocks
            .borrow_mut()
            .retain(|(name, _), block| name.log_id != log_id || matches!(block, Block::Loading(_)));
        let blocks = self.blocks.borrow();
        self.order
            .borrow_mut()
            .retain(|key| blocks.contains_key(key));
    }
}

fn covers(buf: &Buf, number: u64, end: u64) -> bool {
    let wanted = end.saturating_sub(number * BLOCK_BYTES).min(BLOCK_BYTES);
    buf.len() as u64 >= wanted
}

async fn read_block(
    home: &Rc<Home>,
    name: SegmentName,
    number: u64,
    end: u64,
) -> Result<Buf, String> {
    let file = home
        .files
        .open(&home.segments_dir(), name, false)
        .await
        .map_err(|e| format!("{}: {e}", name.file_name()))?;
    let start = number * BLOCK_BYTES;
    let bytes = end.saturating_sub(start).min(BLOCK_BYTES);
    let bytes = usize::try_from(bytes).expect("at most a block");
    retry::read_at(&file, FilePos(start), bytes)
        .await
        .map_err(|e| format!("{} at {start}: {e}", name.file_name()))
}
