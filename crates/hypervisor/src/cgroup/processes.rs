//! What the processes of a group tell about it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::{since_boot, ticks_per_second, ticks_to_nanos};
use crate::files::{Files, Roots};
use crate::text::decimal;

/// No more processes of a group are looked at.
const MOST: usize = 256;

/// Files that list processes, best first; the last ones are of a libvirt guest's emulator, of v2 and v1.
const LISTS: [&str; 5] =
    ["cgroup.procs", "cgroup.threads", "tasks", "libvirt/emulator/cgroup.threads", "emulator/cgroup.procs"];

/// What the command line of an emulator says of its guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestNames {
    /// Domain name, unshortened.
    pub domain: String,
    /// UUID of the domain.
    pub uuid: Option<String>,
}

/// The process numbers in `cgroup.procs` and its like; 0 stands for processes that cannot be seen from here.
pub fn parse_processes(text: &str) -> Vec<u32> {
    let numbers = text.lines().filter_map(|line| u32::try_from(decimal(line.trim()).ok()?).ok());
    numbers.filter(|pid| *pid != 0).take(MOST).collect()
}

/// Start of a process in clock ticks after boot, from `/proc/<pid>/stat`. Its name stands in brackets and may hold
/// anything, brackets too.
pub fn parse_start(text: &str) -> Option<u64> {
    let (_, after_name) = text.rsplit_once(')')?;
    decimal(after_name.split_ascii_whitespace().nth(19)?).ok()
}

/// Name and UUID of a guest from the NUL-separated command line of QEMU.
pub fn parse_emulator(command_line: &[u8]) -> Option<GuestNames> {
    let words: Vec<String> = command_line
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    let after = |option: &str| words.iter().skip_while(|word| *word != option).nth(1);
    let name = after("-name")?;
    let domain =
        name.split(',').find_map(|part| part.strip_prefix("guest=")).or_else(|| name.split(',').next())?;
    if domain.is_empty() {
        return None;
    }
    Some(GuestNames { domain: domain.to_owned(), uuid: after("-uuid").cloned() })
}

pub(crate) fn any_older_than(folders: &[PathBuf], age: Duration, roots: &Roots, files: &mut Files) -> bool {
    let now = since_boot();
    processes(folders, files).into_iter().any(|pid| {
        let dir = roots.proc_root.join(pid.to_string());
        let start = files.read(&dir, "stat").ok().flatten().and_then(parse_start);
        start.is_some_and(|ticks| {
            let start = Duration::from_nanos(ticks_to_nanos(ticks, ticks_per_second()));
            now.saturating_sub(start) >= age
        })
    })
}

pub(crate) fn guest_names(folders: &[PathBuf], roots: &Roots, files: &mut Files) -> Option<GuestNames> {
    processes(folders, files).into_iter().find_map(|pid| {
        let path = roots.proc_root.join(pid.to_string()).join("cmdline");
        files.read_bytes(&path).ok().flatten().and_then(parse_emulator)
    })
}

/// The processes in the first list that has any.
fn processes(folders: &[PathBuf], files: &mut Files) -> Vec<u32> {
    let lists = LISTS.iter().flat_map(|name| folders.iter().map(move |folder: &PathBuf| (folder, *name)));
    let mut read = |folder: &Path, name| files.read(folder, name).ok().flatten().map(parse_processes);
    lists.filter_map(|(folder, name)| read(folder, name)).find(|pids| !pids.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_is_found_behind_any_name() {
        let fields = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000 2000";
        assert_eq!(parse_start(&format!("17 (a) b) {fields}\n")), Some(4242));
        assert_eq!(parse_start("17 (cut) S 1"), None);
        assert_eq!(parse_start(""), None);
    }

    #[test]
    fn guests_are_named_by_their_emulator() {
        let line = b"/usr/bin/qemu-system-x86_64\0-name\0guest=instance-0000002a,debug-threads=on\0-uuid\0\
            7b2d1b54-d3ca-41a5-93f1-d9e0a0010203\0-m\x004096\0";
        let names = parse_emulator(line).unwrap();
        assert_eq!(names.domain, "instance-0000002a");
        assert_eq!(names.uuid.as_deref(), Some("7b2d1b54-d3ca-41a5-93f1-d9e0a0010203"));
        assert_eq!(parse_emulator(b"qemu\0-name\0old\0").unwrap().domain, "old");
        for other in [&b"nginx\0-g\0daemon off;\0"[..], b"", b"qemu\0-name", b"qemu\0-name\0\0"] {
            assert_eq!(parse_emulator(other), None);
        }
    }

    #[test]
    fn unseen_and_broken_process_numbers_are_skipped() {
        assert_eq!(parse_processes("5001\n0\nx\n5002\n99999999999\n"), [5001, 5002]);
    }

    #[test]
    fn this_process_is_older_than_nothing_and_younger_than_a_year() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.procs"), std::process::id().to_string()).unwrap();
        let folders = [dir.path().to_owned()];
        let mut files = Files::default();
        assert!(any_older_than(&folders, Duration::ZERO, &Roots::default(), &mut files));
        let year = Duration::from_secs(365 * 86_400);
        assert!(!any_older_than(&folders, year, &Roots::default(), &mut files));
    }
}
