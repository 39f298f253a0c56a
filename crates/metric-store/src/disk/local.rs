//! A folder.

use std::borrow::Cow;
use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::fs::{Fs, FsFile, StdFs};
use super::{Blob, BlobWriter, Disk, LogFile, Succession};
use crate::contract::StoreError;
use crate::files::io_error;
use crate::options::RETRY_AFTER;

/// Ending of files that are not finished.
const UNFINISHED: &str = "tmp";
/// Bytes by which a log grows ahead of what is written to it.
const ROOM: u64 = 1 << 17;
/// Bytes gathered before a large file is written to.
const BUFFER: usize = 1 << 18;

/// The files of a shard in a folder of their own.
#[derive(Debug)]
pub(crate) struct LocalDisk<F = StdFs> {
    fs: Arc<F>,
    folder: PathBuf,
    /// Part of the names of our unfinished files: on shared storage another process may write to the same folder.
    writer: Uuid,
    /// Whether what owners before us never finished was removed.
    tidied: AtomicBool,
}

impl LocalDisk {
    /// Creates the folder if it is not there.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, StoreError> {
        Self::on(Arc::new(StdFs), folder)
    }
}

impl<F: Fs> LocalDisk<F> {
    /// The same on another file system.
    pub(crate) fn on(fs: Arc<F>, folder: PathBuf) -> Result<Self, StoreError> {
        fs.create_folder(&folder).map_err(io_error("create folder", &folder))?;
        let disk = Self { fs, folder, writer: Uuid::new_v4(), tidied: AtomicBool::new(false) };
        if let Some(parent) = disk.folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            disk.fs.sync_folder(parent).map_err(io_error("sync folder", parent))?;
        }
        Ok(disk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn unfinished(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{}.{UNFINISHED}", self.writer.simple()))
    }

    /// Starts a file that is not seen yet. One of this name can only be left of a failed attempt of ours.
    fn start(&self, path: &Path) -> Result<F::File, StoreError> {
        remove(self.fs.as_ref(), path)?;
        self.fs.create(path).map_err(io_error("create", path))
    }

    fn sync_folder(&self) -> Result<(), StoreError> {
        self.fs.sync_folder(&self.folder).map_err(io_error("sync folder", &self.folder))
    }

    /// Removes what owners before us never finished. They have lost the shard: whatever they still do will fail.
    fn tidy(&self) -> Result<(), StoreError> {
        if self.tidied.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let ours = format!(".{}.{UNFINISHED}", self.writer.simple());
        for name in self.fs.list(&self.folder).map_err(io_error("list", &self.folder))? {
            if is_unfinished(&name) && !name.ends_with(&ours) {
                remove(self.fs.as_ref(), &self.path(&name))?;
            }
        }
        Ok(())
    }
}

fn is_unfinished(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| ending == UNFINISHED)
}

/// Removes a file; a missing one is fine.
fn remove(fs: &impl Fs, path: &Path) -> Result<(), StoreError> {
    match fs.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        _ => Ok(()),
    }
}

