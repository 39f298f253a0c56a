//! Recognising by its path what a group is (seed-systems §5.4).

use std::fmt;

/// What runs in a group, with the name its own tools know it by.
///
/// `resource_type` and `native_id` of each kind:
///
/// | kind | word | resource type | native id |
/// | --- | --- | --- | --- |
/// | [`LibvirtGuest`](Self::LibvirtGuest) | `libvirt` | `libvirt_guest` | domain name |
/// | [`LibvirtLxc`](Self::LibvirtLxc) | `libvirt_lxc` | `libvirt_lxc` | domain name |
/// | [`Docker`](Self::Docker) | `docker` | `docker_container` | 64 hexadecimal digits |
/// | [`Podman`](Self::Podman) | `podman` | `podman_container` | 64 hexadecimal digits |
/// | [`Kubernetes`](Self::Kubernetes) | `kubernetes` | `kubernetes_container` | 64 hexadecimal digits |
/// | [`Lxc`](Self::Lxc) | `lxc` | `lxc_container` | container name |
/// | [`Nspawn`](Self::Nspawn) | `nspawn` | `nspawn_container` | machine name |
/// | [`OpenVz`](Self::OpenVz) | `openvz` | `openvz_container` | number or UUID |
/// | [`Service`](Self::Service) | `service` | `system_service` | unit name |
/// | [`UserSession`](Self::UserSession) | `user` | `cgroup` | user number, then the rest of the path |
/// | [`Other`](Self::Other) | `cgroup` | `cgroup` | none: its path |
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupKind {
    /// A QEMU guest of libvirt.
    LibvirtGuest {
        /// Domain name; libvirt shortens long ones.
        domain: String,
    },
    /// An LXC container of libvirt.
    LibvirtLxc {
        /// Domain name.
        domain: String,
    },
    /// A Docker container.
    Docker {
        /// Its identifier.
        container: String,
    },
    /// A Podman container.
    Podman {
        /// Its identifier.
        container: String,
    },
    /// A container of a Kubernetes pod.
    Kubernetes {
        /// The pod's quality of service.
        qos: PodQos,
        /// The pod's UID, with `-`.
        pod: String,
        /// The runtime (`cri-containerd`, `crio`, `docker`), if the path tells.
        runtime: Option<String>,
        /// The container's identifier.
        container: String,
    },
    /// An LXC or LXD container.
    Lxc {
        /// Its name.
        name: String,
    },
    /// A systemd-nspawn machine.
    Nspawn {
        /// Its name.
        name: String,
    },
    /// An OpenVZ container.
    OpenVz {
        /// CTID or UUID.
        id: String,
    },
    /// A system service of systemd.
    Service {
        /// Unit name as systemd writes it.
        unit: String,
    },
    /// A user's slice, or a group in it.
    UserSession {
        /// The user's number.
        uid: u32,
        /// Path below the user's slice; empty for the slice itself.
        rest: String,
    },
    /// Anything else.
    Other,
}

/// Quality of service of a Kubernetes pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PodQos {
    /// Limits equal requests.
    Guaranteed,
    /// Some requests.
    Burstable,
    /// None.
    BestEffort,
}

impl fmt::Display for PodQos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guaranteed => "guaranteed",
            Self::Burstable => "burstable",
            Self::BestEffort => "besteffort",
        })
    }
}

impl GroupKind {
    /// Every resource type a group can have.
    pub const RESOURCE_TYPES: [&'static str; 10] = [
        "cgroup",
        "libvirt_guest",
        "libvirt_lxc",
        "docker_container",
        "podman_container",
        "kubernetes_container",
        "lxc_container",
        "nspawn_container",
        "openvz_container",
        "system_service",
    ];

