//! The log: append-only files of frames, one frame for each group commit.
//!
//! ```text
//! file   = "NLOG" version:u32 epoch:u64 seq:u64 shard:u32 crc:u32, then frames
//! frame  = len:u32 crc-of-payload:u32 number:u64 crc-of-these-sixteen-bytes-epoch-and-seq:u32 payload
//! ```
//! A frame is written and synced before the next one is written. So a broken frame at the end is a write that was
//! cut by a crash and was never answered; a broken frame before a sound one was sound once: that is damage. Zeros may
//! follow the frames of an owner's newest file: room for more.

use std::fmt;
use std::sync::Arc;

use crate::bytes::{Malformed, Reader};
use crate::contract::StoreError;
use crate::disk::{Disk, LogFile, Succession};

const MAGIC: [u8; 4] = *b"NLOG";
const VERSION: u32 = 2;
/// Bytes of an empty file.
pub(crate) const FILE_HEADER: usize = 32;
const FRAME_HEADER: usize = 20;
/// A buffer that grew beyond this for one frame is given back.
const LARGE_FRAME: usize = 4 << 20;

/// Which file of the log: those of a later owner come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogKey {
    /// The owner who wrote it.
    pub(crate) epoch: u64,
    /// Counts the files of an epoch.
    pub(crate) seq: u64,
}

impl LogKey {
    /// The file's name.
    pub(crate) fn name(self) -> String {
        format!("log-{:08}-{:08}.nlog", self.epoch, self.seq)
    }

    /// The file of a name; `None` if it is no log.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let (epoch, seq) = name.strip_prefix("log-")?.strip_suffix(".nlog")?.split_once('-')?;
        Some(Self { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
    }

    /// The file of the same owner that follows.
    pub(crate) const fn next(self) -> Self {
        Self { seq: self.seq + 1, ..self }
    }
}

/// Log files of a shard, oldest first.
pub(crate) fn list_logs(disk: &dyn Disk) -> Result<Vec<LogKey>, StoreError> {
    let mut found: Vec<LogKey> = disk.list()?.iter().filter_map(|name| LogKey::of(name)).collect();
    found.sort_unstable();
    Ok(found)
}

/// What a frame holds, or a part of that, with room for the frame's header in front: alone in its frame it is written
/// from where it is.
#[derive(Debug)]
pub(crate) struct Part(Vec<u8>);

impl Part {
    /// Of what `put` appends.
    pub(crate) fn new(put: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = vec![0; FRAME_HEADER];
        put(&mut bytes);
        Self(bytes)
    }

    /// What was put.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.get(FRAME_HEADER..).unwrap_or_default()
    }
}

/// Writes frames to the newest file.
pub(crate) struct LogWriter {
    disk: Arc<dyn Disk>,
    succession: Arc<dyn Succession>,
    shard: u32,
    key: LogKey,
    file: Box<dyn LogFile>,
    len: u64,
    /// Frames of the file being written.
    frames: u64,
    /// Where a frame of several parts is put together.
    frame: Vec<u8>,
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter").field("key", &self.key).field("len", &self.len).finish_non_exhaustive()
    }
}

impl LogWriter {
    /// Starts a new file, durably.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        succession: Arc<dyn Succession>,
        shard: u32,
        key: LogKey,
    ) -> Result<Self, StoreError> {
        let file = start(disk.as_ref(), Arc::clone(&succession), shard, key)?;
        Ok(Self { disk, succession, shard, key, file, len: FILE_HEADER as u64, frames: 0, frame: Vec::new() })
    }

    /// The file being written.
    pub(crate) const fn key(&self) -> LogKey {
        self.key
    }

    /// Bytes of the file being written.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Frames of the file being written.
    pub(crate) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Goes on in a new file. On error the old one stays in use.
    pub(crate) fn rotate(&mut self) -> Result<(), StoreError> {
        let key = self.key.next();
        self.file.finish()?;
        self.file = start(self.disk.as_ref(), Arc::clone(&self.succession), self.shard, key)?;
        self.key = key;
        self.len = FILE_HEADER as u64;
        self.frames = 0;
        Ok(())
    }

    /// Writes one frame of the parts one after the other. On `Ok` it is durable; on `Err` a restart may find it or
    /// not, but never behind a later frame.
    pub(crate) fn append<'a>(
        &mut self,
        number: u64,
        parts: impl IntoIterator<Item = &'a mut Part>,
    ) -> Result<(), StoreError> {
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next()) {
            (Some(alone), None) => self.write(number, &mut alone.0),
            (first, second) => {
                let mut frame = std::mem::take(&mut self.frame);
                frame.clear();
                frame.resize(FRAME_HEADER, 0);
                let parts = first.into_iter().chain(second).chain(parts);
                parts.for_each(|part| frame.extend_from_slice(part.bytes()));
                let written = self.write(number, &mut frame);
                if frame.capacity() <= LARGE_FRAME {
                    self.frame = frame;
                }
                written
            }
        }
    }

    /// Writes a frame, its header into the room for it.
    fn write(&mut self, number: u64, frame: &mut [u8]) -> Result<(), StoreError> {
        let Some((header, payload)) = frame.split_at_mut_checked(FRAME_HEADER) else { return Ok(()) };
        let len = u32::try_from(payload.len()).map_err(|_| StoreError::TooLarge {
            what: "a commit's bytes",
            size: payload.len() as u64,
            limit: u64::from(u32::MAX),
        })?;
        header.copy_from_slice(&frame_header(len, crc32fast::hash(payload), number, self.key));
        self.file.append(frame)?;
        self.len += frame.len() as u64;
        self.frames += 1;
        Ok(())
    }
}

