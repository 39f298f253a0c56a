//! The log: append-only files of frames, one frame for each group commit.
//!
//! ```text
//! file   = "NLOG" version:u32 seq:u64 shard:u32 crc:u32, then frames
//! frame  = len:u32 crc-of-payload:u32 number:u64 crc-of-these-sixteen-bytes-and-seq:u32 payload
//! ```
//! A frame is written and synced before the next one is written. So a broken frame at the end is a write that was
//! cut by a crash and was never answered; a broken frame before a sound one was sound once: that is damage.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::bytes::{Malformed, Reader};
use crate::contract::StoreError;
use crate::files::{io_error, sync_folder};

const MAGIC: [u8; 4] = *b"NLOG";
const VERSION: u32 = 1;
/// Bytes of an empty file.
pub(crate) const FILE_HEADER: usize = 24;
const FRAME_HEADER: usize = 20;
/// A buffer that grew beyond this for one frame is given back.
const LARGE_FRAME: usize = 4 << 20;

/// What the log needs of a file: a double of it breaks in tests.
pub(crate) trait LogFile: Write + Sized {
    /// Creates a new file.
    fn create(path: &Path) -> io::Result<Self>;
    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file and writes on from there.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl LogFile for File {
    fn create(path: &Path) -> io::Result<Self> {
        // Appending: a write after a cut goes to the new end.
        OpenOptions::new().create_new(true).append(true).open(path)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len).and_then(|()| self.sync_all())
    }
}

/// Name of a log file.
pub(crate) fn log_path(folder: &Path, seq: u64) -> PathBuf {
    folder.join(format!("log-{seq:012}.nlog"))
}

/// Log files of a shard, oldest first.
pub(crate) fn list_logs(folder: &Path) -> Result<Vec<u64>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let name = entry.map_err(io_error("list", folder))?.file_name();
        let seq: Option<u64> = name
            .to_str()
            .and_then(|name| name.strip_prefix("log-")?.strip_suffix(".nlog"))
            .and_then(|digits| digits.parse().ok());
        found.extend(seq);
    }
    found.sort_unstable();
    Ok(found)
}

/// Writes frames to the newest file.
#[derive(Debug)]
pub(crate) struct LogWriter<F = File> {
    folder: PathBuf,
    shard: u32,
    seq: u64,
    file: F,
    /// Bytes known to be durable.
    len: u64,
    /// A failed write may have left bytes behind `len`: they must go before anything else is written, or a
    /// restart would replay what was answered with an error in front of what was answered with success.
    torn: bool,
    frame: Vec<u8>,
}

impl<F: LogFile> LogWriter<F> {
    /// Starts a new file, durably.
    pub(crate) fn create(folder: &Path, shard: u32, seq: u64) -> Result<Self, StoreError> {
        let path = log_path(folder, seq);
        let mut header = Vec::with_capacity(FILE_HEADER);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&seq.to_le_bytes());
        header.extend_from_slice(&shard.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        let mut file = F::create(&path).map_err(io_error("create", &path))?;
        let written = file.write_all(&header).and_then(|()| file.sync()).map_err(io_error("write", &path));
        if let Err(error) = written.and_then(|()| sync_folder(folder)) {
            crate::files::remove(&path)?;
            return Err(error);
        }
        Ok(Self {
            folder: folder.to_owned(),
            shard,
            seq,
            file,
            len: header.len() as u64,
            torn: false,
            frame: Vec::new(),
        })
    }

    /// Number of the file being written.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    /// Durable bytes of the file being written.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Goes on in a new file. On error the old one stays in use.
    pub(crate) fn rotate(&mut self) -> Result<(), StoreError> {
        self.mend()?;
        let frame = std::mem::take(&mut self.frame);
        *self = Self { frame, ..Self::create(&self.folder, self.shard, self.seq + 1)? };
        Ok(())
    }

