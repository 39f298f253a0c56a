//! Control groups: finding hierarchies, walking them, reading what each group used.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nephos_model::Timestamp;

use crate::error::{HypervisorError, Unreadable};
use crate::files::{Files, Roots};

pub mod hierarchy;
pub mod kind;
pub mod processes;
pub mod reading;
pub mod v1;
pub mod v2;

pub use hierarchy::{Hierarchy, Layout, Version};
pub use kind::{GroupKind, PodQos, recognise};
pub use processes::GuestNames;
pub use reading::{BlockDevice, Device, DeviceIo, GroupPart, GroupParts, GroupReading};

/// One group, wherever it stands: the same path in several hierarchies is one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Path relative to the hierarchies' roots, without a leading slash. Never empty: the root is the host.
    pub path: PathBuf,
    /// What it is.
    pub kind: GroupKind,
    /// One bit for each hierarchy that has it, by its place in [`Cgroups::hierarchies`].
    present: u32,
}

impl Group {
    /// The path as text.
    pub fn path_text(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// The groups, shallow ones first, then by path.
    pub groups: Vec<Group>,
    /// Groups beyond the limit, left out.
    pub dropped: usize,
}

/// Reads control groups. Faults other than absence are collected for [`take_faults`](Self::take_faults).
#[derive(Debug)]
pub struct Cgroups {
    roots: Roots,
    files: Files,
    hierarchies: Vec<Hierarchy>,
    faults: Vec<HypervisorError>,
}

impl Cgroups {
    /// The groups of the host whose file systems are at `roots`. Nothing is read yet.
    pub fn new(roots: Roots) -> Self {
        Self { roots, files: Files::default(), hierarchies: Vec::new(), faults: Vec::new() }
    }

    /// The hierarchies that count something, as the last walk found them.
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// Which layout the host has; `None` before the first walk or without any.
    pub fn layout(&self) -> Option<Layout> {
        Layout::of(&self.hierarchies)
    }

    /// What went wrong since the last call.
    pub fn take_faults(&mut self) -> Vec<HypervisorError> {
        std::mem::take(&mut self.faults)
    }

    /// Looks for hierarchies, then for all groups in them but the root and monitors of containers: at most `limit`,
    /// shallow ones first, others counted. `None` if there is no hierarchy at all.
    pub fn walk(&mut self, limit: usize) -> Option<Walk> {
        self.hierarchies = hierarchy::find(&self.roots, &mut self.files, &mut self.faults);
        let mut found: BTreeMap<(usize, PathBuf), u32> = BTreeMap::new();
        for (index, hierarchy) in self.hierarchies.iter().enumerate() {
            descend(&hierarchy.root, 1 << index, &mut found, &mut self.faults);
        }
        let mut walk = Walk::default();
        for ((_, path), present) in found {
            match recognise(&path.to_string_lossy()) {
                Some(_) if walk.groups.len() >= limit => walk.dropped += 1,
                Some(kind) => walk.groups.push(Group { path, kind, present }),
                None => {}
            }
        }
        (!self.hierarchies.is_empty()).then_some(walk)
    }

    /// Reads the wanted parts of a group. What the group does not have stays `None`.
    pub fn read(&mut self, group: &Group, parts: GroupParts) -> GroupReading {
        let dirs = self.dirs(group);
        reading::read(&dirs, parts, &mut self.files, &mut self.faults)
    }

    /// Whether a group is still there.
    pub fn exists(&self, path: &Path) -> bool {
        self.hierarchies.iter().any(|hierarchy| std::fs::metadata(hierarchy.root.join(path)).is_ok())
    }

    /// A time since which the group has certainly been there; it may be much older, because the kernel forgets.
    pub fn there_since(&self, group: &Group) -> Option<Timestamp> {
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        let folders = self.folders(group).filter_map(|(_, dir)| std::fs::metadata(dir).ok());
        folders
            .map(|folder| {
                nanos(folder.ctime(), folder.ctime_nsec()).min(nanos(folder.mtime(), folder.mtime_nsec()))
            })
            .min()
            .map(Timestamp::from_nanos)
    }

    /// Whether a process in the group itself was started more than `age` ago.
    pub fn has_process_older_than(&mut self, group: &Group, age: std::time::Duration) -> bool {
        let folders: Vec<PathBuf> = self.folders(group).map(|(_, dir)| dir).collect();
        processes::any_older_than(&folders, age, &self.roots, &mut self.files)
    }

    /// Full name and UUID of a libvirt guest, from its emulator's command line, if that can be read.
    pub fn guest_names(&mut self, group: &Group) -> Option<GuestNames> {
        let folders: Vec<PathBuf> = self.folders(group).map(|(_, dir)| dir).collect();
        processes::guest_names(&folders, &self.roots, &mut self.files)
    }

    /// What `/sys` knows of a block device.
    pub fn block_device(&self, device: Device) -> BlockDevice {
        let link = self.roots.sys_root.join("dev/block").join(device.to_string());
        let name = std::fs::read_link(&link)
            .ok()
            .and_then(|target| Some(target.file_name()?.to_string_lossy().replace('!', "/")));
        let stacked = std::fs::read_dir(link.join("slaves")).is_ok_and(|mut slaves| slaves.next().is_some());
        BlockDevice { name: name.unwrap_or_else(|| device.to_string()), stacked }
    }

    /// What this process cannot read here.
    pub fn unreadable(&mut self) -> Vec<Unreadable> {
        let found = self.walk(usize::MAX);
        let mut missing: Vec<Unreadable> = Vec::new();
        for fault in self.take_faults() {
            if let HypervisorError::Read { path, source } = fault {
                missing.push(Unreadable { what: "control groups", path, reason: source.to_string() });
            }
        }
        if found.is_none() {
            let path = self.roots.sys_root.join("fs/cgroup");
            let reason = "no hierarchy is mounted".to_owned();
            missing.push(Unreadable { what: "control groups", path, reason });
        }
        missing
    }

    fn folders<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = (&'a Hierarchy, PathBuf)> {
        let there =
            self.hierarchies.iter().enumerate().filter(|(index, _)| group.present & (1 << index) != 0);
        there.map(|(_, hierarchy)| (hierarchy, hierarchy.root.join(&group.path)))
    }

    fn dirs(&self, group: &Group) -> reading::Dirs {
        let mut dirs = reading::Dirs::default();
        for (hierarchy, dir) in self.folders(group) {
            dirs.add(&hierarchy.version, &dir);
        }
        dirs
    }
}

/// Notes every folder below `root`, with its depth.
fn descend(
    root: &Path,
    bit: u32,
    found: &mut BTreeMap<(usize, PathBuf), u32>,
    faults: &mut Vec<HypervisorError>,
) {
    let mut open = vec![(0, PathBuf::new())];
    while let Some((depth, relative)) = open.pop() {
        let folder = root.join(&relative);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                faults.push(HypervisorError::Read { path: folder, source: error });
                continue;
            }
            // It vanished meanwhile.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let below = relative.join(entry.file_name());
                *found.entry((depth + 1, below.clone())).or_default() |= bit;
                open.push((depth + 1, below));
            }
        }
    }
}

#[cfg(test)]
mod tests;
