//! Parsers of `/proc` files that describe the system as a whole.

use crate::clock::ticks_to_nanos;
use crate::text::{Fault, Parsed, decimal, fold_lines, fraction, next_number};

/// CPU time since boot, over all CPUs, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// In user mode, guests included; of normal priority.
    pub user: u64,
    /// In user mode, guests included; of low priority.
    pub nice: u64,
    /// In kernel mode.
    pub system: u64,
    /// Nothing to do.
    pub idle: u64,
    /// Nothing to do but wait for a disk. May go back a little.
    pub iowait: u64,
    /// Serving interrupts.
    pub irq: u64,
    /// Serving soft interrupts.
    pub softirq: u64,
    /// Taken away by the hypervisor below.
    pub steal: u64,
    /// Running guests, already counted in `user`.
    pub guest: u64,
    /// Running guests of low priority, already counted in `nice`.
    pub guest_nice: u64,
    /// CPUs that are online.
    pub cpus: u32,
    /// When the system booted, in seconds since the epoch by its wall clock.
    pub boot_time: Option<u64>,
}

impl CpuStat {
    /// Time in which CPUs worked: all modes but idle, waiting and stolen.
    pub const fn busy(&self) -> u64 {
        self.user
            .saturating_add(self.nice)
            .saturating_add(self.system)
            .saturating_add(self.irq)
            .saturating_add(self.softirq)
    }
}

/// `/proc/stat`. Modes that an old kernel does not know are 0; `None` if the line of all CPUs is missing or broken.
pub fn parse_stat(text: &str, ticks_per_second: u64) -> Parsed<Option<CpuStat>> {
    let mut parsed = fold_lines(text, |(modes, stat): &mut (Option<[u64; 10]>, CpuStat), line| {
        let mut words = line.split_ascii_whitespace();
        match words.next().unwrap_or_default() {
            "cpu" => *modes = Some(cpu_modes(words, ticks_per_second)?),
            "btime" => stat.boot_time = Some(next_number(&mut words)?),
            word if word.strip_prefix("cpu").is_some_and(|number| decimal(number).is_ok()) => {
                stat.cpus = stat.cpus.saturating_add(1);
            }
            _ => {}
        }
        Ok(())
    });
    let (modes, CpuStat { cpus, boot_time, .. }) = parsed.value;
    let value = modes.map(|[user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice]| {
        CpuStat { user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice, cpus, boot_time }
    });
    if value.is_none() && parsed.faults.is_empty() {
        parsed.faults.push(Fault::new(1, "no line of all CPUs"));
    }
    Parsed { value, faults: parsed.faults }
}

/// The first four modes are as old as the file, the others came later.
fn cpu_modes<'a>(words: impl Iterator<Item = &'a str>, ticks_per_second: u64) -> Result<[u64; 10], String> {
    let (mut modes, mut found) = ([0; 10], 0);
    for (mode, word) in modes.iter_mut().zip(words) {
        *mode = ticks_to_nanos(decimal(word)?, ticks_per_second);
        found += 1;
    }
    if found < 4 { Err("line ends too early".to_owned()) } else { Ok(modes) }
}

/// Memory of the host, in bytes. What an old kernel does not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryInfo {
    /// Usable memory.
    pub total: Option<u64>,
    /// Wholly unused.
    pub free: Option<u64>,
    /// What programs could get without swapping.
    pub available: Option<u64>,
    /// Block device buffers.
    pub buffers: Option<u64>,
    /// Page cache.
    pub cached: Option<u64>,
    /// To be written to disk.
    pub dirty: Option<u64>,
    /// Being written to disk.
    pub writeback: Option<u64>,
    /// Shared memory and tmpfs.
    pub shared: Option<u64>,
    /// Kernel structures.
    pub slab: Option<u64>,
    /// Swap space.
    pub swap_total: Option<u64>,
    /// Unused swap space.
    pub swap_free: Option<u64>,
}

impl MemoryInfo {
    /// Memory that is not available, by the older rule where the kernel does not tell what is.
    pub fn used(&self) -> Option<u64> {
        let unused = self.available.or_else(|| {
            let caches = self.buffers.unwrap_or(0).saturating_add(self.cached.unwrap_or(0));
            Some(self.free?.saturating_add(caches))
        });
        Some(self.total?.saturating_sub(unused?))
    }

