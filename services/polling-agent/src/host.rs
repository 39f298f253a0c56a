//! Reads the host itself: CPU, memory, load, disks, network interfaces, pressure.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use nephos_config::settings::Namespace;
use nephos_hypervisor::host::CpuStat;
use nephos_hypervisor::{Host, Roots};
use nephos_model::{Clock, Metadata, Sample};
use serde_json::Value;

use crate::identity::{HostIdentity, put};
use crate::meter::{Column, Meter, Stamp, Subject, Wanted, select};
use crate::pollster::{Polled, Pollster};

mod columns;

/// Reads the host from `/proc`.
#[derive(Clone, Debug)]
pub struct HostPollster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    identity: Arc<HostIdentity>,
    clock: Arc<dyn Clock>,
    host: Mutex<Host>,
}

impl HostPollster {
    /// The host whose file systems are at `roots`.
    pub fn new(identity: Arc<HostIdentity>, roots: Roots, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { identity, clock, host: Mutex::new(Host::new(roots)) }) }
    }

    /// Every meter it can read.
    pub fn catalogue() -> Vec<Meter> {
        columns::meters()
    }
}

#[async_trait]
impl Pollster for HostPollster {
    fn name(&self) -> &'static str {
        "host"
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

impl Shared {
    fn poll(&self, wanted: &Wanted) -> Polled {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let mut samples = Vec::new();
        self.system(&mut host, wanted, &mut samples);
        self.disks(&mut host, wanted, &mut samples);
        self.interfaces(&mut host, wanted, &mut samples);
        let faults = host.take_faults().into_iter().map(crate::blocking::fault).collect();
        Polled { samples, left_out: Vec::new(), faults }
    }

    fn stamp(&self) -> Stamp {
        Stamp::take(self.clock.as_ref(), self.identity.monotonic_origin.is_some())
    }

    /// What the host resource itself has, all with one timestamp.
    fn system(&self, host: &mut Host, wanted: &Wanted, out: &mut Vec<Sample>) {
        let cpu = select(&columns::CPU, wanted);
        let load = select(&columns::LOAD, wanted);
        let memory = select(&columns::MEMORY, wanted);
        let uptime = select(&columns::UPTIME, wanted);
        let stamp = self.stamp();
        let cpu_stat = if cpu.is_empty() { None } else { host.cpu() };
        let metadata = Arc::new(self.system_metadata(cpu_stat.as_ref()));
        let source = &self.identity.source;
        let subject = Subject { resource_id: &self.identity.name, metadata: &metadata, stamp, source };
        if let Some(stat) = cpu_stat {
            subject.emit(&cpu, &stat, out);
        }
        emit_read(&subject, &load, out, || host.load());
        emit_read(&subject, &memory, out, || host.memory());
        emit_read(&subject, &uptime, out, || host.uptime());
        for (resource, table) in &columns::PRESSURE {
            emit_read(&subject, &select(table, wanted), out, || host.pressure(resource));
        }
    }

    fn system_metadata(&self, cpu: Option<&CpuStat>) -> Metadata {
        let mut metadata = self.identity.metadata("host", &self.identity.name);
        if let Some(machine_id) = &self.identity.machine_id {
            put(&mut metadata, "machine_id", machine_id);
        }
        if let Some(cpu) = cpu {
            metadata.insert("cpu_number".to_owned(), Value::from(cpu.cpus));
        }
        metadata
    }

    fn disks(&self, host: &mut Host, wanted: &Wanted, out: &mut Vec<Sample>) {
        let columns = select(&columns::DISK, wanted);
        if columns.is_empty() {
            return;
        }
        let stamp = self.stamp();
        for disk in host.disks().unwrap_or_default() {
            self.device("host_disk", &disk.name, stamp, |subject| subject.emit(&columns, &disk, out));
        }
    }

    fn interfaces(&self, host: &mut Host, wanted: &Wanted, out: &mut Vec<Sample>) {
        let columns = select(&columns::INTERFACE, wanted);
        if columns.is_empty() {
            return;
        }
        let stamp = self.stamp();
        for interface in host.interfaces().unwrap_or_default() {
            let emit = |subject: &Subject<'_>| subject.emit(&columns, &interface, out);
            self.device("host_network_interface", &interface.name, stamp, emit);
        }
    }

    fn device(&self, resource_type: &str, name: &str, stamp: Stamp, emit: impl FnOnce(&Subject<'_>)) {
        let mut metadata = self.identity.metadata(resource_type, name);
        put(&mut metadata, "device_name", name);
        let metadata = Arc::new(metadata);
        let resource_id = format!("{}.{}", self.identity.name, name).replace('/', "_");
        let source = &self.identity.source;
        emit(&Subject { resource_id: &resource_id, metadata: &metadata, stamp, source });
    }
}

/// Reads only if a column is wanted.
fn emit_read<R>(
    subject: &Subject<'_>,
    columns: &[&'static Column<R>],
    out: &mut Vec<Sample>,
    read: impl FnOnce() -> Option<R>,
) {
    if !columns.is_empty()
        && let Some(reading) = read()
    {
        subject.emit(columns, &reading, out);
    }
}

#[cfg(test)]
mod tests;
