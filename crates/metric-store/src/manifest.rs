//! `MANIFEST-N`: the segments of a shard that count, oldest first, and the first log file that is still needed.
//!
//! Each change is a new file with the next number, created only if there is none: so a crash leaves the old set or the
//! new one, and of two processes that believe to own the shard only one goes on. An owner begins with a manifest of
//! its own epoch; the one before finds it in its way, and changes nothing any more. For that, manifests that begin an
//! epoch stay when all others are long gone: a process may have been paused meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::contract::StoreError;
use crate::disk::{Disk, Succession};
use crate::log::LogKey;
use crate::options::RETRY_AFTER;

const PREFIX: &str = "MANIFEST-";
const VERSION: u32 = 2;
/// Tries to find the newest manifest while another process keeps writing new ones.
const TRIES: usize = 100;
/// Owners whose first manifest stays. Nobody is paused while so many come and go.
const OWNERS_KEPT: usize = 1_000;

/// The live set of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    version: u32,
    /// Grows with each owner of the shard.
    pub(crate) epoch: u64,
    /// Segments by name, oldest data first.
    pub(crate) segments: Vec<String>,
    /// Log files before this one are in segments: epoch and number.
    log_from: (u64, u64),
    /// The last commit of any segment.
    pub(crate) commit: u64,
    /// Numbers of the manifests that began an epoch, newest last.
    takeovers: Vec<u64>,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            version: VERSION,
            epoch: 0,
            segments: Vec::new(),
            log_from: (0, 0),
            commit: 0,
            takeovers: Vec::new(),
        }
    }
}

impl Manifest {
    /// The first log file that is needed.
    pub(crate) const fn log_from(&self) -> LogKey {
        LogKey { epoch: self.log_from.0, seq: self.log_from.1 }
    }

    /// Log files before this one are needed no longer.
    pub(crate) const fn set_log_from(&mut self, key: LogKey) {
        self.log_from = (key.epoch, key.seq);
    }

