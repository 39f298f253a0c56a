//! What a group used: each figure from the hierarchy that has its file.

use std::fmt;
use std::ops::BitOr;
use std::path::{Path, PathBuf};

use crate::cgroup::hierarchy::Version;
use crate::cgroup::{v1, v2};
use crate::clock::{ticks_per_second, ticks_to_nanos};
use crate::error::HypervisorError;
use crate::files::Files;
use crate::host::system::{Pressure, parse_pressure};
use crate::text::{decimal, limit, number};

/// A part of a reading: one or two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupPart {
    /// CPU time.
    Cpu,
    /// How the group was held back.
    Throttling,
    /// Memory in use.
    MemoryUsage,
    /// What the memory is used for.
    MemoryStat,
    /// Swap in use.
    Swap,
    /// Limit of memory.
    MemoryLimit,
    /// Failures for want of memory.
    MemoryEvents,
    /// Block I/O.
    Io,
    /// Processes.
    Pids,
    /// Stalls for want of CPU.
    CpuPressure,
    /// Stalls for I/O.
    IoPressure,
    /// Stalls for want of memory.
    MemoryPressure,
}

/// A set of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupParts(u16);

impl GroupParts {
    /// No part.
    pub const NONE: Self = Self(0);

    /// The set of these.
    pub const fn of(parts: &[GroupPart]) -> Self {
        let (mut bits, mut rest) = (0, parts);
        while let [first, after @ ..] = rest {
            bits |= 1 << *first as u16;
            rest = after;
        }
        Self(bits)
    }

    /// Whether the part is in the set.
    pub const fn contains(self, part: GroupPart) -> bool {
        self.0 & (1 << part as u16) != 0
    }
}

impl BitOr for GroupParts {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A block device by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Device {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (major, minor) = text.split_once(':').ok_or("no device number")?;
        let narrow = |word| u32::try_from(decimal(word)?).map_err(|_| "no device number".to_owned());
        Ok(Self { major: narrow(major)?, minor: narrow(minor)? })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What is known of a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    /// Kernel's name, or its number where that is not known.
    pub name: String,
    /// Whether it only passes I/O on to other block devices, which count it again.
    pub stacked: bool,
}

/// Block I/O of a group on one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceIo {
    /// Which device.
    pub device: Device,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Finished reads.
    pub read_requests: u64,
    /// Finished writes.
    pub write_requests: u64,
}

/// What a group used. What it does not have, or was not asked for, is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupReading {
    /// CPU time in nanoseconds.
    pub cpu_usage: Option<u64>,
    /// CPU time in user mode, in nanoseconds.
    pub cpu_user: Option<u64>,
    /// CPU time in kernel mode, in nanoseconds.
    pub cpu_system: Option<u64>,
    /// Periods in which the group was held back.
    pub throttled_periods: Option<u64>,
    /// Nanoseconds for which it was held back.
    pub throttled_time: Option<u64>,
    /// Memory in use, page cache included, in bytes.
    pub memory_usage: Option<u64>,
    /// Memory of no file, in bytes.
    pub memory_rss: Option<u64>,
    /// Page cache, in bytes.
    pub memory_cache: Option<u64>,
    /// Page cache that was not used of late, in bytes.
    pub memory_inactive_file: Option<u64>,
    /// Swap in use, in bytes.
    pub memory_swap: Option<u64>,
    /// Most memory it may use, in bytes; `None` also if there is no limit.
    pub memory_limit: Option<u64>,
    /// How often it ran into the limit.
    pub memory_failures: Option<u64>,
    /// Processes killed for want of memory.
    pub oom_kills: Option<u64>,
    /// Block I/O by device. An empty list is none at all; `None` is not known.
    pub io: Option<Vec<DeviceIo>>,
    /// Tasks in the group and below.
    pub pids: Option<u64>,
    /// Stalls for want of CPU.
    pub cpu_pressure: Option<Pressure>,
    /// Stalls for I/O.
    pub io_pressure: Option<Pressure>,
    /// Stalls for want of memory.
    pub memory_pressure: Option<Pressure>,
}

impl GroupReading {
    /// Memory that would be missed: usage without the page cache that was not used of late.
    pub fn working_set(&self) -> Option<u64> {
        Some(self.memory_usage?.saturating_sub(self.memory_inactive_file?))
    }
}

/// Folders of one group, by what counts there.
#[derive(Debug, Default)]
pub(crate) struct Dirs {
    v2: Option<PathBuf>,
    cpu: Option<PathBuf>,
    cpuacct: Option<PathBuf>,
    memory: Option<PathBuf>,
    blkio: Option<PathBuf>,
    pids: Option<PathBuf>,
}

