//! Files that are durable when a function returns, and errors that say what was tried on which path.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::contract::StoreError;

/// Turns an error of the operating system into one that names the action and the path.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { action, path, source }
}

/// A damage report.
pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> StoreError {
    StoreError::Damaged { path: path.display().to_string(), reason: reason.into() }
}

/// Makes the names in a folder durable: new, renamed and removed files.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(io_error("sync folder", folder))
}

/// Creates a folder, durably; an existing one is fine.
pub(crate) fn create_folder(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(io_error("create folder", folder))?;
    match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

/// Puts a small file in place whole or not at all, durably.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(io_error("create", &temporary))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(io_error("write", &temporary))?;
    rename(&temporary, path)
}

/// Renames a file that is itself durable already, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(io_error("rename to", to))?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// Removes a file; a missing one is fine.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Bytes free for us on the file system of `folder`.
pub(crate) fn free_bytes(folder: &Path) -> Result<u64, StoreError> {
    let figures = rustix::fs::statvfs(folder)
        .map_err(|errno| io_error("read free space of", folder)(std::io::Error::from(errno)))?;
    Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
}
