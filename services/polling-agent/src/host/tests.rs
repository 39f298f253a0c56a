use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nephos_model::{ManualClock, SampleKind, Timestamp, Volume};

use super::*;

/// A host in a temporary folder.
fn fake() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        (
            "stat",
            "cpu 100 0 50 1000 5 1 2 3 0 0\ncpu0 50 0 25 500 2 0 1 1 0 0\ncpu1 50 0 25 500 3 1 1 2 0 0\n",
        ),
        ("loadavg", "0.52 0.24 0.29 3/130 16707\n"),
        ("uptime", "4211.37 7043.22\n"),
        (
            "meminfo",
            "MemTotal: 1000 kB\nMemFree: 400 kB\nMemAvailable: 600 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        ),
        ("diskstats", "8 0 sda 10 0 100 7 20 0 200 9 0 11 16\n8 1 sda1 1 0 1 1 1 0 1 1 0 1 1\n"),
        ("net/dev", "eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"),
        ("pressure/cpu", "some avg10=1.50 avg60=0.00 avg300=0.00 total=99\n"),
        ("sys/kernel/random/boot_id", "0146c839-b03a-4e94-9773-bfacc63f0161\n"),
        ("1/root/etc/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n"),
    ] {
        let path = dir.path().join("proc").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn roots(dir: &Path) -> Roots {
    Roots { proc_root: dir.join("proc"), sys_root: dir.join("sys") }
}

fn pollster(dir: &Path) -> HostPollster {
    let identity = Arc::new(HostIdentity::read("node1", &roots(dir)));
    HostPollster::new(
        identity,
        roots(dir),
        Arc::new(ManualClock::new(Timestamp::from_nanos(1_795_000_000_123_456_789))),
    )
}

async fn poll(dir: &Path, pattern: impl Fn(&str) -> bool) -> Vec<Sample> {
    let pollster = pollster(dir);
    let polled = pollster.poll(&Wanted::choose(&pollster.meters(), pattern)).await;
    assert!(polled.faults.is_empty(), "{:?}", polled.faults);
    polled.samples
}

fn find<'a>(samples: &'a [Sample], name: &str) -> &'a Sample {
    samples.iter().find(|sample| sample.name == name).unwrap_or_else(|| panic!("{name} is missing"))
}

#[tokio::test]
async fn the_host_its_disks_and_interfaces_are_resources_of_their_own() {
    let dir = fake();
    let samples = poll(dir.path(), |_| true).await;
    let tick = 1_000_000_000 / nephos_ticks(&samples);
    for (name, resource, resource_type, unit, volume) in [
        ("cpu", "node1", "host", "ns", Volume::Int(153 * tick)),
        ("host.cpu.idle", "node1", "host", "ns", Volume::Int(1_000 * tick)),
        ("host.load.5min", "node1", "host", "process", Volume::Float(0.24)),
        ("host.uptime", "node1", "host", "s", Volume::Float(4_211.37)),
        ("host.memory.used", "node1", "host", "B", Volume::Int(400 * 1024)),
        ("host.pressure.cpu.some.total", "node1", "host", "us", Volume::Int(99)),
        ("host.pressure.cpu.some.avg10", "node1", "host", "%", Volume::Float(1.5)),
        ("host.disk.read.bytes", "node1.sda", "host_disk", "B", Volume::Int(51_200)),
        ("host.disk.write.requests", "node1.sda", "host_disk", "request", Volume::Int(20)),
        ("host.network.incoming.drops", "node1.eth0", "host_network_interface", "packet", Volume::Int(4)),
        ("host.network.outgoing.bytes", "node1.eth0", "host_network_interface", "B", Volume::Int(5)),
    ] {
        let sample = find(&samples, name);
        assert_eq!(sample.resource_id, resource, "{name}");
        assert_eq!(sample.metadata_str(Sample::RESOURCE_TYPE), Some(resource_type), "{name}");
        assert_eq!((sample.unit.as_str(), sample.volume), (unit, volume), "{name}");
    }
    assert!(!samples.iter().any(|sample| sample.name.contains(".full.")), "what is not there is left out");
    assert!(!samples.iter().any(|sample| sample.resource_id == "node1.sda1"), "partitions are no disks");
}

/// Ticks per second, found from the idle time of the fixture: 1000 ticks.
fn nephos_ticks(samples: &[Sample]) -> i64 {
    let Volume::Int(idle) = find(samples, "host.cpu.idle").volume else { panic!("no integer") };
    1_000 * 1_000_000_000 / idle
}