impl Dirs {
    /// Adds the group's folder in a hierarchy.
    pub(crate) fn add(&mut self, version: &Version, dir: &Path) {
        let Version::V1(controllers) = version else {
            self.v2 = Some(dir.to_owned());
            return;
        };
        for controller in controllers {
            let place = match controller.as_str() {
                "cpu" => &mut self.cpu,
                "cpuacct" => &mut self.cpuacct,
                "memory" => &mut self.memory,
                "blkio" => &mut self.blkio,
                "pids" => &mut self.pids,
                _ => continue,
            };
            *place = Some(dir.to_owned());
        }
    }
}

/// Files of the block controller in order of trust: with the children first, the throttling layer before schedulers.
const BLOCK_FILES: [(&str, &str); 6] = [
    ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"),
    ("blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced"),
    ("blkio.bfq.io_service_bytes_recursive", "blkio.bfq.io_serviced_recursive"),
    ("blkio.bfq.io_service_bytes", "blkio.bfq.io_serviced"),
    ("blkio.io_service_bytes_recursive", "blkio.io_serviced_recursive"),
    ("blkio.io_service_bytes", "blkio.io_serviced"),
];

/// Reads the wanted parts.
pub(crate) fn read(
    dirs: &Dirs,
    parts: GroupParts,
    files: &mut Files,
    faults: &mut Vec<HypervisorError>,
) -> GroupReading {
    let mut reader = Reader { dirs, parts, files, faults, reading: GroupReading::default() };
    reader.cpu_v1();
    reader.cpu_v2();
    reader.memory_v1();
    reader.memory_v2();
    reader.io();
    reader.pids();
    reader.pressure();
    reader.reading
}

struct Reader<'a> {
    dirs: &'a Dirs,
    parts: GroupParts,
    files: &'a mut Files,
    faults: &'a mut Vec<HypervisorError>,
    reading: GroupReading,
}

