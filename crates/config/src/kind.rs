//! The kinds of values settings have: how each is read and how it is shown.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nephos_model::Network;
use nephos_timeseries::AggregationMethod;
use url::Url;

use crate::ledger::Ledger;
use crate::names::nearest;
use crate::quantity;
use crate::section::LATER;
use crate::tree::{Node, Value};

/// A kind of value.
pub(crate) trait Kind {
    /// What it becomes.
    type Out;
    /// Reads it; the error says what was expected, and never repeats what may be secret.
    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<Self::Out, String>;
    /// As TOML.
    fn show(&self, value: &Self::Out) -> String;
}

/// A TOML string.
pub(crate) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

fn expected(what: &str, node: &Node) -> String {
    format!("expected {what}, found {}", node.value.kind())
}

/// The text of a variable or flag, where every value is text.
fn loose(node: &Node) -> Option<&str> {
    match &node.value {
        Value::String(text) if node.origin.layer() > 1 => Some(text.trim()),
        _ => None,
    }
}

/// `true` or `false`.
pub(crate) struct Bool;

impl Kind for Bool {
    type Out = bool;

    fn parse(&self, _: &Ledger, node: &Node) -> Result<bool, String> {
        match (&node.value, loose(node).map(str::to_ascii_lowercase).as_deref()) {
            (Value::Bool(value), _) => Ok(*value),
            (_, Some("true" | "yes" | "on" | "1")) => Ok(true),
            (_, Some("false" | "no" | "off" | "0")) => Ok(false),
            _ => Err(expected("true or false", node)),
        }
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// A whole number in a range.
pub(crate) struct Integer<T> {
    pub(crate) min: T,
    pub(crate) max: T,
}

impl<T: TryFrom<i64> + Copy + PartialOrd + Display> Kind for Integer<T> {
    type Out = T;

    fn parse(&self, _: &Ledger, node: &Node) -> Result<T, String> {
        let number = match (&node.value, loose(node)) {
            (Value::Int(number), _) => *number,
            (_, Some(text)) => text.parse().map_err(|_| "expected a whole number".to_owned())?,
            _ => return Err(expected("a whole number", node)),
        };
        T::try_from(number)
            .ok()
            .filter(|value| (self.min..=self.max).contains(value))
            .ok_or_else(|| format!("{number} is not between {} and {}", self.min, self.max))
    }

    fn show(&self, value: &T) -> String {
        value.to_string()
    }
}

/// A limit: a whole number, or -1 for none.
pub(crate) struct Limit<T>(pub(crate) std::marker::PhantomData<T>);

impl<T: TryFrom<i64> + Copy + Display> Kind for Limit<T> {
    type Out = Option<T>;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<Option<T>, String> {
        let number = Integer { min: -1_i64, max: i64::MAX }.parse(ledger, node)?;
        if number == -1 {
            return Ok(None);
        }
        T::try_from(number).map(Some).map_err(|_| format!("{number} is too large"))
    }

    fn show(&self, value: &Option<T>) -> String {
        value.map_or_else(|| "-1".to_owned(), |value| value.to_string())
    }
}

/// A length of time in a range: seconds as a number, or `10s`, `5m`, `1h30m`.
pub(crate) struct Span {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Span {
    /// More than nothing, at most a thousand years.
    pub(crate) const POSITIVE: Self =
        Self { min: Duration::from_millis(1), max: Duration::from_secs(31_557_600_000) };
    /// Nothing to a thousand years.
    pub(crate) const ANY: Self = Self { min: Duration::ZERO, ..Self::POSITIVE };
}

impl Kind for Span {
    type Out = Duration;

    fn parse(&self, _: &Ledger, node: &Node) -> Result<Duration, String> {
        let what = "a length of time (seconds, or a text such as \"10s\", \"5m\", \"1h30m\")";
        let duration = match &node.value {
            Value::Int(number) => u64::try_from(*number).ok().map(Duration::from_secs),
            Value::Float(number) => Duration::try_from_secs_f64(*number).ok(),
            Value::String(text) => quantity::duration(text),
            _ => return Err(expected(what, node)),
        };
        let duration = duration.ok_or_else(|| format!("expected {what}"))?;
        if duration < self.min || duration > self.max {
            let (min, max) = (quantity::show_duration(self.min), quantity::show_duration(self.max));
            return Err(format!("{} is not between {min} and {max}", quantity::show_duration(duration)));
        }
        Ok(duration)
    }

    fn show(&self, value: &Duration) -> String {
        quoted(&quantity::show_duration(*value))
    }
}

/// A number of bytes: a whole number, or `64MiB`.
pub(crate) struct Size {
    pub(crate) min: u64,
}

impl Kind for Size {
    type Out = u64;

    fn parse(&self, _: &Ledger, node: &Node) -> Result<u64, String> {
        let what = "a size (bytes, or a text such as \"512KiB\", \"64MiB\", \"1GiB\")";
        let bytes = match &node.value {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::String(text) => quantity::size(text),
            _ => return Err(expected(what, node)),
        };
        let bytes = bytes.ok_or_else(|| format!("expected {what}"))?;
        if bytes < self.min {
            return Err(format!(
                "{} is less than {}",
                quantity::show_size(bytes),
                quantity::show_size(self.min)
            ));
        }
        Ok(bytes)
    }

    fn show(&self, value: &u64) -> String {
        quoted(&quantity::show_size(*value))
    }
}

/// Text that is not empty.
pub(crate) struct Text;

impl Kind for Text {
    type Out = String;

    fn parse(&self, _: &Ledger, node: &Node) -> Result<String, String> {
        match &node.value {
            Value::String(text) if text.trim().is_empty() => Err("it is empty".to_owned()),
            Value::String(text) => Ok(text.clone()),
            _ => Err(expected("a string", node)),
        }
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}

/// A path; relative ones start where the setting stands.
pub(crate) struct FilePath;

impl Kind for FilePath {
    type Out = PathBuf;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<PathBuf, String> {
        let text = Text.parse(ledger, node)?;
        Ok(ledger.absolute(Path::new(&text), &node.origin))
    }

    fn show(&self, value: &PathBuf) -> String {
        quoted(&value.display().to_string())
    }
}

/// An address to listen on: `127.0.0.1:8041`, `[::]:8041`, `localhost:0`.
pub(crate) struct Listen;

impl Kind for Listen {
    type Out = SocketAddr;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<SocketAddr, String> {
        let text = Text.parse(ledger, node)?;
        let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        match local {
            Some(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            None => text.parse().map_err(|_| {
                "expected an IP address and a port, such as \"127.0.0.1:8041\" or \"[::]:8041\"".to_owned()
            }),
        }
    }

    fn show(&self, value: &SocketAddr) -> String {
        quoted(&value.to_string())
    }
}

/// One of some words; `later` are those of the originals that have no meaning here yet.
pub(crate) struct Word<T: 'static> {
    pub(crate) known: &'static [(&'static str, T)],
    pub(crate) later: &'static [&'static str],
}

impl<T: Copy + PartialEq> Kind for Word<T> {
    type Out = T;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<T, String> {
        let text = Text.parse(ledger, node)?;
        if let Some((_, value)) = self.known.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        if self.later.contains(&text.as_str()) {
            return Err(format!("{text:?} is {LATER}"));
        }
        let names = self.known.iter().map(|(name, _)| *name);
        Err(match nearest(&text, names.clone()) {
            Some(name) => format!("unknown value {text:?}, did you mean {name:?}?"),
            None => format!("unknown value {text:?}; known are {}", names.collect::<Vec<_>>().join(", ")),
        })
    }

