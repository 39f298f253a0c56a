//! A prefix in an object store.
//!
//! A file is an object, a log is a folder of them: each append is one object, named by its number and created only if
//! there is none of that name. A new owner of the shard puts an empty object where the next append would go, so that no
//! append of the old one gets into what was read already; empty objects are never appends. Before a writer answers it
//! looks for the manifest of a new owner, as in a folder.
//!
//! An answer can be lost: whether a created object is our own is told by a mark among its metadata.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use tokio::runtime::Handle;

use self::blob::ObjectBlob;
use self::bucket::{Bucket, Put, put_new};
use self::log::{ObjectLog, Parts};
use self::upload::Upload;
use super::{Blob, BlobWriter, Disk, LogFile, Succession};
use crate::contract::StoreError;
use crate::options::RETRY_AFTER;

mod blob;
mod bucket;
mod log;
mod s3;
#[cfg(test)]
pub(super) mod tests;
mod upload;

pub use s3::S3Options;

/// How long appends are gathered: each costs an object.
const COMMIT_WINDOW: Duration = Duration::from_millis(100);
/// How many appends a log holds before a checkpoint makes an end of it: seven minutes of a busy shard.
const MOST_APPENDS: u64 = 4_096;

/// A store in an object store. Clones share connections and cache.
#[derive(Clone)]
pub struct ObjectPlace {
    bucket: Arc<Bucket>,
    prefix: Path,
    window: Duration,
}

impl fmt::Debug for ObjectPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectPlace").field(&self.bucket.describe(&self.prefix)).finish()
    }
}

impl ObjectPlace {
    /// In an S3-compatible server. Calls run on `runtime`; whoever waits for one must not be a worker of it.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the settings cannot be used.
    pub fn s3(options: &S3Options, runtime: Handle) -> Result<Self, StoreError> {
        let bucket = s3::connect(options, runtime)?;
        let prefix = Path::from(options.prefix.as_str());
        Ok(Self { bucket: Arc::new(bucket), prefix, window: COMMIT_WINDOW })
    }

    /// In the memory of this process: for tests.
    pub fn memory(runtime: Handle) -> Self {
        let bucket = Bucket::new(Arc::new(InMemory::new()), "memory:/", runtime, bucket::CACHE);
        Self { bucket: Arc::new(bucket), prefix: Path::default(), window: Duration::ZERO }
    }

    /// The files of one shard, or those outside of shards.
    pub(super) fn disk(&self, folder: Option<&str>) -> Arc<dyn Disk> {
        let prefix = folder.map_or_else(|| self.prefix.clone(), |folder| self.prefix.clone().join(folder));
        Arc::new(ObjectDisk { bucket: Arc::clone(&self.bucket), prefix, window: self.window })
    }
}

/// The files of a shard below a prefix of their own.
struct ObjectDisk {
    bucket: Arc<Bucket>,
    prefix: Path,
    window: Duration,
}

impl fmt::Debug for ObjectDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectDisk").field(&self.bucket.describe(&self.prefix)).finish()
    }
}

impl ObjectDisk {
    fn key(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    fn parts(&self, name: &str) -> Result<Parts, StoreError> {
        Parts::list(&self.bucket, self.key(name))
    }
}

impl Disk for ObjectDisk {
    fn describe(&self, name: &str) -> String {
        self.bucket.describe(&self.key(name))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        let prefix = self.prefix.clone();
        let found = self.bucket.call("list", &self.prefix, move |objects| {
            let prefix = prefix.clone();
            async move { objects.list_with_delimiter(Some(&prefix)).await }
        })?;
        let files = found.objects.iter().map(|object| &object.location);
        let names = files.chain(&found.common_prefixes).filter_map(Path::filename);
        Ok(names.map(str::to_owned).collect())
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = self.key(name);
        let get = key.clone();
        let found = self.bucket.try_call("read", &key, move |objects| {
            let key = get.clone();
            async move { objects.get(&key).await?.bytes().await }
        });
        match found {
            Ok(content) => Ok(Some(content.into())),
            Err(Error::NotFound { .. }) => self.parts(name)?.read(&self.bucket),
            Err(error) => Err(self.bucket.failed("read", &key)(error)),
        }
    }

    fn create(&self, name: &str, content: &[u8]) -> Result<bool, StoreError> {
        let key = self.key(name);
        let mark = bucket::new_mark();
        let put = put_new(&self.bucket, &key, Bytes::copy_from_slice(content), &mark);
        Ok(put.map_err(self.bucket.failed("create", &key))? == Put::Done)
    }

    fn writer(&self, name: &str) -> Result<Box<dyn BlobWriter>, StoreError> {
        Ok(Box::new(Upload::new(Arc::clone(&self.bucket), self.key(name))))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Blob>, StoreError> {
        Ok(Arc::new(ObjectBlob::open(Arc::clone(&self.bucket), self.key(name))?))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let key = self.key(name);
        let mut keys = self.parts(name)?.keys();
        keys.push(key.clone());
        self.bucket.call("remove", &key, move |objects| {
            let keys = futures_util::stream::iter(keys.clone()).map(Ok).boxed();
            async move {
                let mut removed = objects.delete_stream(keys);
                while let Some(one) = removed.next().await {
                    match one {
                        Ok(_) | Err(Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
        })
    }

    fn log(&self, name: &str, succession: Arc<dyn Succession>) -> Result<Box<dyn LogFile>, StoreError> {
        let log = ObjectLog::start(Arc::clone(&self.bucket), self.prefix.clone(), name, succession)?;
        match log {
            Some(log) => Ok(Box::new(log)),
            None => Err(StoreError::NoOwner { retry_after: RETRY_AFTER }),
        }
    }

    fn fence(&self, name: &str) -> Result<(), StoreError> {
        self.parts(name)?.fence(&self.bucket)
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    fn commit_window(&self) -> Duration {
        self.window
    }

    fn needs_runtime(&self) -> bool {
        true
    }

    fn most_appends(&self) -> u64 {
        MOST_APPENDS
    }
}