impl<F: Fs> Disk for LocalDisk<F> {
    fn describe(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        let mut names = self.fs.list(&self.folder).map_err(io_error("list", &self.folder))?;
        names.retain(|name| !is_unfinished(name));
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(name);
        match self.fs.read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    fn create(&self, name: &str, content: &[u8]) -> Result<bool, StoreError> {
        let path = self.path(name);
        // Several threads may try at once, each with a file of its own.
        let unfinished = self.unfinished(&format!("{name}.{}", Uuid::new_v4().simple()));
        let mut file = self.start(&unfinished)?;
        let written = file.append(content).and_then(|()| file.sync());
        // A link, unlike a rename, fails where there is something already.
        let linked = written.and_then(|()| self.fs.link(&unfinished, &path));
        let removed = remove(self.fs.as_ref(), &unfinished);
        match linked {
            // Both names are durable now: a copy that could not be removed goes with the next owner.
            Ok(()) => self.sync_folder().and(removed).map(|()| true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => removed.map(|()| false),
            Err(error) => Err(io_error("write", &path)(error)),
        }
    }

    fn writer(&self, name: &str) -> Result<Box<dyn BlobWriter>, StoreError> {
        let unfinished = self.unfinished(name);
        let file = self.start(&unfinished)?;
        Ok(Box::new(LocalWriter {
            fs: Arc::clone(&self.fs),
            folder: self.folder.clone(),
            place: self.path(name),
            unfinished,
            file,
            buffer: Vec::with_capacity(BUFFER),
            finished: false,
        }))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>, StoreError> {
        let path = self.path(name);
        let file = self.fs.open(&path).map_err(io_error("open", &path))?;
        let len = file.len().map_err(io_error("read", &path))?;
        Ok(Arc::new(LocalBlob { path, file, len }))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        remove(self.fs.as_ref(), &self.path(name))
    }

    fn log(&self, name: &str, succession: Arc<dyn Succession>) -> Result<Box<dyn LogFile>, StoreError> {
        self.tidy()?;
        let path = self.path(name);
        let file = self.fs.create(&path).map_err(io_error("create", &path))?;
        if !file.try_lock().map_err(io_error("lock", &path))? {
            return Err(StoreError::NoOwner { retry_after: RETRY_AFTER });
        }
        self.sync_folder()?;
        let (fs, folder) = (Arc::clone(&self.fs), self.folder.clone());
        let newest = succession.newest();
        let successor = (newest, folder.join(succession.manifest(newest + 1)));
        let mut log = LocalLog {
            fs,
            folder,
            path,
            file,
            len: 0,
            room: 0,
            torn: false,
            over: false,
            succession,
            successor,
        };
        // A new owner that came before did not see this log.
        if log.taken_over()? {
            remove(self.fs.as_ref(), &log.path)?;
            return Err(StoreError::NoOwner { retry_after: RETRY_AFTER });
        }
        Ok(Box::new(log))
    }

    fn fence(&self, name: &str) -> Result<(), StoreError> {
        // The writer looks for a newer manifest after each sync, and this process's is there by now: it will answer
        // nothing with success any more. But one append may be under way, and what it writes must not appear in a
        // log that was read already. A writer holds a lock for as long as its process has the file open.
        let path = self.path(name);
        let file = match self.fs.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        if file.try_lock().unwrap_or(false) {
            return Ok(());
        }
        // It lives: leave its file to it, and put a copy in the place.
        let content = self.fs.read(&path).map_err(io_error("read", &path))?;
        let mut copy = self.writer(name)?;
        copy.write(&content)?;
        copy.finish()
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let free = self.fs.free_bytes(&self.folder);
        free.map(Some).map_err(io_error("read free space of", &self.folder))
    }

    fn commit_window(&self) -> Duration {
        Duration::ZERO
    }

    fn needs_runtime(&self) -> bool {
        false
    }

    fn most_appends(&self) -> u64 {
        u64::MAX
    }
}

#[derive(Debug)]
struct LocalBlob<T> {
    path: PathBuf,
    file: T,
    len: u64,
}

impl<T: FsFile> Blob for LocalBlob<T> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut buffer = Vec::new();
        self.read_into(offset, len, &mut buffer)?;
        Ok(buffer)
    }

    fn read_into(&self, offset: u64, len: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(io_error("read", &self.path)(ErrorKind::UnexpectedEof.into()));
        }
        buffer.resize(len, 0);
        self.file.read_at(buffer, offset).map_err(io_error("read", &self.path))
    }
}

#[derive(Debug)]
struct LocalWriter<F: Fs> {
    fs: Arc<F>,
    folder: PathBuf,
    place: PathBuf,
    unfinished: PathBuf,
    file: F::File,
    buffer: Vec<u8>,
    finished: bool,
}

