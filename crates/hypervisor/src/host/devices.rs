//! Parsers of `/proc` files that list disks and network interfaces.

use std::collections::BTreeSet;

use crate::text::{Parsed, decimal, fold_lines, next_number};

/// What a disk did since boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskStat {
    /// Kernel's name (`sda`, `nvme0n1`, `dm-0`).
    pub name: String,
    /// Device number.
    pub major: u32,
    /// Device number.
    pub minor: u32,
    /// Finished reads.
    pub read_requests: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Nanoseconds in reads, each counted for itself.
    pub read_time: u64,
    /// Finished writes.
    pub write_requests: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Nanoseconds in writes, each counted for itself.
    pub write_time: u64,
    /// Requests under way now.
    pub in_flight: u64,
    /// Nanoseconds in which at least one request was under way.
    pub busy_time: u64,
}

/// `/proc/diskstats`: every line, partitions and all.
pub fn parse_diskstats(text: &str) -> Parsed<Vec<DiskStat>> {
    fold_lines(text, |disks: &mut Vec<DiskStat>, line| {
        let mut words = line.split_ascii_whitespace();
        let major = device_number(next_number(&mut words)?)?;
        let minor = device_number(next_number(&mut words)?)?;
        let name = words.next().ok_or("line ends too early")?.to_owned();
        let mut next = || next_number(&mut words);
        let read_requests = next()?;
        next()?;
        let (read_bytes, read_time) = (sectors(next()?), milliseconds(next()?));
        let write_requests = next()?;
        next()?;
        let (write_bytes, write_time) = (sectors(next()?), milliseconds(next()?));
        let (in_flight, busy_time) = (next()?, milliseconds(next()?));
        disks.push(DiskStat {
            name,
            major,
            minor,
            read_requests,
            read_bytes,
            read_time,
            write_requests,
            write_bytes,
            write_time,
            in_flight,
            busy_time,
        });
        Ok(())
    })
}

fn device_number(number: u64) -> Result<u32, String> {
    u32::try_from(number).map_err(|_| format!("{number} is no device number"))
}

/// Sectors are 512 bytes here, whatever the disk's own are.
const fn sectors(count: u64) -> u64 {
    count.saturating_mul(512)
}

const fn milliseconds(count: u64) -> u64 {
    count.saturating_mul(1_000_000)
}

/// Whether that is a disk of its own: no loop, RAM, floppy or optical device and no partition. `whole` are the names
/// that `/sys/block` has; without it the name must tell.
pub fn is_real_disk(name: &str, whole: Option<&BTreeSet<String>>) -> bool {
    let numbered = |prefix| name.strip_prefix(prefix).is_some_and(|rest: &str| decimal(rest).is_ok());
    if ["loop", "ram", "zram", "fd", "sr"].into_iter().any(numbered) {
        return false;
    }
    whole.map_or_else(|| !is_partition_name(name), |names| names.contains(name))
}

fn is_partition_name(name: &str) -> bool {
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if stem.len() == name.len() {
        return false;
    }
    if ["nvme", "mmcblk", "nbd"].iter().any(|prefix| name.starts_with(prefix)) {
        return stem
            .strip_suffix('p')
            .is_some_and(|disk| disk.ends_with(|letter: char| letter.is_ascii_digit()));
    }
    ["sd", "vd", "xvd", "hd"]
        .iter()
        .any(|prefix| stem.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()))
}

/// What a network interface did since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStat {
    /// Kernel's name (`eth0`).
    pub name: String,
    /// What came in.
    pub incoming: Traffic,
    /// What went out.
    pub outgoing: Traffic,
}

/// Traffic of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets lost to errors.
    pub errors: u64,
    /// Packets dropped for want of room or interest.
    pub drops: u64,
}

/// `/proc/net/dev`. The two heading lines have bars and are skipped.
pub fn parse_net_dev(text: &str) -> Parsed<Vec<InterfaceStat>> {
    fold_lines(text, |interfaces: &mut Vec<InterfaceStat>, line| {
        if line.contains('|') {
            return Ok(());
        }
        let (name, figures) = line.rsplit_once(':').ok_or("no colon")?;
        let mut words = figures.split_ascii_whitespace();
        let incoming = traffic(&mut words)?;
        for _ in 0..4 {
            next_number(&mut words)?;
        }
        let outgoing = traffic(&mut words)?;
        interfaces.push(InterfaceStat { name: name.trim().to_owned(), incoming, outgoing });
        Ok(())
    })
}

fn traffic<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Traffic, String> {
    Ok(Traffic {
        bytes: next_number(words)?,
        packets: next_number(words)?,
        errors: next_number(words)?,
        drops: next_number(words)?,
    })
}
