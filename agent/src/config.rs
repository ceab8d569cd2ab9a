//! The agent's settings: environment variables, read once and checked at start.
//!
//! This file has the variables of the wire (documented in `mayfly_protocol::agent`), of the memory and of the weather
//! tool. Variables of models are in `model/choice.rs`, those of MCP servers in `mcp/config.rs`.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use mayfly_protocol::agent::{
    ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN, SOCKET_PATH_MAX_BYTES,
};
use mayfly_protocol::ids::SessionId;
use mayfly_protocol::owner::Owner;

use crate::environment::{ConfigError, Environment, base_url};
use crate::lifetime::ORPHAN_TIMEOUT;
use crate::mcp::config::{self as mcp, ServerConfig};
use crate::memory::Location;
use crate::model::choice::Choice;
use crate::secret::Secret;

/// Base URL of a weather service that speaks Open-Meteo's API, geocoding included; optional.
pub const ENV_WEATHER_URL: &str = "MAYFLY_WEATHER_URL";

/// Time without a call after which the agent exits, in seconds; replaces the wire's own time.
pub const ENV_ORPHAN_SECS: &str = "MAYFLY_ORPHAN_SECS";

/// Place of the memory: `none`, `file:PATH` or the URL of a libSQL server. By default a file beside the agent's Unix
/// socket, or none for an agent that listens on TCP.
pub const ENV_MEMORY_URL: &str = "MEMORY_URL";
/// Token of the libSQL server; optional.
pub const ENV_MEMORY_TOKEN: &str = "MEMORY_TOKEN";

const MEMORY_FILE: &str = "memory.db";
const LISTEN_FORM: &str = "unix:PATH with a path of at most 107 bytes, or HOST:PORT";
const SESSION_FORM: &str = "s_ and 32 hexadecimal digits, or to be absent";
const OWNER_FORM: &str = "1 to 128 characters without control characters, or to be absent";
const DEADLINE_FORM: &str = "a Unix time in whole seconds, or to be absent";
const ORPHAN_SECS_FORM: &str = "a number of seconds from 1 to 86400, or to be absent";
const EGRESS_FORM: &str = "unix:PATH with a path of at most 107 bytes, or to be absent";
const WEATHER_URL_FORM: &str = "http://HOST[:PORT] or https://HOST[:PORT], or to be absent";
const MEMORY_URL_FORM: &str =
    "none, file:PATH, libsql://HOST[:PORT], http://HOST[:PORT] or https://HOST[:PORT], or to be absent";