impl<F: Fs> LocalWriter<F> {
    fn flush(&mut self) -> io::Result<()> {
        self.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<F: Fs> BlobWriter for LocalWriter<F> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut written = Ok(());
        if self.buffer.len() + bytes.len() > BUFFER {
            written = self.flush();
        }
        if bytes.len() < BUFFER {
            self.buffer.extend_from_slice(bytes);
        } else {
            written = written.and_then(|()| self.file.append(bytes));
        }
        written.map_err(io_error("write", &self.unfinished))
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let synced = self.flush().and_then(|()| self.file.sync());
        synced.map_err(io_error("write", &self.unfinished))?;
        self.fs.rename(&self.unfinished, &self.place).map_err(io_error("rename to", &self.place))?;
        self.finished = true;
        self.fs.sync_folder(&self.folder).map_err(io_error("sync folder", &self.folder))
    }
}

impl<F: Fs> Drop for LocalWriter<F> {
    fn drop(&mut self) {
        let removed = if self.finished { Ok(()) } else { remove(self.fs.as_ref(), &self.unfinished) };
        if let Err(error) = removed {
            tracing::warn!(error = %error, "an unfinished file stays until the next start");
        }
    }
}

#[derive(Debug)]
struct LocalLog<F: Fs> {
    fs: Arc<F>,
    folder: PathBuf,
    path: PathBuf,
    file: F::File,
    /// Bytes known to be durable.
    len: u64,
    /// The file's length, if it is more: a write that does not change it is durable in two thirds of the time, since the
    /// file system has nothing to note about the file.
    room: u64,
    /// A failed write may have left bytes behind `len`: they must go before anything else is written, or a restart
    /// would read what was answered with an error in front of what was answered with success.
    torn: bool,
    /// The shard was taken over.
    over: bool,
    succession: Arc<dyn Succession>,
    /// Where the manifest after the one of this number would be.
    successor: (u64, PathBuf),
}

impl<F: Fs> LocalLog<F> {
    fn mend(&mut self) -> Result<(), StoreError> {
        if self.torn {
            let cut = self.file.set_len(self.len).and_then(|()| self.file.sync());
            cut.map_err(io_error("cut", &self.path))?;
            (self.torn, self.room) = (false, 0);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.len + bytes.len() as u64;
        if end > self.room && self.len > 0 && (bytes.len() as u64) < ROOM {
            // A hole: it takes no space before it is written to.
            self.file.set_len(end + ROOM)?;
            self.room = end + ROOM;
        }
        self.file.write_at(bytes, self.len)?;
        self.file.sync()
    }

    /// Whether another process created a manifest after ours. Looked at after the sync: a new owner creates its
    /// manifest before it reads this log, so either it reads what was just written, or this finds its manifest.
    fn taken_over(&mut self) -> Result<bool, StoreError> {
        let newest = self.succession.newest();
        if self.successor.0 != newest {
            self.successor = (newest, self.folder.join(self.succession.manifest(newest + 1)));
        }
        let mut path = Cow::Borrowed(&self.successor.1);
        for next in newest + 2.. {
            match self.fs.read(&path) {
                Ok(manifest) if self.succession.is_ours(&manifest) => {}
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(io_error("read", &path)(error)),
            }
            path = Cow::Owned(self.folder.join(self.succession.manifest(next)));
        }
        Ok(false)
    }
}

impl<F: Fs> LogFile for LocalLog<F> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.over {
            return Err(StoreError::NoOwner { retry_after: RETRY_AFTER });
        }
        self.mend()?;
        if let Err(error) = self.write(bytes) {
            self.torn = true;
            // If the cut fails too, the next append tries it again before it writes.
            if let Err(cut) = self.mend() {
                tracing::warn!(error = %cut, "the log could not be cut after a failed write");
            }
            return Err(io_error("write", &self.path)(error));
        }
        self.len += bytes.len() as u64;
        self.over = self.taken_over()?;
        if self.over { Err(StoreError::NoOwner { retry_after: RETRY_AFTER }) } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.torn |= self.room > self.len;
        self.mend()
    }
}
