//! The hub's exit policy: where agents may connect to through this hub, and how much they may move.
//!
//! An agent may connect to the hosts of `--egress-allow`. A listed name leads to public addresses only, whatever it
//! resolves to. An address that is not public is reached only if the list has that very address.

use std::net::IpAddr;
use std::sync::Arc;

use mayfly_egress::{Denial, Egress, ExitPolicy, Host, Target};
use mayfly_protocol::address::is_public;
use mayfly_protocol::ids::Incarnation;
use tracing::{info, warn};

use crate::limits::{EGRESS_BYTES_MAX, EGRESS_REFUSALS_LOGGED};

pub use rule::{BadRule, Rule};

mod rule;

/// The policy of a list of hosts that is the same for all agents.
struct AllowList {
    rules: Vec<Rule>,
}

/// Returns the egress proxy to these hosts and logs the hosts; `None` without hosts.
pub fn open(rules: Vec<Rule>) -> Option<Arc<Egress>> {
    if rules.is_empty() {
        info!("egress off: --egress-allow lists no host");
        return None;
    }
    let hosts = rules.iter().map(Rule::to_string).collect::<Vec<_>>().join(",");
    info!(hosts, "egress on");
    for rule in rules.iter().filter(|rule| rule.address().is_some_and(|address| !is_public(address))) {
        warn!(host = %rule, "--egress-allow lets agents reach an address that is not public");
    }
    Some(Egress::new(Arc::new(AllowList { rules })))
}

impl ExitPolicy for AllowList {
    fn check_target(&self, _: Incarnation, target: &Target) -> Result<(), Denial> {
        if self.rules.iter().any(|rule| rule.allows(target)) {
            return Ok(());
        }
        Err(Denial::new("egress.host", format!("{target} is not listed in --egress-allow")))
    }

    fn check_address(&self, _: Incarnation, target: &Target, address: IpAddr) -> Result<(), Denial> {
        match target.host {
            // The list has this very address.
            Host::Address(_) => Ok(()),
            Host::Name(_) if is_public(address) => Ok(()),
            // Omits the address, so that an agent cannot probe internal DNS.
            Host::Name(_) => {
                let message = format!("{} leads to addresses that are not public", target.host);
                Err(Denial::new("egress.address", message))
            }
        }
    }

    fn check_bytes(&self, _: Incarnation, moved: u64, more: u64) -> Result<(), Denial> {
        if moved.saturating_add(more) <= EGRESS_BYTES_MAX {
            return Ok(());
        }
        let message = format!("this agent has used its {} MiB of egress", EGRESS_BYTES_MAX >> 20);
        Err(Denial::new("egress.bytes", message))
    }

    fn logs_refusal(&self, _: Incarnation, earlier: u64) -> bool {
        earlier < EGRESS_REFUSALS_LOGGED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &str) -> AllowList {
        AllowList { rules: rules.split(',').map(|rule| rule.parse().unwrap()).collect() }
    }

    fn agent() -> Incarnation {
        Incarnation::from_u128(1)
    }

    fn target(host: &str, port: u16) -> Target {
        Target { host: host.into(), port }
    }

    fn code(decision: Result<(), Denial>) -> &'static str {
        decision.map_or_else(|denial| denial.code, |()| "")
    }

    #[test]
    fn only_listed_hosts_are_allowed_with_their_port() {
        let policy = policy("api.example.org:443,*.model.example:443,10.0.0.5:11434");
        let check = |host: &str, port| code(policy.check_target(agent(), &target(host, port)));
        for (host, port) in [
            ("api.example.org", 443),
            ("API.Example.org.", 443),
            ("eu.model.example", 443),
            ("a.b.model.example", 443),
            ("10.0.0.5", 11434),
        ] {
            assert_eq!(check(host, port), "", "{host}:{port}");
        }
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
            assert_eq!(check(host, port), "egress.host", "{host}:{port}");
        }
    }

    #[test]
    fn a_name_leads_to_public_addresses_only() {
        let policy = policy("localhost:80,127.0.0.1:80");
        let check = |host: &str, address: &str| {
            code(policy.check_address(agent(), &target(host, 80), address.parse().unwrap()))
        };
        assert_eq!(check("localhost", "8.8.8.8"), "");
        assert_eq!(check("localhost", "127.0.0.1"), "egress.address");
        assert_eq!(check("localhost", "::ffff:127.0.0.1"), "egress.address");
        assert_eq!(check("127.0.0.1", "127.0.0.1"), "");
    }

    #[test]
    fn an_agent_has_a_budget_of_bytes() {
        let policy = policy("api.example.org:443");
        assert_eq!(code(policy.check_bytes(agent(), EGRESS_BYTES_MAX - 1, 1)), "");
        assert_eq!(code(policy.check_bytes(agent(), EGRESS_BYTES_MAX, 1)), "egress.bytes");
        assert_eq!(code(policy.check_bytes(agent(), EGRESS_BYTES_MAX + 1, 0)), "egress.bytes");
    }

    #[test]
    fn an_agent_cannot_fill_the_log() {
        let policy = policy("api.example.org:443");
        assert!(policy.logs_refusal(agent(), EGRESS_REFUSALS_LOGGED - 1));
        assert!(!policy.logs_refusal(agent(), EGRESS_REFUSALS_LOGGED));
    }
}
