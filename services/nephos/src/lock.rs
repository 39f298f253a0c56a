//! One process a data directory: `LOCK` holds the pid of whoever uses it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fs4::fs_std::FileExt;

/// The lock, held until dropped; the system gives it up when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder if it is missing and locks it.
    pub(crate) fn lock(path: &Path) -> anyhow::Result<Self> {
        make_private(path)?;
        let name = path.join("LOCK");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&name)
            .with_context(|| format!("open {}", name.display()))?;
        if !file.try_lock_exclusive().with_context(|| format!("lock {}", name.display()))? {
            let mut holder = String::new();
            file.read_to_string(&mut holder).with_context(|| format!("read {}", name.display()))?;
            bail!(
                "data directory {} is in use by process {}; stop it, or set data_dir to another folder",
                path.display(),
                holder.trim()
            );
        }
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).context("write LOCK")?;
        writeln!(file, "{}", std::process::id()).context("write LOCK")?;
        Ok(Self { path: path.to_owned(), _lock: file })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn make_private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(path).with_context(|| {
        format!("make the data directory {}; set data_dir to a folder that can be written", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_is_refused_with_the_holders_pid() {
        let folder = tempfile::tempdir().unwrap();
        let held = DataDir::lock(folder.path()).unwrap();
        let error = DataDir::lock(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        assert_eq!(DataDir::lock(folder.path()).unwrap().path(), folder.path());
    }
}
