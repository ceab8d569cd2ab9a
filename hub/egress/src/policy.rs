//! The decisions of the egress proxy: one trait, implemented by the program that opens the proxy.
//!
//! The proxy asks in this order and stops at the first [`Denial`]:
//!
//! ```text
//!   request --> check_target --> check_bytes --> resolve --> check_address, for each address --> connect
//!   each piece of a tunnel, either way --> check_bytes --> write
//! ```
//!
//! A connection goes only to an address that [`ExitPolicy::check_address`] has accepted for this very connection, so a
//! name whose answer changes between two lookups (DNS rebinding) gains nothing.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use mayfly_protocol::ids::Incarnation;

/// Decides which hosts an agent may reach and how much it may move. Called on the path of the agents' traffic: an
/// implementation must not block.
pub trait ExitPolicy: Send + Sync {
    /// Decides whether an agent may open a connection to a host. Called before a name is resolved.
    ///
    /// # Errors
    /// Returns [`Denial`] if it may not.
    fn check_target(&self, agent: Incarnation, target: &Target) -> Result<(), Denial>;

    /// Decides whether a connection to `target` may go to `address`: an address that the name resolved to, or the one
    /// that the agent named.
    ///
    /// # Errors
    /// Returns [`Denial`] if it may not.
    fn check_address(&self, agent: Incarnation, target: &Target, address: IpAddr) -> Result<(), Denial>;

    /// Decides whether an agent that has moved `moved` bytes, both ways and over all its connections, may move `more`.
    /// Called with 0 before a connection is opened. Bytes that were denied count as moved afterwards.
    ///
    /// # Errors
    /// Returns [`Denial`] if it may not; then the tunnel is cut.
    fn check_bytes(&self, agent: Incarnation, moved: u64, more: u64) -> Result<(), Denial>;

    /// Returns `true` if the log gets one more refusal of an agent that has had `earlier` refusals. All of them
    /// are counted.
    fn logs_refusal(&self, agent: Incarnation, earlier: u64) -> bool;
}

/// Reason for which a policy denies something; the agent and the log receive both fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denial {
    /// Identifier of the reason, for example `egress.host`.
    pub code: &'static str,
    /// The reason in words, and what to do about it.
    pub message: Cow<'static, str>,
}

impl Denial {
    /// Returns a denial with this code and message.
    pub fn new(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Destination that an agent asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

/// Host part of a URI's authority (RFC 3986, section 3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case and without a final dot.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

impl From<&str> for Host {
    fn from(text: &str) -> Self {
        let address = match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            Some(inner) => inner.parse().ok().map(IpAddr::V6),
            None => text.parse().ok().map(IpAddr::V4),
        };
        address.map_or_else(|| Self::Name(text.trim_end_matches('.').to_ascii_lowercase()), Self::Address)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized_and_addresses_are_parsed() {
        let name = |name: &str| Host::Name(name.to_owned());
        assert_eq!(Host::from("API.Example.org."), name("api.example.org"));
        assert_eq!(Host::from("10.0.0.5"), Host::Address([10, 0, 0, 5].into()));
        assert_eq!(Host::from("[::1]"), Host::Address(std::net::Ipv6Addr::LOCALHOST.into()));
        // Not in the form of a URI, so not an address: a resolver must not see one where the policy sees a name.
        assert_eq!(Host::from("::1"), name("::1"));
        assert_eq!(Host::from(""), name(""));
    }

    #[test]
    fn a_target_is_displayed_as_in_a_uri() {
        let shown = |host: &str| Target { host: host.into(), port: 443 }.to_string();
        assert_eq!(shown("Example.org"), "example.org:443");
        assert_eq!(shown("[::1]"), "[::1]:443");
    }
}
