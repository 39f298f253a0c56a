//! Writing large objects in parts, several on the way at once.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Error, MultipartId, ObjectStoreExt};

use super::bucket::{Bucket, Pending};
use crate::contract::StoreError;
use crate::disk::BlobWriter;

/// Bytes of a part. Servers take 10,000 of them, so an object has up to 80 GiB.
const PART: usize = 8 << 20;
/// Parts on the way at once.
const AT_ONCE: usize = 4;

/// An object being written.
pub(super) struct Upload {
    bucket: Arc<Bucket>,
    key: Path,
    buffer: BytesMut,
    /// Known once there is more than a part.
    id: Option<MultipartId>,
    under_way: VecDeque<Pending<PartId>>,
    parts: Vec<PartId>,
    len: u64,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("key", &self.key).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Upload {
    pub(super) fn new(bucket: Arc<Bucket>, key: Path) -> Self {
        let (under_way, parts) = (VecDeque::new(), Vec::new());
        Self { bucket, key, buffer: BytesMut::new(), id: None, under_way, parts, len: 0 }
    }

    fn id(&mut self) -> Result<MultipartId, StoreError> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let key = self.key.clone();
        let id = self.bucket.call("write", &self.key, move |objects| {
            let key = key.clone();
            async move { objects.create_multipart(&key).await }
        })?;
        Ok(self.id.insert(id).clone())
    }

    fn send(&mut self, part: Bytes) -> Result<(), StoreError> {
        let id = self.id()?;
        if self.under_way.len() >= AT_ONCE {
            self.receive()?;
        }
        let key = self.key.clone();
        let number = self.parts.len() + self.under_way.len();
        self.under_way.push_back(self.bucket.start("write", &self.key, move |objects| {
            let (key, id, part) = (key.clone(), id.clone(), part.clone());
            async move { objects.put_part(&key, &id, number, part.into()).await }
        }));
        Ok(())
    }

    /// Waits for the part that was sent first.
    fn receive(&mut self) -> Result<(), StoreError> {
        if let Some(sent) = self.under_way.pop_front() {
            self.parts.push(sent.wait().map_err(self.bucket.failed("write", &self.key))?);
        }
        Ok(())
    }

    /// Whether the object is there with the right size.
    fn is_there(&self) -> bool {
        let key = self.key.clone();
        let found = self.bucket.try_call("open", &self.key, move |objects| {
            let key = key.clone();
            async move { objects.head(&key).await }
        });
        found.is_ok_and(|found| found.size == self.len)
    }
}

impl BlobWriter for Upload {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.len += bytes.len() as u64;
        while self.buffer.len() + bytes.len() > PART {
            let (now, later) = bytes.split_at(PART - self.buffer.len());
            self.buffer.extend_from_slice(now);
            let part = self.buffer.split().freeze();
            self.send(part)?;
            bytes = later;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let rest = self.buffer.split().freeze();
        let key = self.key.clone();
        if self.id.is_none() {
            return self.bucket.call("write", &self.key, move |objects| {
                let (key, content) = (key.clone(), rest.clone());
                async move { objects.put(&key, content.into()).await.map(drop) }
            });
        }
        self.send(rest)?;
        while !self.under_way.is_empty() {
            self.receive()?;
        }
        let (id, parts) = (self.id()?, std::mem::take(&mut self.parts));
        let done = self.bucket.try_call("write", &self.key, move |objects| {
            let (key, id, parts) = (key.clone(), id.clone(), parts.clone());
            async move { objects.complete_multipart(&key, &id, parts).await.map(drop) }
        });
        match done {
            Ok(()) => {}
            // An earlier try of ours may have done it, and its answer was lost: then the upload is unknown now.
            Err(Error::NotFound { .. }) if self.is_there() => {}
            Err(error) => return Err(self.bucket.failed("write", &self.key)(error)),
        }
        self.id = None;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let key = self.key.clone();
            // Nobody waits. What this does not reach, the bucket's own rules for unfinished uploads remove.
            drop(self.bucket.start("abort", &self.key, move |objects| {
                let (key, id) = (key.clone(), id.clone());
                async move { objects.abort_multipart(&key, &id).await }
            }));
        }
    }
}
