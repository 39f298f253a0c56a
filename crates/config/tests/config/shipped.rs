//! The files Nephos brings along.

use std::collections::BTreeSet;

use nephos_config::pipeline::{PublisherKind, TransformerSpec};
use nephos_config::polling::Schedule;
use nephos_config::resources::shipped_resource_types;
use nephos_config::{Loaded, Mode};

use crate::support::{Case, run};

fn embedded() -> Loaded {
    run(Mode::Embedded, &Case::default()).unwrap()
}

fn apart() -> Loaded {
    let variables = &[
        ("NEPHOS__INDEX", "postgres://h/d"),
        ("NEPHOS__BUS", "amqp://127.0.0.1/"),
        ("NEPHOS__STORE__TOKEN", "t"),
    ];
    run(Mode::Distributed(None), &Case { variables, ..Case::default() }).unwrap()
}

#[test]
fn one_process_polls_its_host_often_and_groups_less_often() {
    let polling = embedded().polling;
    for (meter, seconds) in
        [("cpu", 10), ("host.load.1min", 10), ("host.disk.read.bytes", 10), ("cgroup.cpu.usage", 30)]
    {
        let due: Vec<_> = polling
            .sources
            .iter()
            .filter(|source| source.meters.matches(meter))
            .map(|source| match &source.schedule {
                Schedule::Interval(interval) => interval.as_secs(),
                Schedule::Cron(_) => 0,
            })
            .collect();
        assert_eq!(due, [seconds], "{meter}");
    }
}

#[test]
fn agents_of_their_own_poll_everything_each_minute() {
    let polling = apart().polling;
    assert_eq!(polling.sources.len(), 1);
    assert_eq!(polling.sources[0].schedule, Schedule::Interval(std::time::Duration::from_secs(60)));
    assert!(polling.sources[0].meters.matches("anything.at.all"));
}

#[test]
fn counters_get_rates() {
    let pipeline = embedded().pipeline;
    for (meter, unit, expected) in [
        ("cpu", "ns", &[("cpu_util", "%")][..]),
        ("cgroup.cpu.usage", "ns", &[("cgroup.cpu.util", "%")]),
        ("disk.read.bytes", "B", &[("disk.read.bytes.rate", "B/s")]),
        ("disk.device.write.requests", "request", &[("disk.device.write.requests.rate", "request/s")]),
        ("network.incoming.packets", "packet", &[("network.incoming.packets.rate", "packet/s")]),
        ("host.disk.read.bytes", "B", &[("host.disk.read.bytes.rate", "B/s")]),
        ("host.disk.busy.time", "ns", &[("host.disk.busy.time.rate", "ns/s")]),
        ("host.network.outgoing.errors", "packet", &[("host.network.outgoing.errors.rate", "packet/s")]),
        ("cgroup.io.write.ops", "request", &[("cgroup.io.write.ops.rate", "request/s")]),
        ("host.load.1min", "process", &[]),
        ("host.memory.free", "B", &[]),
        ("cgroup.memory.usage", "B", &[]),
    ] {
        let sinks: Vec<_> = pipeline
            .sources
            .iter()
            .filter(|source| source.meters.matches(meter))
            .flat_map(|source| &source.sinks)
            .map(|name| pipeline.sink(name).unwrap())
            .collect();
        assert!(
            sinks
                .iter()
                .all(|sink| sink.publishers.iter().all(|publisher| publisher.kind == PublisherKind::Nephos))
        );
        assert_eq!(
            sinks.iter().filter(|sink| sink.transformers.is_empty()).count(),
            1,
            "{meter} itself is kept once"
        );
        let derived: Vec<_> = sinks
            .iter()
            .flat_map(|sink| &sink.transformers)
            .map(|transformer| {
                let TransformerSpec::RateOfChange(spec) = transformer else { panic!("{transformer:?}") };
                (spec.target_name(meter).into_owned(), spec.target_unit(unit).into_owned())
            })
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(name, unit)| ((*name).to_owned(), (*unit).to_owned())).collect();
        assert_eq!(derived, expected, "{meter}");
    }
}

#[test]
fn meters_have_their_type_and_policy() {
    let resources = embedded().resources;
    for (meter, expected) in [
        ("cpu", ("instance", "ceilometer-low-rate")),
        ("cpu_util", ("instance", "ceilometer-low")),
        ("memory.usage", ("instance", "ceilometer-low")),
        ("disk.device.read.bytes", ("instance_disk", "ceilometer-low-rate")),
        ("network.incoming.bytes.rate", ("instance_network_interface", "ceilometer-low")),
        ("host.load.1min", ("host", "nephos")),
        ("host.disk.read.bytes.rate", ("host_disk", "nephos")),
        ("host.network.incoming.bytes", ("host_network_interface", "nephos")),
        ("cgroup.cpu.util", ("cgroup", "nephos")),
        ("hardware.cpu.util", ("host", "ceilometer-low")),
        ("hardware.network.ip.incoming.datagrams", ("host", "ceilometer-low")),
        ("volume.size", ("volume", "ceilometer-low")),
    ] {
        let rule = resources.rule(meter).unwrap();
        assert_eq!((rule.resource.resource_type.as_str(), rule.archive_policy), expected, "{meter}");
    }
    for (resource_type, meter) in [
        ("host", "cpu"),
        ("host", "cpu_util"),
        ("instance", "cgroup.memory.usage"),
        ("libvirt_guest", "cgroup.memory.usage"),
        ("kubernetes_container", "cgroup.io.read.bytes.rate"),
        ("system_service", "cgroup.pids"),
    ] {
        assert_eq!(
            resources.rule_of_type(resource_type, meter).unwrap().archive_policy,
            "nephos",
            "{resource_type} {meter}"
        );
    }
}

#[test]
fn every_policy_named_is_known_and_late_by_an_hour_at_least() {
    let resources = embedded().resources;
    let mut known: BTreeSet<String> =
        resources.archive_policies.iter().map(|policy| policy.name.clone()).collect();
    known.insert("nephos".to_owned());
    assert_eq!(known.len(), 5);
    assert!(known.contains(&resources.archive_policy_default));
    for metric in resources.resources.iter().flat_map(|resource| &resource.metrics) {
        assert!(metric.archive_policy.as_ref().is_none_or(|policy| known.contains(policy)), "{metric:?}");
    }
    for policy in &resources.archive_policies {
        let window = f64::from(policy.back_window) * policy.coarsest().unwrap().as_secs_f64();
        assert!(window >= 3600.0, "{policy:?}");
    }
}

#[test]
fn every_type_and_attribute_filled_is_declared() {
    let types = shipped_resource_types();
    let resources = embedded().resources;
    assert_eq!(types.len(), resources.resources.len());
    for resource in &resources.resources {
        let declared = types.iter().find(|declared| declared.name == resource.resource_type).unwrap();
        for attribute in &resource.attributes {
            assert!(
                declared.attributes.contains_key(&attribute.name),
                "{} of {}",
                attribute.name,
                resource.resource_type
            );
        }
    }
    let instance = types.iter().find(|declared| declared.name == "instance").unwrap();
    assert!(instance.attributes["flavor_id"].required && !instance.attributes["host"].required);
    assert_eq!(instance.attributes.len(), 10);
}