    /// Name of the resource type.
    pub const fn resource_type(&self) -> &'static str {
        match self {
            Self::LibvirtGuest { .. } => "libvirt_guest",
            Self::LibvirtLxc { .. } => "libvirt_lxc",
            Self::Docker { .. } => "docker_container",
            Self::Podman { .. } => "podman_container",
            Self::Kubernetes { .. } => "kubernetes_container",
            Self::Lxc { .. } => "lxc_container",
            Self::Nspawn { .. } => "nspawn_container",
            Self::OpenVz { .. } => "openvz_container",
            Self::Service { .. } => "system_service",
            Self::UserSession { .. } | Self::Other => "cgroup",
        }
    }

    /// The word for it in resource identifiers.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::LibvirtGuest { .. } => "libvirt",
            Self::LibvirtLxc { .. } => "libvirt_lxc",
            Self::Docker { .. } => "docker",
            Self::Podman { .. } => "podman",
            Self::Kubernetes { .. } => "kubernetes",
            Self::Lxc { .. } => "lxc",
            Self::Nspawn { .. } => "nspawn",
            Self::OpenVz { .. } => "openvz",
            Self::Service { .. } => "service",
            Self::UserSession { .. } => "user",
            Self::Other => "cgroup",
        }
    }

    /// The name its own tools know it by, unique among groups of its kind on a host; `None` if it has none but its
    /// path.
    pub fn native_id(&self) -> Option<String> {
        match self {
            Self::LibvirtGuest { domain } | Self::LibvirtLxc { domain } => Some(domain.clone()),
            Self::Docker { container } | Self::Podman { container } | Self::Kubernetes { container, .. } => {
                Some(container.clone())
            }
            Self::Lxc { name } | Self::Nspawn { name } => Some(name.clone()),
            Self::OpenVz { id } => Some(id.clone()),
            Self::Service { unit } => Some(unit.clone()),
            Self::UserSession { uid, rest } if rest.is_empty() => Some(uid.to_string()),
            Self::UserSession { uid, rest } => Some(format!("{uid}/{rest}")),
            Self::Other => None,
        }
    }

    /// Whether its identifier is unique in the world, so that it needs no word of where it runs.
    const fn has_global_id(&self) -> bool {
        matches!(self, Self::Docker { .. } | Self::Podman { .. } | Self::Kubernetes { .. })
    }

    /// Whether it holds a world of its own, in which names of units and containers start afresh.
    const fn is_world(&self) -> bool {
        !matches!(self, Self::Service { .. } | Self::UserSession { .. } | Self::Other)
    }
}

/// What the group at `path` is; `path` is relative to its hierarchy, without a leading slash. `None` for the monitor
/// processes of containers, which are nobody's work.
///
/// A name is only believed outside containers and guests: `nginx.service` of an LXC container is not this host's.
pub fn recognise(path: &str) -> Option<GroupKind> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| is_monitor(part)) {
        return None;
    }
    let Some((last, before)) = parts.split_last() else { return Some(GroupKind::Other) };
    let kind = classify(last, before);
    let nested = || (1..parts.len()).any(|end| encloses(parts.get(..end).unwrap_or_default()));
    if kind == GroupKind::Other || kind.has_global_id() || !nested() {
        Some(kind)
    } else {
        Some(GroupKind::Other)
    }
}

fn encloses(parts: &[&str]) -> bool {
    parts.split_last().is_some_and(|(last, before)| classify(last, before).is_world())
}

fn is_monitor(part: &str) -> bool {
    part.starts_with("lxc.monitor.") || part == "lxc.monitor" || part.contains("-conmon-")
}

/// By the last part of the path and those before it.
fn classify(last: &str, before: &[&str]) -> GroupKind {
    let parent = before.last().copied().unwrap_or_default();
    scope_of_runtime(last, parent)
        .or_else(|| plain_container(last, before))
        .or_else(|| machine(last, parent))
        .or_else(|| openvz(last, before))
        .or_else(|| service(last, before))
        .or_else(|| user_session(last, before))
        .unwrap_or(GroupKind::Other)
}

/// `<runtime>-<64 hex>.scope`, as the systemd cgroup driver names containers.
fn scope_of_runtime(last: &str, parent: &str) -> Option<GroupKind> {
    let (runtime, container) = last.strip_suffix(".scope")?.rsplit_once('-')?;
    if !is_container_id(container) {
        return None;
    }
    let container = container.to_owned();
    if let Some((qos, pod)) = pod_slice(parent) {
        return Some(GroupKind::Kubernetes { qos, pod, runtime: Some(runtime.to_owned()), container });
    }
    match runtime {
        "docker" => Some(GroupKind::Docker { container }),
        "libpod" => Some(GroupKind::Podman { container }),
        _ => None,
    }
}

/// `…kubepods[-<qos>]-pod<uid, - as _>.slice`.
fn pod_slice(name: &str) -> Option<(PodQos, String)> {
    let name = name.strip_suffix(".slice")?;
    let (_, rest) = name.rsplit_once("kubepods-")?;
    let (qos, rest) = if let Some(rest) = rest.strip_prefix("burstable-") {
        (PodQos::Burstable, rest)
    } else if let Some(rest) = rest.strip_prefix("besteffort-") {
        (PodQos::BestEffort, rest)
    } else {
        (PodQos::Guaranteed, rest)
    };
    let uid = rest.strip_prefix("pod")?;
    (!uid.is_empty()).then(|| (qos, uid.replace('_', "-")))
}

