//! What is known of topics of external clusters, on disk.
//!
//! # Layout
//! `<data-dir>/streams/external`, replaced whole, little-endian; see docs/formats/external.md:
//! ```text
//! magic "FBEXT\0\0\1" | CRC32C of the rest u32 | count u32
//! | (topic id 16 bytes, partitions i32, length u32, name)*
//! ```
//!
//! # Limits
//! Topics that relations name, and those of statements that failed.
//!
//! # Crash
//! The file is the old one or the new one. A relation is made only when its topics stand in it, and the engine is told of
//! more partitions only when they do.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    rc::Rc,
};

use base::TopicId;
use iobuf::crc32c;
use runtime::{budget::Budget, fs};
use streams::{engine::CheckpointError, log::TopicShape};

use super::External;

const MAGIC: [u8; 8] = *b"FBEXT\0\0\x01";

/// The same topics by their names here and by their ids.
#[derive(Default)]
struct Topics {
    by_name: BTreeMap<String, Rc<External>>,
    by_id: BTreeMap<TopicId, Rc<External>>,
}

impl Topics {
    fn put(&mut self, topic: &Rc<External>, shape: TopicShape) {
        self.remove(&topic.name);
        topic.shape.set(shape);
        self.by_name.insert(topic.name.clone(), topic.clone());
        self.by_id.insert(shape.id, topic.clone());
    }

    /// Whether it was there.
    fn remove(&mut self, name: &str) -> bool {
        let gone = self.by_name.remove(name);
        if let Some(gone) = &gone {
            self.by_id.remove(&gone.shape.get().id);
        }
        gone.is_some()
    }
}

/// See the module head.
pub(super) struct Known {
    path: PathBuf,
    topics: RefCell<Topics>,
    /// Held while writing.
    turn: Budget,
}

impl Known {
    pub fn new(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("streams").join("external"),
            topics: RefCell::default(),
            turn: Budget::new("external topics writing", 1),
        }
    }

    /// Of the file.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub fn put(&self, topic: &Rc<External>) {
        self.topics.borrow_mut().put(topic, topic.shape.get());
    }

    pub fn by_name(&self, name: &str) -> Option<Rc<External>> {
        self.topics.borrow().by_name.get(name).cloned()
    }

    pub fn by_id(&self, id: TopicId) -> Option<Rc<External>> {
        self.topics.borrow().by_id.get(&id).cloned()
    }

    /// No relation names it any more; to be saved. Whether it was known.
    pub fn forget(&self, name: &str) -> bool {
        self.topics.borrow_mut().remove(name)
    }

    /// What is known, as it is.
    pub async fn save(&self) -> io::Result<()> {
        let _turn = self.turn.acquire(1).await;
        self.write(&self.shapes()).await
    }

    fn shapes(&self) -> BTreeMap<String, TopicShape> {
        let topics = self.topics.borrow();
        let topics = topics.by_name.values();
        topics.map(|t| (t.name.clone(), t.shape.get())).collect()
    }

    async fn write(&self, shapes: &BTreeMap<String, TopicShape>) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all_durable(dir).await?;
        }
        fs::replace(&self.path, &encode(shapes)).await
    }

    /// Takes in what a cluster has said of a topic: first on disk, then for the engine.
    pub async fn learn(&self, topic: &Rc<External>, shape: TopicShape) -> io::Result<()> {
        let _turn = self.turn.acquire(1).await;
        let known = self.by_name(&topic.name);
        if known.is_some_and(|known| known.shape.get() == shape) {
            return Ok(());
        }
        let mut shapes = self.shapes();
        shapes.insert(topic.name.clone(), shape);
        self.write(&shapes).await?;
        self.topics.borrow_mut().put(topic, shape);
        Ok(())
    }

    /// Nothing where there is no file.
    pub async fn load(&self) -> Result<BTreeMap<String, TopicShape>, CheckpointError> {
        let path = self.name();
        let failed = |error: io::Error| CheckpointError::Io {
            path: path.clone(),
            error: error.to_string(),
        };
        if !fs::exists(&self.path).await.map_err(failed)? {
            return Ok(BTreeMap::new());
        }
        let bytes = fs::read(&self.path).await.map_err(failed)?;
        decode(&bytes).ok_or(CheckpointError::Damaged {
            path,
            at: 0,
            expected: "topics of external clusters with their checksum",
        })
    }
}

fn encode(topics: &BTreeMap<String, TopicShape>) -> Vec<u8> {
    let mut body = (topics.len() as u32).to_le_bytes().to_vec();
    for (name, shape) in topics {
        body.extend(shape.id.0);
        body.extend(shape.partitions.to_le_bytes());
        body.extend((name.len() as u32).to_le_bytes());
        body.extend(name.as_bytes());
    }
    [&MAGIC[..], &crc32c(&body).to_le_bytes(), &body].concat()
}

fn decode(bytes: &[u8]) -> Option<BTreeMap<String, TopicShape>> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (checksum, mut body) = rest.split_first_chunk::<4>()?;
    if *magic != MAGIC || u32::from_le_bytes(*checksum) != crc32c(body) {
        return None;
    }
    let mut take = |count: usize| {
        let (taken, rest) = body.split_at_checked(count)?;
        body = rest;
        Some(taken)
    };
    let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
    let count = number(take(4)?)?;
    let mut topics = BTreeMap::new();
    for _ in 0..count {
        let id = TopicId(take(16)?.try_into().ok()?);
        let partitions = number(take(4)?)?.cast_signed();
        let length = number(take(4)?)? as usize;
        let name = String::from_utf8(take(length)?.to_vec()).ok()?;
        topics.insert(name, TopicShape { id, partitions });
    }
    Some(topics)
}

#[cfg(test)]
mod tests;
