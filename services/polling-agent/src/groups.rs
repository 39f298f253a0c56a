//! Reads control groups.
//!
//! A group that goes says so once: its last sample is of `cgroup.pids` with volume 0 (or, where that meter is not
//! wanted, of another one it had, with the last volume of a counter or 0), and its metadata has `ended_at`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nephos_config::settings::Namespace;
use nephos_hypervisor::cgroup::{BlockDevice, Device, DeviceIo};
use nephos_hypervisor::{Cgroups, Group, GroupKind, GroupParts, Roots};
use nephos_model::{Clock, Metadata, Sample};

use crate::identity::{HostIdentity, put};
use crate::meter::{Column, Meter, Stamp, Subject, Wanted, select};
use crate::pollster::{Polled, Pollster, TOO_MANY, TOO_YOUNG};
use columns::IoTotals;
use tracking::{Tracked, Tracker};

mod columns;
mod identity;
mod tracking;

/// Metadata key of the time at which a resource went: ISO 8601, UTC. Whoever keeps resources ends them by it; a later
/// sample without it says that the resource is there again.
pub const ENDED_AT: &str = "ended_at";

/// Which groups are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// Most groups of this host.
    pub most: usize,
    /// Younger groups are left out.
    pub least_age: Duration,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self { most: 5_000, least_age: Duration::from_secs(60) }
    }
}

/// Reads the control groups of the host.
#[derive(Clone, Debug)]
pub struct GroupPollster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: Arc<HostIdentity>,
    clock: Arc<dyn Clock>,
    limits: GroupLimits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    cgroups: Cgroups,
    tracker: Tracker,
}

impl GroupPollster {
    /// The groups of the host whose file systems are at `roots`.
    pub fn new(host: Arc<HostIdentity>, roots: Roots, clock: Arc<dyn Clock>, limits: GroupLimits) -> Self {
        let state = State { cgroups: Cgroups::new(roots), tracker: Tracker::new(limits.least_age) };
        Self { shared: Arc::new(Shared { host, clock, limits, state: Mutex::new(state) }) }
    }

    /// Every meter it can read.
    pub fn catalogue() -> Vec<Meter> {
        columns::meters()
    }
}

#[async_trait]
impl Pollster for GroupPollster {
    fn name(&self) -> &'static str {
        "cgroup"
    }

    fn namespace(&self) -> Namespace {
        Namespace::Compute
    }

    fn meters(&self) -> Vec<Meter> {
        Self::catalogue()
    }

    async fn poll(&self, wanted: &Wanted) -> Polled {
        let (shared, wanted) = (Arc::clone(&self.shared), wanted.clone());
        crate::blocking::run(move || shared.poll(&wanted)).await
    }
}

/// The wanted columns, and what must be read for them.
struct Plan {
    usage: Vec<&'static Column<nephos_hypervisor::GroupReading, GroupParts>>,
    io: Vec<&'static Column<IoTotals, GroupParts>>,
    parts: GroupParts,
}

impl Plan {
    fn of(wanted: &Wanted) -> Self {
        let mut usage = select(&columns::USAGE, wanted);
        usage.extend(columns::PRESSURE.iter().flat_map(|table| select(table, wanted)));
        let io = select(&columns::IO, wanted);
        let needs = usage.iter().map(|column| column.needs).chain(io.iter().map(|column| column.needs));
        let parts = needs.fold(GroupParts::NONE, |all, parts| all | parts);
        Self { usage, io, parts }
    }

    fn meters(&self) -> impl Iterator<Item = &'static Meter> {
        let usage = self.usage.iter().map(|column| &column.meter);
        usage.chain(self.io.iter().map(|column| &column.meter))
    }
}

impl Shared {
    fn poll(&self, wanted: &Wanted) -> Polled {
        let plan = Plan::of(wanted);
        if plan.parts == GroupParts::NONE {
            return Polled::default();
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { cgroups, tracker } = &mut *state;
        let mut polled = Polled::default();
        if let Some(walk) = cgroups.walk(self.limits.most) {
            let mut cycle =
                Cycle { shared: self, plan: &plan, devices: HashMap::new(), out: &mut polled.samples };
            let young = cycle.read_groups(cgroups, tracker, &walk.groups);
            cycle.end_gone(cgroups, tracker);
            polled.left_out = vec![(TOO_MANY, walk.dropped), (TOO_YOUNG, young)];
        }
        polled.faults = cgroups.take_faults().into_iter().map(crate::blocking::fault).collect();
        polled
    }

    fn stamp(&self) -> Stamp {
        Stamp::take(self.clock.as_ref(), self.host.monotonic_origin.is_some())
    }
}

/// One poll.
struct Cycle<'a> {
    shared: &'a Shared,
    plan: &'a Plan,
    devices: HashMap<Device, BlockDevice>,
    out: &'a mut Vec<Sample>,
}

