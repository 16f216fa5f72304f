//! State in redb: one file, a copy-on-write B-tree.

use std::path::{Path, PathBuf};

use redb::{Builder, Database, Durability, Error, ReadableDatabase, TableDefinition};
use streams::engine::CheckpointError;

use super::{
    OpenStore, Opening,
    versions::{Ordered, Piece, Versions},
};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("state");

/// Pages in memory: what is read is read once, at a start.
const CACHE_BYTES: usize = 64 << 20;

/// State in this file, which is made where there is none.
#[derive(Clone, Debug)]
pub struct Redb {
    path: PathBuf,
}

impl Redb {
    #[must_use]
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
        }
    }
}

impl OpenStore for Redb {
    fn place(&self) -> (&'static str, &Path) {
        (RedbFile::NAME, &self.path)
    }

    fn open(&self) -> Opening {
        Versions::open(self.path.clone(), RedbFile::open)
    }
}

struct RedbFile {
    path: String,
    database: Database,
}

fn failed(path: &str, error: impl Into<Error>) -> CheckpointError {
    match error.into() {
        Error::Io(error) => CheckpointError::io(path, &error),
        error => CheckpointError::Io {
            path: path.to_owned(),
            error: error.to_string(),
        },
    }
}

impl RedbFile {
    fn open(path: &Path) -> Result<Self, CheckpointError> {
        let name = path.display().to_string();
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|error| failed(&name, error))?;
        let file = Self {
            path: name,
            database,
        };
        // Readers need the table.
        file.apply(Vec::new())?;
        file.sync()?;
        Ok(file)
    }

    fn failed(&self, error: impl Into<Error>) -> CheckpointError {
        failed(&self.path, error)
    }
}

impl Ordered for RedbFile {
    const NAME: &'static str = "redb";

    fn path(&self) -> &str {
        &self.path
    }

    fn get(
        &self,
        names: &[Vec<u8>],
        take: &mut dyn FnMut(Option<Vec<u8>>) -> bool,
    ) -> Result<(), CheckpointError> {
        let reading = self.database.begin_read();
        let reading = reading.map_err(|error| self.failed(error))?;
        let table = reading
            .open_table(TABLE)
            .map_err(|error| self.failed(error))?;
        for name in names {
            let found = table.get(name.as_slice());
            let found = found.map_err(|error| self.failed(error))?;
            if !take(found.map(|value| value.value().to_vec())) {
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
        let reading = self.database.begin_read();
        let reading = reading.map_err(|error| self.failed(error))?;
        let table = reading
            .open_table(TABLE)
            .map_err(|error| self.failed(error))?;
        let entries = table.range(from..).map_err(|error| self.failed(error))?;
        for entry in entries {
            let (name, value) = entry.map_err(|error| self.failed(error))?;
            if !name.value().starts_with(prefix) || !take(name.value(), value.value()) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, piece: Piece) -> Result<(), CheckpointError> {
        let writing = self.database.begin_write();
        let mut writing = writing.map_err(|error| self.failed(error))?;
        // The next sync makes it last, and all before it.
        let set = writing.set_durability(Durability::None);
        set.map_err(|error| self.failed(error))?;
        {
            let table = writing.open_table(TABLE);
            let mut table = table.map_err(|error| self.failed(error))?;
            for (name, value) in piece {
                let done = match value {
                    Some(value) => table.insert(name.as_slice(), value.as_slice()).map(drop),
                    None => table.remove(name.as_slice()).map(drop),
                };
                done.map_err(|error| self.failed(error))?;
            }
        }
        writing.commit().map_err(|error| self.failed(error))
    }

    fn sync(&self) -> Result<(), CheckpointError> {
        let writing = self.database.begin_write();
        let mut writing = writing.map_err(|error| self.failed(error))?;
        // A start behind a crash does not go through all of the file.
        writing.set_quick_repair(true);
        writing.commit().map_err(|error| self.failed(error))
    }
}
