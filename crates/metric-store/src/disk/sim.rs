//! A file system in memory that loses what was not synced, for tests.
//!
//! At a power loss each unsynced write survives or not by itself, sector by sector, and so does each unsynced change of
//! names in a folder: so writes are lost, torn and reordered as the seed wants. A sync that fails may have written some
//! of it, and a later one does not make up for the rest, as on real systems.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fs::{Fs, FsFile};

mod state;

use state::{Change, Fault, Inode, Naming, State};

/// Operations that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Opening or reading.
    Read,
    /// Creating a file.
    Create,
    /// Writing to a file, or cutting it.
    Write,
    /// Syncing a file.
    Sync,
    /// Linking, renaming or removing.
    Name,
    /// Syncing a folder.
    SyncFolder,
}

/// The file system. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct SimFs {
    state: Arc<Mutex<State>>,
}

/// How an operation shall end.
enum Verdict {
    Done,
    Failed(io::Error),
    /// The power goes while it runs: it may have happened.
    Interrupted,
}

fn no_power() -> io::Error {
    io::Error::other("no power")
}

impl SimFs {
    /// An empty one.
    pub(crate) fn new(seed: u64) -> Self {
        let state = State {
            random: seed,
            files: Vec::new(),
            folders: BTreeMap::new(),
            operations: 0,
            crash_at: None,
            faults: Vec::new(),
            down: false,
            free: 1 << 40,
            opened: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, op: Op) -> io::Result<(MutexGuard<'_, State>, Verdict)> {
        let mut state = self.lock();
        if state.down {
            return Err(no_power());
        }
        state.operations += 1;
        if state.crash_at.is_some_and(|at| at <= state.operations) {
            state.down = true;
            return Ok((state, Verdict::Interrupted));
        }
        let fault = state.faults.iter_mut().position(|fault| {
            fault.op == op && {
                fault.after = fault.after.wrapping_sub(1);
                fault.after == u64::MAX
            }
        });
        let verdict = match fault {
            Some(at) => Verdict::Failed(state.faults.remove(at).kind.into()),
            None => Verdict::Done,
        };
        Ok((state, verdict))
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// The power goes at the n-th operation from now, counted from one.
    pub(crate) fn crash_after(&self, operations: u64) {
        let mut state = self.lock();
        state.crash_at = Some(state.operations + operations);
    }

    /// After so many more operations of the kind, one fails.
    pub(crate) fn fail(&self, op: Op, after: u64, kind: ErrorKind) {
        self.lock().faults.push(Fault { op, after, kind });
    }

    /// Free bytes from now on.
    pub(crate) fn set_free(&self, bytes: u64) {
        self.lock().free = bytes;
    }

    /// Flips bits of a file, as a bad disk does.
    pub(crate) fn flip(&self, path: &Path, offset: usize, mask: u8) {
        let mut state = self.lock();
        let file = state.file(path).unwrap();
        state.files[file].live[offset] ^= mask;
        state.files[file].durable[offset] ^= mask;
    }

    /// What is found after a power loss now or before. Everything that used the old one fails from now on.
    pub(crate) fn recover(&self) -> Self {
        let mut old = self.lock();
        old.down = true;
        let random = old.random();
        let mut state = State {
            random,
            files: old.files.clone(),
            folders: old.folders.clone(),
            operations: 0,
            crash_at: None,
            faults: Vec::new(),
            down: false,
            free: old.free,
            opened: old.opened,
        };
        state.lose_power();
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn opened(&self, state: &mut State, file: usize) -> SimFile {
        state.opened += 1;
        SimFile { fs: self.clone(), file, handle: state.opened }
    }

    fn rename_or_link(&self, to: &Path, change: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        let (mut state, verdict) = self.begin(Op::Name)?;
        match verdict {
            Verdict::Failed(error) => Err(error),
            Verdict::Done => change(&mut state),
            Verdict::Interrupted => {
                let _happened = to.parent().is_some() && change(&mut state).is_ok();
                Err(no_power())
            }
        }
    }
}

impl Fs for SimFs {
    type File = SimFile;

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let (mut state, verdict) = self.begin(Op::Read)?;
        verdict.check()?;
        let file = state.file(path)?;
        Ok(self.opened(&mut state, file))
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let (mut state, verdict) = self.begin(Op::Create)?;
        if let Verdict::Failed(error) = verdict {
            return Err(error);
        }
        let (folder, name) = state.folder(path)?;
        if folder.live.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Inode::default());
        state.name(path, |name| Naming::Put(name, file))?;
        verdict.check()?;
        Ok(self.opened(&mut state, file))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let (mut state, verdict) = self.begin(Op::Read)?;
        verdict.check()?;
        let file = state.file(path)?;
        Ok(state.files[file].live.clone())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_or_link(to, |state| {
            let file = state.file(from)?;
            if state.file(to).is_ok() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            state.name(to, |name| Naming::Put(name, file))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        assert_eq!(from.parent(), to.parent(), "only within a folder");
        self.rename_or_link(to, |state| {
            let file = state.file(from)?;
            let (_, source) = state.folder(from)?;
            state.name(to, |name| Naming::Move(source, name, file))
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.rename_or_link(path, |state| {
            state.file(path)?;
            state.name(path, Naming::Remove)
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let (state, verdict) = self.begin(Op::Read)?;
        verdict.check()?;
        let files = state.folders.get(folder).ok_or(ErrorKind::NotFound)?.live.keys().cloned();
        let below = state.folders.keys().filter(|path| path.parent() == Some(folder));
        let below = below.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        Ok(files.chain(below).collect())
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        // Folders are never lost: the store syncs the one above before it uses one.
        let (mut state, verdict) = self.begin(Op::Create)?;
        verdict.check()?;
        for path in folder.ancestors() {
            state.folders.entry(path.to_owned()).or_default();
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let (mut state, verdict) = self.begin(Op::SyncFolder)?;
        verdict.check()?;
        let folder = state.folders.get_mut(folder).ok_or(ErrorKind::NotFound)?;
        folder.unsynced.clear();
        folder.durable.clone_from(&folder.live);
        Ok(())
    }

    fn free_bytes(&self, _folder: &Path) -> io::Result<u64> {
        let (state, verdict) = self.begin(Op::Read)?;
        verdict.check()?;
        Ok(state.free)
    }
}

impl Verdict {
    fn check(self) -> io::Result<()> {
        match self {
            Self::Done => Ok(()),
            Self::Failed(error) => Err(error),
            Self::Interrupted => Err(no_power()),
        }
    }
}

/// An open file of a [`SimFs`].
#[derive(Debug)]
pub(crate) struct SimFile {
    fs: SimFs,
    file: usize,
    handle: u64,
}

impl SimFile {
    fn change(&self, state: &mut State, change: Change) {
        let inode = &mut state.files[self.file];
        change.apply(&mut inode.live);
        inode.unsynced.push(change);
    }
}

impl FsFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.len()?;
        self.write_at(bytes, at)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut state, mut verdict) = self.fs.begin(Op::Write)?;
        if matches!(verdict, Verdict::Done) && bytes.len() as u64 > state.free {
            verdict = Verdict::Failed(ErrorKind::StorageFull.into());
        }
        let written = match verdict {
            Verdict::Failed(_) => usize::try_from(state.random()).unwrap() % (bytes.len() + 1),
            _ => bytes.len(),
        };
        let at = usize::try_from(offset).unwrap();
        self.change(&mut state, Change::Write(at, bytes[..written].to_vec()));
        verdict.check()
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, verdict) = self.fs.begin(Op::Sync)?;
        let percent = match verdict {
            Verdict::Done => 100,
            Verdict::Failed(_) => 50,
            // Decided when the power comes back.
            Verdict::Interrupted => return verdict.check(),
        };
        state.settle(self.file, percent);
        verdict.check()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (mut state, verdict) = self.fs.begin(Op::Write)?;
        if let Verdict::Failed(error) = verdict {
            return Err(error);
        }
        self.change(&mut state, Change::Len(usize::try_from(len).unwrap()));
        verdict.check()
    }

    fn try_lock(&self) -> io::Result<bool> {
        let (mut state, verdict) = self.fs.begin(Op::Read)?;
        verdict.check()?;
        let lock = &mut state.files[self.file].lock;
        Ok(*lock.get_or_insert(self.handle) == self.handle)
    }

    fn len(&self) -> io::Result<u64> {
        let (state, verdict) = self.fs.begin(Op::Read)?;
        verdict.check()?;
        Ok(state.files[self.file].live.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let (state, verdict) = self.fs.begin(Op::Read)?;
        verdict.check()?;
        let start = usize::try_from(offset).unwrap();
        let found = state.files[self.file].live.get(start..start + buffer.len());
        buffer.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.fs.lock();
        let lock = &mut state.files[self.file].lock;
        if *lock == Some(self.handle) {
            *lock = None;
        }
    }
}
