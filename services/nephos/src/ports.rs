//! Listeners: bound before anything is told of them, and told of all at once.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, anyhow};
use tokio::net::{TcpListener, UdpSocket};

/// Opens a listener; the error for a taken port says by whom and which setting changes it.
pub(crate) async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            let holder = holder_of(address.port())
                .map_or_else(|| "another process".to_owned(), |holder| format!("process {holder}"));
            anyhow!("{address} is taken by {holder}; stop it, or set {setting} to another address")
        }
        _ => anyhow!("listen on {address}: {error}; it is set by {setting}"),
    })
}

/// Opens a socket for datagrams.
pub(crate) async fn bind_datagrams(address: SocketAddr, setting: &str) -> anyhow::Result<UdpSocket> {
    UdpSocket::bind(address)
        .await
        .map_err(|error| anyhow!("take datagrams on {address}: {error}; it is set by {setting}"))
}

/// Pid and name of the process that listens on `port`, as far as /proc lets us see it.
fn holder_of(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = std::fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
            let listening = *fields.get(3)? == "0A";
            let here = u16::from_str_radix(local_port, 16).ok()? == port;
            (listening && here).then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
    })?;
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        // `self` and `thread-self` are this process once more, under a name that tells nothing.
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let holds = descriptors.flatten().any(|fd| {
            std::fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        });
        if holds {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{pid} ({})", name.trim()));
        }
    }
    None
}

/// The URLs of a process's listeners by the keys of `--port-file`.
#[derive(Debug, Default)]
pub(crate) struct Ports(BTreeMap<&'static str, String>);

impl Ports {
    /// Notes a listener.
    pub(crate) fn note(
        &mut self,
        key: &'static str,
        listener: &TcpListener,
        tls: bool,
    ) -> anyhow::Result<String> {
        let scheme = if tls { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().context("address of a listener")?);
        self.0.insert(key, url.clone());
        Ok(url)
    }

    /// Notes a socket for datagrams.
    pub(crate) fn note_datagrams(&mut self, key: &'static str, socket: &UdpSocket) -> anyhow::Result<()> {
        self.0.insert(key, format!("udp://{}", socket.local_addr().context("address of a socket")?));
        Ok(())
    }

    /// Writes the file whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut name = path.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
        name.push(format!(".{}", std::process::id()));
        let draft = path.with_file_name(name);
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&draft)?;
            serde_json::to_writer(&mut file, &self.0)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&draft, path)
        };
        write().with_context(|| format!("write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_its_holder_and_the_setting() {
        let first = bind("127.0.0.1:0".parse().unwrap(), "[api] listen").await.unwrap();
        let error = bind(first.local_addr().unwrap(), "[api] listen").await.unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(error.contains("set [api] listen"), "{error}");
    }

    #[tokio::test]
    async fn the_port_file_is_json_with_real_ports() {
        let folder = tempfile::tempdir().unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap(), "[api] listen").await.unwrap();
        let mut ports = Ports::default();
        ports.note("api", &listener, false).unwrap();
        let path = folder.path().join("ports.json");
        ports.write(&path).unwrap();
        let read: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read["api"], format!("http://{}", listener.local_addr().unwrap()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
