use proptest::prelude::*;

use super::devices::{Traffic, is_real_disk, parse_diskstats, parse_net_dev};
use super::system::{
    parse_boot_id, parse_loadavg, parse_machine_id, parse_meminfo, parse_pressure, parse_stat, parse_uptime,
};
use super::*;

const KIB: u64 = 1024;
const TICK: u64 = 10_000_000;

fn fixture() -> Host {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/host");
    Host::new(Roots { proc_root: root.join("proc"), sys_root: root.join("sys") })
}

#[test]
fn cpu_time_is_in_nanoseconds_by_mode_and_cpus_are_counted() {
    let stat = parse_stat(include_str!("../../testdata/host/proc/stat"), 100);
    assert!(stat.faults.is_empty());
    let stat = stat.value.unwrap();
    assert_eq!((stat.user, stat.nice, stat.system), (57_045 * TICK, 10 * TICK, 7_978 * TICK));
    assert_eq!((stat.idle, stat.iowait, stat.irq), (353_969 * TICK, 1_294 * TICK, 5 * TICK));
    assert_eq!((stat.softirq, stat.steal), (179 * TICK, 159 * TICK));
    assert_eq!((stat.guest, stat.guest_nice), (40 * TICK, 2 * TICK));
    assert_eq!(stat.busy(), (57_045 + 10 + 7_978 + 5 + 179) * TICK);
    assert_eq!((stat.cpus, stat.boot_time), (2, Some(1_795_310_000)));
}

#[test]
fn a_broken_line_of_all_cpus_gives_no_figures_rather_than_zeros() {
    for text in ["cpu  1 2\ncpu0 1 2 3 4\n", "cpu  1 2 x 4\n", "btime 5\n", ""] {
        let parsed = parse_stat(text, 100);
        assert_eq!(parsed.value, None, "{text:?}");
        assert_eq!(parsed.faults.len(), 1, "{text:?}");
    }
    let old = parse_stat("cpu 1 2 3 4\n", 100).value.unwrap();
    assert_eq!((old.idle, old.steal), (4 * TICK, 0));
}

#[test]
fn memory_is_in_bytes() {
    let memory = fixture().memory().unwrap();
    assert_eq!(memory.total, Some(24_684_084 * KIB));
    assert_eq!(memory.used(), Some((24_684_084 - 24_024_060) * KIB));
    assert_eq!(memory.swap_used(), Some((1_048_576 - 1_000_000) * KIB));
    assert_eq!((memory.shared, memory.writeback), (Some(59_524 * KIB), Some(8 * KIB)));
}

#[test]
fn used_memory_of_an_old_kernel_is_what_is_neither_free_nor_cache() {
    let old = parse_meminfo("MemTotal: 100 kB\nMemFree: 20 kB\nBuffers: 5 kB\nCached: 15 kB\n").value;
    assert_eq!(old.used(), Some(60 * KIB));
    assert_eq!(old.available, None);
}

#[test]
fn one_broken_line_costs_only_itself() {
    let parsed = parse_meminfo("MemTotal: 100 kB\nMemFree: lots kB\nrubbish\nCached:\nBuffers: 5 kB\n");
    assert_eq!(
        (parsed.value.total, parsed.value.free, parsed.value.buffers),
        (Some(100 * KIB), None, Some(5 * KIB))
    );
    let lines: Vec<usize> = parsed.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [2, 3, 4]);
    assert_eq!(parsed.faults[0].to_string(), "line 2: \"lots\" is no number");
}

#[test]
fn load_uptime_and_identifiers() {
    let mut host = fixture();
    assert_eq!(host.load(), Some(LoadAverage { one: 0.52, five: 0.24, fifteen: 0.29 }));
    assert_eq!(host.uptime(), Some(4_211.37));
    assert_eq!(host.boot_id().as_deref(), Some("0146c839-b03a-4e94-9773-bfacc63f0161"));
    assert!(parse_loadavg("0.52 0.24\n").is_err());
    assert!(parse_uptime("\n").is_err());
    assert!(parse_boot_id("nonsense").is_err());
    assert_eq!(
        parse_machine_id("3D1219c7c4c5404aaa1f6d2a48adfda4\n").as_deref(),
        Some("3d1219c7c4c5404aaa1f6d2a48adfda4")
    );
    assert_eq!(parse_machine_id("uninitialized\n"), None);
    assert!(host.take_faults().is_empty());
}

#[test]
fn pressure_has_its_lines() {
    let io = fixture().pressure("io").unwrap();
    assert_eq!(io.some, Some(PressureLine { avg10: 0.31, avg60: 1.44, avg300: 1.21, total: 8_656_924 }));
    assert_eq!(io.full.unwrap().total, 3_572_344);
    let irq = parse_pressure("full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n").value;
    assert_eq!((irq.some, irq.full.unwrap().total), (None, 7));
    let cut =
        parse_pressure("some avg10=1.00 avg60=1.00\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7 new=1\n");
    assert_eq!((cut.value.some, cut.value.full.is_some(), cut.faults.len()), (None, true, 1));
}

