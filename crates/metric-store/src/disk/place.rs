//! Where a store lies.

use std::path::PathBuf;
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
}

impl Place {
    /// The place of what belongs to no shard.
    pub(crate) fn root(&self) -> Result<Arc<dyn Disk>, StoreError> {
        Ok(match self {
            Self::Folder(folder) => Arc::new(LocalDisk::open(folder.clone())?),
            Self::Object(place) => place.disk(None),
        })
    }

    /// The place of a shard.
    pub(crate) fn shard(&self, number: u32) -> Result<Arc<dyn Disk>, StoreError> {
        let name = format!("shard-{number:04}");
        Ok(match self {
            Self::Folder(folder) => Arc::new(LocalDisk::open(folder.join(name))?),
            Self::Object(place) => place.disk(Some(&name)),
        })
    }
}

impl From<PathBuf> for Place {
    fn from(folder: PathBuf) -> Self {
        Self::Folder(folder)
    }
}
