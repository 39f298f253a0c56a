use std::fs;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::host::PressureLine;

const ALL: GroupParts = GroupParts::of(&[
    GroupPart::Cpu,
    GroupPart::Throttling,
    GroupPart::MemoryUsage,
    GroupPart::MemoryStat,
    GroupPart::Swap,
    GroupPart::MemoryLimit,
    GroupPart::MemoryEvents,
    GroupPart::Io,
    GroupPart::Pids,
    GroupPart::CpuPressure,
    GroupPart::IoPressure,
    GroupPart::MemoryPressure,
]);

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// A host in a temporary folder.
struct Fake {
    dir: tempfile::TempDir,
}

impl Fake {
    fn new(mounts: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc")).unwrap();
        fs::copy(testdata("proc").join(mounts), dir.path().join("proc/mounts")).unwrap();
        fs::copy(testdata("proc/cgroups"), dir.path().join("proc/cgroups")).unwrap();
        Self { dir }
    }

    fn folder(&self, path: &str) -> PathBuf {
        self.dir.path().join("sys/fs/cgroup").join(path)
    }

    /// Puts a folder of test data at a group's place.
    fn put(&self, group: &str, data: &str) {
        let folder = self.folder(group);
        fs::create_dir_all(&folder).unwrap();
        for file in fs::read_dir(testdata("cgroup").join(data)).unwrap().flatten() {
            if file.file_type().unwrap().is_file() {
                fs::copy(file.path(), folder.join(file.file_name())).unwrap();
            }
        }
    }

    fn cgroups(&self) -> Cgroups {
        Cgroups::new(Roots { proc_root: self.dir.path().join("proc"), sys_root: self.dir.path().join("sys") })
    }
}

/// The written tree of version 2, at its real paths.
fn unified() -> Fake {
    let fake = Fake::new("mounts_v2");
    let tree: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&fs::read_to_string(testdata("cgroup/v2-tree/TREE.json")).unwrap()).unwrap();
    for (folder, path) in tree {
        fake.put(path.as_str().unwrap(), &format!("v2-tree/{folder}"));
    }
    fake
}

fn read(cgroups: &mut Cgroups, suffix: &str) -> GroupReading {
    let walk = cgroups.walk(5_000).unwrap();
    let group = walk.groups.iter().find(|group| group.path_text().ends_with(suffix)).unwrap();
    let reading = cgroups.read(group, ALL);
    assert!(cgroups.faults.is_empty(), "{:?}", cgroups.faults);
    reading
}

