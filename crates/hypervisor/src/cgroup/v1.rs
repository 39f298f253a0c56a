//! Parsers of the files of version 1 (seed-systems §5.2).

use std::collections::BTreeMap;

use crate::cgroup::reading::Device;
use crate::text::{Parsed, fold_lines, key_and_number, next_number};

/// `cpuacct.stat`, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTicks {
    /// In user mode.
    pub user: Option<u64>,
    /// In kernel mode.
    pub system: Option<u64>,
}

/// `cpuacct.stat`.
pub fn parse_cpuacct_stat(text: &str) -> Parsed<CpuTicks> {
    fold_lines(text, |ticks: &mut CpuTicks, line| {
        let (key, value) = key_and_number(line)?;
        match key {
            "user" => ticks.user = Some(value),
            "system" => ticks.system = Some(value),
            _ => {}
        }
        Ok(())
    })
}

/// What we take from `cpu.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods in which the group was held back.
    pub periods: Option<u64>,
    /// Nanoseconds for which it was held back.
    pub time: Option<u64>,
}

/// `cpu.stat`.
pub fn parse_cpu_stat(text: &str) -> Parsed<Throttling> {
    fold_lines(text, |throttling: &mut Throttling, line| {
        let (key, value) = key_and_number(line)?;
        match key {
            "nr_throttled" => throttling.periods = Some(value),
            "throttled_time" => throttling.time = Some(value),
            _ => {}
        }
        Ok(())
    })
}

/// What we take from `memory.stat`, in bytes: with the children where the kernel adds them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStat {
    /// Memory of no file.
    pub rss: Option<u64>,
    /// Page cache.
    pub cache: Option<u64>,
    /// Memory that was swapped out; only with swap accounting.
    pub swap: Option<u64>,
    /// Page cache that was not used of late.
    pub inactive_file: Option<u64>,
}

/// `memory.stat`. Without `total_` figures the group's own count.
pub fn parse_memory_stat(text: &str) -> Parsed<MemoryStat> {
    let parsed = fold_lines(text, |(own, total): &mut (MemoryStat, MemoryStat), line| {
        let (key, value) = key_and_number(line)?;
        let (stat, key) = match key.strip_prefix("total_") {
            Some(rest) => (total, rest),
            None => (own, key),
        };
        match key {
            "rss" => stat.rss = Some(value),
            "cache" => stat.cache = Some(value),
            "swap" => stat.swap = Some(value),
            "inactive_file" => stat.inactive_file = Some(value),
            _ => {}
        }
        Ok(())
    });
    let (own, total) = parsed.value;
    let value = MemoryStat {
        rss: total.rss.or(own.rss),
        cache: total.cache.or(own.cache),
        swap: total.swap.or(own.swap),
        inactive_file: total.inactive_file.or(own.inactive_file),
    };
    Parsed { value, faults: parsed.faults }
}

/// `memory.oom_control`: processes killed for want of memory, on kernels that count them.
pub fn parse_oom_control(text: &str) -> Parsed<Option<u64>> {
    fold_lines(text, |kills: &mut Option<u64>, line| {
        if let ("oom_kill", value) = key_and_number(line)? {
            *kills = Some(value);
        }
        Ok(())
    })
}

/// Reads and writes of each device, in bytes or requests.
pub type BlockFigures = BTreeMap<Device, (u64, u64)>;

/// `blkio.*.io_service_bytes` or `.io_serviced`. The final `Total` has no device and is skipped.
pub fn parse_blkio(text: &str) -> Parsed<BlockFigures> {
    fold_lines(text, |figures: &mut BlockFigures, line| {
        let mut words = line.split_ascii_whitespace();
        let device = words.next().unwrap_or_default();
        if device == "Total" {
            return Ok(());
        }
        let device = Device::parse(device)?;
        let direction = words.next().ok_or("line ends too early")?;
        let value = next_number(&mut words)?;
        let (read, write) = figures.entry(device).or_default();
        match direction {
            "Read" => *read = value,
            "Write" => *write = value,
            _ => {}
        }
        Ok(())
    })
}
