//! What a value's text means; `None` is a text that is not accepted.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use ipnet::IpNet;
use mayfly_platform::AgentAddress;
use mayfly_platform::limits::AGENT_MEMORY_MIN_BYTES;
use mayfly_platform::settings::{AgentNetwork, DockerNetwork, SandboxKind};
use mayfly_session::Activity;

use crate::identity::{ClusterSecret, OperatorKey};
use crate::limits::{MAX_SESSIONS_MAX, PARALLEL_SPAWNS_MAX, POOL_SIZE_MAX};
use crate::settings::{JournalKind, LogFormat, PlatformKind};

/// A web origin (RFC 6454): scheme, host and port, as a browser sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// A text that is no origin as a browser sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected scheme://host or scheme://host:port in lower case")]
pub struct BadOrigin;

impl FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let (scheme, authority) = text.split_once("://").ok_or(BadOrigin)?;
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address are inside its brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let is_default = matches!((scheme, port), ("http", Some("80")) | ("https", Some("443")));
        let port_fits =
            port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number.to_string() == port));
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_[]:".contains(&byte);
        let host_fits =
            !host.is_empty() && host.bytes().all(plain) && (host.starts_with('[') || !host.contains(':'));
        if matches!(scheme, "http" | "https") && host_fits && port_fits && !is_default {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadOrigin)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn listen(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// A network, or an address alone.
pub(super) fn network_of(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// The operator key; an empty text is none.
pub(super) fn operator_key(text: &str) -> Option<Option<OperatorKey>> {
    if text.is_empty() { Some(None) } else { OperatorKey::new(text).map(Some) }
}

/// A path; an empty text is none.
pub(super) fn optional_path(text: &str) -> Option<Option<PathBuf>> {
    Some(directory(text))
}

/// The cluster's secret; an empty text is none.
pub(super) fn secret(text: &str) -> Option<Option<ClusterSecret>> {
    if text.is_empty() { Some(None) } else { ClusterSecret::new(text).map(Some) }
}

pub(super) fn platform(text: &str) -> Option<PlatformKind> {
    match text {
        "process" => Some(PlatformKind::Process),
        "docker" => Some(PlatformKind::Docker),
        "static" => Some(PlatformKind::Static),
        _ => None,
    }
}

pub(super) fn command(text: &str) -> Option<Vec<String>> {
    shell_words::split(text).ok().filter(|words| !words.is_empty())
}

pub(super) fn sandbox(text: &str) -> Option<SandboxKind> {
    match text {
        "auto" => Some(SandboxKind::Auto),
        "bwrap" => Some(SandboxKind::Bwrap),
        "none" => Some(SandboxKind::None),
        _ => None,
    }
}

pub(super) fn absolute(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text)).filter(|path| path.is_absolute())
}

pub(super) fn network(text: &str) -> Option<AgentNetwork> {
    match text {
        "none" => Some(AgentNetwork::None),
        "host" => Some(AgentNetwork::Host),
        _ => None,
    }
}

pub(super) fn docker_network(text: &str) -> Option<DockerNetwork> {
    match text {
        "none" => Some(DockerNetwork::None),
        "bridge" => Some(DockerNetwork::Bridge),
        _ => None,
    }
}

/// Bytes, or a number with `MiB` or `GiB`.
pub(super) fn memory(text: &str) -> Option<u64> {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20)];
    let with_unit = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit): (&str, u64) = with_unit.unwrap_or((text, 1));
    let bytes = number.trim().parse::<u64>().ok()?.checked_mul(unit)?;
    Some(bytes).filter(|bytes| (AGENT_MEMORY_MIN_BYTES..=1 << 50).contains(bytes))
}

pub(super) fn cpus(text: &str) -> Option<f64> {
    text.parse().ok().filter(|cpus| (0.01..=1024.0).contains(cpus))
}

pub(super) fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// An empty text is none.
pub(super) fn optional<T>(read: impl Fn(&str) -> Option<T>) -> impl Fn(&str) -> Option<Option<T>> {
    move |text| if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

pub(super) fn web_address(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let fits = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    fits.then(|| text.to_owned())
}

pub(super) fn address(text: &str) -> Option<AgentAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        return (!path.is_empty()).then(|| AgentAddress::Unix(PathBuf::from(path)));
    }
    let authority = text.strip_prefix("http://")?.trim_end_matches('/');
    let (host, port) = authority.rsplit_once(':')?;
    let fits = !host.is_empty() && !authority.contains('/') && port.parse::<u16>().is_ok();
    fits.then(|| AgentAddress::Tcp(authority.to_owned()))
}

/// A duration between two others.
pub(super) fn duration(min: Duration, max: Duration) -> impl Fn(&str) -> Option<Duration> {
    move |text| humantime::parse_duration(text).ok().filter(|duration| (min..=max).contains(duration))
}

pub(super) fn activity(text: &str) -> Option<Activity> {
    match text {
        "heartbeat" => Some(Activity::Heartbeat),
        "message" => Some(Activity::Message),
        _ => None,
    }
}

pub(super) fn max_sessions(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| (1..=MAX_SESSIONS_MAX).contains(count))
}

/// How many there may be of something; none where 0 says that it is not bounded.
pub(super) fn bound(text: &str) -> Option<Option<usize>> {
    let count = text.parse().ok().filter(|count| *count <= MAX_SESSIONS_MAX)?;
    Some((count > 0).then_some(count))
}

pub(super) fn parallel_spawns(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| (1..=PARALLEL_SPAWNS_MAX).contains(count))
}

pub(super) fn pool_size(text: &str) -> Option<usize> {
    text.parse().ok().filter(|count| *count <= POOL_SIZE_MAX)
}

pub(super) fn directory(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

pub(super) fn journal(text: &str) -> Option<JournalKind> {
    match text {
        "file" => Some(JournalKind::File),
        "memory" => Some(JournalKind::Memory),
        _ => None,
    }
}

pub(super) fn log(text: &str) -> Option<LogFormat> {
    match text {
        "json" => Some(LogFormat::Json),
        "pretty" => Some(LogFormat::Pretty),
        _ => None,
    }
}

/// Items between commas; an empty text has none.
pub(super) fn list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(|text| item(text.trim())).collect()
}
