//! Directory operations whose failure nobody could handle.

use std::{io, path::Path};

use runtime::{
    Fatal,
    fs::{self, File},
};

use crate::OpenError;

fn fatal(what: &'static str, error: &io::Error) -> ! {
    runtime::fatal(Fatal::Io {
        what,
        error: error.to_string(),
    })
}

pub(crate) async fn sync_dir(path: &Path) {
    if let Err(error) = fs::sync_dir(path).await {
        fatal("directory", &error);
    }
}

pub(crate) async fn sync_all(file: &File) {
    if let Err(error) = file.sync_all().await {
        fatal("file", &error);
    }
}

pub(crate) async fn rename(from: &Path, to: &Path) {
    if let Err(error) = fs::rename(from, to).await {
        fatal("rename", &error);
    }
}

pub(crate) fn open_error(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Io(format!("{}: {error}", path.display()))
}
