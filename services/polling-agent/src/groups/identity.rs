//! How a group is called in samples.

use nephos_hypervisor::cgroup::GuestNames;
use nephos_hypervisor::{Group, GroupKind};
use nephos_model::Metadata;
use sha2::{Digest, Sha256};

use crate::identity::{HostIdentity, put};

/// Longest resource identifier the store takes, in characters.
const LONGEST: usize = 289;
/// How much of a longer one stays readable.
const KEPT: usize = 200;

/// Identifier of the group's resource: `<host>:<kind>:<native id>`, or by its path where it has no such id.
pub(super) fn resource_id(host: &str, kind: &GroupKind, path: &str) -> String {
    let native = kind.native_id();
    let text = format!("{host}:{}:{}", kind.word(), native.as_deref().unwrap_or(path)).replace('/', "_");
    if text.chars().count() <= LONGEST {
        return text;
    }
    let mut short: String = text.chars().take(KEPT).collect();
    for byte in Sha256::digest(text.as_bytes()) {
        short.push_str(&format!("{byte:02x}"));
    }
    short
}

/// What is known of the group.
pub(super) fn metadata(host: &HostIdentity, group: &Group, guest: Option<&GuestNames>) -> Metadata {
    let path = group.path_text();
    let name = group.kind.native_id().unwrap_or_else(|| path.clone());
    let mut metadata = host.metadata(group.kind.resource_type(), &name);
    put(&mut metadata, "name", &name);
    put(&mut metadata, "kind", group.kind.word());
    put(&mut metadata, "path", &path);
    if let GroupKind::Kubernetes { qos, pod, runtime, .. } = &group.kind {
        put(&mut metadata, "pod", pod);
        put(&mut metadata, "qos", &qos.to_string());
        if let Some(runtime) = runtime {
            put(&mut metadata, "runtime", runtime);
        }
    }
    if let Some(uuid) = guest.and_then(|guest| guest.uuid.as_deref()) {
        put(&mut metadata, "instance_id", uuid);
    }
    metadata
}

#[cfg(test)]
mod tests {
    use nephos_hypervisor::cgroup::recognise;

    use super::*;

    #[test]
    fn groups_are_called_by_kind_and_native_id_or_by_path() {
        for (path, expected) in [
            ("system.slice/nginx.service", "node1:service:nginx.service"),
            (
                r"machine.slice/machine-qemu\x2d1\x2dinstance\x2d0000002a.scope",
                "node1:libvirt:instance-0000002a",
            ),
            ("user.slice/user-1000.slice", "node1:user:1000"),
            ("user.slice/user-1000.slice/session-3.scope", "node1:user:1000_session-3.scope"),
            ("backup/nightly", "node1:cgroup:backup_nightly"),
            ("init.scope", "node1:cgroup:init.scope"),
        ] {
            assert_eq!(resource_id("node1", &recognise(path).unwrap(), path), expected);
        }
    }

    #[test]
    fn long_identifiers_are_cut_and_stay_apart() {
        let path = |last: char| format!("deep/{}{last}", "é".repeat(400));
        let (one, other) = (
            resource_id("h", &GroupKind::Other, &path('a')),
            resource_id("h", &GroupKind::Other, &path('b')),
        );
        assert_ne!(one, other);
        assert_eq!(one.chars().count(), KEPT + 64);
        let exact = "x".repeat(LONGEST - "h:cgroup:".len());
        assert_eq!(resource_id("h", &GroupKind::Other, &exact).chars().count(), LONGEST);
    }
}
