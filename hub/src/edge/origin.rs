//! Web origins (RFC 6454), as browsers send them.

use std::fmt;
use std::str::FromStr;

/// A web origin: scheme, host and port, in lower case and without a default port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// Error returned for a text that is not an origin in the form that browsers send.
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