#[test]
fn the_written_tree_is_walked_and_recognised() {
    let fake = unified();
    let mut cgroups = fake.cgroups();
    let walk = cgroups.walk(5_000).unwrap();
    assert_eq!(cgroups.layout(), Some(Layout::V2));
    assert_eq!(walk.dropped, 0);
    let known: Vec<(&str, String)> = walk
        .groups
        .iter()
        .filter_map(|group| Some((group.kind.resource_type(), group.kind.native_id()?)))
        .collect();
    let expected = [
        ("lxc_container", "web01"),
        ("libvirt_guest", "instance-00000001"),
        ("docker_container", "4f1a7e0c9b2d4c6f8a1b3c5d7e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b"),
        ("system_service", "nginx.service"),
        ("kubernetes_container", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
        ("kubernetes_container", "9d8c7b6a5f4e3d2c1b0a99887766554433221100ffeeddccbbaa998877665544"),
    ];
    assert_eq!(known, expected.map(|(kind, id)| (kind, id.to_owned())));
    assert!(walk.groups.iter().any(|group| group.path_text() == "system.slice"), "slices are groups too");
}

#[test]
fn a_group_of_version_2_gives_every_figure() {
    let reading = read(
        &mut unified().cgroups(),
        "docker-4f1a7e0c9b2d4c6f8a1b3c5d7e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b.scope",
    );
    assert_eq!(reading.cpu_usage, Some(631_984_047_000));
    assert_eq!((reading.cpu_user, reading.cpu_system), (Some(523_984_047_000), Some(108_000_000_000)));
    assert_eq!((reading.throttled_periods, reading.throttled_time), (Some(420), Some(31_250_000_000)));
    assert_eq!((reading.memory_usage, reading.memory_limit), (Some(268_435_456), Some(536_870_912)));
    assert_eq!((reading.memory_rss, reading.memory_cache), (Some(214_748_364), Some(51_589_940)));
    assert_eq!(reading.working_set(), Some(268_435_456 - 26_843_545));
    assert_eq!(
        (reading.memory_swap, reading.memory_failures, reading.oom_kills),
        (Some(0), Some(3), Some(1))
    );
    let io = DeviceIo {
        device: Device { major: 8, minor: 0 },
        read_bytes: 10_485_760,
        write_bytes: 5_242_880,
        read_requests: 320,
        write_requests: 160,
    };
    assert_eq!(reading.io, Some(vec![io]));
    assert_eq!(reading.pids, Some(14));
    let stalled = PressureLine { avg10: 30.0, avg60: 15.0, avg300: 7.5, total: 30_000_000 };
    assert_eq!(reading.cpu_pressure.unwrap().some, Some(stalled));
    assert_eq!(reading.io_pressure.unwrap().full.unwrap().total, 300_000);
    assert_eq!(reading.memory_pressure.unwrap().some.unwrap().total, 0);
}

#[test]
fn no_limit_and_no_io_are_told_apart_from_unknown() {
    let reading = read(&mut unified().cgroups(), "nginx.service");
    assert_eq!((reading.memory_limit, reading.io), (None, Some(Vec::new())));
}

#[test]
fn threaded_groups_have_cpu_only() {
    let reading = read(&mut unified().cgroups(), "vcpu0");
    assert_eq!(reading.cpu_usage, Some(600_000_000_000));
    assert!(reading.cpu_pressure.is_some());
    assert_eq!((reading.memory_usage, reading.io, reading.pids), (None, None, None));
}

#[test]
fn only_wanted_parts_are_read() {
    let fake = unified();
    fs::write(fake.folder("system.slice/nginx.service/memory.current"), "broken").unwrap();
    let mut cgroups = fake.cgroups();
    let walk = cgroups.walk(5_000).unwrap();
    let nginx = walk.groups.iter().find(|group| group.path_text().ends_with("nginx.service")).unwrap();
    let reading = cgroups.read(nginx, GroupParts::of(&[GroupPart::Pids]));
    assert_eq!(reading, GroupReading { pids: Some(5), ..GroupReading::default() });
    assert!(cgroups.take_faults().is_empty());
    cgroups.read(nginx, GroupParts::of(&[GroupPart::MemoryUsage]));
    let faults = cgroups.take_faults();
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].to_string().ends_with("memory.current: line 1: \"broken\" is no number"),
        "{}",
        faults[0]
    );
    assert_eq!(faults[0].kind(), "malformed");
}

#[test]
fn a_pure_version_1_host_is_read() {
    let fake = Fake::new("mounts_v1_joined");
    for (hierarchy, data) in
        [("cpu,cpuacct", "cpu"), ("cpu,cpuacct", "cpuacct"), ("memory", "memory"), ("blkio", "blkio")]
    {
        fake.put(&format!("{hierarchy}/machine/qemu-1-web.libvirt-qemu"), &format!("v1-written/{data}"));
    }
    let mut cgroups = fake.cgroups();
    let reading = read(&mut cgroups, "qemu-1-web.libvirt-qemu");
    assert_eq!(cgroups.layout(), Some(Layout::V1));
    assert_eq!(reading.cpu_usage, Some(1_301_850_000_000));
    let tick = 1_000_000_000 / ticks();
    assert_eq!((reading.cpu_user, reading.cpu_system), (Some(107_075 * tick), Some(23_110 * tick)));
    assert_eq!((reading.throttled_periods, reading.throttled_time), (Some(1_203), Some(98_765_432_100)));
    assert_eq!((reading.memory_usage, reading.memory_limit), (Some(1_610_612_736), Some(4_294_967_296)));
    assert_eq!((reading.memory_rss, reading.memory_cache), (Some(1_443_428_352), Some(134_217_728)));
    assert_eq!(reading.working_set(), Some(1_610_612_736 - 90_177_536));
    assert_eq!((reading.memory_swap, reading.memory_failures), (Some(33_554_432), Some(17)));
    let io = reading.io.unwrap();
    assert_eq!(io.len(), 2);
    assert_eq!((io[0].read_bytes, io[0].write_bytes), (264_503_296, 1_930_084_352));
    assert_eq!((io[0].read_requests, io[0].write_requests), (16_538, 30_476));
    assert_eq!((io[1].device, io[1].read_bytes), (Device { major: 8, minor: 16 }, 4_096));
    assert_eq!((reading.pids, reading.cpu_pressure), (None, None));
}

