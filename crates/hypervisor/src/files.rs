//! Opening and reading kernel files, and where they are.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::HypervisorError;
use crate::text::{Fault, Parsed};

/// No file we read is near this long; more is cut off.
const LONGEST: u64 = 16 << 20;

/// Where the kernel's file systems are mounted. In a container they may be the host's, elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Normally `/proc`.
    pub proc_root: PathBuf,
    /// Normally `/sys`.
    pub sys_root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc_root: PathBuf::from("/proc"), sys_root: PathBuf::from("/sys") }
    }
}

impl Roots {
    /// Whether `/proc` is this process's own, so that `self` in it means what it says.
    pub(crate) fn own_proc(&self) -> bool {
        self.proc_root == Path::new("/proc")
    }

    /// Where to look for `name` of `/proc`, best first. In a `/proc` of the host, files that belong to a namespace
    /// (mounts, network) would show the reader's own: there the first process's are meant.
    pub(crate) fn of_namespace(&self, name: &str) -> Vec<PathBuf> {
        let plain = self.proc_root.join(name);
        if self.own_proc() { vec![plain] } else { vec![self.proc_root.join("1").join(name), plain] }
    }

    /// Where a mount point or file of the host is reachable from here.
    pub(crate) fn of_host(&self, path: &Path) -> PathBuf {
        if let Ok(below) = path.strip_prefix("/sys") {
            return self.sys_root.join(below);
        }
        if self.own_proc() {
            return path.to_owned();
        }
        self.proc_root.join("1/root").join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// Reads files into one buffer, used again and again.
#[derive(Debug, Default)]
pub struct Files {
    bytes: Vec<u8>,
    path: PathBuf,
}

impl Files {
    /// The text of `dir/name`; bytes that are no UTF-8 become `U+FFFD`. `None` if there is no such file, or the kernel
    /// says that it has nothing to give: the group vanished, or the accounting is switched off.
    ///
    /// # Errors
    /// [`HypervisorError::Read`] for everything else, above all missing rights.
    pub fn read(&mut self, dir: &Path, name: &str) -> Result<Option<&str>, HypervisorError> {
        self.path.clear();
        self.path.push(dir);
        if !name.is_empty() {
            self.path.push(name);
        }
        self.bytes.clear();
        let read = File::open(&self.path).and_then(|file| file.take(LONGEST).read_to_end(&mut self.bytes));
        match read {
            Ok(_) => {}
            Err(error) if is_absence(&error) => return Ok(None),
            Err(source) => return Err(HypervisorError::Read { path: self.path.clone(), source }),
        }
        if std::str::from_utf8(&self.bytes).is_err() {
            self.bytes = String::from_utf8_lossy(&self.bytes).into_owned().into_bytes();
        }
        Ok(Some(std::str::from_utf8(&self.bytes).unwrap_or_default()))
    }

    /// The raw bytes of a file, as [`read`](Self::read).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_bytes(&mut self, path: &Path) -> Result<Option<&[u8]>, HypervisorError> {
        self.bytes.clear();
        match File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut self.bytes)) {
            Ok(_) => Ok(Some(&self.bytes)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(source) => Err(HypervisorError::Read { path: path.to_owned(), source }),
        }
    }

    /// Reads and parses a file that is good or bad as a whole. Faults go to `faults`.
    pub(crate) fn value<T>(
        &mut self,
        dir: &Path,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
        faults: &mut Vec<HypervisorError>,
    ) -> Option<T> {
        match self.read(dir, name) {
            Ok(text) => match parse(text?) {
                Ok(value) => Some(value),
                Err(fault) => {
                    faults.push(HypervisorError::Malformed { path: dir.join(name), fault });
                    None
                }
            },
            Err(error) => {
                faults.push(error);
                None
            }
        }
    }

    /// Reads and parses a file whose lines are good or bad one by one. Faults go to `faults`.
    pub(crate) fn table<T>(
        &mut self,
        dir: &Path,
        name: &str,
        parse: impl FnOnce(&str) -> Parsed<T>,
        faults: &mut Vec<HypervisorError>,
    ) -> Option<T> {
        match self.read(dir, name) {
            Ok(text) => {
                let parsed = parse(text?);
                let malformed = |fault| HypervisorError::Malformed { path: dir.join(name), fault };
                faults.extend(parsed.faults.into_iter().map(malformed));
                Some(parsed.value)
            }
            Err(error) => {
                faults.push(error);
                None
            }
        }
    }
}

/// Whether the kernel says that there is nothing, as opposed to that we may not see it.
fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::Unsupported)
        || [Errno::NODEV, Errno::SRCH, Errno::OPNOTSUPP, Errno::NXIO]
            .iter()
            .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::default();
        assert!(files.read(dir.path(), "absent").unwrap().is_none());
        std::fs::write(dir.path().join("plain"), "x").unwrap();
        assert!(files.read(&dir.path().join("plain"), "below").unwrap().is_none());
        for errno in [Errno::NODEV, Errno::OPNOTSUPP, Errno::SRCH, Errno::NOENT] {
            assert!(is_absence(&errno.into()), "{errno}");
        }
        assert!(!is_absence(&Errno::ACCESS.into()));
        assert!(files.read(dir.path(), "").is_err(), "a folder is no file");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), b"a\xffb").unwrap();
        assert_eq!(Files::default().read(dir.path(), "f").unwrap(), Some("a\u{fffd}b"));
    }

    #[test]
    fn files_of_a_namespace_are_the_first_processs_unless_proc_is_our_own() {
        assert_eq!(Roots::default().of_namespace("net/dev"), [PathBuf::from("/proc/net/dev")]);
        let mounted = Roots { proc_root: "/host/proc".into(), sys_root: "/host/sys".into() };
        assert_eq!(
            mounted.of_namespace("net/dev"),
            [PathBuf::from("/host/proc/1/net/dev"), PathBuf::from("/host/proc/net/dev")]
        );
        assert_eq!(mounted.of_host(Path::new("/sys/fs/cgroup")), PathBuf::from("/host/sys/fs/cgroup"));
        assert_eq!(mounted.of_host(Path::new("/mnt/cg")), PathBuf::from("/host/proc/1/root/mnt/cg"));
        assert_eq!(Roots::default().of_host(Path::new("/mnt/cg")), PathBuf::from("/mnt/cg"));
    }
}