    fn show(&self, value: &T) -> String {
        quoted(self.known.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name))
    }
}

/// A list; in a variable or flag, words separated by commas.
pub(crate) struct List<K>(pub(crate) K);

impl<K: Kind> Kind for List<K> {
    type Out = Vec<K::Out>;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<Vec<K::Out>, String> {
        match (&node.value, loose(node)) {
            (Value::List(items), _) => items.iter().map(|item| self.0.parse(ledger, item)).collect(),
            (_, Some(text)) => text
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .map(|word| {
                    let item = Node { value: Value::String(word.to_owned()), origin: node.origin.clone() };
                    self.0.parse(ledger, &item)
                })
                .collect(),
            _ => Err(expected("a list", node)),
        }
    }

    fn show(&self, value: &Vec<K::Out>) -> String {
        let items: Vec<String> = value.iter().map(|item| self.0.show(item)).collect();
        format!("[{}]", items.join(", "))
    }
}

/// An aggregation method.
pub(crate) struct Method;

impl Kind for Method {
    type Out = AggregationMethod;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<AggregationMethod, String> {
        let text = Text.parse(ledger, node)?;
        text.parse().map_err(|error: nephos_timeseries::method::UnknownMethod| error.to_string())
    }

    fn show(&self, value: &AggregationMethod) -> String {
        quoted(&value.to_string())
    }
}

/// An address of an HTTP server, without path, query or password.
pub(crate) struct HttpUrl;

impl Kind for HttpUrl {
    type Out = String;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<String, String> {
        let text = Text.parse(ledger, node)?;
        let url = Url::parse(&text).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("expected an http:// or https:// URL, found {}:", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err("a user, password or query has no place in this URL".to_owned());
        }
        Ok(text.trim_end_matches('/').to_owned())
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}

/// A network of addresses.
pub(crate) struct Networks;

impl Kind for Networks {
    type Out = Network;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<Network, String> {
        Text.parse(ledger, node)?
            .trim()
            .parse()
            .map_err(|error: nephos_model::network::BadNetwork| error.to_string())
    }

    fn show(&self, value: &Network) -> String {
        quoted(&value.to_string())
    }
}

/// The name of an HTTP header, in lower case.
pub(crate) struct HeaderName;

impl Kind for HeaderName {
    type Out = String;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<String, String> {
        let text = Text.parse(ledger, node)?.to_ascii_lowercase();
        let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fits { Ok(text) } else { Err(format!("{text:?} is no name of a header")) }
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}

/// An origin of browsers' requests, or `*`.
pub(crate) struct WebOrigin;

impl Kind for WebOrigin {
    type Out = String;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<String, String> {
        let text = Text.parse(ledger, node)?;
        if text == "*" {
            return Ok(text);
        }
        let origin = text.trim_end_matches('/');
        let fits = Url::parse(origin).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.origin().ascii_serialization() == origin.to_lowercase()
        });
        if fits {
            Ok(origin.to_lowercase())
        } else {
            Err(format!(
                "{text:?} is no origin: expected a scheme, host and port such as \"https://console.example\""
            ))
        }
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}

/// A log level, or a list of `target=level`.
pub(crate) struct LogFilter;

impl Kind for LogFilter {
    type Out = String;

    fn parse(&self, ledger: &Ledger, node: &Node) -> Result<String, String> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        let text = Text.parse(ledger, node)?;
        for part in text.split(',') {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim().to_ascii_lowercase();
            if !LEVELS.contains(&level.as_str()) {
                return Err(format!("unknown level {level:?}; known are {}", LEVELS.join(", ")));
            }
        }
        Ok(text)
    }

    fn show(&self, value: &String) -> String {
        quoted(value)
    }
}
