//! Reading large objects by page, through a cache that all objects of a store share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, GuardResult};

use super::bucket::{Bucket, generic};
use crate::contract::StoreError;
use crate::disk::Blob;
use crate::files::io_error;

/// Bytes of a page.
const PAGE: u64 = 256 << 10;
/// Most pages read beyond what was asked for.
const AHEAD: u64 = 16;
/// Most pages of one request.
const AT_ONCE: usize = 32;

type Key = (Arc<str>, u64);

/// Pages in memory. Objects never change, so neither do they.
pub(super) struct Pages(Cache<Key, Bytes, Weight>);

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Bytes> for Weight {
    fn weight(&self, _key: &Key, page: &Bytes) -> u64 {
        page.len() as u64
    }
}

impl Pages {
    /// At most so many bytes of them.
    pub(super) fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / PAGE).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(items.max(1), bytes, Weight))
    }
}

/// An object that is read.
pub(super) struct ObjectBlob {
    bucket: Arc<Bucket>,
    key: Path,
    name: Arc<str>,
    len: u64,
    /// Where the last read ended, and how many in a row began where the one before ended.
    expected: AtomicU64,
    streak: AtomicU64,
}

impl fmt::Debug for ObjectBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBlob").field("name", &self.name).field("len", &self.len).finish_non_exhaustive()
    }
}

impl ObjectBlob {
    pub(super) fn open(bucket: Arc<Bucket>, key: Path) -> Result<Self, StoreError> {
        let head = key.clone();
        let found = bucket.call("open", &key, move |objects| {
            let key = head.clone();
            async move { objects.head(&key).await }
        })?;
        let name = Arc::from(key.as_ref());
        let (expected, streak) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { bucket, key, name, len: found.size, expected, streak })
    }

    /// How many pages to read beyond `offset..end`: more the longer it is read from front to back.
    fn ahead(&self, offset: u64, end: u64) -> u64 {
        // Two readers at once spoil each other's streak, no more than that.
        if self.expected.swap(end, Ordering::Relaxed) == offset && offset > 0 {
            let streak = self.streak.fetch_add(1, Ordering::Relaxed);
            2_u64.saturating_pow(u32::try_from(streak).unwrap_or(u32::MAX)).min(AHEAD)
        } else {
            self.streak.store(0, Ordering::Relaxed);
            0
        }
    }

    /// So many pages in one piece, or fewer at the end of the object.
    fn fetch(&self, first: u64, count: usize) -> Result<Bytes, StoreError> {
        let start = first * PAGE;
        let end = (start + count as u64 * PAGE).min(self.len);
        let key = self.key.clone();
        self.bucket.call("read", &self.key, move |objects| {
            let key = key.clone();
            async move {
                let content = objects.get_range(&key, start..end).await?;
                if content.len() as u64 == end - start {
                    Ok(content)
                } else {
                    Err(generic("the answer is short"))
                }
            }
        })
    }

    /// Hands the pages `first..=last` to `take`, in order; reads those that are not in memory, and up to `ahead` more,
    /// in as few requests as possible.
    fn pages(
        &self,
        first: u64,
        last: u64,
        ahead: u64,
        take: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<(), StoreError> {
        let cache = &self.bucket.pages.0;
        let most = (self.len.saturating_sub(1) / PAGE).min(last + ahead);
        let mut page = first;
        while page <= last {
            // Whoever comes first reads; others wait for it here.
            let guard = match cache.get_value_or_guard(&(Arc::clone(&self.name), page), None) {
                GuardResult::Value(content) => {
                    take(page, &content);
                    page += 1;
                    continue;
                }
                GuardResult::Guard(guard) => guard,
                GuardResult::Timeout => continue,
            };
            let mut guards = vec![guard];
            for next in page + 1..=most {
                let without_waiting = Some(std::time::Duration::ZERO);
                match cache.get_value_or_guard(&(Arc::clone(&self.name), next), without_waiting) {
                    GuardResult::Guard(guard) if guards.len() < AT_ONCE => guards.push(guard),
                    _ => break,
                }
            }
            let content = self.fetch(page, guards.len())?;
            for (guard, content) in guards.into_iter().zip(content.chunks(PAGE_LEN)) {
                if page <= last {
                    take(page, content);
                }
                // A copy, so that a page in memory does not hold its neighbours. It may be too large for the cache.
                let _refused = guard.insert(Bytes::copy_from_slice(content));
                page += 1;
            }
        }
        Ok(())
    }
}

#[allow(clippy::cast_possible_truncation)]
const PAGE_LEN: usize = PAGE as usize;

impl Blob for ObjectBlob {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len);
        let Some(end) = end else {
            let path = self.bucket.describe(&self.key);
            return Err(io_error("read", std::path::Path::new(&path))(
                std::io::ErrorKind::UnexpectedEof.into(),
            ));
        };
        let mut wanted = Vec::with_capacity(len);
        if len == 0 {
            return Ok(wanted);
        }
        let ahead = self.ahead(offset, end);
        self.pages(offset / PAGE, (end - 1) / PAGE, ahead, &mut |page, content| {
            let start = page * PAGE;
            let within =
                |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX).min(content.len());
            wanted.extend_from_slice(content.get(within(offset)..within(end)).unwrap_or_default());
        })?;
        Ok(wanted)
    }
}
