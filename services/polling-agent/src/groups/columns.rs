//! The meters of control groups.

use nephos_hypervisor::cgroup::{GroupKind, GroupPart, GroupParts, GroupReading};
use nephos_hypervisor::host::{Pressure, PressureLine};
use nephos_model::{SampleKind, Volume};

use crate::meter::{Column, Meter};

type GroupColumn<R> = Column<R, GroupParts>;

/// Block I/O of a group over all its devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IoTotals {
    pub(super) read_bytes: u64,
    pub(super) write_bytes: u64,
    pub(super) read_requests: u64,
    pub(super) write_requests: u64,
}

const fn column<R>(
    name: &'static str,
    kind: SampleKind,
    unit: &'static str,
    parts: &[GroupPart],
    description: &'static str,
    volume: fn(&R) -> Option<Volume>,
) -> GroupColumn<R> {
    let resource_types = &GroupKind::RESOURCE_TYPES;
    let meter = Meter { name, kind, unit, description, resource_types };
    Column { meter, needs: GroupParts::of(parts), volume }
}

const fn counter(
    name: &'static str,
    unit: &'static str,
    parts: &[GroupPart],
    description: &'static str,
    volume: fn(&GroupReading) -> Option<Volume>,
) -> GroupColumn<GroupReading> {
    column(name, SampleKind::Cumulative, unit, parts, description, volume)
}

const fn bytes(
    name: &'static str,
    parts: &[GroupPart],
    description: &'static str,
    volume: fn(&GroupReading) -> Option<Volume>,
) -> GroupColumn<GroupReading> {
    column(name, SampleKind::Gauge, "B", parts, description, volume)
}

const fn io(
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    volume: fn(&IoTotals) -> Option<Volume>,
) -> GroupColumn<IoTotals> {
    column(name, SampleKind::Cumulative, unit, &[GroupPart::Io], description, volume)
}

/// The meter that a group's last sample is of, if it is wanted: a group that went has no tasks.
pub(super) const PIDS: &str = "cgroup.pids";

pub(super) static USAGE: [GroupColumn<GroupReading>; 14] = [
    counter("cgroup.cpu.usage", "ns", &[GroupPart::Cpu], "CPU time", |group| {
        group.cpu_usage.map(Volume::from)
    }),
    counter("cgroup.cpu.user", "ns", &[GroupPart::Cpu], "CPU time in user mode", |group| {
        group.cpu_user.map(Volume::from)
    }),
    counter("cgroup.cpu.system", "ns", &[GroupPart::Cpu], "CPU time in kernel mode", |group| {
        group.cpu_system.map(Volume::from)
    }),
    counter(
        "cgroup.cpu.throttled.time",
        "ns",
        &[GroupPart::Throttling],
        "time held back by its quota",
        |group| group.throttled_time.map(Volume::from),
    ),
    counter(
        "cgroup.cpu.throttled.periods",
        "period",
        &[GroupPart::Throttling],
        "periods in which it was held back by its quota",
        |group| group.throttled_periods.map(Volume::from),
    ),
    bytes("cgroup.memory.usage", &[GroupPart::MemoryUsage], "memory, page cache included", |group| {
        group.memory_usage.map(Volume::from)
    }),
    bytes("cgroup.memory.rss", &[GroupPart::MemoryStat], "memory of no file", |group| {
        group.memory_rss.map(Volume::from)
    }),
    bytes(
        "cgroup.memory.working_set",
        &[GroupPart::MemoryUsage, GroupPart::MemoryStat],
        "memory without page cache that was not used of late",
        |group| group.working_set().map(Volume::from),
    ),
    bytes("cgroup.memory.cache", &[GroupPart::MemoryStat], "page cache", |group| {
        group.memory_cache.map(Volume::from)
    }),
    bytes("cgroup.memory.swap", &[GroupPart::Swap], "swap in use", |group| {
        group.memory_swap.map(Volume::from)
    }),
    bytes("cgroup.memory.limit", &[GroupPart::MemoryLimit], "most memory it may use, if limited", |group| {
        group.memory_limit.map(Volume::from)
    }),
    counter(
        "cgroup.memory.failcnt",
        "event",
        &[GroupPart::MemoryEvents],
        "how often it ran into its memory limit",
        |group| group.memory_failures.map(Volume::from),
    ),
    counter(
        "cgroup.memory.oom_kill",
        "process",
        &[GroupPart::MemoryEvents],
        "processes killed for want of memory",
        |group| group.oom_kills.map(Volume::from),
    ),
    column(
        PIDS,
        SampleKind::Gauge,
        "process",
        &[GroupPart::Pids],
        "tasks in it and below",
        |group: &GroupReading| group.pids.map(Volume::from),
    ),
];

pub(super) static IO: [GroupColumn<IoTotals>; 4] = [
    io("cgroup.io.read.bytes", "B", "bytes read from block devices", |io| Some(io.read_bytes.into())),
    io("cgroup.io.write.bytes", "B", "bytes written to block devices", |io| Some(io.write_bytes.into())),
    io("cgroup.io.read.ops", "request", "finished reads from block devices", |io| {
        Some(io.read_requests.into())
    }),
    io("cgroup.io.write.ops", "request", "finished writes to block devices", |io| {
        Some(io.write_requests.into())
    }),
];

fn avg10(line: Option<PressureLine>) -> Option<Volume> {
    line.map(|line| line.avg10.into())
}

fn total(line: Option<PressureLine>) -> Option<Volume> {
    line.map(|line| line.total.into())
}

fn some(pressure: Option<Pressure>) -> Option<PressureLine> {
    pressure?.some
}

fn full(pressure: Option<Pressure>) -> Option<PressureLine> {
    pressure?.full
}

/// Four meters for each resource whose pressure the kernel measures.
macro_rules! pressure {
    ($resource:literal, $part:ident, $field:ident) => {
        [
            column(
                concat!("cgroup.pressure.", $resource, ".some.avg10"),
                SampleKind::Gauge,
                "%",
                &[GroupPart::$part],
                concat!("time in which a task was stalled for ", $resource, ", over 10 seconds"),
                |group: &GroupReading| avg10(some(group.$field)),
            ),
            column(
                concat!("cgroup.pressure.", $resource, ".some.total"),
                SampleKind::Cumulative,
                "us",
                &[GroupPart::$part],
                concat!("time in which a task was stalled for ", $resource),
                |group: &GroupReading| total(some(group.$field)),
            ),
            column(
                concat!("cgroup.pressure.", $resource, ".full.avg10"),
                SampleKind::Gauge,
                "%",
                &[GroupPart::$part],
                concat!("time in which all tasks were stalled for ", $resource, ", over 10 seconds"),
                |group: &GroupReading| avg10(full(group.$field)),
            ),
            column(
                concat!("cgroup.pressure.", $resource, ".full.total"),
                SampleKind::Cumulative,
                "us",
                &[GroupPart::$part],
                concat!("time in which all tasks were stalled for ", $resource),
                |group: &GroupReading| total(full(group.$field)),
            ),
        ]
    };
}

pub(super) static PRESSURE: [[GroupColumn<GroupReading>; 4]; 3] = [
    pressure!("cpu", CpuPressure, cpu_pressure),
    pressure!("io", IoPressure, io_pressure),
    pressure!("memory", MemoryPressure, memory_pressure),
];

pub(super) fn meters() -> Vec<Meter> {
    let usage = USAGE.iter().map(|column| column.meter);
    let io = IO.iter().map(|column| column.meter);
    usage.chain(io).chain(PRESSURE.iter().flatten().map(|column| column.meter)).collect()
}
