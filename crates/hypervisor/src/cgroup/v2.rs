//! Parsers of the files of version 2 (seed-systems §5.2).

use crate::cgroup::reading::{Device, DeviceIo};
use crate::text::{Parsed, decimal, fold_lines, key_and_number};

/// `cpu.stat`; times in microseconds, as the kernel writes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// All CPU time.
    pub usage: Option<u64>,
    /// In user mode.
    pub user: Option<u64>,
    /// In kernel mode.
    pub system: Option<u64>,
    /// Periods in which the group was held back; only with the cpu controller.
    pub throttled_periods: Option<u64>,
    /// Time for which it was held back; only with the cpu controller.
    pub throttled: Option<u64>,
}

/// `cpu.stat`.
pub fn parse_cpu_stat(text: &str) -> Parsed<CpuStat> {
    fold_lines(text, |stat: &mut CpuStat, line| {
        let (key, value) = key_and_number(line)?;
        match key {
            "usage_usec" => stat.usage = Some(value),
            "user_usec" => stat.user = Some(value),
            "system_usec" => stat.system = Some(value),
            "nr_throttled" => stat.throttled_periods = Some(value),
            "throttled_usec" => stat.throttled = Some(value),
            _ => {}
        }
        Ok(())
    })
}

/// What we take from `memory.stat`, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStat {
    /// Memory of no file.
    pub anon: Option<u64>,
    /// Page cache.
    pub file: Option<u64>,
    /// Page cache that was not used of late.
    pub inactive_file: Option<u64>,
}

/// `memory.stat`.
pub fn parse_memory_stat(text: &str) -> Parsed<MemoryStat> {
    fold_lines(text, |stat: &mut MemoryStat, line| {
        let (key, value) = key_and_number(line)?;
        match key {
            "anon" => stat.anon = Some(value),
            "file" => stat.file = Some(value),
            "inactive_file" => stat.inactive_file = Some(value),
            _ => {}
        }
        Ok(())
    })
}

/// What we take from `memory.events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryEvents {
    /// How often the group ran into its limit.
    pub max: Option<u64>,
    /// Processes killed for want of memory.
    pub oom_kill: Option<u64>,
}

/// `memory.events`.
pub fn parse_memory_events(text: &str) -> Parsed<MemoryEvents> {
    fold_lines(text, |events: &mut MemoryEvents, line| {
        let (key, value) = key_and_number(line)?;
        match key {
            "max" => events.max = Some(value),
            "oom_kill" => events.oom_kill = Some(value),
            _ => {}
        }
        Ok(())
    })
}

/// `io.stat`: a line may name a device and nothing else.
pub fn parse_io_stat(text: &str) -> Parsed<Vec<DeviceIo>> {
    fold_lines(text, |devices: &mut Vec<DeviceIo>, line| {
        let mut words = line.split_ascii_whitespace();
        let device = Device::parse(words.next().unwrap_or_default())?;
        let mut io = DeviceIo { device, ..DeviceIo::default() };
        for word in words {
            let (key, value) = word.split_once('=').ok_or("no equals sign")?;
            let field = match key {
                "rbytes" => &mut io.read_bytes,
                "wbytes" => &mut io.write_bytes,
                "rios" => &mut io.read_requests,
                "wios" => &mut io.write_requests,
                _ => continue,
            };
            *field = decimal(value)?;
        }
        devices.push(io);
        Ok(())
    })
}
