//! Reads `agent-env`: the variables of the hub's environment that agents receive.
//!
//! Values are read once, at start. They do not appear in `Debug` output, `mayfly config`, a log or an error. Only the
//! value of `MODEL`, which is no secret, is printed at start.

use std::env;

use mayfly_platform::settings::AgentEnv;
use mayfly_protocol::agent::{ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN};

use crate::settings::setting::Rejection;

/// Variables of the agents' wire, which the hub sets.
pub(super) const WIRE: [&str; 6] = [ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN];

/// Reads the variables that `names` lists, from this process's environment. `is_setting` tells the variables of the hub's
/// settings, which agents do not receive.
pub(super) fn read(
    field: &mut AgentEnv,
    names: &str,
    is_setting: impl Fn(&str) -> bool,
) -> Result<(), Rejection> {
    *field = select(names, is_setting, |name| env::var(name).ok())?;
    Ok(())
}

/// Returns the variables that `names` lists. A variable that is set to an empty value is left out.
fn select(
    names: &str,
    is_setting: impl Fn(&str) -> bool,
    get: impl Fn(&str) -> Option<String>,
) -> Result<AgentEnv, Rejection> {
    if names.is_empty() {
        return Ok(AgentEnv::default());
    }
    // The value in `NAME=value` may be a secret, and it may hold a comma.
    let (listed, value) =
        names.split_once('=').map_or((names, None), |(listed, value)| (listed, Some(value)));
    let mut listed: Vec<&str> = listed.split(',').map(str::trim).collect();
    let assigned = value.and_then(|_| listed.pop());
    let mut shown: Vec<String> = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    let mut variables = Vec::new();
    for name in listed {
        match variable(name, &is_setting, &get) {
            Ok(value) if value.is_empty() => {}
            Ok(value) => variables.push((name.to_owned(), value)),
            Err(reason) => {
                shown.push(name.to_owned());
                reasons.push(reason);
            }
        }
    }
    if let Some(name) = assigned {
        shown.push(format!("{name}=\u{2026}"));
        reasons.push(format!("{name} has a value here; set it in the hub's environment and list its name"));
    }
    if reasons.is_empty() {
        return Ok(variables.into_iter().collect());
    }
    Err(Rejection::Redacted { shown: shown.join(","), reason: reasons.join("; ") })
}

/// Returns the value of a variable that agents may receive.
fn variable(
    name: &str,
    is_setting: impl Fn(&str) -> bool,
    get: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    if !is_name(name) {
        return Err("this is not the name of a variable".to_owned());
    }
    if WIRE.contains(&name) || is_setting(name) {
        return Err(format!("{name} is the hub's own"));
    }
    get(name).ok_or_else(|| format!("{name} is not set"))
}

/// Returns `true` for the name of a variable (POSIX, Base Definitions, section 8.1).
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(fits) && !name.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &str) -> Result<Vec<(String, String)>, Rejection> {
        let get = |name: &str| match name {
            "UNSET" => None,
            "EMPTY" => Some(String::new()),
            _ => Some("secret".to_owned()),
        };
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let is_setting = |name: &str| ["MAYFLY_LOG", "MAYFLY_AGENT_TOKEN"].contains(&name);
        Ok(select(names, is_setting, get)?.iter().map(owned).collect())
    }

    fn rejected(shown: &str, reason: &str) -> Result<Vec<(String, String)>, Rejection> {
        Err(Rejection::Redacted { shown: shown.to_owned(), reason: reason.to_owned() })
    }

    #[test]
    fn listed_variables_are_passed_on() {
        let secret = |name: &str| (name.to_owned(), "secret".to_owned());
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("KEY, _K2,EMPTY"), Ok(vec![secret("KEY"), secret("_K2")]));
        assert_eq!(read("MAYFLY_WEATHER_URL"), Ok(vec![secret("MAYFLY_WEATHER_URL")]), "an agent's own");
    }

    #[test]
    fn a_rejection_names_each_variable_that_is_not_accepted() {
        assert_eq!(read("UNSET"), rejected("UNSET", "UNSET is not set"));
        let both = "UNSET is not set; MAYFLY_LOG is the hub's own";
        assert_eq!(read("UNSET,KEY,MAYFLY_LOG"), rejected("UNSET,MAYFLY_LOG", both));
        for name in ["MAYFLY_TOKEN", "MAYFLY_AGENT_TOKEN"] {
            assert_eq!(read(name), rejected(name, &format!("{name} is the hub's own")));
        }
        for name in ["1KEY", "K Y", ""] {
            let shown = if name.is_empty() { "KEY," } else { name };
            assert_eq!(read(shown), rejected(name, "this is not the name of a variable"));
        }
    }

    #[test]
    fn an_assigned_value_is_not_shown() {
        for names in ["KEY=hush", "KEY=hush,hush", "OTHER,KEY=hush=hush"] {
            let Err(Rejection::Redacted { shown, reason }) = read(names) else {
                panic!("{names} is accepted")
            };
            assert_eq!(shown, "KEY=\u{2026}");
            assert!(!reason.contains("hush"), "{reason}");
        }
    }
}
