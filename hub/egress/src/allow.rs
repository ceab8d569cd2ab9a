//! Where agents may connect to: the operator's list, and what no name may lead to.
//!
//! A name leads to public addresses only, whatever it resolves to. An address that is not public is reached when the list
//! names that very address, link-local ones (clouds' metadata services among them) never.
//! Which addresses are public is `mayfly_protocol::address`'s to say.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use mayfly_protocol::address::is_public;

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    host: Pattern,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// That name.
    Name(String),
    /// Every name that ends with this, its dot included.
    Below(String),
    /// That address.
    Address(IpAddr),
}

/// A text that is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT or *.DOMAIN:PORT")]
pub struct BadRule;

/// Why a host is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    #[error("it is not among the hosts that --egress-allow names")]
    NotListed,
    #[error("its addresses are not public")]
    NotPublic,
}

/// A host that the list allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowed {
    /// To be resolved; what comes out has to be public.
    Name(String),
    /// This address.
    Address(IpAddr),
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let (host, port) = text.rsplit_once(':').ok_or(BadRule)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(BadRule)?;
        let is_name = |name: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            name.split('.').all(|label| !label.is_empty()) && name.bytes().all(fits)
        };
        let host = if let Some(address) = literal(host) {
            if is_never_reached(address) {
                return Err(BadRule);
            }
            Pattern::Address(address)
        } else if let Some(domain) = host.strip_prefix("*.").filter(|domain| is_name(domain)) {
            Pattern::Below(format!(".{}", domain.to_ascii_lowercase()))
        } else if is_name(host) {
            Pattern::Name(host.to_ascii_lowercase())
        } else {
            return Err(BadRule);
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Pattern::Name(name) => write!(f, "{name}:{}", self.port),
            Pattern::Below(suffix) => write!(f, "*{suffix}:{}", self.port),
            Pattern::Address(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Pattern::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

impl Rule {
    /// Whether it names an address that is not public.
    pub(super) fn is_private(&self) -> bool {
        matches!(self.host, Pattern::Address(address) if !is_public(address))
    }
}

/// Whether the list has this host, as a request names it.
pub(super) fn check(rules: &[Rule], host: &str, port: u16) -> Result<Allowed, Denied> {
    let (name, address) = (host.trim_end_matches('.').to_ascii_lowercase(), literal(host));
    let fits = |rule: &&Rule| {
        rule.port == port
            && match (&rule.host, address) {
                (Pattern::Address(listed), Some(address)) => *listed == address,
                (Pattern::Name(listed), None) => *listed == name,
                (Pattern::Below(suffix), None) => name.len() > suffix.len() && name.ends_with(suffix),
                (Pattern::Address(_), None) | (Pattern::Name(_) | Pattern::Below(_), Some(_)) => false,
            }
    };
    rules.iter().find(fits).ok_or(Denied::NotListed)?;
    Ok(address.map_or(Allowed::Name(name), Allowed::Address))
}

/// An address as it stands in a URI's authority.
fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

fn is_never_reached(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_never_reached_v4(v4),
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
                // One more spelling of an address that is looked at as such.
                || v6.to_ipv4_mapped().is_some()
        }
    }
}

fn is_never_reached_v4(address: Ipv4Addr) -> bool {
    address.octets()[0] == 0 || address.is_link_local() || address.is_multicast() || address.is_broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<Rule> {
        text.split(',').map(|rule| rule.parse().unwrap()).collect()
    }

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in
            ["api.example.org:443", "*.example.org:443", "10.0.0.5:11434", "[::1]:80", "[fd00::1]:443"]
        {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for text in [
            "example.org",
            "example.org:0",
            "example.org:70000",
            ":443",
            "*:443",
            "*.:443",
            "a..b:443",
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

    #[test]
    fn only_what_is_listed_is_allowed_with_its_port() {
        let rules = rules("api.example.org:443,*.model.example:443,10.0.0.5:11434");
        let name = |name: &str| Ok(Allowed::Name(name.to_owned()));
        assert_eq!(check(&rules, "api.example.org", 443), name("api.example.org"));
        assert_eq!(check(&rules, "API.Example.org.", 443), name("api.example.org"));
        assert_eq!(check(&rules, "eu.model.example", 443), name("eu.model.example"));
        assert_eq!(check(&rules, "a.b.model.example", 443), name("a.b.model.example"));
        let address = Allowed::Address(Ipv4Addr::new(10, 0, 0, 5).into());
        assert_eq!(check(&rules, "10.0.0.5", 11434), Ok(address));
        for (host, port) in [
            ("api.example.org", 80),
            ("example.org", 443),
            ("evil-api.example.org", 443),
            ("model.example", 443),
            (".model.example", 443),
            ("evilmodel.example", 443),
            ("api.example.org.evil.example", 443),
            ("10.0.0.5", 443),
            ("10.0.0.6", 11434),
            ("127.0.0.1", 443),
            ("[::ffff:10.0.0.5]", 11434),
            ("", 443),
        ] {
            assert_eq!(check(&rules, host, port), Err(Denied::NotListed), "{host}:{port}");
        }
    }
}
