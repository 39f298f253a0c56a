//! Publisher urls: `scheme://[host][/path][?parameter=value&…]`.

use std::path::PathBuf;

use super::{FilePublisher, LogLevel, PublisherKind, PublisherSpec, Rotation};
use crate::names::nearest;
use crate::quantity;
use crate::section::LATER;

const KNOWN: [&str; 3] = ["nephos", "file", "log"];
const LATER_ONES: [&str; 16] = [
    "notifier",
    "rpc",
    "kafka",
    "gnocchi",
    "http",
    "https",
    "prometheus",
    "prometheuspushgateway",
    "udp",
    "tcp",
    "direct",
    "database",
    "test",
    "zaqar",
    "opentelemetryhttp",
    "monasca",
];

/// The publisher of a url, or what is wrong with it.
pub(super) fn parse(text: &str) -> Result<PublisherSpec, String> {
    let url = if text.contains("://") { text.to_owned() } else { format!("{text}://") };
    let (scheme, rest) = url.split_once("://").unwrap_or((&url, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parameters = Parameters::parse(query);
    let kind = match scheme {
        "nephos" => {
            no_path(scheme, path)?;
            parameters.only(scheme, &[])?;
            PublisherKind::Nephos
        }
        "file" => file(path, &parameters)?,
        "log" => {
            no_path(scheme, path)?;
            parameters.only(scheme, &["level"])?;
            PublisherKind::Log { level: level(&parameters)? }
        }
        _ => return Err(unknown(scheme)),
    };
    Ok(PublisherSpec { kind, url })
}

fn unknown(scheme: &str) -> String {
    if LATER_ONES.contains(&scheme) {
        return format!("publisher {scheme}:// is {LATER}");
    }
    let known = KNOWN.map(|name| format!("{name}://")).join(", ");
    match nearest(scheme, KNOWN) {
        Some(name) => format!("Unable to load publisher {scheme}://, did you mean {name}://?"),
        None => format!("Unable to load publisher {scheme}://; known are {known}"),
    }
}

fn no_path(scheme: &str, path: &str) -> Result<(), String> {
    match path.trim_matches('/') {
        "" => Ok(()),
        _ => Err(format!("{scheme}:// takes no host or path")),
    }
}

fn file(path: &str, parameters: &Parameters<'_>) -> Result<PublisherKind, String> {
    parameters.only("file", &["max_bytes", "backup_count", "json"])?;
    if !path.starts_with('/') || path.ends_with('/') {
        return Err("file:// needs the absolute path of a file, as in file:///var/log/samples".to_owned());
    }
    let max_bytes = parameters.get("max_bytes");
    let backup_count = parameters.get("backup_count");
    let rotation = match (max_bytes, backup_count) {
        (None, None) => None,
        (Some(max_bytes), Some(backup_count)) => Some(Rotation {
            max_bytes: quantity::size(max_bytes)
                .filter(|bytes| *bytes > 0)
                .ok_or_else(|| format!("max_bytes is a size above 0, not {max_bytes:?}"))?,
            backup_count: backup_count
                .parse()
                .ok()
                .filter(|count| (1..=10_000).contains(count))
                .ok_or_else(|| format!("backup_count is a number from 1 to 10000, not {backup_count:?}"))?,
        }),
        _ => return Err("max_bytes and backup_count are needed both, or neither".to_owned()),
    };
    let json = match parameters.get("json").map(str::to_ascii_lowercase).as_deref() {
        None | Some("false" | "0" | "no") => false,
        Some("" | "true" | "1" | "yes") => true,
        Some(other) => return Err(format!("json is true or false, not {other:?}")),
    };
    Ok(PublisherKind::File(FilePublisher { path: PathBuf::from(path), rotation, json }))
}

fn level(parameters: &Parameters<'_>) -> Result<LogLevel, String> {
    Ok(match parameters.get("level") {
        None | Some("info") => LogLevel::Info,
        Some("error") => LogLevel::Error,
        Some("warn" | "warning") => LogLevel::Warn,
        Some("debug") => LogLevel::Debug,
        Some("trace") => LogLevel::Trace,
        Some(other) => {
            return Err(format!("unknown level {other:?}; known are error, warn, info, debug, trace"));
        }
    })
}

/// What follows the `?`; of a repeated parameter the last counts.
struct Parameters<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parameters<'a> {
    fn parse(query: &'a str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn only(&self, scheme: &str, known: &[&str]) -> Result<(), String> {
        let Some((name, _)) = self.0.iter().find(|(name, _)| !known.contains(name)) else { return Ok(()) };
        Err(match (nearest(name, known.iter().copied()), known) {
            (Some(near), _) => format!("{scheme}:// has no parameter {name:?}, did you mean {near:?}?"),
            (None, []) => format!("{scheme}:// has no parameters"),
            (None, known) => format!("{scheme}:// has no parameter {name:?}; known are {}", known.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, rotation: Option<(u64, u32)>, json: bool) -> PublisherKind {
        let rotation = rotation.map(|(max_bytes, backup_count)| Rotation { max_bytes, backup_count });
        PublisherKind::File(FilePublisher { path: PathBuf::from(path), rotation, json })
    }

    #[test]
    fn known_urls_are_read() {
        for (text, url, kind) in [
            ("nephos://", "nephos://", PublisherKind::Nephos),
            ("nephos", "nephos://", PublisherKind::Nephos),
            ("log://", "log://", PublisherKind::Log { level: LogLevel::Info }),
            ("log://?level=debug", "log://?level=debug", PublisherKind::Log { level: LogLevel::Debug }),
            (
                "log://?level=debug&level=warn",
                "log://?level=debug&level=warn",
                PublisherKind::Log { level: LogLevel::Warn },
            ),
            ("file:///a/b", "file:///a/b", file("/a/b", None, false)),
            ("file:///a?json", "file:///a?json", file("/a", None, true)),
            (
                "file:///a?max_bytes=10MB&backup_count=5&json=true",
                "file:///a?max_bytes=10MB&backup_count=5&json=true",
                file("/a", Some((10_000_000, 5)), true),
            ),
        ] {
            assert_eq!(parse(text), Ok(PublisherSpec { url: url.to_owned(), kind }), "{text}");
        }
    }

    #[test]
    fn other_urls_are_refused_with_the_reason() {
        for (text, message) in [
            ("gnocchi://", "publisher gnocchi:// is not in this version"),
            ("notifier://?policy=drop", "publisher notifier:// is not in this version"),
            ("nepos://", "Unable to load publisher nepos://, did you mean nephos://?"),
            (
                "carrier-pigeon://x",
                "Unable to load publisher carrier-pigeon://; known are nephos://, file://, log://",
            ),
            ("nephos://?a=1", "nephos:// has no parameters"),
            ("nephos://host", "nephos:// takes no host or path"),
            ("log://?lvl=x", "log:// has no parameter \"lvl\"; known are level"),
            ("log://?levl=x", "log:// has no parameter \"levl\", did you mean \"level\"?"),
            ("log://?level=x", "unknown level \"x\"; known are error, warn, info, debug, trace"),
            ("file://a/b", "file:// needs the absolute path of a file, as in file:///var/log/samples"),
            ("file://", "file:// needs the absolute path of a file, as in file:///var/log/samples"),
            ("file:///a?max_bytes=5", "max_bytes and backup_count are needed both, or neither"),
            ("file:///a?max_bytes=x&backup_count=1", "max_bytes is a size above 0, not \"x\""),
            ("file:///a?max_bytes=5&backup_count=0", "backup_count is a number from 1 to 10000, not \"0\""),
            ("file:///a?json=maybe", "json is true or false, not \"maybe\""),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()), "{text}");
        }
    }
}