/// The settings of an agent.
#[derive(Debug)]
pub struct Config {
    /// Address to listen on.
    pub listen: Listen,
    /// Session the agent belongs to; `None` until `POST /bind`.
    pub session: Option<SessionId>,
    /// Person the session belongs to.
    pub owner: Option<Owner>,
    /// Bearer token of every caller.
    pub token: Secret,
    /// Time at which the agent exits, in Unix seconds.
    pub deadline: Option<u64>,
    /// Time without a call from a hub after which the agent exits.
    pub orphan_timeout: Duration,
    /// Socket of the hub's egress proxy; `None` to connect directly.
    pub egress: Option<PathBuf>,
    /// Place of the memory.
    pub memory: Location,
    /// Token of the memory's server.
    pub memory_token: Option<Secret>,
    /// Base URL of the weather service, without a trailing slash; `None` for Open-Meteo.
    pub weather_url: Option<String>,
    /// The model.
    pub model: Choice,
    /// MCP servers whose tools the model can call.
    pub servers: Vec<ServerConfig>,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A Unix socket, made with mode 0600.
    Unix(PathBuf),
    /// A TCP address `HOST:PORT`, for debugging and for agents behind the shim.
    Tcp(String),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

impl Config {
    /// Reads the environment through `get`.
    ///
    /// # Errors
    /// Returns the first variable that is missing or not accepted.
    pub fn read(get: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let env = Environment::new(get);
        let listen = env.required(ENV_LISTEN, LISTEN_FORM, parse_listen);
        // A token that is missing is reported before an address that is not accepted.
        let listen = match listen {
            Err(error @ ConfigError::Missing { .. }) => return Err(error),
            listen => listen,
        };
        let token = env.required_token(ENV_TOKEN)?;
        let listen = listen?;
        Ok(Self {
            session: env.parsed(ENV_SESSION, SESSION_FORM, |text| text.parse().ok())?,
            owner: env.parsed(ENV_OWNER, OWNER_FORM, |text| text.parse().ok())?,
            token,
            deadline: env.parsed(ENV_DEADLINE, DEADLINE_FORM, |text| text.parse().ok())?,
            orphan_timeout: env
                .parsed(ENV_ORPHAN_SECS, ORPHAN_SECS_FORM, parse_orphan_secs)?
                .unwrap_or(ORPHAN_TIMEOUT),
            egress: env.parsed(ENV_EGRESS, EGRESS_FORM, parse_unix)?,
            memory: env
                .parsed(ENV_MEMORY_URL, MEMORY_URL_FORM, parse_memory)?
                .unwrap_or_else(|| default_memory(&listen)),
            memory_token: env.token(ENV_MEMORY_TOKEN)?,
            weather_url: env.parsed(ENV_WEATHER_URL, WEATHER_URL_FORM, base_url)?,
            model: Choice::read(&env)?,
            servers: mcp::read(&env)?,
            listen,
        })
    }
}

fn parse_orphan_secs(text: &str) -> Option<Duration> {
    text.parse().ok().filter(|secs| (1..=86_400).contains(secs)).map(Duration::from_secs)
}

fn parse_listen(text: &str) -> Option<Listen> {
    if text.starts_with("unix:") {
        return parse_unix(text).map(Listen::Unix);
    }
    let (host, port) = text.rsplit_once(':')?;
    let valid = !host.is_empty() && port.parse::<u16>().is_ok();
    valid.then(|| Listen::Tcp(text.to_owned()))
}

fn parse_unix(text: &str) -> Option<PathBuf> {
    let path = text.strip_prefix("unix:")?;
    let fits = (1..=SOCKET_PATH_MAX_BYTES).contains(&path.len()) && !path.contains('\0');
    fits.then(|| path.into())
}

/// Returns the default memory: a file beside the Unix socket, in the directory that is removed with the agent.
fn default_memory(listen: &Listen) -> Location {
    match listen {
        Listen::Unix(socket) => Location::File(socket.with_file_name(MEMORY_FILE)),
        Listen::Tcp(_) => Location::Process,
    }
}

fn parse_memory(text: &str) -> Option<Location> {
    if text == "none" {
        return Some(Location::Process);
    }
    if let Some(path) = text.strip_prefix("file:") {
        return (!path.is_empty() && !path.contains('\0')).then(|| Location::File(path.into()));
    }
    let url = match text.strip_prefix("libsql://") {
        Some(host) => format!("https://{host}"),
        None => text.to_owned(),
    };
    base_url(&url).map(Location::Remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "s_00000000000000000000000000000001";

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    fn error(name: &str, value: &str) -> String {
        let mut variables = vec![(name, value)];
        variables.extend([(ENV_LISTEN, "unix:/run/a"), (ENV_TOKEN, "secret")]);
        read(&variables).unwrap_err().to_string()
    }

    #[test]
    fn all_variables_are_read() {
        let config = read(&[
            (ENV_LISTEN, "unix:/run/agent.sock"),
            (ENV_TOKEN, "secret"),
            (ENV_SESSION, SESSION),
            (ENV_OWNER, "ada"),
            (ENV_DEADLINE, "1800000000"),
            (ENV_EGRESS, "unix:/run/egress.sock"),
            (ENV_WEATHER_URL, "http://127.0.0.1:9/base/"),
            (ENV_ORPHAN_SECS, "7"),
        ])
        .unwrap();
        assert_eq!(config.listen, Listen::Unix("/run/agent.sock".into()));
        assert_eq!(config.session, Some(SessionId::from_u128(1)));
        assert_eq!(config.owner, "ada".parse().ok());
        assert!(config.token.matches(b"secret"));
        assert_eq!(config.deadline, Some(1_800_000_000));
        assert_eq!(config.orphan_timeout, Duration::from_secs(7));
        assert_eq!(config.egress, Some("/run/egress.sock".into()));
        assert_eq!(config.weather_url.as_deref(), Some("http://127.0.0.1:9/base"));
    }

    #[test]
    fn only_listen_and_token_are_required() {
        let config = read(&[(ENV_LISTEN, "localhost:4000"), (ENV_TOKEN, "secret")]).unwrap();
        assert_eq!(config.listen, Listen::Tcp("localhost:4000".to_owned()));
        assert_eq!((config.session, config.deadline), (None, None));
        assert_eq!(config.orphan_timeout, Duration::from_secs(120));
        assert_eq!((config.egress, config.weather_url), (None, None));
    }

    #[test]
    fn an_error_names_the_variable_its_value_and_the_accepted_form() {
        let missing = read(&[(ENV_TOKEN, "secret")]).unwrap_err();
        assert_eq!(missing, ConfigError::Missing { name: ENV_LISTEN, accepted: LISTEN_FORM });
        assert_eq!(
            error(ENV_DEADLINE, "soon"),
            r#"MAYFLY_DEADLINE is "soon": it must be a Unix time in whole seconds, or to be absent"#
        );
        assert!(error(ENV_SESSION, "s_1").starts_with(r#"MAYFLY_SESSION is "s_1": it must be s_ and"#));
        for listen in ["", "unix:", "4000", ":4000", "localhost:http", "localhost:70000"] {
            let said = error(ENV_LISTEN, listen);
            assert!(said.starts_with(&format!("MAYFLY_LISTEN is {listen:?}: ")), "{said}");
        }
        assert!(error(ENV_LISTEN, &format!("unix:/{}", "x".repeat(107))).contains("at most 107 bytes"));
        for owner in ["", "a\nb", &"\u{6f22}".repeat(129)] {
            assert!(error(ENV_OWNER, owner).starts_with("MAYFLY_OWNER is "), "{owner:?}");
        }
        for egress in ["", "unix:", "/run/egress.sock", "http://127.0.0.1:3128"] {
            let said = error(ENV_EGRESS, egress);
            assert!(said.starts_with(&format!("MAYFLY_EGRESS is {egress:?}: ")), "{said}");
        }
        for url in ["", "ftp://host", "host", "http://", "http://host/?a=b"] {
            let said = error(ENV_WEATHER_URL, url);
            assert!(said.starts_with(&format!("MAYFLY_WEATHER_URL is {url:?}: ")), "{said}");
        }
    }

    #[test]
    fn the_memory_is_beside_the_socket_unless_a_url_is_given() {
        let memory = |listen: &str, url: Option<&str>| {
            let mut variables = vec![(ENV_LISTEN, listen), (ENV_TOKEN, "secret")];
            variables.extend(url.map(|url| (ENV_MEMORY_URL, url)));
            read(&variables).unwrap().memory
        };
        let file = |path: &str| Location::File(path.into());
        let remote = |url: &str| Location::Remote(url.to_owned());
        assert_eq!(memory("unix:/run/a/agent.sock", None), file("/run/a/memory.db"));
        assert_eq!(memory("localhost:4000", None), Location::Process);
        for (url, location) in [
            ("none", Location::Process),
            ("file:/var/memory", file("/var/memory")),
            ("libsql://db.example", remote("https://db.example")),
            ("http://127.0.0.1:8080/", remote("http://127.0.0.1:8080")),
        ] {
            assert_eq!(memory("unix:/run/a/agent.sock", Some(url)), location);
        }
        for url in ["", "file:", "memory", "ftp://host", "libsql://", "http://user:password@host"] {
            let said = error(ENV_MEMORY_URL, url);
            assert!(said.starts_with(&format!("MEMORY_URL is {url:?}: ")), "{said}");
        }
        let said = error(ENV_MEMORY_TOKEN, "two words");
        assert!(said.starts_with("MEMORY_TOKEN is not shown: "), "{said}");
    }

    #[test]
    fn a_token_is_never_shown() {
        for token in ["", "two words", "sécret", &"x".repeat(1025)] {
            let error = read(&[(ENV_LISTEN, "unix:/run/a"), (ENV_TOKEN, token)]).unwrap_err();
            assert_eq!(
                error.to_string(),
                "MAYFLY_TOKEN is not shown: it must be 1 to 1024 visible ASCII characters"
            );
        }
        let config = read(&[(ENV_LISTEN, "unix:/run/a"), (ENV_TOKEN, "hush")]).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
    }
}
