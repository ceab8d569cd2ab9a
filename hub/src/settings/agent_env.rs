//! What agents get of the hub's own environment: the variables that `agent-env` names, and no other.
//!
//! Values are read once, at start. They are shown nowhere: not by `Debug`, not by `mayfly config`, in no log and no error.

use std::env;

use mayfly_platform::settings::AgentEnv;
use mayfly_protocol::agent::{ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN};

use crate::settings::keys::KEYS;
use crate::settings::{ConfigError, value};

/// Those that a list names, as they are now; one that is set to nothing is left out. None when one is not set, is no
/// text, or is the hub's to set or to read.
pub(super) fn of_this_process(names: &str) -> Option<AgentEnv> {
    read(names, |name| env::var(name).ok())
}

fn read(names: &str, get: impl Fn(&str) -> Option<String>) -> Option<AgentEnv> {
    let variables = value::list(names, |name| variable(name, &get))?;
    Some(variables.into_iter().filter(|(_, value)| !value.is_empty()).collect())
}

/// Says which of the names are not accepted. Who writes `NAME=value` is not to see the value in a log, whatever is in it.
pub(super) fn refused(error: ConfigError) -> ConfigError {
    let ConfigError::Value { key, value, source_, accepted } = error else { return error };
    let (names, rest) = value.split_once('=').map_or((&*value, ""), |(names, _)| (names, "=\u{2026}"));
    let is_refused = |name: &&str| variable(name, |name| env::var(name).ok()).is_none();
    let mut listed: Vec<_> = names.split(',').map(str::trim).collect();
    let last = listed.pop().filter(|last| !rest.is_empty() || is_refused(last));
    let refused: Vec<_> = listed.into_iter().filter(is_refused).chain(last).collect();
    let value = format!("{}{rest}", refused.join(","));
    ConfigError::Value { key, value, source_, accepted }
}

/// A variable and its value, if it is one that agents may have.
fn variable(name: &str, get: impl Fn(&str) -> Option<String>) -> Option<(String, String)> {
    let value = get(name).filter(|_| is_name(name) && !is_the_hubs(name))?;
    Some((name.to_owned(), value))
}

/// As shells have it (POSIX, Base Definitions, section 8.1).
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(fits) && !name.starts_with(|first: char| first.is_ascii_digit())
}

fn is_the_hubs(name: &str) -> bool {
    const WIRE: [&str; 6] = [ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN];
    WIRE.contains(&name) || KEYS.iter().any(|key| key.variable == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(names: &str) -> Option<Vec<(String, String)>> {
        let get = |name: &str| match name {
            "UNSET" => None,
            "EMPTY" => Some(String::new()),
            _ => Some("secret".to_owned()),
        };
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Some(read(names, get)?.iter().map(owned).collect())
    }

    #[test]
    fn what_is_named_is_passed_on() {
        let secret = |name: &str| (name.to_owned(), "secret".to_owned());
        assert_eq!(given(""), Some(vec![]));
        assert_eq!(given("KEY, _K2,EMPTY"), Some(vec![secret("KEY"), secret("_K2")]));
        assert_eq!(given("MAYFLY_WEATHER_URL"), Some(vec![secret("MAYFLY_WEATHER_URL")]), "an agent's own");
    }

    #[test]
    fn what_is_not_set_no_name_or_the_hubs_is_refused() {
        for names in [
            "UNSET",
            "KEY,UNSET",
            "KEY,",
            "1KEY",
            "KEY=value",
            "K Y",
            "MAYFLY_LOG",
            "MAYFLY_TOKEN",
            "MAYFLY_AGENT_TOKEN",
        ] {
            assert_eq!(given(names), None, "{names}");
        }
    }
}
