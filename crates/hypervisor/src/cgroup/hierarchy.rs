//! Which hierarchies a host has (seed-systems §5.1).

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::error::HypervisorError;
use crate::files::{Files, Roots};
use crate::text::{Parsed, fold_lines};

/// More hierarchies than the kernel has controllers that count.
const MOST: usize = 32;

/// Controllers of v1 whose files we read.
const COUNTING: [&str; 5] = ["cpu", "cpuacct", "memory", "blkio", "pids"];

/// Controllers of v1, should the kernel not list them.
const KNOWN: [&str; 14] = [
    "cpuset",
    "cpu",
    "cpuacct",
    "blkio",
    "memory",
    "devices",
    "freezer",
    "net_cls",
    "perf_event",
    "net_prio",
    "hugetlb",
    "pids",
    "rdma",
    "misc",
];

/// One tree of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Which kind of tree.
    pub version: Version,
    /// Where its root group can be reached.
    pub root: PathBuf,
}

/// Kind of a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// With these controllers.
    V1(BTreeSet<String>),
    /// The unified one.
    V2,
}

/// How a host mounts its hierarchies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Version 1 only.
    V1,
    /// Version 2 only.
    V2,
    /// Controllers in version 1, version 2 beside them.
    Hybrid,
}

impl Layout {
    /// The layout of these hierarchies; `None` of none.
    pub fn of(hierarchies: &[Hierarchy]) -> Option<Self> {
        let unified = hierarchies.iter().any(|hierarchy| hierarchy.version == Version::V2);
        let legacy = hierarchies.iter().any(|hierarchy| hierarchy.version != Version::V2);
        match (legacy, unified) {
            (true, true) => Some(Self::Hybrid),
            (true, false) => Some(Self::V1),
            (false, true) => Some(Self::V2),
            (false, false) => None,
        }
    }
}

/// One line of `/proc/mounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// File system type.
    pub kind: String,
    /// Options.
    pub options: Vec<String>,
}

/// `/proc/mounts`.
pub fn parse_mounts(text: &str) -> Parsed<Vec<Mount>> {
    fold_lines(text, |mounts: &mut Vec<Mount>, line| {
        let mut words = line.split(' ').skip(1);
        let mut next = || words.next().ok_or("line ends too early");
        let (point, kind, options) = (next()?, next()?, next()?);
        mounts.push(Mount {
            point: PathBuf::from(unescape_octal(point)),
            kind: kind.to_owned(),
            options: options.split(',').map(str::to_owned).collect(),
        });
        Ok(())
    })
}

/// Undoes `\040` and its like, with which the kernel writes blanks, tabs, line ends and backslashes of mount points.
fn unescape_octal(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        match code {
            Some(code) => {
                plain.push(char::from(code));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// `/proc/cgroups`: names of the controllers.
pub fn parse_controllers(text: &str) -> Parsed<BTreeSet<String>> {
    fold_lines(text, |names: &mut BTreeSet<String>, line| {
        if !line.starts_with('#') {
            let name = line.split_ascii_whitespace().next().unwrap_or_default();
            names.insert(name.to_owned());
        }
        Ok(())
    })
}

/// The hierarchies among `mounts` that count something, each only once however often it is mounted.
pub fn choose(mounts: &[Mount], controllers: &BTreeSet<String>) -> Vec<(Version, PathBuf)> {
    let mut chosen: Vec<(Version, PathBuf)> = Vec::new();
    for mount in mounts {
        let version = match mount.kind.as_str() {
            "cgroup2" => Version::V2,
            "cgroup" => {
                let words = mount.options.iter().filter(|word| controllers.contains(*word));
                let counting: BTreeSet<String> =
                    words.filter(|word| COUNTING.contains(&word.as_str())).cloned().collect();
                if counting.is_empty() {
                    continue;
                }
                Version::V1(counting)
            }
            _ => continue,
        };
        if chosen.len() < MOST && chosen.iter().all(|(known, _)| *known != version) {
            chosen.push((version, mount.point.clone()));
        }
    }
    chosen
}

/// Reads `/proc/mounts` and `/proc/cgroups`.
pub(crate) fn find(roots: &Roots, files: &mut Files, faults: &mut Vec<HypervisorError>) -> Vec<Hierarchy> {
    // The first readable list counts: another process's mounts may be hidden from us while our own are not.
    let mut denied = Vec::new();
    let mounts = roots.of_namespace("mounts").into_iter().find_map(|path| {
        files.table(&path, "", parse_mounts, &mut denied).filter(|mounts| !mounts.is_empty())
    });
    let Some(mounts) = mounts else {
        faults.append(&mut denied);
        return Vec::new();
    };
    let controllers = files
        .table(&roots.proc_root, "cgroups", parse_controllers, faults)
        .filter(|names| !names.is_empty())
        .unwrap_or_else(|| KNOWN.iter().map(|name| (*name).to_owned()).collect());
    choose(&mounts, &controllers)
        .into_iter()
        .map(|(version, point)| Hierarchy { version, root: roots.of_host(&point) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchies(mounts: &str) -> Vec<(Version, PathBuf)> {
        let controllers = parse_controllers(include_str!("../../testdata/proc/cgroups"));
        assert!(controllers.faults.is_empty());
        choose(&parse_mounts(mounts).value, &controllers.value)
    }

    fn v1(names: &[&str]) -> Version {
        Version::V1(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn three_layouts_are_found() {
        assert_eq!(
            hierarchies(include_str!("../../testdata/proc/mounts_v2")),
            [(Version::V2, PathBuf::from("/sys/fs/cgroup"))]
        );
        assert_eq!(
            hierarchies(include_str!("../../testdata/proc/mounts_v1_joined")),
            [
                (v1(&["cpu", "cpuacct"]), PathBuf::from("/sys/fs/cgroup/cpu,cpuacct")),
                (v1(&["memory"]), PathBuf::from("/sys/fs/cgroup/memory")),
                (v1(&["blkio"]), PathBuf::from("/sys/fs/cgroup/blkio")),
            ]
        );
        let hybrid = hierarchies(include_str!("../../testdata/proc/mounts_hybrid"));
        assert_eq!(hybrid.len(), 6, "five controllers that count, and version 2: {hybrid:?}");
        assert_eq!(hybrid.last(), Some(&(Version::V2, PathBuf::from("/sys/fs/cgroup/unified"))));
    }

    #[test]
    fn a_hierarchy_mounted_twice_counts_once() {
        let line = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(hierarchies(&format!("{line}{line}")).len(), 1);
    }

    #[test]
    fn mount_points_may_hold_blanks_and_lines_may_be_cut() {
        let parsed = parse_mounts("none /my\\040groups\\134 cgroup2 rw 0 0\ncgroup /x\nnone /a\\0 tmpfs rw");
        assert_eq!(parsed.value[0].point, PathBuf::from("/my groups\\"));
        assert_eq!(parsed.value[1].point, PathBuf::from("/a\\0"));
        assert_eq!(parsed.faults.len(), 1);
        assert_eq!(parsed.faults[0].to_string(), "line 2: line ends too early");
    }

    #[test]
    fn layout_is_named_by_what_is_mounted() {
        let tree = |version| Hierarchy { version, root: PathBuf::new() };
        assert_eq!(Layout::of(&[]), None);
        assert_eq!(Layout::of(&[tree(Version::V2)]), Some(Layout::V2));
        assert_eq!(Layout::of(&[tree(v1(&["cpu"]))]), Some(Layout::V1));
        assert_eq!(Layout::of(&[tree(v1(&["cpu"])), tree(Version::V2)]), Some(Layout::Hybrid));
    }
}
