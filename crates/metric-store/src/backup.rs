//! The files that make a copy of a store's folder while its owner goes on writing.
//!
//! Segments and manifests never change, a log only grows, and a file is removed only after a newer manifest says so. So
//! what a manifest names, opened while that manifest was still the newest, is a store: with everything that was
//! answered before, and perhaps a little more. Whatever is removed afterwards stays readable through the open files.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::contract::StoreError;
use crate::disk::LocalDisk;
use crate::files::io_error;
use crate::log::list_logs;
use crate::manifest::{name_of, newest};
use crate::options::RETRY_AFTER;

/// How often files may go away under our hands; an owner removes some only every few seconds.
const TRIES: usize = 100;

/// A file of a store, open for copying.
#[derive(Debug)]
pub struct StoreFile {
    /// Its name below the store's folder.
    pub name: PathBuf,
    /// The file; it may have been removed since.
    pub file: File,
    /// Bytes of it that count.
    pub len: u64,
}

/// Hands over every file of the store in `folder`, shard by shard; none if there is no store yet.
///
/// # Errors
/// Those of `take`, and [`StoreError`] if the folder can't be read.
pub fn backup<E: From<StoreError>>(
    folder: &Path,
    mut take: impl FnMut(StoreFile) -> Result<(), E>,
) -> Result<(), E> {
    let Some(format) = open(folder, Path::new("FORMAT"))? else { return Ok(()) };
    take(format)?;
    let mut shards = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let entry = entry.map_err(io_error("list", folder))?;
        if entry.path().is_dir() {
            shards.push(PathBuf::from(entry.file_name()));
        }
    }
    shards.sort();
    for shard in shards {
        shard_files(folder, &shard)?.into_iter().try_for_each(&mut take)?;
    }
    Ok(())
}

fn shard_files(folder: &Path, shard: &Path) -> Result<Vec<StoreFile>, StoreError> {
    let disk = LocalDisk::open(folder.join(shard))?;
    for _ in 0..TRIES {
        let (number, manifest) = newest(&disk)?;
        let mut names = manifest.segments.clone();
        let logs = list_logs(&disk)?.into_iter().filter(|log| *log >= manifest.log_from());
        names.extend(logs.map(|log| log.name()));
        if number > 0 {
            names.push(name_of(number));
        }
        let opened: Option<Vec<StoreFile>> = names
            .iter()
            .map(|name| open(folder, &shard.join(name)).transpose())
            .collect::<Option<_>>()
            .transpose()?;
        // Only now is it sure that no log was removed before it could be listed.
        if let Some(files) = opened
            && newest(&disk)?.0 == number
        {
            return Ok(files);
        }
    }
    Err(StoreError::NoOwner { retry_after: RETRY_AFTER })
}

/// Opens a file with the length it has now; `None` if it is gone.
fn open(folder: &Path, name: &Path) -> Result<Option<StoreFile>, StoreError> {
    let path = folder.join(name);
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    match opened {
        Ok((len, file)) => Ok(Some(StoreFile { name: name.to_owned(), file, len })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("open", &path)(error)),
    }
}
