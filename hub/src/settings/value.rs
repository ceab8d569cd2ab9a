//! Parsers of values. A parser returns `None` for a text that does not have the accepted form.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use ipnet::IpNet;
use mayfly_platform::AgentAddress;
use mayfly_platform::limits::AGENT_MEMORY_MIN_BYTES;

/// Parses `ADDRESS:PORT`; `localhost:PORT` and `PORT` alone mean 127.0.0.1.
pub(super) fn listen(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix("localhost:").unwrap_or(text);
    let local = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    local.map(|port| (Ipv4Addr::LOCALHOST, port).into()).or_else(|| text.parse().ok())
}

/// Parses a network, or an address alone.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Returns the value that a word stands for.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
}

/// Splits a command as a shell does.
pub(super) fn command(text: &str) -> Option<Vec<String>> {
    shell_words::split(text).ok().filter(|words| !words.is_empty())
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

pub(super) fn absolute_path(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text)).filter(|path| path.is_absolute())
}

/// Parses bytes, or a number with `MiB` or `GiB`.
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

/// Wraps a parser: an empty text is no value.
pub(super) fn optional<T>(parse: impl Fn(&str) -> Option<T>) -> impl Fn(&str) -> Option<Option<T>> {
    move |text| if text.is_empty() { Some(None) } else { parse(text).map(Some) }
}

pub(super) fn web_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let fits = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    fits.then(|| text.to_owned())
}

/// Parses `unix:PATH` or `http://HOST:PORT`.
pub(super) fn agent_address(text: &str) -> Option<AgentAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        return (!path.is_empty()).then(|| AgentAddress::Unix(PathBuf::from(path)));
    }
    let authority = text.strip_prefix("http://")?.trim_end_matches('/');
    let (host, port) = authority.rsplit_once(':')?;
    let fits = !host.is_empty() && !authority.contains('/') && port.parse::<u16>().is_ok();
    fits.then(|| AgentAddress::Tcp(authority.to_owned()))
}

/// Parses a duration within bounds, both of which are accepted.
pub(super) fn duration(text: &str, min: Duration, max: Duration) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| (min..=max).contains(duration))
}

/// Parses a whole number within bounds, both of which are accepted.
pub(super) fn count(text: &str, min: usize, max: usize) -> Option<usize> {
    text.parse().ok().filter(|count| (min..=max).contains(count))
}

/// Parses an upper bound; 0 is no bound.
pub(super) fn bound(text: &str, max: usize) -> Option<Option<usize>> {
    count(text, 0, max).map(|count| (count > 0).then_some(count))
}

/// Parses items between commas; an empty text has none.
pub(super) fn list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(',').map(|text| item(text.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_accepts_a_port_alone_and_localhost() {
        for (text, address) in [
            ("8080", "127.0.0.1:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(listen(text), Some(address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn listen_refuses_names_and_impossible_ports() {
        for text in
            ["", "localhost", "localhost:", "localhost:70000", "65536", "+80", "example.org:80", ":80"]
        {
            assert_eq!(listen(text), None, "{text}");
        }
    }
}
