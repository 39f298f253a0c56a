//! Where a shard's files lie: a folder, or a prefix in an object store. The engine above sees names, immutable files
//! and one growing log.
//!
//! Two processes may hold one shard for a while: an owner that was paused does not know that its lease ran out. So
//! whoever opens a shard takes it over by [creating](Disk::create) the next manifest, which only one can; names of
//! segments and logs carry the epoch of their owner and never collide; and a log tells its writer when the shard was
//! taken over, before anything is answered: see [`LogFile::append`].

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::contract::StoreError;

mod fs;
mod local;
mod object;
mod place;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

pub(crate) use local::LocalDisk;
pub use object::{ObjectPlace, S3Options};
pub use place::Place;

/// The files of one shard. All calls block; all that changes something is durable when it returns.
pub(crate) trait Disk: Debug + Send + Sync {
    /// The full name of a file, for people.
    fn describe(&self, name: &str) -> String;

    /// Names of all files, in no order. Unfinished ones are not among them.
    fn list(&self) -> Result<Vec<String>, StoreError>;

    /// A file's whole content; `None` if there is no such file. A log is read as its appends one after
    /// the other; zeros may follow.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Creates a small file, whole or not at all; `false` if there is one of this name already, which stays as it is.
    /// Of several processes that try at once one succeeds.
    fn create(&self, name: &str, content: &[u8]) -> Result<bool, StoreError>;

    /// Starts a large file; it appears when it is finished.
    fn writer(&self, name: &str) -> Result<Box<dyn BlobWriter>, StoreError>;

    /// Opens a finished file for reading.
    fn open(&self, name: &str) -> Result<Arc<dyn Blob>, StoreError>;

    /// Removes a file; a missing one is fine.
    fn remove(&self, name: &str) -> Result<(), StoreError>;

    /// Starts a new log; `succession` tells whether the shard was taken over.
    fn log(&self, name: &str, succession: Arc<dyn Succession>) -> Result<Box<dyn LogFile>, StoreError>;

    /// Called by a new owner, after its manifest exists and before it reads the log of the owner before: from then on
    /// no append to that log is answered with success unless [`read`](Self::read) shows it.
    fn fence(&self, name: &str) -> Result<(), StoreError>;

    /// Free bytes; `None` where there is no such figure.
    fn free_bytes(&self) -> Result<Option<u64>, StoreError>;

    /// How long to gather appends between two writes of the log: zero where the write itself sets the pace.
    fn commit_window(&self) -> Duration;

    /// Whether its calls wait for tasks of a runtime: then they must not be made on a thread that runs these.
    fn needs_runtime(&self) -> bool;

    /// Appends that make a log long, whatever their size: where each is an object, many are slow to read and to remove.
    fn most_appends(&self) -> u64;
}

/// How a writer of the log finds out that the shard has a new owner.
pub(crate) trait Succession: Debug + Send + Sync {
    /// Number of the newest manifest that this owner knows of. Whoever takes the shard over creates the next one and
    /// never removes it, however many follow: this owner may be paused for long.
    fn newest(&self) -> u64;

    /// Name of the manifest of this number.
    fn manifest(&self, number: u64) -> String;

    /// Whether this owner wrote a manifest of this content.
    fn is_ours(&self, manifest: &[u8]) -> bool;
}

/// An immutable file.
pub(crate) trait Blob: Debug + Send + Sync {
    /// Its size in bytes.
    fn len(&self) -> u64;

    /// Reads exactly `len` bytes at `offset`.
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError>;

    /// [`read`](Self::read) in place of what `buffer` holds.
    fn read_into(&self, offset: u64, len: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        *buffer = self.read(offset, len)?;
        Ok(())
    }
}

/// A file being written; dropped before [`finish`](Self::finish) it leaves nothing behind.
pub(crate) trait BlobWriter: Debug + Send {
    /// Adds bytes at its end.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Puts the file in its place, durably.
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// A log being written.
pub(crate) trait LogFile: Send {
    /// Appends bytes as one piece. On `Ok` they are durable and this process still owned the shard when they became so.
    /// On an error they may be read back or not, but never behind what a later append adds.
    /// [`StoreError::NoOwner`] means that the shard was taken over: nothing will ever be appended again.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Sees to it that no zeros follow what was appended. More may be appended.
    fn finish(&mut self) -> Result<(), StoreError>;
}