fn ticks() -> u64 {
    crate::clock::ticks_per_second()
}

/// A captured group that stands in all hierarchies.
fn hybrid() -> Fake {
    let fake = Fake::new("mounts_hybrid");
    for controller in ["cpu", "cpuacct", "memory", "blkio", "pids"] {
        fake.put(&format!("{controller}/probe"), &format!("v1-captured/{controller}"));
    }
    fake.put("unified/probe", "v2-captured");
    fake
}

#[test]
fn a_hybrid_host_takes_each_figure_from_the_hierarchy_that_has_it() {
    let fake = hybrid();
    let mut cgroups = fake.cgroups();
    let reading = read(&mut cgroups, "probe");
    assert_eq!(cgroups.layout(), Some(Layout::Hybrid));
    assert_eq!(cgroups.walk(10).unwrap().groups.len(), 1, "one path, one group");
    assert_eq!(reading.cpu_usage, Some(702_788_742), "of version 1, in nanoseconds");
    assert_eq!((reading.cpu_user, reading.cpu_system), (Some(571_984_047), Some(172_000_000)));
    assert_eq!(reading.throttled_time, Some(0));
    assert_eq!((reading.memory_usage, reading.memory_limit), (Some(1_511_424), None));
    assert_eq!((reading.memory_swap, reading.oom_kills, reading.pids), (Some(0), Some(0), Some(5)));
    assert_eq!(reading.io, None, "a total of nothing proves nothing");
    assert_eq!(reading.cpu_pressure.unwrap().some.unwrap().total, 2_637_870, "of version 2");
}

#[test]
fn a_group_of_version_2_alone_on_a_hybrid_host_has_what_is_there() {
    let fake = Fake::new("mounts_hybrid");
    fake.put("unified/probe", "v2-captured");
    let reading = read(&mut fake.cgroups(), "probe");
    assert_eq!(reading.cpu_usage, Some(1_186_752_000));
    assert_eq!((reading.throttled_time, reading.memory_usage, reading.io), (None, None, None));
}

#[test]
fn io_stat_wins_over_the_files_of_version_1() {
    let fake = hybrid();
    fs::write(fake.folder("unified/probe/io.stat"), "8:0 rbytes=7 wbytes=8 rios=1 wios=2\n253:1\n").unwrap();
    fs::write(fake.folder("blkio/probe/blkio.throttle.io_service_bytes"), "8:0 Read 99\nTotal 99\n").unwrap();
    let io = read(&mut fake.cgroups(), "probe").io.unwrap();
    assert_eq!((io.len(), io[0].read_bytes, io[1].read_bytes), (2, 7, 0));
}

#[test]
fn groups_beyond_the_limit_are_counted_and_shallow_ones_stay() {
    let fake = Fake::new("mounts_v2");
    for index in 0..30 {
        fs::create_dir_all(fake.folder(&format!("deep/d{index:02}"))).unwrap();
    }
    fs::create_dir_all(fake.folder("zone")).unwrap();
    fs::create_dir_all(fake.folder("lxc.monitor.web01")).unwrap();
    let walk = fake.cgroups().walk(10).unwrap();
    assert_eq!((walk.groups.len(), walk.dropped), (10, 22), "monitors are neither kept nor dropped");
    let first: Vec<String> = walk.groups.iter().take(3).map(Group::path_text).collect();
    assert_eq!(first, ["deep", "zone", "deep/d00"]);
}

#[test]
fn a_vanished_group_is_no_fault() {
    let fake = unified();
    let mut cgroups = fake.cgroups();
    let walk = cgroups.walk(5_000).unwrap();
    let lxc = walk.groups.iter().find(|group| group.path_text() == "lxc.payload.web01").unwrap();
    assert!(cgroups.exists(&lxc.path));
    fs::remove_dir_all(fake.folder("lxc.payload.web01")).unwrap();
    assert_eq!(cgroups.read(lxc, ALL), GroupReading::default());
    assert!(!cgroups.exists(&lxc.path));
    assert_eq!(cgroups.there_since(lxc), None);
    assert!(cgroups.take_faults().is_empty());
}

