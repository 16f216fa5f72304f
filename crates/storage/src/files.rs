//! Open segment files, least recently used closed first.
//!
//! # Limits
//! `OPEN_MAX` descriptors per home, whatever the number of partitions; a closed file is opened again when needed.

use std::{cell::RefCell, collections::BTreeMap, io, path::Path};

use runtime::fs::{File, Open};

use crate::segment::SegmentName;

const OPEN_MAX: usize = 512;

#[derive(Default)]
struct Table {
    open: BTreeMap<SegmentName, (File, u64)>,
    uses: u64,
}

#[derive(Default)]
pub(crate) struct FileTable {
    table: RefCell<Table>,
}

impl FileTable {
    /// The segment's file for direct reads and writes, created when `create`: then nothing is left of what an earlier
    /// attempt under the same name may have written.
    pub(crate) async fn open(
        &self,
        dir: &Path,
        name: SegmentName,
        create: bool,
    ) -> io::Result<File> {
        if let Some(file) = self.find(name) {
            return Ok(file);
        }
        let open = Open {
            read: true,
            write: true,
            create,
            truncate: create,
            direct: true,
            ..Open::default()
        };
        let file = File::open(&dir.join(name.file_name()), open).await?;
        let mut table = self.table.borrow_mut();
        let used = table.uses;
        table.open.insert(name, (file.clone(), used));
        if table.open.len() > OPEN_MAX
            && let Some(oldest) = table
                .open
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(name, _)| *name)
        {
            table.open.remove(&oldest);
        }
        Ok(file)
    }

    fn find(&self, name: SegmentName) -> Option<File> {
        let mut table = self.table.borrow_mut();
        table.uses += 1;
        let uses = table.uses;
        let (file, used) = table.open.get_mut(&name)?;
        *used = uses;
        Some(file.clone())
    }

    pub(crate) fn forget(&self, name: SegmentName) {
        self.table.borrow_mut().open.remove(&name);
    }

    pub(crate) fn clear(&self) {
        self.table.borrow_mut().open.clear();
    }
}
