//! The meters of a host.

use nephos_hypervisor::host::{
    CpuStat, DiskStat, InterfaceStat, LoadAverage, MemoryInfo, Pressure, PressureLine,
};
use nephos_model::{SampleKind, Volume};

use crate::meter::{Column, Meter};

const HOST: &[&str] = &["host"];
const HOST_DISK: &[&str] = &["host_disk"];
const HOST_NETWORK_INTERFACE: &[&str] = &["host_network_interface"];

const fn column<R>(
    name: &'static str,
    kind: SampleKind,
    unit: &'static str,
    resource_types: &'static [&'static str],
    description: &'static str,
    volume: fn(&R) -> Option<Volume>,
) -> Column<R> {
    Column { meter: Meter { name, kind, unit, description, resource_types }, needs: (), volume }
}

const fn cpu(
    name: &'static str,
    description: &'static str,
    volume: fn(&CpuStat) -> Option<Volume>,
) -> Column<CpuStat> {
    column(name, SampleKind::Cumulative, "ns", HOST, description, volume)
}

const fn load(
    name: &'static str,
    description: &'static str,
    volume: fn(&LoadAverage) -> Option<Volume>,
) -> Column<LoadAverage> {
    column(name, SampleKind::Gauge, "process", HOST, description, volume)
}

const fn memory(
    name: &'static str,
    description: &'static str,
    volume: fn(&MemoryInfo) -> Option<Volume>,
) -> Column<MemoryInfo> {
    column(name, SampleKind::Gauge, "B", HOST, description, volume)
}

const fn disk(
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    volume: fn(&DiskStat) -> Option<Volume>,
) -> Column<DiskStat> {
    column(name, SampleKind::Cumulative, unit, HOST_DISK, description, volume)
}

const fn interface(
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    volume: fn(&InterfaceStat) -> Option<Volume>,
) -> Column<InterfaceStat> {
    column(name, SampleKind::Cumulative, unit, HOST_NETWORK_INTERFACE, description, volume)
}

pub(super) static CPU: [Column<CpuStat>; 11] = [
    cpu("cpu", "time in which CPUs worked, over all CPUs", |stat| Some(stat.busy().into())),
    cpu("host.cpu.user", "CPU time in user mode", |stat| Some(stat.user.into())),
    cpu("host.cpu.nice", "CPU time in user mode, low priority", |stat| Some(stat.nice.into())),
    cpu("host.cpu.system", "CPU time in kernel mode", |stat| Some(stat.system.into())),
    cpu("host.cpu.idle", "CPU time with nothing to do", |stat| Some(stat.idle.into())),
    cpu("host.cpu.iowait", "CPU time waiting for disks", |stat| Some(stat.iowait.into())),
    cpu("host.cpu.irq", "CPU time serving interrupts", |stat| Some(stat.irq.into())),
    cpu("host.cpu.softirq", "CPU time serving soft interrupts", |stat| Some(stat.softirq.into())),
    cpu("host.cpu.steal", "CPU time taken by the hypervisor below", |stat| Some(stat.steal.into())),
    cpu("host.cpu.guest", "CPU time of guests, part of user", |stat| Some(stat.guest.into())),
    cpu("host.cpu.guest_nice", "CPU time of guests, part of nice", |stat| Some(stat.guest_nice.into())),
];

pub(super) static LOAD: [Column<LoadAverage>; 3] = [
    load("host.load.1min", "processes that run or want to, over 1 minute", |load| Some(load.one.into())),
    load("host.load.5min", "processes that run or want to, over 5 minutes", |load| Some(load.five.into())),
    load("host.load.15min", "processes that run or want to, over 15 minutes", |load| {
        Some(load.fifteen.into())
    }),
];

pub(super) static MEMORY: [Column<MemoryInfo>; 13] = [
    memory("host.memory.total", "usable memory", |memory| memory.total.map(Volume::from)),
    memory("host.memory.used", "memory that is not available", |memory| memory.used().map(Volume::from)),
    memory("host.memory.free", "memory that is wholly unused", |memory| memory.free.map(Volume::from)),
    memory("host.memory.available", "memory to be had without swapping", |memory| {
        memory.available.map(Volume::from)
    }),
    memory("host.memory.buffers", "buffers of block devices", |memory| memory.buffers.map(Volume::from)),
    memory("host.memory.cached", "page cache", |memory| memory.cached.map(Volume::from)),
    memory("host.memory.dirty", "memory to be written to disk", |memory| memory.dirty.map(Volume::from)),
    memory("host.memory.writeback", "memory being written to disk", |memory| {
        memory.writeback.map(Volume::from)
    }),
    memory("host.memory.shared", "shared memory and tmpfs", |memory| memory.shared.map(Volume::from)),
    memory("host.memory.slab", "kernel structures", |memory| memory.slab.map(Volume::from)),
    memory("host.memory.swap.total", "swap space", |memory| memory.swap_total.map(Volume::from)),
    memory("host.memory.swap.used", "swap space in use", |memory| memory.swap_used().map(Volume::from)),
    memory("host.memory.swap.free", "swap space that is unused", |memory| memory.swap_free.map(Volume::from)),
];