    /// Swap space in use.
    pub fn swap_used(&self) -> Option<u64> {
        Some(self.swap_total?.saturating_sub(self.swap_free?))
    }
}

/// `/proc/meminfo`.
pub fn parse_meminfo(text: &str) -> Parsed<MemoryInfo> {
    fold_lines(text, |memory: &mut MemoryInfo, line| {
        let (key, rest) = line.split_once(':').ok_or("no colon")?;
        let field = match key {
            "MemTotal" => &mut memory.total,
            "MemFree" => &mut memory.free,
            "MemAvailable" => &mut memory.available,
            "Buffers" => &mut memory.buffers,
            "Cached" => &mut memory.cached,
            "Dirty" => &mut memory.dirty,
            "Writeback" => &mut memory.writeback,
            "Shmem" => &mut memory.shared,
            "Slab" => &mut memory.slab,
            "SwapTotal" => &mut memory.swap_total,
            "SwapFree" => &mut memory.swap_free,
            _ => return Ok(()),
        };
        *field = Some(next_number(&mut rest.split_ascii_whitespace())?.saturating_mul(1024));
        Ok(())
    })
}

/// Processes that run or want to, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadAverage {
    /// Over one minute.
    pub one: f64,
    /// Over five minutes.
    pub five: f64,
    /// Over fifteen minutes.
    pub fifteen: f64,
}

/// `/proc/loadavg`.
///
/// # Errors
/// The fault, if it does not begin with three numbers.
pub fn parse_loadavg(text: &str) -> Result<LoadAverage, Fault> {
    let mut words = text.split_ascii_whitespace();
    let mut next = || match words.next() {
        Some(word) => fraction(word).map_err(|reason| Fault::new(1, reason)),
        None => Err(Fault::new(1, "line ends too early")),
    };
    Ok(LoadAverage { one: next()?, five: next()?, fifteen: next()? })
}

/// `/proc/uptime`: seconds since boot.
///
/// # Errors
/// The fault, if it does not begin with a number.
pub fn parse_uptime(text: &str) -> Result<f64, Fault> {
    fraction(text.split_ascii_whitespace().next().unwrap_or_default()).map_err(|reason| Fault::new(1, reason))
}

/// Pressure stall information of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Time in which at least one task was stalled.
    pub some: Option<PressureLine>,
    /// Time in which all tasks were stalled.
    pub full: Option<PressureLine>,
}

/// One line of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PressureLine {
    /// Percent of the last ten seconds.
    pub avg10: f64,
    /// Percent of the last minute.
    pub avg60: f64,
    /// Percent of the last five minutes.
    pub avg300: f64,
    /// Microseconds since boot, or since the group was made.
    pub total: u64,
}

/// `/proc/pressure/*` and the `*.pressure` files of groups.
pub fn parse_pressure(text: &str) -> Parsed<Pressure> {
    fold_lines(text, |pressure: &mut Pressure, line| {
        let mut words = line.split_ascii_whitespace();
        let target = match words.next().unwrap_or_default() {
            "some" => &mut pressure.some,
            "full" => &mut pressure.full,
            _ => return Ok(()),
        };
        let (mut found, mut read) = (0, PressureLine::default());
        for word in words {
            let (key, value) = word.split_once('=').ok_or("no equals sign")?;
            match key {
                "avg10" => read.avg10 = fraction(value)?,
                "avg60" => read.avg60 = fraction(value)?,
                "avg300" => read.avg300 = fraction(value)?,
                "total" => read.total = decimal(value)?,
                _ => continue,
            }
            found += 1;
        }
        if found < 4 {
            return Err("line ends too early".to_owned());
        }
        *target = Some(read);
        Ok(())
    })
}

/// `boot_id`: a UUID.
///
/// # Errors
/// The fault, if it is none.
pub fn parse_boot_id(text: &str) -> Result<String, Fault> {
    let word = text.trim();
    let valid = word.len() == 36 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if valid { Ok(word.to_owned()) } else { Err(Fault::new(1, "no UUID")) }
}

/// `machine-id`: 32 hexadecimal digits; `None` if it is not set.
pub fn parse_machine_id(text: &str) -> Option<String> {
    let word = text.trim();
    (word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| word.to_ascii_lowercase())
}
