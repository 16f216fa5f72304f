//! Values of settings: how each type is read from text and shown again.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

/// A type a setting may have. `parse(show(v)) == v`.
pub trait Value: Sized {
    /// The error completes "name = value: ...".
    fn parse(text: &str) -> Result<Self, String>;
    fn show(&self) -> String;
}

/// A size in bytes: `1048576`, `64MiB`, `1 GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// A duration in milliseconds: `250ms`, `10s`, `5m`, `7d`; a bare number is milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub u64);

/// CPU numbers: `0-3,8`. Empty: not chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpus(pub Vec<usize>);

/// A host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

/// `KEY=VALUE,KEY=VALUE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValues(pub BTreeMap<String, String>);

/// Which I/O backend was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendChoice(pub runtime::Backend);

/// Whether clients may do without TLS where it is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    Optional,
    Required,
}

/// Form of traces on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    Human,
    Json,
}

const SIZES: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

const SPANS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Splits `64MiB` into its number and the factor of its unit.
fn with_unit(text: &str, units: &[(&str, u64)], what: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = unit.trim();
    let factor = if unit.is_empty() {
        Some(1)
    } else {
        units.iter().find(|(name, _)| *name == unit).map(|u| u.1)
    };
    let number: Option<u64> = number.replace('_', "").parse().ok();
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .ok_or_else(|| {
            let names: Vec<_> = units.iter().map(|u| u.0).collect();
            format!(
                "not {what}: write a number, with one of {} behind it or none",
                names.join(", ")
            )
        })
}

/// The number with the largest unit that divides it.
fn show_unit(value: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .filter(|(_, factor)| *factor > 1 && value != 0 && value.is_multiple_of(*factor))
        .max_by_key(|(_, factor)| *factor)
        .map_or(value.to_string(), |(name, factor)| {
            format!("{}{name}", value / factor)
        })
}

impl Value for Bytes {
    fn parse(text: &str) -> Result<Self, String> {
        with_unit(text, &SIZES, "a size").map(Self)
    }
    fn show(&self) -> String {
        show_unit(self.0, &SIZES[..4])
    }
}

impl Value for Millis {
    fn parse(text: &str) -> Result<Self, String> {
        with_unit(text, &SPANS, "a duration").map(Self)
    }
    fn show(&self) -> String {
        let shown = show_unit(self.0, &SPANS);
        if shown.ends_with(|c: char| c.is_ascii_digit()) {
            format!("{shown}ms")
        } else {
            shown
        }
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err("neither true nor false".into()),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u16 {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("not a number from 0 to {}", Self::MAX))
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("not a number from 0 to {}", Self::MAX))
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a path is needed".into());
        }
        Ok(text.into())
    }
    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for SocketAddr {
    fn parse(text: &str) -> Result<Self, String> {
        let mut found = text
            .to_socket_addrs()
            .map_err(|_| "not an address such as 127.0.0.1:9092 or [::1]:9092".to_owned())?;
        found
            .next()
            .ok_or_else(|| "the name has no address".to_owned())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for HostPort {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "not HOST:PORT".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
    fn show(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(None);
        }
        T::parse(text).map(Some)
    }
    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

impl Value for Cpus {
    fn parse(text: &str) -> Result<Self, String> {
        // More CPUs than any machine this can run on, so that a typo cannot make a huge list.
        const CPU_MAX: usize = 4096;
        let wrong = || "not a list of CPUs such as 0-3,8".to_owned();
        let mut cpus = Vec::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (first, last) = part.trim().split_once('-').unwrap_or((part, part));
            let first: usize = first.trim().parse().map_err(|_| wrong())?;
            let last: usize = last.trim().parse().map_err(|_| wrong())?;
            if first > last || last >= CPU_MAX {
                return Err(wrong());
            }
            cpus.extend(first..=last);
        }
        let mut sorted = cpus.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != cpus.len() {
            return Err("a CPU is named twice".into());
        }
        Ok(Self(cpus))
    }
    fn show(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        parts.join(",")
    }
}

impl Value for KeyValues {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pairs = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let pair = part.split_once('=').ok_or("not KEY=VALUE,KEY=VALUE")?;
            pairs.insert(pair.0.trim().to_owned(), pair.1.trim().to_owned());
        }
        Ok(Self(pairs))
    }
    fn show(&self) -> String {
        let pairs: Vec<_> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        pairs.join(",")
    }
}

impl Value for BackendChoice {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(runtime::Backend::Auto)),
            "io_uring" => Ok(Self(runtime::Backend::Uring)),
            "epoll" => Ok(Self(runtime::Backend::Epoll)),
            _ => Err("one of auto, io_uring, epoll".into()),
        }
    }
    fn show(&self) -> String {
        match self.0 {
            runtime::Backend::Auto => "auto",
            runtime::Backend::Uring => "io_uring",
            runtime::Backend::Epoll => "epoll",
        }
        .into()
    }
}

impl Value for TlsUse {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err("one of optional, required".into()),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::Optional => "optional",
            Self::Required => "required",
        }
        .into()
    }
}

impl Value for TraceFormat {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err("one of human, json".into()),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::Human => "human",
            Self::Json => "json",
        }
        .into()
    }
}
