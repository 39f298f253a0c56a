use std::fs;
use std::path::PathBuf;

use nephos_model::{ManualClock, SampleKind, Timestamp, Volume};

use super::*;

const DOCKER: &str = "4f1a7e0c9b2d4c6f8a1b3c5d7e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b";

/// A host of version 2 in a temporary folder, with its pollster.
struct Fake {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Fake {
    /// Its clock stands where the folders of its groups are made: now.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path().join("proc");
        fs::create_dir_all(proc.join("sys/kernel/random")).unwrap();
        fs::write(proc.join("mounts"), "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n").unwrap();
        fs::write(proc.join("sys/kernel/random/boot_id"), "0146c839-b03a-4e94-9773-bfacc63f0161\n").unwrap();
        let made = fs::metadata(dir.path()).unwrap().modified().unwrap();
        let since = made.duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = Timestamp::EPOCH.plus(since);
        Self { dir, clock: Arc::new(ManualClock::new(now)) }
    }

    fn folder(&self, path: &str) -> PathBuf {
        self.dir.path().join("sys/fs/cgroup").join(path)
    }

    fn group(&self, path: &str) {
        let folder = self.folder(path);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [
            ("cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_throttled 2\nthrottled_usec 9\n"),
            ("memory.current", "1000\n"),
            ("memory.max", "max\n"),
            ("memory.stat", "anon 600\nfile 300\ninactive_file 100\n"),
            ("pids.current", "5\n"),
            ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:16 rbytes=1 wbytes=2 rios=3 wios=4\n"),
            ("cpu.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=12\n"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    /// As the kernel shows a group that has been there for long.
    fn old_group(&self, path: &str) {
        self.group(path);
        self.age(path);
    }

    fn age(&self, path: &str) {
        let folder = fs::File::open(self.folder(path)).unwrap();
        folder.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000)).unwrap();
    }

    fn pollster(&self, limits: GroupLimits) -> GroupPollster {
        let roots = Roots { proc_root: self.dir.path().join("proc"), sys_root: self.dir.path().join("sys") };
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        GroupPollster::new(Arc::new(HostIdentity::read("node1", &roots)), roots, clock, limits)
    }
}

async fn poll(pollster: &GroupPollster, filter: impl Fn(&str) -> bool) -> Polled {
    let polled = pollster.poll(&Wanted::choose(&pollster.meters(), filter)).await;
    assert!(polled.faults.is_empty(), "{:?}", polled.faults);
    polled
}

fn resources(polled: &Polled) -> Vec<&str> {
    let mut ids: Vec<&str> = polled.samples.iter().map(|sample| sample.resource_id.as_str()).collect();
    ids.dedup();
    ids
}

fn left_out(polled: &Polled, reason: &str) -> usize {
    polled.left_out.iter().find(|(why, _)| *why == reason).unwrap().1
}

#[tokio::test]
async fn a_group_gives_its_meters_with_what_it_is() {
    let fake = Fake::new();
    fake.old_group(&format!("system.slice/docker-{DOCKER}.scope"));
    let pollster = fake.pollster(GroupLimits::default());
    let polled = poll(&pollster, |_| true).await;
    let id = format!("node1:docker:{DOCKER}");
    let of_group: Vec<&Sample> = polled.samples.iter().filter(|sample| sample.resource_id == id).collect();
    for (name, unit, volume) in [
        ("cgroup.cpu.usage", "ns", Volume::Int(7_000)),
        ("cgroup.cpu.throttled.time", "ns", Volume::Int(9_000)),
        ("cgroup.cpu.throttled.periods", "period", Volume::Int(2)),
        ("cgroup.memory.usage", "B", Volume::Int(1_000)),
        ("cgroup.memory.rss", "B", Volume::Int(600)),
        ("cgroup.memory.working_set", "B", Volume::Int(900)),
        ("cgroup.memory.cache", "B", Volume::Int(300)),
        ("cgroup.io.read.bytes", "B", Volume::Int(11)),
        ("cgroup.io.write.ops", "request", Volume::Int(6)),
        ("cgroup.pids", "process", Volume::Int(5)),
        ("cgroup.pressure.cpu.some.avg10", "%", Volume::Float(1.0)),
        ("cgroup.pressure.cpu.some.total", "us", Volume::Int(12)),
    ] {
        let sample = of_group.iter().find(|sample| sample.name == name).unwrap();
        assert_eq!((sample.unit.as_str(), sample.volume), (unit, volume), "{name}");
        assert_eq!(sample.metadata_str(Sample::RESOURCE_TYPE), Some("docker_container"));
        assert_eq!(sample.metadata_str("path"), Some(format!("system.slice/docker-{DOCKER}.scope").as_str()));
        assert_eq!(sample.metadata_str("name"), Some(DOCKER));
        assert_eq!(sample.metadata_str("device"), name.contains(".io.").then_some("8:0,8:16"));
        assert_eq!(sample.timestamp, of_group[0].timestamp);
    }
    assert!(!of_group.iter().any(|sample| sample.name == "cgroup.memory.limit"), "no limit is no number");
}

#[tokio::test]
async fn io_of_a_device_on_top_of_others_is_not_counted_twice() {
    let fake = Fake::new();
    fake.old_group("job");
    let sys = fake.dir.path().join("sys/dev/block");
    fs::create_dir_all(sys.join("8:16/slaves/sda")).unwrap();
    let polled = poll(&fake.pollster(GroupLimits::default()), |name| name == "cgroup.io.read.bytes").await;
    assert_eq!(polled.samples[0].volume, Volume::Int(10));
}

#[tokio::test]
async fn metadata_is_shared_from_poll_to_poll() {
    let fake = Fake::new();
    fake.old_group("job");
    let pollster = fake.pollster(GroupLimits::default());
    let first = poll(&pollster, |name| name == "cgroup.pids").await;
    let second = poll(&pollster, |name| name == "cgroup.pids").await;
    assert!(Arc::ptr_eq(&first.samples[0].metadata, &second.samples[0].metadata));
}

#[tokio::test]
async fn young_groups_wait_and_old_ones_do_not_wait_for_a_restarted_agent() {
    let fake = Fake::new();
    fake.group("young");
    fake.old_group("old");
    let pollster = fake.pollster(GroupLimits::default());
    let polled = poll(&pollster, |_| true).await;
    assert_eq!(resources(&polled), ["node1:cgroup:old"]);
    assert_eq!(left_out(&polled, "too_young"), 1);
    fake.clock.advance(Duration::from_secs(59));
    fake.clock.set(Timestamp::EPOCH);
    assert_eq!(resources(&poll(&pollster, |_| true).await).len(), 1, "whatever the wall clock says");
    fake.clock.advance(Duration::from_secs(1));
    assert_eq!(resources(&poll(&pollster, |_| true).await).len(), 2);
}

#[tokio::test]
async fn a_process_shows_the_first_poll_that_its_group_and_those_above_are_old() {
    let fake = Fake::new();
    fake.group("app.slice/app");
    fake.group("idle");
    fs::write(fake.folder("app.slice/app/cgroup.procs"), "77\n").unwrap();
    let process = fake.dir.path().join("proc/77");
    fs::create_dir_all(&process).unwrap();
    fs::write(process.join("stat"), "77 (app) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n").unwrap();
    let least_age = Duration::from_millis(100);
    let limits = GroupLimits { least_age, ..GroupLimits::default() };
    // The clock stands still, so that only the process can tell.
    let pollster = fake.pollster(limits);
    let polled = poll(&pollster, |_| true).await;
    assert_eq!(resources(&polled), ["node1:cgroup:app.slice_app"], "the slice has no files to read");
    assert_eq!(left_out(&polled, "too_young"), 1, "the slice is old with what is in it");
    fake.group("later");
    fs::write(fake.folder("later/cgroup.procs"), "77\n").unwrap();
    assert_eq!(resources(&poll(&pollster, |_| true).await).len(), 1, "a later group is seen to be new");
}

#[tokio::test]
async fn groups_beyond_the_bound_are_counted() {
    let fake = Fake::new();
    for index in 0..12 {
        fake.old_group(&format!("g{index:02}"));
    }
    let polled = poll(&fake.pollster(GroupLimits { most: 10, ..GroupLimits::default() }), |_| true).await;
    assert_eq!((resources(&polled).len(), left_out(&polled, "too_many")), (10, 2));
}

#[tokio::test]
async fn a_group_that_goes_says_when_once() {
    let fake = Fake::new();
    fake.old_group("job");
    fake.old_group("stays");
    let pollster = fake.pollster(GroupLimits::default());
    poll(&pollster, |_| true).await;
    fs::remove_dir_all(fake.folder("job")).unwrap();
    fake.clock.set(Timestamp::from_secs(1_795_000_000));
    let polled = poll(&pollster, |_| true).await;
    let last: Vec<&Sample> =
        polled.samples.iter().filter(|sample| sample.resource_id == "node1:cgroup:job").collect();
    assert_eq!(last.len(), 1);
    assert_eq!(
        (last[0].name.as_str(), last[0].kind, last[0].volume),
        ("cgroup.pids", SampleKind::Gauge, Volume::Int(0))
    );
    assert_eq!(last[0].metadata_str(ENDED_AT), Some("2026-11-18T11:06:40+00:00"));
    assert_eq!(last[0].metadata_str("path"), Some("job"));
    assert!(polled.samples.iter().filter(|sample| sample.metadata_str(ENDED_AT).is_some()).count() == 1);
    let again = poll(&pollster, |_| true).await;
    assert_eq!(resources(&again), ["node1:cgroup:stays"]);
}

#[tokio::test]
async fn the_last_sample_is_of_a_meter_that_is_wanted() {
    for (filter, name, volume) in [
        ("cgroup.cpu.user", "cgroup.cpu.user", Volume::Int(4_000)),
        ("cgroup.memory.usage", "cgroup.memory.usage", Volume::Int(0)),
    ] {
        let fake = Fake::new();
        fake.old_group("job");
        let pollster = fake.pollster(GroupLimits::default());
        poll(&pollster, |meter| meter == filter).await;
        fs::remove_dir_all(fake.folder("job")).unwrap();
        let polled = poll(&pollster, |meter| meter == filter).await;
        assert_eq!(polled.samples.len(), 1);
        assert_eq!((polled.samples[0].name.as_str(), polled.samples[0].volume), (name, volume));
    }
}

#[tokio::test]
async fn a_group_that_only_did_not_fit_is_not_ended() {
    let fake = Fake::new();
    fake.old_group("z");
    let pollster = fake.pollster(GroupLimits { most: 1, ..GroupLimits::default() });
    assert_eq!(resources(&poll(&pollster, |_| true).await), ["node1:cgroup:z"]);
    fake.old_group("a");
    let polled = poll(&pollster, |_| true).await;
    assert_eq!(resources(&polled), ["node1:cgroup:a"]);
}

#[tokio::test]
async fn hidden_hierarchies_end_nothing() {
    let fake = Fake::new();
    fake.old_group("job");
    let pollster = fake.pollster(GroupLimits::default());
    poll(&pollster, |_| true).await;
    fs::write(fake.dir.path().join("proc/mounts"), "none / tmpfs rw 0 0\n").unwrap();
    assert!(poll(&pollster, |_| true).await.samples.is_empty());
    fs::write(fake.dir.path().join("proc/mounts"), "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n").unwrap();
    let polled = poll(&pollster, |_| true).await;
    assert!(polled.samples.iter().all(|sample| sample.metadata_str(ENDED_AT).is_none()));
    assert_eq!(resources(&polled), ["node1:cgroup:job"]);
}

#[tokio::test]
async fn a_guest_has_the_name_and_uuid_its_emulator_knows() {
    let fake = Fake::new();
    let path = r"machine.slice/machine-qemu\x2d1\x2dvery\x2dlong.scope";
    fake.group(path);
    fs::write(fake.folder(path).join("cgroup.procs"), "88\n").unwrap();
    fake.age(path);
    let process = fake.dir.path().join("proc/88");
    fs::create_dir_all(&process).unwrap();
    fs::write(process.join("cmdline"), b"qemu\0-name\0guest=very-long-name\0-uuid\0u-7b2d\0").unwrap();
    let polled = poll(&fake.pollster(GroupLimits::default()), |name| name == "cgroup.pids").await;
    let guest = &polled.samples[0];
    assert_eq!(guest.resource_id, "node1:libvirt:very-long-name");
    assert_eq!(guest.metadata_str("instance_id"), Some("u-7b2d"));
    assert_eq!(guest.metadata_str("name"), Some("very-long-name"));
}

#[tokio::test]
async fn nothing_wanted_reads_nothing() {
    let fake = Fake::new();
    fs::remove_file(fake.dir.path().join("proc/mounts")).unwrap();
    fs::create_dir(fake.dir.path().join("proc/mounts")).unwrap();
    let polled = poll(&fake.pollster(GroupLimits::default()), |name| name == "cpu").await;
    assert!(polled.samples.is_empty() && polled.left_out.is_empty());
}