/// Containers of drivers that name groups without systemd.
fn plain_container(last: &str, before: &[&str]) -> Option<GroupKind> {
    if let Some(name) = last.strip_prefix("lxc.payload.") {
        return (!name.is_empty()).then(|| GroupKind::Lxc { name: name.to_owned() });
    }
    let (parent, above) = before.split_last()?;
    match *parent {
        "lxc" => Some(GroupKind::Lxc { name: last.to_owned() }),
        "docker" if is_container_id(last) => Some(GroupKind::Docker { container: last.to_owned() }),
        _ if is_container_id(last) => {
            let pod = parent.strip_prefix("pod").filter(|uid| !uid.is_empty())?;
            let (class, above) = above.split_last()?;
            let qos = match *class {
                "kubepods" => PodQos::Guaranteed,
                "burstable" if above.last() == Some(&"kubepods") => PodQos::Burstable,
                "besteffort" if above.last() == Some(&"kubepods") => PodQos::BestEffort,
                _ => return None,
            };
            let pod = pod.to_owned();
            Some(GroupKind::Kubernetes { qos, pod, runtime: None, container: last.to_owned() })
        }
        _ => None,
    }
}

/// Machines registered with systemd, and libvirt's without it.
fn machine(last: &str, parent: &str) -> Option<GroupKind> {
    match parent {
        "machine.slice" => {
            if let Some(name) =
                last.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service"))
            {
                return Some(GroupKind::Nspawn { name: unescape(name) });
            }
            let name = unescape(last.strip_prefix("machine-")?.strip_suffix(".scope")?);
            if let Some(domain) = name.strip_prefix("qemu-").and_then(without_number) {
                return Some(GroupKind::LibvirtGuest { domain: domain.to_owned() });
            }
            if let Some(domain) = name.strip_prefix("lxc-").and_then(without_number) {
                return Some(GroupKind::LibvirtLxc { domain: domain.to_owned() });
            }
            (!name.is_empty()).then_some(GroupKind::Nspawn { name })
        }
        "machine" => {
            if let Some(name) = last.strip_suffix(".libvirt-qemu") {
                let domain = name.strip_prefix("qemu-").and_then(without_number).unwrap_or(name);
                return Some(GroupKind::LibvirtGuest { domain: unescape(domain) });
            }
            let name = last.strip_suffix(".libvirt-lxc")?;
            let domain = name.strip_prefix("lxc-").and_then(without_number).unwrap_or(name);
            Some(GroupKind::LibvirtLxc { domain: unescape(domain) })
        }
        _ => None,
    }
}

/// `<n>-<name>` without its number; old versions of libvirt wrote none.
fn without_number(text: &str) -> Option<&str> {
    let name = match text.split_once('-') {
        Some((number, name)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            name
        }
        _ => text,
    };
    (!name.is_empty()).then_some(name)
}

/// `machine.slice/<CTID or UUID>`, or a number at the very top.
fn openvz(last: &str, before: &[&str]) -> Option<GroupKind> {
    let number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    let found = match before {
        [] => number,
        [.., "machine.slice"] => number || is_uuid(last),
        _ => false,
    };
    found.then(|| GroupKind::OpenVz { id: last.to_owned() })
}

/// `system.slice/…/<unit>.service`, with only slices between.
fn service(last: &str, before: &[&str]) -> Option<GroupKind> {
    let stem = last.strip_suffix(".service")?;
    let mut slices = before.iter().rev().take_while(|part| part.ends_with(".slice"));
    (!stem.is_empty() && slices.any(|part| *part == "system.slice"))
        .then(|| GroupKind::Service { unit: last.to_owned() })
}

/// `user.slice/user-<uid>.slice/…`.
fn user_session(last: &str, before: &[&str]) -> Option<GroupKind> {
    let top = before.iter().position(|part| *part == "user.slice")?;
    let mut below = before.iter().skip(top + 1).copied().chain([last]);
    let uid = below.next()?.strip_prefix("user-")?.strip_suffix(".slice")?.parse().ok()?;
    Some(GroupKind::UserSession { uid, rest: below.collect::<Vec<_>>().join("/") })
}

fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Undoes systemd's `\xNN`. What is no such escape stays as it is; bytes that are no UTF-8 become `U+FFFD`.
pub fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if let [b'\\', b'x', high, low, tail @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            bytes.push(high << 4 | low);
            rest = tail;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|fault| String::from_utf8_lossy(fault.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
