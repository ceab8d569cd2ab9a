//! One entry of `--egress-allow`: `HOST:PORT`, `ADDRESS:PORT` or `*.DOMAIN:PORT`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use mayfly_egress::{Host, Target};

/// A host that agents may connect to, or all names below a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    host: Pattern,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// This host.
    Host(Host),
    /// All names that end with this suffix, which begins with a dot.
    Below(String),
}

/// Error returned for a text that is not a [`Rule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT, ADDRESS:PORT or *.DOMAIN:PORT")]
pub struct BadRule;

impl Rule {
    /// Returns `true` if an agent may open a connection to this target.
    pub(super) fn allows(&self, target: &Target) -> bool {
        let is_host = match (&self.host, &target.host) {
            (Pattern::Host(listed), host) => listed == host,
            (Pattern::Below(suffix), Host::Name(name)) => name.len() > suffix.len() && name.ends_with(suffix),
            (Pattern::Below(_), Host::Address(_)) => false,
        };
        is_host && self.port == target.port
    }

    /// Returns the address, if the rule lists one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.host {
            Pattern::Host(Host::Address(address)) => Some(address),
            Pattern::Host(Host::Name(_)) | Pattern::Below(_) => None,
        }
    }
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let (host, port) = text.rsplit_once(':').ok_or(BadRule)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(BadRule)?;
        let host = match (Host::from(host), host.strip_prefix("*.")) {
            (Host::Address(address), _) if is_never_reached(address) => return Err(BadRule),
            (Host::Address(address), _) => Pattern::Host(Host::Address(address)),
            (Host::Name(_), Some(domain)) if is_name(domain) => {
                Pattern::Below(format!(".{}", domain.to_ascii_lowercase()))
            }
            (Host::Name(name), None) if is_name(host) => Pattern::Host(Host::Name(name)),
            (Host::Name(_), _) => return Err(BadRule),
        };
        Ok(Self { host, port })
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.split('.').all(|label| !label.is_empty()) && text.bytes().all(fits)
}

/// Returns `true` for addresses that no rule may list: those that are no host's, and link-local ones, among them clouds'
/// metadata services.
fn is_never_reached(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
                // A second spelling of an IPv4 address; the rule has to list the address itself.
                || v6.to_ipv4_mapped().is_some()
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Pattern::Host(host) => write!(f, "{host}:{}", self.port),
            Pattern::Below(suffix) => write!(f, "*{suffix}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_displayed_as_it_is_parsed() {
        for text in
            ["api.example.org:443", "*.example.org:443", "10.0.0.5:11434", "[::1]:80", "[fd00::1]:443"]
        {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_rules_and_addresses_of_no_host_are_refused() {
        for text in [
            "example.org",
            "example.org:0",
            "example.org:70000",
            ":443",
            "*:443",
            "*.:443",
            "a..b:443",
            "example.org.:443",
            "*.*.org:443",
            "exa*mple.org:443",
            "https://example.org:443",
            "example.org/x:443",
            "::1:443",
            "169.254.169.254:80",
            "0.0.0.0:80",
            "[fe80::1]:80",
            "224.0.0.1:80",
            "[::ffff:169.254.169.254]:80",
        ] {
            assert_eq!(text.parse::<Rule>(), Err(BadRule), "{text}");
        }
    }
}