#[test]
fn only_whole_disks_are_listed() {
    let disks = fixture().disks().unwrap();
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["sda", "dm-0", "nvme0n1"]);
    let sda = &disks[0];
    assert_eq!((sda.read_requests, sda.read_bytes, sda.read_time), (42_650, 6_457_202 * 512, 29_615_000_000));
    assert_eq!(
        (sda.write_requests, sda.write_bytes, sda.write_time),
        (19_009, 24_893_448 * 512, 187_655_000_000)
    );
    assert_eq!((sda.in_flight, sda.busy_time), (3, 15_188_000_000));
}

#[test]
fn sys_knows_better_than_names_which_disks_are_whole() {
    let whole: BTreeSet<String> = ["xvda1", "cciss/c0d0"].into_iter().map(str::to_owned).collect();
    for (name, by_sys, by_name) in [
        ("xvda1", true, false),
        ("cciss/c0d0", true, true),
        ("sda", false, true),
        ("sda12", false, false),
        ("mmcblk0p2", false, false),
        ("md127", false, true),
        ("loop3", false, false),
        ("zram0", false, false),
        ("sr0", false, false),
    ] {
        assert_eq!(is_real_disk(name, Some(&whole)), by_sys, "{name} by /sys");
        assert_eq!(is_real_disk(name, None), by_name, "{name} by its name");
    }
}

#[test]
fn cut_lines_of_disks_are_reported_and_others_kept() {
    let parsed = parse_diskstats("8 0 sda 1 2\n8 16 sdb 1 0 8 1 2 0 16 2 0 3 3\n8 x sdc\n");
    assert_eq!(parsed.value.len(), 1);
    assert_eq!(parsed.faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn interfaces_have_traffic_of_both_directions() {
    let interfaces = fixture().interfaces().unwrap();
    assert_eq!(interfaces.len(), 2);
    assert_eq!(interfaces[1].name, "eth0");
    assert_eq!(interfaces[1].incoming, Traffic { bytes: 178_116_909, packets: 8_994, errors: 1, drops: 2 });
    assert_eq!(interfaces[1].outgoing, Traffic { bytes: 693_610, packets: 6_939, errors: 3, drops: 4 });
    let cut = parse_net_dev("eth0: 1 2 3\neth1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
    assert_eq!((cut.value.len(), cut.faults.len()), (1, 1));
}

#[test]
fn an_empty_place_has_nothing_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = Host::new(Roots { proc_root: dir.path().join("proc"), sys_root: dir.path().join("sys") });
    assert!(host.cpu().is_none() && host.memory().is_none() && host.disks().is_none());
    assert!(host.interfaces().is_none() && host.pressure("cpu").is_none() && host.machine_id().is_none());
    assert!(host.take_faults().is_empty(), "absence is no fault");
    let missing = host.unreadable();
    assert_eq!(missing.len(), 9);
    assert!(missing.iter().all(|entry| entry.reason == "not there"));
}

#[test]
fn this_machine_can_be_read() {
    let mut host = Host::new(Roots::default());
    let cpu = host.cpu().unwrap();
    assert!(cpu.cpus > 0 && cpu.busy() > 0);
    let memory = host.memory().unwrap();
    assert!(memory.used().unwrap() < memory.total.unwrap());
    assert!(host.uptime().unwrap() > 0.0);
    assert!(host.load().is_some());
    assert!(host.boot_id().is_some());
    assert!(host.interfaces().is_some());
    assert!(host.take_faults().is_empty());
    assert!(!host_name().is_empty());
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in r"(\PC|\n| |[0-9=.:|]){0,400}") {
        parse_stat(&text, 100);
        parse_meminfo(&text);
        drop(parse_loadavg(&text));
        drop(parse_uptime(&text));
        drop(parse_boot_id(&text));
        parse_machine_id(&text);
        parse_pressure(&text);
        parse_diskstats(&text);
        parse_net_dev(&text);
        is_real_disk(&text, None);
    }

    #[test]
    fn mutated_files_give_faults_on_existing_lines(place in 0usize..2_000, letter in any::<char>(), file in 0usize..5) {
        let original = [
            include_str!("../../testdata/host/proc/stat"),
            include_str!("../../testdata/host/proc/meminfo"),
            include_str!("../../testdata/host/proc/diskstats"),
            include_str!("../../testdata/host/proc/net/dev"),
            include_str!("../../testdata/host/proc/pressure/io"),
        ][file];
        let mut letters: Vec<char> = original.chars().collect();
        let place = place % letters.len();
        letters[place] = letter;
        let text: String = letters.into_iter().collect();
        let faults = match file {
            0 => parse_stat(&text, 100).faults,
            1 => parse_meminfo(&text).faults,
            2 => parse_diskstats(&text).faults,
            3 => parse_net_dev(&text).faults,
            _ => parse_pressure(&text).faults,
        };
        let lines = text.lines().count();
        prop_assert!(faults.iter().all(|fault| fault.line >= 1 && fault.line <= lines));
    }
}