#[tokio::test]
async fn all_samples_of_a_reading_share_their_time_and_metadata() {
    let dir = fake();
    let samples = poll(dir.path(), |_| true).await;
    let host: Vec<&Sample> = samples.iter().filter(|sample| sample.resource_id == "node1").collect();
    let first = host[0];
    assert_eq!(first.timestamp, Timestamp::from_nanos(1_795_000_000_123_456_000), "whole microseconds");
    assert!(first.monotonic_time.unwrap() > 0.0);
    for sample in &host {
        assert!(Arc::ptr_eq(&sample.metadata, &first.metadata));
        assert_eq!((sample.timestamp, sample.monotonic_time), (first.timestamp, first.monotonic_time));
    }
    let ids: BTreeSet<_> = samples.iter().map(|sample| sample.id).collect();
    assert_eq!(ids.len(), samples.len());
}

#[tokio::test]
async fn the_hosts_metadata_says_who_it_is() {
    let dir = fake();
    let samples = poll(dir.path(), |name| name == "cpu").await;
    assert_eq!(samples.len(), 1);
    let sample = &samples[0];
    assert_eq!(sample.kind, SampleKind::Cumulative);
    assert_eq!(sample.metadata.get("cpu_number"), Some(&Value::from(2)));
    for (key, value) in [
        ("host", "node1"),
        ("display_name", "node1"),
        ("machine_id", "3d1219c7c4c5404aaa1f6d2a48adfda4"),
        ("monotonic_origin", "0146c839-b03a-4e94-9773-bfacc63f0161/node1"),
    ] {
        assert_eq!(sample.metadata_str(key), Some(value), "{key}");
    }
}

#[tokio::test]
async fn only_files_of_wanted_meters_are_read() {
    let dir = fake();
    for broken in ["stat", "meminfo", "diskstats", "net/dev", "uptime", "pressure/cpu"] {
        fs::write(dir.path().join("proc").join(broken), "8 rubbish: x\nsome avg10\n").unwrap();
    }
    let samples = poll(dir.path(), |name| name.starts_with("host.load.")).await;
    assert_eq!(samples.len(), 3);
}

#[tokio::test]
async fn a_broken_file_is_a_fault_and_costs_only_its_own_meters() {
    let dir = fake();
    fs::write(dir.path().join("proc/stat"), "cpu 1 x\n").unwrap();
    let pollster = pollster(dir.path());
    let polled = pollster.poll(&Wanted::choose(&pollster.meters(), |_| true)).await;
    assert_eq!(polled.faults.len(), 1);
    let (kind, text) = &polled.faults[0];
    assert_eq!(*kind, "malformed");
    assert!(text.ends_with("stat: line 1: \"x\" is no number"), "{text}");
    assert!(!polled.samples.iter().any(|sample| sample.name == "cpu"));
    assert!(polled.samples.iter().any(|sample| sample.name == "host.uptime"));
}

#[tokio::test]
async fn without_a_boot_identifier_there_is_no_monotonic_time() {
    let dir = fake();
    fs::remove_file(dir.path().join("proc/sys/kernel/random/boot_id")).unwrap();
    let samples = poll(dir.path(), |name| name == "cpu").await;
    assert_eq!(samples[0].monotonic_time, None);
    assert_eq!(samples[0].metadata_str("monotonic_origin"), None);
}

#[tokio::test]
async fn monotonic_time_is_that_of_the_boot_so_that_a_restarted_agent_goes_on() {
    let dir = fake();
    let before = poll(dir.path(), |name| name == "cpu").await;
    let after = poll(dir.path(), |name| name == "cpu").await;
    let gap = after[0].monotonic_time.unwrap() - before[0].monotonic_time.unwrap();
    assert!((0.0..60.0).contains(&gap), "{gap}");
    let boot = nephos_hypervisor::clock::since_boot().as_secs_f64();
    assert!((boot - after[0].monotonic_time.unwrap()).abs() < 60.0);
}

#[tokio::test]
async fn this_machine_gives_sane_figures() {
    let identity = Arc::new(HostIdentity::read("here", &Roots::default()));
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_795_000_000)));
    let pollster = HostPollster::new(identity, Roots::default(), clock);
    let polled = pollster.poll(&Wanted::choose(&pollster.meters(), |_| true)).await;
    assert!(polled.faults.is_empty(), "{:?}", polled.faults);
    let volume = |name| find(&polled.samples, name).volume.as_f64();
    assert!(volume("host.memory.used") < volume("host.memory.total"));
    assert!(volume("cpu") > 0.0 && volume("host.uptime") > 0.0);
    assert!(polled.samples.iter().any(|sample| sample.name == "host.network.incoming.bytes"));
}

#[test]
fn names_in_the_catalogue_are_unique_and_explained() {
    let meters = crate::catalogue();
    let names: BTreeSet<&str> = meters.iter().map(|meter| meter.name).collect();
    assert_eq!(names.len(), meters.len());
    for meter in meters {
        assert!(!meter.description.is_empty() && !meter.resource_types.is_empty(), "{}", meter.name);
        let of_host = meter.resource_types[0].starts_with("host");
        assert_eq!(meter.name == "cpu" || meter.name.starts_with("host."), of_host, "{}", meter.name);
    }
}