    /// Writes one frame of the parts one after the other. On `Ok` it is durable; on `Err` no restart will find it
    /// once a later frame is durable.
    pub(crate) fn append<'a>(
        &mut self,
        number: u64,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), StoreError> {
        self.mend()?;
        self.frame.clear();
        self.frame.resize(FRAME_HEADER, 0);
        parts.into_iter().for_each(|part| self.frame.extend_from_slice(part));
        let Some((header, payload)) = self.frame.split_at_mut_checked(FRAME_HEADER) else { return Ok(()) };
        let len = u32::try_from(payload.len()).map_err(|_| StoreError::TooLarge {
            what: "a commit's bytes",
            size: payload.len() as u64,
            limit: u64::from(u32::MAX),
        })?;
        header.copy_from_slice(&frame_header(len, crc32fast::hash(payload), number, self.seq));
        let path = log_path(&self.folder, self.seq);
        match self.file.write_all(&self.frame).and_then(|()| self.file.sync()) {
            Ok(()) => {
                self.len += self.frame.len() as u64;
                if self.frame.capacity() > LARGE_FRAME {
                    self.frame = Vec::new();
                }
                Ok(())
            }
            Err(error) => {
                self.torn = true;
                // If the cut fails too, the next append tries it again before it writes.
                if let Err(cut) = self.mend() {
                    tracing::warn!(error = %cut, "the log could not be cut after a failed write");
                }
                Err(io_error("write", &path)(error))
            }
        }
    }

    fn mend(&mut self) -> Result<(), StoreError> {
        if self.torn {
            let path = log_path(&self.folder, self.seq);
            self.file.cut(self.len).map_err(io_error("cut", &path))?;
            self.torn = false;
        }
        Ok(())
    }
}

fn frame_header(len: u32, crc: u32, number: u64, seq: u64) -> [u8; FRAME_HEADER] {
    let mut header = [0; FRAME_HEADER];
    let (fields, own_crc) = header.split_at_mut(FRAME_HEADER - 4);
    let bytes = len.to_le_bytes().into_iter().chain(crc.to_le_bytes()).chain(number.to_le_bytes());
    fields.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
    own_crc.copy_from_slice(&header_crc(fields, seq).to_le_bytes());
    header
}

fn header_crc(header: &[u8], seq: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(&seq.to_le_bytes());
    hasher.finalize()
}

/// What reading a log file found.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// Bytes up to the end of the last sound frame.
    pub(crate) sound: u64,
    /// Bytes behind that: a write cut by a crash.
    pub(crate) torn: u64,
    /// What is broken before a sound frame.
    pub(crate) damage: Vec<String>,
}

/// Reads a file's frames in order. `visit` gets each sound frame's number and payload; what it returns as an error
/// counts as damage of that frame alone.
pub(crate) fn replay(
    path: &Path,
    shard: u32,
    seq: u64,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), Malformed>,
) -> Result<Replayed, StoreError> {
    let content = fs::read(path).map_err(io_error("read", path))?;
    let mut found = Replayed::default();
    if let Err(error) = check_header(&content, shard, seq) {
        // A file shorter than its header was cut while it was created; it never held an answered write.
        if content.len() > FILE_HEADER {
            found.damage.push(format!("file header: {error}"));
        }
    }
    let mut at = FILE_HEADER.min(content.len());
    found.sound = at as u64;
    while at < content.len() {
        match frame_at(&content, at, seq) {
            Some((number, payload, end)) => {
                if let Err(error) = visit(number, payload) {
                    found.damage.push(format!("frame {number} at byte {at}: {error}"));
                }
                at = end;
                found.sound = at as u64;
            }
            None => match (at + 1..content.len()).find(|&next| frame_at(&content, next, seq).is_some()) {
                Some(next) => {
                    found.damage.push(format!("bytes {at} to {next}"));
                    at = next;
                }
                None => break,
            },
        }
    }
    found.torn = content.len() as u64 - found.sound;
    Ok(found)
}

fn check_header(content: &[u8], shard: u32, seq: u64) -> Result<(), Malformed> {
    let header = content.get(..FILE_HEADER).ok_or(Malformed("cut short"))?;
    let mut reader = Reader::new(header);
    let (magic, version, its_seq) = (reader.array::<4>()?, reader.u32()?, reader.u64()?);
    let (its_shard, crc) = (reader.u32()?, reader.u32()?);
    if magic != MAGIC || crc != crc32fast::hash(header.get(..FILE_HEADER - 4).unwrap_or_default()) {
        return Err(Malformed("checksum"));
    }
    if version != VERSION {
        return Err(Malformed("unknown version"));
    }
    if its_seq != seq || its_shard != shard {
        return Err(Malformed("belongs elsewhere"));
    }
    Ok(())
}

/// The sound frame that starts at this byte: its number, payload and end.
fn frame_at(content: &[u8], at: usize, seq: u64) -> Option<(u64, &[u8], usize)> {
    let rest = content.get(at..)?;
    let (header, after) = rest.split_at_checked(FRAME_HEADER)?;
    let mut reader = Reader::new(header);
    let (len, crc, number) = (reader.u32().ok()?, reader.u32().ok()?, reader.u64().ok()?);
    if reader.u32().ok()? != header_crc(header.get(..FRAME_HEADER - 4)?, seq) {
        return None;
    }
    let payload = after.get(..usize::try_from(len).ok()?)?;
    (crc32fast::hash(payload) == crc).then(|| (number, payload, at + FRAME_HEADER + payload.len()))
}

#[cfg(test)]
mod tests;