impl Cycle<'_> {
    /// Returns how many groups were too young.
    fn read_groups(&mut self, cgroups: &mut Cgroups, tracker: &mut Tracker, groups: &[Group]) -> usize {
        let mut young = 0;
        tracker.begin(cgroups, groups, self.shared.clock.as_ref());
        for group in groups {
            match tracker.visit(cgroups, group, |cgroups| self.introduce(cgroups, group)) {
                Some(tracked) => self.read(cgroups, group, tracked),
                None => young += 1,
            }
        }
        young
    }

    /// What a group is called; asked once for each.
    fn introduce(&self, cgroups: &mut Cgroups, group: &Group) -> (String, Metadata) {
        let host = &self.shared.host;
        let GroupKind::LibvirtGuest { .. } = group.kind else {
            let id = identity::resource_id(&host.name, &group.kind, &group.path_text());
            return (id, identity::metadata(host, group, None));
        };
        // The path has a long name only in part; the emulator knows it whole.
        let guest = cgroups.guest_names(group);
        let mut group = group.clone();
        if let Some(names) = &guest {
            group.kind = GroupKind::LibvirtGuest { domain: names.domain.clone() };
        }
        let id = identity::resource_id(&host.name, &group.kind, &group.path_text());
        (id, identity::metadata(host, &group, guest.as_ref()))
    }

    fn read(&mut self, cgroups: &mut Cgroups, group: &Group, tracked: &mut Tracked) {
        let stamp = self.shared.stamp();
        let reading = cgroups.read(group, self.plan.parts);
        let first = self.out.len();
        let source = &self.shared.host.source;
        let subject =
            Subject { resource_id: &tracked.resource_id, metadata: &tracked.metadata, stamp, source };
        subject.emit(&self.plan.usage, &reading, self.out);
        if let Some(devices) = &reading.io {
            let (totals, names) = self.io_totals(cgroups, devices);
            let metadata = tracked.io_metadata(&names);
            let subject = Subject { resource_id: &tracked.resource_id, metadata: &metadata, stamp, source };
            subject.emit(&self.plan.io, &totals, self.out);
        }
        let fresh = self.out.get(first..).unwrap_or_default();
        tracked.remember(fresh, || self.plan.meters());
    }

    /// I/O over all devices, and their names. A device on top of others is left out: those count its I/O too.
    fn io_totals(&mut self, cgroups: &Cgroups, devices: &[DeviceIo]) -> (IoTotals, String) {
        let (mut totals, mut names) = (IoTotals::default(), String::new());
        for io in devices {
            let device = self.devices.entry(io.device).or_insert_with(|| cgroups.block_device(io.device));
            if !device.stacked {
                totals.read_bytes = totals.read_bytes.saturating_add(io.read_bytes);
                totals.write_bytes = totals.write_bytes.saturating_add(io.write_bytes);
                totals.read_requests = totals.read_requests.saturating_add(io.read_requests);
                totals.write_requests = totals.write_requests.saturating_add(io.write_requests);
                names.push_str(if names.is_empty() { "" } else { "," });
                names.push_str(&device.name);
            }
        }
        (totals, names)
    }

    /// A last sample for each group that is no longer there.
    fn end_gone(&mut self, cgroups: &Cgroups, tracker: &mut Tracker) {
        for tracked in tracker.take_gone(cgroups) {
            let Some((meter, volume)) = tracked.farewell() else { continue };
            let stamp = self.shared.stamp();
            let mut metadata = Metadata::clone(&tracked.metadata);
            put(&mut metadata, ENDED_AT, &(nephos_wire::time::naive_utc(stamp.timestamp, 'T') + "+00:00"));
            let (metadata, source) = (Arc::new(metadata), &self.shared.host.source);
            let subject = Subject { resource_id: &tracked.resource_id, metadata: &metadata, stamp, source };
            self.out.push(subject.sample(meter, volume));
        }
    }
}

#[cfg(test)]
mod tests;
