//! State in fjall: a directory, a log-structured merge tree.
//!
//! # Layout
//! fjall takes names of 65,535 bytes, and a view's row may be longer. So names of `NAME_BYTES` and more stand together under
//! their first `NAME_BYTES`, in the order of what follows: `(length of the rest u32 | length of the value u32 | rest |
//! value)*`, little-endian. Shorter names stand for themselves, so the order of all is that of their bytes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use fjall::{Database, Error, Keyspace, KeyspaceCreateOptions, PersistMode};
use streams::engine::CheckpointError;

use super::{
    OpenStore, Opening,
    versions::{Ordered, Piece, Versions},
};

const NAME_BYTES: usize = 60_000;

/// State in this directory, which is made where there is none.
#[derive(Clone, Debug)]
pub struct Fjall {
    path: PathBuf,
}

impl Fjall {
    #[must_use]
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
        }
    }
}

impl OpenStore for Fjall {
    fn place(&self) -> (&'static str, &Path) {
        (FjallDir::NAME, &self.path)
    }

    fn open(&self) -> Opening {
        Versions::open(self.path.clone(), FjallDir::open)
    }
}

struct FjallDir {
    path: String,
    database: Database,
    state: Keyspace,
}

/// Values of long names, by what follows their first bytes.
type Bucket = BTreeMap<Vec<u8>, Vec<u8>>;

fn failed(path: &str, error: Error) -> CheckpointError {
    match error {
        Error::Io(error) => CheckpointError::io(path, &error),
        error => CheckpointError::Io {
            path: path.to_owned(),
            error: error.to_string(),
        },
    }
}

fn encode(bucket: &Bucket) -> Vec<u8> {
    let mut out = Vec::new();
    for (rest, value) in bucket {
        out.extend((rest.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(value);
    }
    out
}

fn decode(mut bytes: &[u8]) -> Option<Bucket> {
    let mut bucket = Bucket::new();
    while !bytes.is_empty() {
        let (rest, behind) = bytes.split_first_chunk::<4>()?;
        let (value, behind) = behind.split_first_chunk::<4>()?;
        let (rest, behind) = behind.split_at_checked(u32::from_le_bytes(*rest) as usize)?;
        let (value, behind) = behind.split_at_checked(u32::from_le_bytes(*value) as usize)?;
        bucket.insert(rest.to_vec(), value.to_vec());
        bytes = behind;
    }
    Some(bucket)
}

impl FjallDir {
    fn open(path: &Path) -> Result<Self, CheckpointError> {
        let name = path.display().to_string();
        let database = Database::builder(path).worker_threads(1).open();
        let database = database.map_err(|error| failed(&name, error))?;
        let state = database.keyspace("state", KeyspaceCreateOptions::default);
        Ok(Self {
            state: state.map_err(|error| failed(&name, error))?,
            path: name,
            database,
        })
    }

    fn failed(&self, error: Error) -> CheckpointError {
        failed(&self.path, error)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Bucket, CheckpointError> {
        decode(bytes).ok_or_else(|| CheckpointError::Damaged {
            path: self.path.clone(),
            at: 0,
            expected: "values of long names",
        })
    }

    fn bucket(&self, start: &[u8]) -> Result<Bucket, CheckpointError> {
        let found = self.state.get(start).map_err(|error| self.failed(error))?;
        found.map_or(Ok(Bucket::new()), |bytes| self.decode(&bytes))
    }
}

impl Ordered for FjallDir {
    const NAME: &'static str = "fjall";

    fn path(&self) -> &str {
        &self.path
    }

    fn get(
        &self,
        names: &[Vec<u8>],
        take: &mut dyn FnMut(Option<Vec<u8>>) -> bool,
    ) -> Result<(), CheckpointError> {
        for name in names {
            let value = match name.split_at_checked(NAME_BYTES) {
                Some((start, rest)) => self.bucket(start)?.remove(rest),
                None => {
                    let found = self.state.get(name).map_err(|error| self.failed(error))?;
                    found.map(|value| value.to_vec())
                }
            };
            if !take(value) {
                break;
            }
        }
        Ok(())
    }

    fn range(
        &self,
        prefix: &[u8],
        from: &[u8],
        take: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), CheckpointError> {
        let start = &from[..from.len().min(NAME_BYTES)];
        for entry in self.state.range(start..) {
            let entry = entry.into_inner().map_err(|error| self.failed(error))?;
            let (name, value) = (&entry.0[..], &entry.1[..]);
            if name.len() < NAME_BYTES {
                if !name.starts_with(prefix) || !take(name, value) {
                    break;
                }
                continue;
            }
            for (rest, value) in self.decode(value)? {
                let name = [name, &rest].concat();
                if name.as_slice() < from {
                    continue;
                }
                if !name.starts_with(prefix) || !take(&name, &value) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn apply(&self, piece: Piece) -> Result<(), CheckpointError> {
        let mut batch = self.database.batch();
        let mut buckets: BTreeMap<Vec<u8>, Bucket> = BTreeMap::new();
        for (name, value) in piece {
            let Some((start, rest)) = name.split_at_checked(NAME_BYTES) else {
                match value {
                    Some(value) => batch.insert(&self.state, name, value),
                    None => batch.remove(&self.state, name),
                }
                continue;
            };
            if !buckets.contains_key(start) {
                buckets.insert(start.to_vec(), self.bucket(start)?);
            }
            let bucket = buckets.get_mut(start).expect("put there just now");
            match value {
                Some(value) => bucket.insert(rest.to_vec(), value),
                None => bucket.remove(rest),
            };
        }
        for (start, bucket) in buckets {
            match bucket.is_empty() {
                true => batch.remove(&self.state, start),
                false => batch.insert(&self.state, start, encode(&bucket)),
            }
        }
        batch.commit().map_err(|error| self.failed(error))
    }

    fn sync(&self) -> Result<(), CheckpointError> {
        let synced = self.database.persist(PersistMode::SyncAll);
        synced.map_err(|error| self.failed(error))
    }
}
