//! A log as a folder of objects, one for each append.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::bucket::{Bucket, Put, new_mark, put_new};
use crate::contract::StoreError;
use crate::disk::LogFile;
use crate::options::RETRY_AFTER;

/// Objects read at once.
const READS: usize = 16;
/// How far before a writer a fence is put first when it is too quick.
const AHEAD: u64 = 16;

fn part(log: &Path, number: u64) -> Path {
    log.clone().join(format!("{number:08}"))
}

/// A log being written.
pub(super) struct ObjectLog {
    bucket: Arc<Bucket>,
    log: Path,
    /// Begins the marks of all its objects.
    mark: String,
    attempts: u64,
    /// Number of the next object.
    next: u64,
    /// The shard was taken over.
    over: bool,
}

impl ObjectLog {
    pub(super) fn new(bucket: Arc<Bucket>, log: Path) -> Self {
        Self { bucket, log, mark: new_mark(), attempts: 0, next: 1, over: false }
    }

    /// Creates the first object, which is no append.
    pub(super) fn start(&self) -> Result<Put, StoreError> {
        let key = part(&self.log, 0);
        put_new(&self.bucket, &key, Bytes::new(), &self.mark).map_err(self.bucket.failed("create", &key))
    }
}

impl LogFile for ObjectLog {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let content = Bytes::copy_from_slice(bytes);
        while !self.over {
            self.attempts += 1;
            let mark = format!("{}-{}", self.mark, self.attempts);
            let key = part(&self.log, self.next);
            match put_new(&self.bucket, &key, content.clone(), &mark) {
                Ok(Put::Done) => {
                    self.next += 1;
                    return Ok(());
                }
                // An append that was answered with an error is there after all: this one goes behind it.
                Ok(Put::Taken { mark }) if mark.starts_with(&self.mark) => self.next += 1,
                Ok(Put::Taken { .. }) => self.over = true,
                // It may still get there. Until something is there, the next append competes for the same name.
                Err(error) => return Err(self.bucket.failed("append", &key)(error)),
            }
        }
        Err(StoreError::NoOwner { retry_after: RETRY_AFTER })
    }
}

/// The objects of a log, in order.
pub(super) struct Parts {
    log: Path,
    found: Vec<(u64, ObjectMeta)>,
}

impl Parts {
    /// Lists them; none if there is no such log.
    pub(super) fn list(bucket: &Bucket, log: Path) -> Result<Self, StoreError> {
        let prefix = log.clone();
        let objects: Vec<ObjectMeta> = bucket.call("list", &log, move |objects| {
            let prefix = prefix.clone();
            async move { objects.list(Some(&prefix)).try_collect().await }
        })?;
        let number = |object: &ObjectMeta| object.location.filename()?.parse().ok();
        let mut found: Vec<(u64, ObjectMeta)> =
            objects.into_iter().filter_map(|object| Some((number(&object)?, object))).collect();
        found.sort_unstable_by_key(|(number, _)| *number);
        Ok(Self { log, found })
    }

    pub(super) fn keys(self) -> Vec<Path> {
        self.found.into_iter().map(|(_, object)| object.location).collect()
    }

    /// How many there are without a gap, and whether the last of them is a fence. Nothing is appended behind that.
    fn appended(&self) -> (usize, bool) {
        for (expected, (number, object)) in self.found.iter().enumerate() {
            if *number != expected as u64 {
                return (expected, false);
            }
            if *number > 0 && object.size == 0 {
                return (expected + 1, true);
            }
        }
        (self.found.len(), false)
    }

    /// Their contents one after the other; `None` if there is no such log.
    pub(super) fn read(self, bucket: &Bucket) -> Result<Option<Vec<u8>>, StoreError> {
        if self.found.is_empty() {
            return Ok(None);
        }
        let (count, _) = self.appended();
        let (appended, behind) = self.found.split_at(count);
        if let Some((_, object)) = behind.iter().find(|(_, object)| object.size > 0) {
            let path = bucket.describe(&object.location);
            return Err(StoreError::Damaged { path, reason: format!("object {count} before it is missing") });
        }
        let keys: Vec<Path> = appended.iter().map(|(_, object)| object.location.clone()).collect();
        let size: u64 = appended.iter().map(|(_, object)| object.size).sum();
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        // So many at once that a call stays short.
        for keys in keys.chunks(READS * 8) {
            let keys = keys.to_vec();
            let parts: Vec<Bytes> = bucket.call("read", &self.log, move |objects| {
                let gets = keys.clone().into_iter().map(move |key| {
                    let objects = Arc::clone(&objects);
                    async move { objects.get(&key).await?.bytes().await }
                });
                futures_util::stream::iter(gets).buffered(READS).try_collect()
            })?;
            parts.iter().for_each(|part| content.extend_from_slice(part));
        }
        Ok(Some(content))
    }

    /// Puts an empty object where the next append would go, so that none succeeds any more.
    pub(super) fn fence(&self, bucket: &Bucket) -> Result<(), StoreError> {
        let (count, fenced) = self.appended();
        // Whoever starts a log now finds out by the manifest.
        if count == 0 || fenced {
            return Ok(());
        }
        let mut next = count as u64;
        if self.put_fence(bucket, next)? {
            return Ok(());
        }
        // The writer is quick: stop it well ahead, then close the gap in between.
        let mut ahead = AHEAD;
        while !self.put_fence(bucket, next + ahead)? {
            next += ahead;
            ahead *= 2;
        }
        for number in next + 1..next + ahead {
            if self.put_fence(bucket, number)? {
                break;
            }
        }
        Ok(())
    }

    /// False if an append was quicker.
    fn put_fence(&self, bucket: &Bucket, number: u64) -> Result<bool, StoreError> {
        let key = part(&self.log, number);
        let put = put_new(bucket, &key, Bytes::new(), &new_mark());
        Ok(put.map_err(bucket.failed("create", &key))? == Put::Done)
    }
}