/// Creates a file and writes its header. One that can't be finished goes: it would be in the way of the next try.
fn start(
    disk: &dyn Disk,
    succession: Arc<dyn Succession>,
    shard: u32,
    key: LogKey,
) -> Result<Box<dyn LogFile>, StoreError> {
    let mut header = Vec::with_capacity(FILE_HEADER);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&key.epoch.to_le_bytes());
    header.extend_from_slice(&key.seq.to_le_bytes());
    header.extend_from_slice(&shard.to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    let mut file = disk.log(&key.name(), succession)?;
    match file.append(&header) {
        Ok(()) => Ok(file),
        Err(error) => {
            drop(file);
            disk.remove(&key.name())?;
            Err(error)
        }
    }
}

fn frame_header(len: u32, crc: u32, number: u64, key: LogKey) -> [u8; FRAME_HEADER] {
    let mut header = [0; FRAME_HEADER];
    let (fields, own_crc) = header.split_at_mut(FRAME_HEADER - 4);
    let bytes = len.to_le_bytes().into_iter().chain(crc.to_le_bytes()).chain(number.to_le_bytes());
    fields.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
    own_crc.copy_from_slice(&header_crc(fields, key).to_le_bytes());
    header
}

fn header_crc(header: &[u8], key: LogKey) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(&key.epoch.to_le_bytes());
    hasher.update(&key.seq.to_le_bytes());
    hasher.finalize()
}

/// What reading a log file found.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// Bytes up to the end of the last sound frame.
    pub(crate) sound: u64,
    /// Bytes behind that: a write cut by a crash.
    pub(crate) torn: u64,
    /// Zeros behind both.
    pub(crate) room: u64,
    /// What is broken before a sound frame.
    pub(crate) damage: Vec<String>,
}

/// Reads a file's frames in order. `visit` gets each sound frame's number and payload; what it returns as an error
/// counts as damage of that frame alone.
pub(crate) fn replay(
    content: &[u8],
    shard: u32,
    key: LogKey,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), Malformed>,
) -> Replayed {
    let mut found = Replayed::default();
    if let Err(error) = check_header(content, shard, key) {
        // A file shorter than its header was cut while it was created; it never held an answered write.
        if content.len() > FILE_HEADER {
            found.damage.push(format!("file header: {error}"));
        }
    }
    let mut at = FILE_HEADER.min(content.len());
    found.sound = at as u64;
    let written = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    while at < written {
        match frame_at(content, at, key) {
            Some((number, payload, end)) => {
                if let Err(error) = visit(number, payload) {
                    found.damage.push(format!("frame {number} at byte {at}: {error}"));
                }
                at = end;
                found.sound = at as u64;
            }
            None => match (at + 1..written).find(|&next| frame_at(content, next, key).is_some()) {
                Some(next) => {
                    found.damage.push(format!("bytes {at} to {next}"));
                    at = next;
                }
                None => break,
            },
        }
    }
    found.torn = (written as u64).saturating_sub(found.sound);
    found.room = content.len() as u64 - found.sound - found.torn;
    found
}

fn check_header(content: &[u8], shard: u32, key: LogKey) -> Result<(), Malformed> {
    let header = content.get(..FILE_HEADER).ok_or(Malformed("cut short"))?;
    let mut reader = Reader::new(header);
    let (magic, version) = (reader.array::<4>()?, reader.u32()?);
    let its_key = LogKey { epoch: reader.u64()?, seq: reader.u64()? };
    let (its_shard, crc) = (reader.u32()?, reader.u32()?);
    if magic != MAGIC || crc != crc32fast::hash(header.get(..FILE_HEADER - 4).unwrap_or_default()) {
        return Err(Malformed("checksum"));
    }
    if version != VERSION {
        return Err(Malformed("unknown version"));
    }
    if its_key != key || its_shard != shard {
        return Err(Malformed("belongs elsewhere"));
    }
    Ok(())
}

/// The sound frame that starts at this byte: its number, payload and end.
fn frame_at(content: &[u8], at: usize, key: LogKey) -> Option<(u64, &[u8], usize)> {
    let rest = content.get(at..)?;
    let (header, after) = rest.split_at_checked(FRAME_HEADER)?;
    let mut reader = Reader::new(header);
    let (len, crc, number) = (reader.u32().ok()?, reader.u32().ok()?, reader.u64().ok()?);
    if reader.u32().ok()? != header_crc(header.get(..FRAME_HEADER - 4)?, key) {
        return None;
    }
    let payload = after.get(..usize::try_from(len).ok()?)?;
    (crc32fast::hash(payload) == crc).then(|| (number, payload, at + FRAME_HEADER + payload.len()))
}

#[cfg(test)]
mod tests;
