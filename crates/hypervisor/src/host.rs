//! The host as a whole, from `/proc`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::clock::ticks_per_second;
use crate::error::{HypervisorError, Unreadable};
use crate::files::{Files, Roots};
use crate::text::Parsed;

pub mod devices;
pub mod system;

pub use devices::{DiskStat, InterfaceStat};
pub use system::{CpuStat, LoadAverage, MemoryInfo, Pressure, PressureLine};

/// Name of the running system, as `uname -n` gives it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Reads a host. Files that are not there give `None`; other faults are collected for [`take_faults`](Self::take_faults).
#[derive(Debug)]
pub struct Host {
    roots: Roots,
    files: Files,
    faults: Vec<HypervisorError>,
}

impl Host {
    /// The host whose file systems are at `roots`.
    pub fn new(roots: Roots) -> Self {
        Self { roots, files: Files::default(), faults: Vec::new() }
    }

    /// What went wrong since the last call.
    pub fn take_faults(&mut self) -> Vec<HypervisorError> {
        std::mem::take(&mut self.faults)
    }

    /// `/proc/stat`.
    pub fn cpu(&mut self) -> Option<CpuStat> {
        let ticks = ticks_per_second();
        self.table("stat", |text| system::parse_stat(text, ticks)).flatten()
    }

    /// `/proc/meminfo`.
    pub fn memory(&mut self) -> Option<MemoryInfo> {
        self.table("meminfo", system::parse_meminfo)
    }

    /// `/proc/loadavg`.
    pub fn load(&mut self) -> Option<LoadAverage> {
        self.files.value(&self.roots.proc_root, "loadavg", system::parse_loadavg, &mut self.faults)
    }

    /// `/proc/uptime`, in seconds.
    pub fn uptime(&mut self) -> Option<f64> {
        self.files.value(&self.roots.proc_root, "uptime", system::parse_uptime, &mut self.faults)
    }

    /// `/proc/pressure/<resource>`: `cpu`, `io` or `memory`.
    pub fn pressure(&mut self, resource: &str) -> Option<Pressure> {
        self.table(&format!("pressure/{resource}"), system::parse_pressure)
    }

    /// `/proc/diskstats`: whole disks that are backed by something, in the kernel's order. Partitions, loop, RAM and
    /// optical devices are left out.
    pub fn disks(&mut self) -> Option<Vec<DiskStat>> {
        let mut disks = self.table("diskstats", devices::parse_diskstats)?;
        let known = self.block_devices();
        disks.retain(|disk| devices::is_real_disk(&disk.name, known.as_ref()));
        Some(disks)
    }

    /// `/proc/net/dev`: all interfaces, in the kernel's order.
    pub fn interfaces(&mut self) -> Option<Vec<InterfaceStat>> {
        let (files, faults) = (&mut self.files, &mut self.faults);
        let mut paths = self.roots.of_namespace("net/dev").into_iter();
        paths.find_map(|path| files.table(&path, "", devices::parse_net_dev, faults))
    }

    /// Identifier of this boot.
    pub fn boot_id(&mut self) -> Option<String> {
        let name = "sys/kernel/random/boot_id";
        self.files.value(&self.roots.proc_root, name, system::parse_boot_id, &mut self.faults)
    }

    /// Identifier of this machine, 32 hexadecimal digits: stays over reboots and changes of name.
    pub fn machine_id(&mut self) -> Option<String> {
        ["/etc/machine-id", "/var/lib/dbus/machine-id"].iter().find_map(|path| {
            let path = self.roots.of_host(Path::new(path));
            self.files.read(&path, "").ok().flatten().and_then(system::parse_machine_id)
        })
    }

    /// What this process cannot read here: without rights, or because the kernel or the container does not show it.
    pub fn unreadable(&mut self) -> Vec<Unreadable> {
        let wanted = [
            ("CPU time", "stat"),
            ("memory", "meminfo"),
            ("load", "loadavg"),
            ("uptime", "uptime"),
            ("disks", "diskstats"),
            ("network interfaces", "net/dev"),
            ("pressure stall information", "pressure/cpu"),
            ("boot identifier", "sys/kernel/random/boot_id"),
            ("mounts, to find cgroups", "mounts"),
        ];
        let mut missing = Vec::new();
        for (what, name) in wanted {
            let path = self.roots.proc_root.join(name);
            let reason = match self.files.read(&path, "") {
                Ok(Some(_)) => continue,
                Ok(None) => "not there".to_owned(),
                Err(HypervisorError::Read { source, .. }) => source.to_string(),
                Err(error) => error.to_string(),
            };
            missing.push(Unreadable { what, path, reason });
        }
        missing
    }

    /// Names of whole disks, if `/sys` tells.
    fn block_devices(&self) -> Option<BTreeSet<String>> {
        let entries = std::fs::read_dir(self.roots.sys_root.join("block")).ok()?;
        Some(entries.flatten().map(|entry| entry.file_name().to_string_lossy().replace('!', "/")).collect())
    }

    fn table<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Option<T> {
        self.files.table(&self.roots.proc_root, name, parse, &mut self.faults)
    }
}

#[cfg(test)]
mod tests;
