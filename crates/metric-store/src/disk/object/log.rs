//! A log as a folder of objects, one for each append.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStoreExt};

use super::bucket::{Bucket, Pending, Put, new_mark, put_new};
use crate::contract::StoreError;
use crate::disk::{LogFile, Succession};
use crate::options::RETRY_AFTER;

/// Objects read at once.
const READS: usize = 16;
/// How far before a writer a fence is put first when it is too quick.
const AHEAD: u64 = 16;

fn part(log: &Path, number: u64) -> Path {
    log.clone().join(format!("{number:08}"))
}

/// Whether another process created a manifest in `folder` after ours.
fn taken_over(bucket: &Bucket, folder: &Path, succession: &dyn Succession) -> Result<bool, StoreError> {
    for number in succession.newest() + 1.. {
        let key = folder.clone().join(succession.manifest(number));
        let get = key.clone();
        let found = bucket.try_call("look", &key, move |objects| {
            let key = get.clone();
            async move { objects.get(&key).await?.bytes().await }
        });
        match found {
            Ok(manifest) if succession.is_ours(&manifest) => {}
            Ok(_) => return Ok(true),
            Err(Error::NotFound { .. }) => break,
            Err(error) => return Err(bucket.failed("read", &key)(error)),
        }
    }
    Ok(false)
}

/// A log being written.
pub(super) struct ObjectLog {
    bucket: Arc<Bucket>,
    /// Where the manifests are.
    folder: Path,
    log: Path,
    succession: Arc<dyn Succession>,
    /// Begins the marks of all its objects.
    mark: String,
    attempts: u64,
    /// Number of the next object.
    next: u64,
    /// The shard was taken over.
    over: bool,
}

impl ObjectLog {
    /// Creates its first object, which is no append; `None` if somebody else took the shard over.
    pub(super) fn start(
        bucket: Arc<Bucket>,
        folder: Path,
        name: &str,
        succession: Arc<dyn Succession>,
    ) -> Result<Option<Self>, StoreError> {
        let log = folder.clone().join(name);
        let (mark, attempts, next, over) = (new_mark(), 0, 1, false);
        let started = Self { bucket, folder, log, succession, mark, attempts, next, over };
        let key = part(&started.log, 0);
        let put = put_new(&started.bucket, &key, Bytes::new(), &started.mark);
        let put = put.map_err(started.bucket.failed("create", &key))?;
        Ok((put == Put::Done && !started.taken_over()?).then_some(started))
    }

    /// A new owner creates its manifest before it looks for logs and reads them: either it finds what was just
    /// created, or its manifest is found here. Its fence alone would not do: that goes with the log one day, and a
    /// process can be paused for longer.
    fn taken_over(&self) -> Result<bool, StoreError> {
        taken_over(&self.bucket, &self.folder, self.succession.as_ref())
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
                    self.over = self.taken_over()?;
                    if !self.over {
                        return Ok(());
                    }
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

    fn finish(&mut self) -> Result<(), StoreError> {
        Ok(())
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
        let (count, _) = self.appended();
        if count == 0 {
            // A former owner may have appended to a log that was removed with its fence. It was not answered.
            if let Some((_, object)) = self.found.first() {
                let object = bucket.describe(&object.location);
                tracing::warn!(object, "what remains of a removed log counts for nothing");
            }
            return Ok(None);
        }
        let (appended, behind) = self.found.split_at(count);
        if let Some((_, object)) = behind.iter().find(|(_, object)| object.size > 0) {
            let path = bucket.describe(&object.location);
            return Err(StoreError::Damaged { path, reason: format!("object {count} before it is missing") });
        }
        let size: u64 = appended.iter().map(|(_, object)| object.size).sum();
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let mut under_way: VecDeque<Pending<Bytes>> = VecDeque::new();
        let mut take = |part: Pending<Bytes>| {
            let part = part.wait().map_err(bucket.failed("read", &self.log))?;
            content.extend_from_slice(&part);
            Ok::<(), StoreError>(())
        };
        for (_, object) in appended {
            if under_way.len() >= READS {
                under_way.pop_front().map_or(Ok(()), &mut take)?;
            }
            let key = object.location.clone();
            under_way.push_back(bucket.start("read", &object.location, move |objects| {
                let key = key.clone();
                async move { objects.get(&key).await?.bytes().await }
            }));
        }
        under_way.into_iter().try_for_each(take)?;
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