#[test]
fn age_shows_in_the_folder_and_in_its_processes() {
    let fake = unified();
    let mut cgroups = fake.cgroups();
    let walk = cgroups.walk(5_000).unwrap();
    let lxc = walk.groups.iter().find(|group| group.path_text() == "lxc.payload.web01").unwrap();
    let folder = fs::File::open(fake.folder("lxc.payload.web01")).unwrap();
    folder.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000)).unwrap();
    assert_eq!(cgroups.there_since(lxc), Some(Timestamp::from_secs(1_000)));
    assert!(!cgroups.has_process_older_than(lxc, Duration::ZERO), "its processes are not in /proc");
    let process = fake.dir.path().join("proc/7002");
    fs::create_dir_all(&process).unwrap();
    fs::write(process.join("stat"), "7002 (init) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n").unwrap();
    assert!(cgroups.has_process_older_than(lxc, Duration::ZERO));
}

#[test]
fn a_guest_is_named_through_its_emulators_threads() {
    let fake = unified();
    let process = fake.dir.path().join("proc/4101");
    fs::create_dir_all(&process).unwrap();
    fs::write(process.join("cmdline"), b"qemu\0-name\0guest=instance-00000001,x=y\0-uuid\0u-1\0").unwrap();
    let mut cgroups = fake.cgroups();
    let walk = cgroups.walk(5_000).unwrap();
    let guest =
        walk.groups.iter().find(|group| matches!(group.kind, GroupKind::LibvirtGuest { .. })).unwrap();
    let names = GuestNames { domain: "instance-00000001".to_owned(), uuid: Some("u-1".to_owned()) };
    assert_eq!(cgroups.guest_names(guest), Some(names));
}

#[test]
fn block_devices_are_named_and_those_on_top_of_others_known() {
    let fake = Fake::new("mounts_v2");
    let sys = fake.dir.path().join("sys");
    fs::create_dir_all(sys.join("devices/sda/slaves")).unwrap();
    fs::create_dir_all(sys.join("devices/dm-3/slaves/sda")).unwrap();
    fs::create_dir_all(sys.join("dev/block")).unwrap();
    for (number, name) in [("8:0", "sda"), ("253:3", "dm-3")] {
        std::os::unix::fs::symlink(format!("../../devices/{name}"), sys.join("dev/block").join(number))
            .unwrap();
    }
    let cgroups = fake.cgroups();
    for (major, minor, name, stacked) in [(8, 0, "sda", false), (253, 3, "dm-3", true), (9, 1, "9:1", false)]
    {
        let expected = BlockDevice { name: name.to_owned(), stacked };
        assert_eq!(cgroups.block_device(Device { major, minor }), expected);
    }
}

#[test]
fn a_host_without_hierarchies_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut cgroups =
        Cgroups::new(Roots { proc_root: dir.path().join("proc"), sys_root: dir.path().join("sys") });
    assert!(cgroups.walk(10).is_none());
    let missing = cgroups.unreadable();
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].reason, "no hierarchy is mounted");
}

#[test]
fn this_machine_can_be_walked() {
    let mut cgroups = Cgroups::new(Roots::default());
    if let Some(walk) = cgroups.walk(5_000) {
        for group in &walk.groups {
            cgroups.read(group, ALL);
        }
        let malformed = cgroups.take_faults().into_iter().find(|fault| fault.kind() == "malformed");
        assert!(malformed.is_none(), "{malformed:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in r"(\PC|\n| |[0-9=:]){0,400}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        v2::parse_cpu_stat(&text);
        v2::parse_memory_stat(&text);
        v2::parse_memory_events(&text);
        v2::parse_io_stat(&text);
        v1::parse_cpuacct_stat(&text);
        v1::parse_cpu_stat(&text);
        v1::parse_memory_stat(&text);
        v1::parse_oom_control(&text);
        v1::parse_blkio(&text);
        hierarchy::parse_mounts(&text);
        hierarchy::parse_controllers(&text);
        processes::parse_processes(&text);
        processes::parse_start(&text);
        processes::parse_emulator(&bytes);
    }

    #[test]
    fn lines_around_a_broken_one_are_kept(place in 0usize..4, rubbish in r"[^\n]{1,30}") {
        let good = ["8:0 rbytes=1 wbytes=2", "8:16 rbytes=3", "8:32"];
        let mut lines: Vec<&str> = good.to_vec();
        lines.insert(place, &rubbish);
        let parsed = v2::parse_io_stat(&lines.join("\n"));
        prop_assert!(parsed.value.len() >= good.len());
        prop_assert_eq!(parsed.value.len() - good.len() + parsed.faults.len(), usize::from(!rubbish.trim().is_empty()));
    }
}
