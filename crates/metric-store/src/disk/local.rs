//! A folder.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Blob, BlobWriter, Disk, LogFile, Succession};
use crate::contract::StoreError;
use crate::files::{create_folder, free_bytes, io_error, remove, rename, sync_folder};
use crate::options::RETRY_AFTER;

/// Ending of files that are not finished.
const UNFINISHED: &str = "tmp";

/// The files of a shard in a folder of their own.
#[derive(Debug)]
pub(crate) struct LocalDisk {
    folder: PathBuf,
}

impl LocalDisk {
    /// Creates the folder if it is not there, and forgets what was never finished.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, StoreError> {
        create_folder(&folder)?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn unfinished(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{}.{UNFINISHED}", std::process::id()))
    }
}

impl Disk for LocalDisk {
    fn describe(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(io_error("list", &self.folder))? {
            let name = entry.map_err(io_error("list", &self.folder))?.file_name();
            names.extend(name.to_str().filter(|name| !name.ends_with(UNFINISHED)).map(str::to_owned));
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    fn create(&self, name: &str, content: &[u8]) -> Result<bool, StoreError> {
        let (path, unfinished) = (self.path(name), self.unfinished(name));
        let mut file = File::create(&unfinished).map_err(io_error("create", &unfinished))?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        // A link, unlike a rename, fails where there is something already.
        let linked = match written {
            Ok(()) => fs::hard_link(&unfinished, &path),
            Err(error) => Err(error),
        };
        remove(&unfinished)?;
        match linked {
            Ok(()) => sync_folder(&self.folder).map(|()| true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(io_error("write", &path)(error)),
        }
    }

    fn writer(&self, name: &str) -> Result<Box<dyn BlobWriter>, StoreError> {
        let unfinished = self.unfinished(name);
        let file = File::create(&unfinished).map_err(io_error("create", &unfinished))?;
        let file = BufWriter::with_capacity(1 << 18, file);
        Ok(Box::new(LocalWriter { place: self.path(name), unfinished, file, finished: false }))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>, StoreError> {
        let path = self.path(name);
        let file = File::open(&path).map_err(io_error("open", &path))?;
        let len = file.metadata().map_err(io_error("read", &path))?.len();
        Ok(Arc::new(LocalBlob { path, file, len }))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        remove(&self.path(name))
    }

    fn log(&self, name: &str, succession: Arc<dyn Succession>) -> Result<Box<dyn LogFile>, StoreError> {
        let path = self.path(name);
        // Appending: a write after a cut goes to the new end.
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        let file = file.map_err(io_error("create", &path))?;
        sync_folder(&self.folder)?;
        let folder = self.folder.clone();
        Ok(Box::new(LocalLog { folder, path, file, len: 0, torn: false, succession }))
    }

    fn fence(&self, _name: &str) -> Result<(), StoreError> {
        // A writer looks for a newer manifest after each sync, and this process's is there by now.
        Ok(())
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        free_bytes(&self.folder).map(Some)
    }

    fn commit_window(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Debug)]
struct LocalBlob {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Blob for LocalBlob {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            let source = std::io::Error::from(ErrorKind::UnexpectedEof);
            return Err(io_error("read", &self.path)(source));
        }
        let mut buffer = vec![0; len];
        self.file.read_exact_at(&mut buffer, offset).map_err(io_error("read", &self.path))?;
        Ok(buffer)
    }
}

#[derive(Debug)]
struct LocalWriter {
    place: PathBuf,
    unfinished: PathBuf,
    file: BufWriter<File>,
    finished: bool,
}

impl BlobWriter for LocalWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(io_error("write", &self.unfinished))
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(io_error("write", &self.unfinished))?;
        rename(&self.unfinished, &self.place)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        let removed = if self.finished { Ok(()) } else { remove(&self.unfinished) };
        if let Err(error) = removed {
            tracing::warn!(error = %error, "an unfinished file stays until the next start");
        }
    }
}

struct LocalLog {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// Bytes known to be durable.
    len: u64,
    /// A failed write may have left bytes behind `len`: they must go before anything else is written, or a restart
    /// would read what was answered with an error in front of what was answered with success.
    torn: bool,
    succession: Arc<dyn Succession>,
}

impl fmt::Debug for LocalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLog").field("path", &self.path).field("len", &self.len).finish_non_exhaustive()
    }
}

impl LocalLog {
    fn mend(&mut self) -> Result<(), StoreError> {
        if self.torn {
            let cut = self.file.set_len(self.len).and_then(|()| self.file.sync_all());
            cut.map_err(io_error("cut", &self.path))?;
            self.torn = false;
        }
        Ok(())
    }

    /// Whether another process created a manifest after ours. Looked at after the sync: a new owner creates its
    /// manifest before it reads this log, so either it reads what was just written, or this finds its manifest.
    fn taken_over(&self) -> Result<bool, StoreError> {
        for ahead in 1.. {
            let path = self.folder.join(self.succession.manifest(ahead));
            match fs::read(&path) {
                Ok(manifest) if self.succession.is_ours(&manifest) => {}
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(io_error("read", &path)(error)),
            }
        }
        Ok(false)
    }
}

impl LogFile for LocalLog {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.mend()?;
        if let Err(error) = self.file.write_all(bytes).and_then(|()| self.file.sync_data()) {
            self.torn = true;
            // If the cut fails too, the next append tries it again before it writes.
            if let Err(cut) = self.mend() {
                tracing::warn!(error = %cut, "the log could not be cut after a failed write");
            }
            return Err(io_error("write", &self.path)(error));
        }
        self.len += bytes.len() as u64;
        if self.taken_over()? { Err(StoreError::NoOwner { retry_after: RETRY_AFTER }) } else { Ok(()) }
    }
}