pub(super) static UPTIME: [Column<f64>; 1] =
    [column("host.uptime", SampleKind::Gauge, "s", HOST, "time since boot", |uptime| Some((*uptime).into()))];

fn some(pressure: &Pressure, part: fn(&PressureLine) -> Volume) -> Option<Volume> {
    pressure.some.as_ref().map(part)
}

fn full(pressure: &Pressure, part: fn(&PressureLine) -> Volume) -> Option<Volume> {
    pressure.full.as_ref().map(part)
}

/// Four meters for each resource whose pressure the kernel measures.
macro_rules! pressure {
    ($resource:literal) => {
        [
            column(
                concat!("host.pressure.", $resource, ".some.avg10"),
                SampleKind::Gauge,
                "%",
                HOST,
                concat!("time in which a task was stalled for ", $resource, ", over 10 seconds"),
                |pressure| some(pressure, |line| line.avg10.into()),
            ),
            column(
                concat!("host.pressure.", $resource, ".some.total"),
                SampleKind::Cumulative,
                "us",
                HOST,
                concat!("time in which a task was stalled for ", $resource),
                |pressure| some(pressure, |line| line.total.into()),
            ),
            column(
                concat!("host.pressure.", $resource, ".full.avg10"),
                SampleKind::Gauge,
                "%",
                HOST,
                concat!("time in which all tasks were stalled for ", $resource, ", over 10 seconds"),
                |pressure| full(pressure, |line| line.avg10.into()),
            ),
            column(
                concat!("host.pressure.", $resource, ".full.total"),
                SampleKind::Cumulative,
                "us",
                HOST,
                concat!("time in which all tasks were stalled for ", $resource),
                |pressure| full(pressure, |line| line.total.into()),
            ),
        ]
    };
}

pub(super) static PRESSURE: [(&str, [Column<Pressure>; 4]); 3] =
    [("cpu", pressure!("cpu")), ("io", pressure!("io")), ("memory", pressure!("memory"))];

pub(super) static DISK: [Column<DiskStat>; 7] = [
    disk("host.disk.read.bytes", "B", "bytes read", |disk| Some(disk.read_bytes.into())),
    disk("host.disk.read.requests", "request", "finished reads", |disk| Some(disk.read_requests.into())),
    disk("host.disk.read.time", "ns", "time in reads, each counted for itself", |disk| {
        Some(disk.read_time.into())
    }),
    disk("host.disk.write.bytes", "B", "bytes written", |disk| Some(disk.write_bytes.into())),
    disk("host.disk.write.requests", "request", "finished writes", |disk| Some(disk.write_requests.into())),
    disk("host.disk.write.time", "ns", "time in writes, each counted for itself", |disk| {
        Some(disk.write_time.into())
    }),
    disk("host.disk.busy.time", "ns", "time with at least one request under way", |disk| {
        Some(disk.busy_time.into())
    }),
];

pub(super) static INTERFACE: [Column<InterfaceStat>; 8] = [
    interface("host.network.incoming.bytes", "B", "bytes received", |nic| Some(nic.incoming.bytes.into())),
    interface("host.network.incoming.packets", "packet", "packets received", |nic| {
        Some(nic.incoming.packets.into())
    }),
    interface("host.network.incoming.errors", "packet", "received packets lost to errors", |nic| {
        Some(nic.incoming.errors.into())
    }),
    interface("host.network.incoming.drops", "packet", "received packets dropped", |nic| {
        Some(nic.incoming.drops.into())
    }),
    interface("host.network.outgoing.bytes", "B", "bytes sent", |nic| Some(nic.outgoing.bytes.into())),
    interface("host.network.outgoing.packets", "packet", "packets sent", |nic| {
        Some(nic.outgoing.packets.into())
    }),
    interface("host.network.outgoing.errors", "packet", "packets lost to errors while sending", |nic| {
        Some(nic.outgoing.errors.into())
    }),
    interface("host.network.outgoing.drops", "packet", "packets dropped before sending", |nic| {
        Some(nic.outgoing.drops.into())
    }),
];

fn of<R>(table: &'static [Column<R>]) -> impl Iterator<Item = Meter> {
    table.iter().map(|column| column.meter)
}

pub(super) fn meters() -> Vec<Meter> {
    let pressure = PRESSURE.iter().flat_map(|(_, table)| of(table));
    let system = of(&CPU).chain(of(&LOAD)).chain(of(&MEMORY)).chain(of(&UPTIME)).chain(pressure);
    system.chain(of(&DISK)).chain(of(&INTERFACE)).collect()
}
