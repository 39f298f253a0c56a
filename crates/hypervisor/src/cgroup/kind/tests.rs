use proptest::prelude::*;

use super::*;

const ID: &str = "4f1a7e0c9b2d4c6f8a1b3c5d7e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b";

fn pod(qos: PodQos, pod: &str, runtime: Option<&str>) -> GroupKind {
    GroupKind::Kubernetes {
        qos,
        pod: pod.to_owned(),
        runtime: runtime.map(str::to_owned),
        container: ID.to_owned(),
    }
}

fn guest(domain: &str) -> GroupKind {
    GroupKind::LibvirtGuest { domain: domain.to_owned() }
}

#[test]
fn paths_tell_what_runs_in_a_group() {
    let docker = GroupKind::Docker { container: ID.to_owned() };
    let podman = GroupKind::Podman { container: ID.to_owned() };
    let uid = "3c5f1e0c-a7a9-4a3f-8d1b-6e7f5a4b3c2d";
    let uid_ = uid.replace('-', "_");
    for (path, expected) in [
        (
            r"machine.slice/machine-qemu\x2d1\x2dinstance\x2d00000001.scope".to_owned(),
            guest("instance-00000001"),
        ),
        (r"machine.slice/machine-qemu\x2dplain.scope".to_owned(), guest("plain")),
        ("machine/qemu-7-web.libvirt-qemu".to_owned(), guest("web")),
        ("machine/web.libvirt-qemu".to_owned(), guest("web")),
        (
            r"machine.slice/machine-lxc\x2d12\x2dapp.scope".to_owned(),
            GroupKind::LibvirtLxc { domain: "app".to_owned() },
        ),
        ("machine/lxc-3-app.libvirt-lxc".to_owned(), GroupKind::LibvirtLxc { domain: "app".to_owned() }),
        (format!("system.slice/docker-{ID}.scope"), docker.clone()),
        (format!("docker/{ID}"), docker.clone()),
        (format!("lxc.payload.dev/docker/{ID}"), docker),
        (format!("machine.slice/libpod-{ID}.scope"), podman.clone()),
        (format!("user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"), podman),
        (
            format!(
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/cri-containerd-{ID}.scope"
            ),
            pod(PodQos::Burstable, uid, Some("cri-containerd")),
        ),
        (
            format!(
                "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid_}.slice/docker-{ID}.scope"
            ),
            pod(PodQos::BestEffort, uid, Some("docker")),
        ),
        (
            format!("kubepods.slice/kubepods-pod{uid_}.slice/crio-{ID}.scope"),
            pod(PodQos::Guaranteed, uid, Some("crio")),
        ),
        (
            format!(
                "system.slice/docker-{ID}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{uid_}.slice/cri-containerd-{ID}.scope"
            ),
            pod(PodQos::Burstable, uid, Some("cri-containerd")),
        ),
        (format!("kubepods/burstable/pod{uid}/{ID}"), pod(PodQos::Burstable, uid, None)),
        (format!("kubepods/pod{uid}/{ID}"), pod(PodQos::Guaranteed, uid, None)),
        ("lxc.payload.web01".to_owned(), GroupKind::Lxc { name: "web01".to_owned() }),
        ("lxc/web02".to_owned(), GroupKind::Lxc { name: "web02".to_owned() }),
        (
            r"machine.slice/systemd-nspawn@build\x2dhost.service".to_owned(),
            GroupKind::Nspawn { name: "build-host".to_owned() },
        ),
        (r"machine.slice/machine-arch.scope".to_owned(), GroupKind::Nspawn { name: "arch".to_owned() }),
        (format!("machine.slice/{uid}"), GroupKind::OpenVz { id: uid.to_owned() }),
        ("machine.slice/101".to_owned(), GroupKind::OpenVz { id: "101".to_owned() }),
        ("101".to_owned(), GroupKind::OpenVz { id: "101".to_owned() }),
        ("system.slice/nginx.service".to_owned(), GroupKind::Service { unit: "nginx.service".to_owned() }),
        (
            "system.slice/system-getty.slice/getty@tty1.service".to_owned(),
            GroupKind::Service { unit: "getty@tty1.service".to_owned() },
        ),
        ("user.slice/user-1000.slice".to_owned(), GroupKind::UserSession { uid: 1000, rest: String::new() }),
        (
            "user.slice/user-1000.slice/session-3.scope".to_owned(),
            GroupKind::UserSession { uid: 1000, rest: "session-3.scope".to_owned() },
        ),
        ("system.slice".to_owned(), GroupKind::Other),
        ("user.slice".to_owned(), GroupKind::Other),
        ("init.scope".to_owned(), GroupKind::Other),
        ("kubepods.slice".to_owned(), GroupKind::Other),
        (format!("kubepods.slice/kubepods-pod{uid_}.slice"), GroupKind::Other),
        ("docker/short".to_owned(), GroupKind::Other),
        ("backup/nightly".to_owned(), GroupKind::Other),
        ("system.slice/nginx.service/worker".to_owned(), GroupKind::Other),
        (
            r"machine.slice/machine-qemu\x2d1\x2dinstance\x2d00000001.scope/libvirt/vcpu0".to_owned(),
            GroupKind::Other,
        ),
        (String::new(), GroupKind::Other),
    ] {
        assert_eq!(recognise(&path), Some(expected), "{path}");
    }
}

#[test]
fn names_inside_a_container_are_not_this_hosts() {
    for path in [
        "lxc.payload.web01/system.slice/nginx.service",
        "lxc.payload.web01/user.slice/user-0.slice",
        "lxc.payload.web01/lxc.payload.inner",
        &format!("docker/{ID}/system.slice/ssh.service"),
    ] {
        assert_eq!(recognise(path), Some(GroupKind::Other), "{path}");
    }
}

#[test]
fn monitors_are_nobodys_work() {
    for path in [
        &format!("machine.slice/libpod-conmon-{ID}.scope"),
        &format!("kubepods.slice/crio-conmon-{ID}.scope"),
        "lxc.monitor.web01",
    ] {
        assert_eq!(recognise(path), None, "{path}");
    }
}

#[test]
fn escapes_of_systemd_are_undone_and_others_left() {
    for (escaped, plain) in [
        (r"a\x2db", "a-b"),
        (r"\xc3\xa4", "ä"),
        (r"\xff", "\u{fffd}"),
        (r"a\x2", r"a\x2"),
        (r"a\xzz\x2D", r"a\xzz-"),
        ("", ""),
    ] {
        assert_eq!(unescape(escaped), plain, "{escaped}");
    }
}

#[test]
fn every_kind_has_a_listed_resource_type() {
    for path in
        ["x", "lxc/a", "machine/a.libvirt-qemu", "machine/a.libvirt-lxc", "system.slice/a.service", "1"]
    {
        let kind = recognise(path).unwrap();
        assert!(GroupKind::RESOURCE_TYPES.contains(&kind.resource_type()), "{path}");
    }
}

proptest! {
    #[test]
    fn any_path_is_recognised_without_panic(path in r"[a-z0-9./\\x@-]{0,200}|\PC{0,60}") {
        if let Some(kind) = recognise(&path) {
            prop_assert!(GroupKind::RESOURCE_TYPES.contains(&kind.resource_type()));
        }
    }

    #[test]
    fn unescape_gives_back_what_was_escaped(name in r"[a-z \-.é/]{0,40}") {
        let escaped: String = name.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
        prop_assert_eq!(unescape(&escaped), name);
    }
}