impl Reader<'_> {
    fn wants(&self, part: GroupPart) -> bool {
        self.parts.contains(part)
    }

    fn number(&mut self, dir: &Path, name: &str) -> Option<u64> {
        self.files.value(dir, name, number, self.faults)
    }

    fn cpu_v1(&mut self) {
        if let Some(dir) = self.dirs.cpuacct.as_deref()
            && self.wants(GroupPart::Cpu)
        {
            self.reading.cpu_usage = self.number(dir, "cpuacct.usage");
            self.reading.cpu_user = self.number(dir, "cpuacct.usage_user");
            self.reading.cpu_system = self.number(dir, "cpuacct.usage_sys");
            if self.reading.cpu_user.is_none() {
                let ticks = self.files.table(dir, "cpuacct.stat", v1::parse_cpuacct_stat, self.faults);
                let nanos = |ticks| ticks_to_nanos(ticks, ticks_per_second());
                self.reading.cpu_user = ticks.and_then(|ticks| ticks.user).map(nanos);
                self.reading.cpu_system = ticks.and_then(|ticks| ticks.system).map(nanos);
            }
        }
        if let Some(dir) = self.dirs.cpu.as_deref()
            && self.wants(GroupPart::Throttling)
            && let Some(stat) = self.files.table(dir, "cpu.stat", v1::parse_cpu_stat, self.faults)
        {
            self.reading.throttled_periods = stat.periods;
            self.reading.throttled_time = stat.time;
        }
    }

    /// Takes from version 2 what version 1 did not have.
    fn cpu_v2(&mut self) {
        let usage = self.wants(GroupPart::Cpu) && self.reading.cpu_usage.is_none();
        let throttling = self.wants(GroupPart::Throttling) && self.reading.throttled_time.is_none();
        let Some(dir) = self.dirs.v2.as_deref().filter(|_| usage || throttling) else { return };
        let Some(stat) = self.files.table(dir, "cpu.stat", v2::parse_cpu_stat, self.faults) else { return };
        let nanos = |micros: u64| micros.saturating_mul(1_000);
        if usage {
            self.reading.cpu_usage = stat.usage.map(nanos);
            self.reading.cpu_user = stat.user.map(nanos);
            self.reading.cpu_system = stat.system.map(nanos);
        }
        if throttling {
            self.reading.throttled_periods = stat.throttled_periods;
            self.reading.throttled_time = stat.throttled.map(nanos);
        }
    }

    fn memory_v1(&mut self) {
        let Some(dir) = self.dirs.memory.as_deref() else { return };
        let swap = self.wants(GroupPart::Swap);
        if self.wants(GroupPart::MemoryUsage) {
            self.reading.memory_usage = self.number(dir, "memory.usage_in_bytes");
        }
        if (self.wants(GroupPart::MemoryStat) || swap)
            && let Some(stat) = self.files.table(dir, "memory.stat", v1::parse_memory_stat, self.faults)
        {
            if self.wants(GroupPart::MemoryStat) {
                self.reading.memory_rss = stat.rss;
                self.reading.memory_cache = stat.cache;
                self.reading.memory_inactive_file = stat.inactive_file;
            }
            self.reading.memory_swap = stat.swap.filter(|_| swap);
        }
        if self.wants(GroupPart::MemoryLimit) {
            self.reading.memory_limit =
                self.files.value(dir, "memory.limit_in_bytes", limit, self.faults).flatten();
        }
        if self.wants(GroupPart::MemoryEvents) {
            self.reading.memory_failures = self.number(dir, "memory.failcnt");
            self.reading.oom_kills =
                self.files.table(dir, "memory.oom_control", v1::parse_oom_control, self.faults).flatten();
        }
    }

    /// Version 2 has these only where version 1 does not have the memory controller, so nothing is overwritten.
    fn memory_v2(&mut self) {
        let Some(dir) = self.dirs.v2.as_deref().filter(|_| self.dirs.memory.is_none()) else { return };
        if self.wants(GroupPart::MemoryUsage) {
            self.reading.memory_usage = self.number(dir, "memory.current");
        }
        if self.wants(GroupPart::MemoryStat)
            && let Some(stat) = self.files.table(dir, "memory.stat", v2::parse_memory_stat, self.faults)
        {
            self.reading.memory_rss = stat.anon;
            self.reading.memory_cache = stat.file;
            self.reading.memory_inactive_file = stat.inactive_file;
        }
        if self.wants(GroupPart::Swap) {
            self.reading.memory_swap = self.number(dir, "memory.swap.current");
        }
        if self.wants(GroupPart::MemoryLimit) {
            self.reading.memory_limit = self.files.value(dir, "memory.max", limit, self.faults).flatten();
        }
        if self.wants(GroupPart::MemoryEvents)
            && let Some(events) = self.files.table(dir, "memory.events", v2::parse_memory_events, self.faults)
        {
            self.reading.memory_failures = events.max;
            self.reading.oom_kills = events.oom_kill;
        }
    }

    /// `io.stat` wherever it exists. The files of version 1 may stay empty although there was I/O, so that there only
    /// a file that names a device is believed.
    fn io(&mut self) {
        if !self.wants(GroupPart::Io) {
            return;
        }
        if let Some(dir) = self.dirs.v2.as_deref() {
            self.reading.io = self.files.table(dir, "io.stat", v2::parse_io_stat, self.faults);
        }
        if self.reading.io.is_none()
            && let Some(dir) = self.dirs.blkio.as_deref()
        {
            self.reading.io =
                BLOCK_FILES.iter().find_map(|(bytes, requests)| self.blkio(dir, bytes, requests));
        }
    }

    fn blkio(&mut self, dir: &Path, bytes: &str, requests: &str) -> Option<Vec<DeviceIo>> {
        let bytes =
            self.files.table(dir, bytes, v1::parse_blkio, self.faults).filter(|found| !found.is_empty())?;
        let requests = self.files.table(dir, requests, v1::parse_blkio, self.faults).unwrap_or_default();
        let devices = bytes.into_iter().map(|(device, (read_bytes, write_bytes))| {
            let (read_requests, write_requests) = requests.get(&device).copied().unwrap_or_default();
            DeviceIo { device, read_bytes, write_bytes, read_requests, write_requests }
        });
        Some(devices.collect())
    }

    fn pids(&mut self) {
        let dirs = [self.dirs.pids.as_deref(), self.dirs.v2.as_deref()];
        if self.wants(GroupPart::Pids) {
            self.reading.pids = dirs.into_iter().flatten().find_map(|dir| self.number(dir, "pids.current"));
        }
    }

    fn pressure(&mut self) {
        let Some(dir) = self.dirs.v2.as_deref() else { return };
        for (part, name) in [
            (GroupPart::CpuPressure, "cpu.pressure"),
            (GroupPart::IoPressure, "io.pressure"),
            (GroupPart::MemoryPressure, "memory.pressure"),
        ] {
            if self.wants(part) {
                let pressure = self.files.table(dir, name, parse_pressure, self.faults);
                match part {
                    GroupPart::CpuPressure => self.reading.cpu_pressure = pressure,
                    GroupPart::IoPressure => self.reading.io_pressure = pressure,
                    _ => self.reading.memory_pressure = pressure,
                }
            }
        }
    }
}
