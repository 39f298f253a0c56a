//! What is in the simulated memory and on the simulated disk.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Op;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug)]
pub(super) struct State {
    pub(super) random: u64,
    pub(super) files: Vec<Inode>,
    pub(super) folders: BTreeMap<PathBuf, Folder>,
    pub(super) operations: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) faults: Vec<Fault>,
    /// The power is gone.
    pub(super) down: bool,
    pub(super) free: u64,
    pub(super) opened: u64,
}

#[derive(Debug)]
pub(super) struct Fault {
    pub(super) op: Op,
    /// So many of the kind succeed before.
    pub(super) after: u64,
    pub(super) kind: ErrorKind,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
    pub(super) lock: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Folder {
    pub(super) live: BTreeMap<String, usize>,
    pub(super) durable: BTreeMap<String, usize>,
    pub(super) unsynced: Vec<Naming>,
}

#[derive(Clone, Debug)]
pub(super) enum Naming {
    Put(String, usize),
    Remove(String),
    Move(String, String, usize),
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Len(len) => content.resize(*len, 0),
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
        }
    }

    /// What may survive or not by itself.
    pub(super) fn pieces(self) -> Vec<Self> {
        match self {
            Self::Len(_) => vec![self],
            Self::Write(mut at, bytes) => {
                let mut pieces = Vec::new();
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let (piece, later) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                    pieces.push(Self::Write(at, piece.to_vec()));
                    at += piece.len();
                    rest = later;
                }
                pieces
            }
        }
    }
}

impl Naming {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Put(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Move(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

impl State {
    pub(super) fn random(&mut self) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn folder(&mut self, path: &Path) -> io::Result<(&mut Folder, String)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?.to_owned();
        let folder =
            path.parent().and_then(|parent| self.folders.get_mut(parent)).ok_or(ErrorKind::NotFound)?;
        Ok((folder, name))
    }

    pub(super) fn file(&mut self, path: &Path) -> io::Result<usize> {
        let (folder, name) = self.folder(path)?;
        Ok(folder.live.get(&name).copied().ok_or(ErrorKind::NotFound)?)
    }

    pub(super) fn name(&mut self, path: &Path, naming: impl FnOnce(String) -> Naming) -> io::Result<()> {
        let (folder, name) = self.folder(path)?;
        let naming = naming(name);
        naming.apply(&mut folder.live);
        folder.unsynced.push(naming);
        Ok(())
    }

    /// Keeps `percent` of what was not synced.
    pub(super) fn settle(&mut self, file: usize, percent: u64) {
        let changes = std::mem::take(&mut self.files[file].unsynced);
        for piece in changes.into_iter().flat_map(Change::pieces) {
            if self.random() % 100 < percent {
                piece.apply(&mut self.files[file].durable);
            }
        }
    }

    pub(super) fn lose_power(&mut self) {
        let percent = [0, 10, 50, 90, 100][usize::try_from(self.random() % 5).unwrap()];
        for file in 0..self.files.len() {
            self.settle(file, percent);
            let inode = &mut self.files[file];
            inode.live.clone_from(&inode.durable);
            inode.lock = None;
        }
        let folders: Vec<PathBuf> = self.folders.keys().cloned().collect();
        for path in folders {
            let mut folder = self.folders.remove(&path).unwrap();
            for naming in std::mem::take(&mut folder.unsynced) {
                if self.random() % 100 < percent {
                    naming.apply(&mut folder.durable);
                }
            }
            folder.live.clone_from(&folder.durable);
            self.folders.insert(path, folder);
        }
    }
}
