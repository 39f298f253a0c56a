//! Where a store lies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, LocalDisk, ObjectPlace};
use crate::contract::StoreError;

/// Where a store lies.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder, created if it is not there.
    Folder(PathBuf),
    /// In an object store.
    Object(ObjectPlace),
    /// On a simulated file system.
    #[cfg(test)]
    #[doc(hidden)]
    #[allow(private_interfaces)]
    Simulated(super::sim::SimFs),
}

impl Place {
    /// The place of what belongs to no shard.
    pub(crate) fn root(&self) -> Result<Arc<dyn Disk>, StoreError> {
        Ok(match self {
            Self::Folder(folder) => Arc::new(LocalDisk::open(folder.clone())?),
            Self::Object(place) => place.disk(None),
            #[cfg(test)]
            Self::Simulated(fs) => simulated(fs, "")?,
        })
    }

    /// The place of a shard.
    pub(crate) fn shard(&self, number: u32) -> Result<Arc<dyn Disk>, StoreError> {
        let name = format!("shard-{number:04}");
        Ok(match self {
            Self::Folder(folder) => Arc::new(LocalDisk::open(folder.join(name))?),
            Self::Object(place) => place.disk(Some(&name)),
            #[cfg(test)]
            Self::Simulated(fs) => simulated(fs, &name)?,
        })
    }
}

#[cfg(test)]
fn simulated(fs: &super::sim::SimFs, name: &str) -> Result<Arc<dyn Disk>, StoreError> {
    let folder = std::path::Path::new("/store").join(name);
    Ok(Arc::new(LocalDisk::on(Arc::new(fs.clone()), folder)?))
}

impl From<PathBuf> for Place {
    fn from(folder: PathBuf) -> Self {
        Self::Folder(folder)
    }
}

impl From<&Path> for Place {
    fn from(folder: &Path) -> Self {
        Self::Folder(folder.to_owned())
    }
}
