//! What is remembered of groups from poll to poll: their age, their names, and what to say when they go.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nephos_hypervisor::{Cgroups, Group};
use nephos_model::{Clock, Metadata, Sample, SampleKind, Timestamp, Volume};

use super::columns::PIDS;
use crate::identity::put;
use crate::meter::Meter;

/// The groups of this host.
#[derive(Debug)]
pub(super) struct Tracker {
    least_age: Duration,
    known: HashMap<PathBuf, Entry>,
    poll: u64,
    now: Duration,
    wall: Timestamp,
    old: HashSet<PathBuf>,
}

#[derive(Debug)]
struct Entry {
    first_seen: Duration,
    seen_in: u64,
    tracked: Option<Tracked>,
}

/// A group that is read.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) resource_id: String,
    pub(super) metadata: Arc<Metadata>,
    io: Option<(String, Arc<Metadata>)>,
    last: Option<(&'static Meter, Volume)>,
}

impl Tracker {
    pub(super) fn new(least_age: Duration) -> Self {
        Self {
            least_age,
            known: HashMap::new(),
            poll: 0,
            now: Duration::ZERO,
            wall: Timestamp::EPOCH,
            old: HashSet::new(),
        }
    }

    /// A new poll begins.
    ///
    /// At the first one of this process, nothing was seen before, and the kernel may have forgotten since when a
    /// folder is there. A group with an old process in it or below is then taken for old, so that a restart of the
    /// agent leaves no gap.
    pub(super) fn begin(&mut self, cgroups: &mut Cgroups, groups: &[Group], clock: &dyn Clock) {
        self.poll += 1;
        (self.now, self.wall) = (clock.monotonic(), clock.now());
        self.old.clear();
        if self.poll > 1 {
            return;
        }
        for group in groups.iter().rev() {
            if !self.old.contains(&group.path)
                && !self.is_old_folder(cgroups, group)
                && cgroups.has_process_older_than(group, self.least_age)
            {
                let above = group.path.ancestors().filter(|path| !path.as_os_str().is_empty());
                self.old.extend(above.map(Path::to_owned));
            }
        }
    }

    /// The group, if it is old enough to be read; `introduce` gives a new one its resource's id and metadata.
    pub(super) fn visit(
        &mut self,
        cgroups: &mut Cgroups,
        group: &Group,
        introduce: impl FnOnce(&mut Cgroups) -> (String, Metadata),
    ) -> Option<&mut Tracked> {
        let (now, poll) = (self.now, self.poll);
        if !self.known.contains_key(&group.path) {
            self.known.insert(group.path.clone(), Entry { first_seen: now, seen_in: poll, tracked: None });
        }
        let waited = self.known.get(&group.path).is_some_and(|entry| {
            entry.tracked.is_some() || now.saturating_sub(entry.first_seen) >= self.least_age
        });
        let old = waited || self.old.contains(&group.path) || self.is_old_folder(cgroups, group);
        let entry = self.known.get_mut(&group.path)?;
        entry.seen_in = poll;
        if !old {
            return None;
        }
        Some(entry.tracked.get_or_insert_with(|| {
            let (resource_id, metadata) = introduce(cgroups);
            Tracked { resource_id, metadata: Arc::new(metadata), io: None, last: None }
        }))
    }

    fn is_old_folder(&self, cgroups: &Cgroups, group: &Group) -> bool {
        let since = cgroups.there_since(group);
        since.is_some_and(|since| since <= self.wall.minus(self.least_age))
    }

    /// Forgets the groups that are no longer there and returns those that were read. One that only did not fit under
    /// the limit this time is kept.
    pub(super) fn take_gone(&mut self, cgroups: &Cgroups) -> Vec<Tracked> {
        let poll = self.poll;
        let gone = self.known.extract_if(|path, entry| entry.seen_in != poll && !cgroups.exists(path));
        gone.filter_map(|(_, entry)| entry.tracked).collect()
    }
}

impl Tracked {
    /// The metadata of samples of block I/O: with the devices that they are of.
    pub(super) fn io_metadata(&mut self, devices: &str) -> Arc<Metadata> {
        match &self.io {
            Some((known, metadata)) if known == devices => Arc::clone(metadata),
            _ => {
                let mut metadata = Metadata::clone(&self.metadata);
                put(&mut metadata, "device", devices);
                let metadata = Arc::new(metadata);
                self.io = Some((devices.to_owned(), Arc::clone(&metadata)));
                metadata
            }
        }
    }

    /// Remembers what the last sample shall be of: tasks if they are read, else a counter, else anything.
    pub(super) fn remember<M>(&mut self, fresh: &[Sample], meters: impl Fn() -> M)
    where
        M: Iterator<Item = &'static Meter>,
    {
        let rank = |sample: &&Sample| (sample.name == PIDS, sample.kind == SampleKind::Cumulative);
        let Some(best) = fresh.iter().rev().max_by_key(rank) else { return };
        if self.last.is_some_and(|(meter, _)| meter.name == PIDS) && best.name != PIDS {
            return;
        }
        if let Some(meter) = meters().find(|meter| meter.name == best.name) {
            self.last = Some((meter, best.volume));
        }
    }

    /// The last sample's meter and volume: a counter stays where it stood, all else is nothing.
    pub(super) fn farewell(&self) -> Option<(&'static Meter, Volume)> {
        let (meter, volume) = self.last?;
        Some((meter, if meter.kind == SampleKind::Cumulative { volume } else { Volume::Int(0) }))
    }
}