    fn read(disk: &dyn Disk, name: &str, content: &[u8]) -> Result<Self, StoreError> {
        let damaged = |reason: String| StoreError::Damaged { path: disk.describe(name), reason };
        let text = std::str::from_utf8(content).map_err(|error| damaged(error.to_string()))?;
        let (body, crc) = text.trim_end().rsplit_once('\n').unwrap_or_default();
        if crc != checksum(body) {
            return Err(damaged("checksum".to_owned()));
        }
        let manifest: Self = serde_json::from_str(body).map_err(|error| damaged(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(damaged(format!("version {}, expected {VERSION}", manifest.version)));
        }
        Ok(manifest)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let body = serde_json::to_string(self)
            .map_err(|error| StoreError::Damaged { path: PREFIX.to_owned(), reason: error.to_string() })?;
        Ok(format!("{body}\n{}\n", checksum(&body)).into_bytes())
    }
}

fn checksum(body: &str) -> String {
    format!("crc32 {:08x}", crc32fast::hash(body.as_bytes()))
}

/// Name of the manifest of a number.
pub(crate) fn name_of(number: u64) -> String {
    format!("{PREFIX}{number:012}")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// The newest manifest of a shard and its number; a new shard has an empty one.
pub(crate) fn newest(disk: &dyn Disk) -> Result<(u64, Manifest), StoreError> {
    for _ in 0..TRIES {
        let Some(number) = disk.list()?.iter().filter_map(|name| number_of(name)).max() else {
            return Ok((0, Manifest::default()));
        };
        let name = name_of(number);
        // It may be gone since it was listed, if its owner wrote two more.
        if let Some(content) = disk.read(&name)? {
            return Ok((number, Manifest::read(disk, &name, &content)?));
        }
    }
    Err(StoreError::NoOwner { retry_after: RETRY_AFTER })
}

/// The manifest in force, and the right to replace it.
#[derive(Debug)]
pub(crate) struct Live {
    disk: Arc<dyn Disk>,
    mark: Arc<Mark>,
    now: Manifest,
    /// The number the next segment gets.
    next_segment: u64,
}

/// What a writer of the log knows of manifests.
#[derive(Debug)]
struct Mark {
    epoch: u64,
    number: AtomicU64,
}

impl Succession for Mark {
    fn newest(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    fn manifest(&self, number: u64) -> String {
        name_of(number)
    }

    fn is_ours(&self, manifest: &[u8]) -> bool {
        let text = std::str::from_utf8(manifest).unwrap_or_default();
        let body = text.lines().next().unwrap_or_default();
        serde_json::from_str::<Manifest>(body).is_ok_and(|manifest| manifest.epoch == self.epoch)
    }
}

impl Live {
    /// Takes a shard over, whoever has it.
    pub(crate) fn take_over(disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        for _ in 0..TRIES {
            let (number, found) = newest(disk.as_ref())?;
            let mut now = Manifest { epoch: found.epoch + 1, ..found };
            now.takeovers.push(number + 1);
            now.takeovers.drain(..now.takeovers.len().saturating_sub(OWNERS_KEPT));
            if disk.create(&name_of(number + 1), &now.to_bytes()?)? {
                let mark = Mark { epoch: now.epoch, number: AtomicU64::new(number + 1) };
                let live = Self { disk, mark: Arc::new(mark), now, next_segment: 1 };
                live.forget_old(number + 1)?;
                return Ok(live);
            }
        }
        Err(StoreError::NoOwner { retry_after: RETRY_AFTER })
    }

    /// The manifest in force.
    pub(crate) const fn now(&self) -> &Manifest {
        &self.now
    }

    /// For the log's writer.
    pub(crate) fn succession(&self) -> Arc<dyn Succession> {
        Arc::clone(&self.mark) as Arc<dyn Succession>
    }

    /// A name for a new segment, never given before.
    pub(crate) fn next_segment(&mut self) -> String {
        let name = format!("segment-{:08}-{:08}.nseg", self.now.epoch, self.next_segment);
        self.next_segment += 1;
        name
    }

    /// Puts another manifest in force, durably.
    ///
    /// # Errors
    /// [`StoreError::NoOwner`] if another process took the shard over: nothing changed then, ever.
    pub(crate) fn replace(&mut self, next: Manifest) -> Result<(), StoreError> {
        let mut number = self.mark.number.load(Ordering::Acquire) + 1;
        let bytes = next.to_bytes()?;
        while !self.disk.create(&name_of(number), &bytes)? {
            match self.disk.read(&name_of(number))? {
                // A former try, which seemed to fail, put it in force after all.
                Some(found) if self.mark.is_ours(&found) => number += 1,
                _ => return Err(StoreError::NoOwner { retry_after: RETRY_AFTER }),
            }
        }
        self.mark.number.store(number, Ordering::Release);
        self.now = next;
        // It is in force: whoever called must not believe that it is not.
        if let Err(error) = self.forget_old(number) {
            tracing::warn!(error = %error, "old manifests stay until the next one");
        }
        Ok(())
    }

    /// Removes manifests that nobody needs: one before the newest stays for whoever is just about to read it.
    fn forget_old(&self, newest: u64) -> Result<(), StoreError> {
        let needed = |number: u64| number + 1 >= newest || self.now.takeovers.contains(&number);
        for name in self.disk.list()? {
            if number_of(&name).is_some_and(|number| !needed(number)) {
                self.disk.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Removes what a crash left: superseded segments and logs, and segments that no manifest names.
    pub(crate) fn remove_leftovers(&self) -> Result<(), StoreError> {
        for name in self.disk.list()? {
            let segment = name.ends_with(".nseg") && !self.now.segments.contains(&name);
            let log = LogKey::of(&name).is_some_and(|key| key < self.now.log_from());
            if segment || log {
                self.disk.remove(&name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
