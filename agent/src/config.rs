//! The agent's environment, read once and checked at start.
//!
//! Owns the names, what is accepted and the errors that say so. Those of models are `model/choice.rs`'s, those of MCP
//! servers `mcp/config.rs`'s; those that begin with `MAYFLY_` are part of the wire and documented in
//! `mayfly_protocol::agent`, but for [`ENV_WEATHER_URL`] and [`ENV_ORPHAN_SECS`].

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use mayfly_protocol::agent::{
    ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN, SOCKET_PATH_MAX_BYTES, is_token,
};
use mayfly_protocol::ids::SessionId;
use mayfly_protocol::owner::Owner;

use crate::lifetime::ORPHAN_AFTER;
use crate::mcp::config::{self as mcp, ServerConfig};
use crate::memory::Location;
use crate::model::choice::Choice;

/// Base address of a weather service that speaks Open-Meteo's API, for both of its parts; optional.
pub const ENV_WEATHER_URL: &str = "MAYFLY_WEATHER_URL";

/// How long the agent waits for a call from a hub, in seconds, in place of the wire's own time; hubs call every 30 s.
pub const ENV_ORPHAN_SECS: &str = "MAYFLY_ORPHAN_SECS";

/// Where the memory is: `none`, `file:PATH`, or a libSQL server's address; by default a file beside the agent's socket,
/// or none for an agent without one.
pub const ENV_MEMORY_URL: &str = "MEMORY_URL";
/// What the libSQL server asks for; optional.
pub const ENV_MEMORY_TOKEN: &str = "MEMORY_TOKEN";

const MEMORY_FILE: &str = "memory.db";
const LISTEN_ACCEPTED: &str = "unix:PATH with a path of at most 107 bytes, or HOST:PORT";
const SESSION_ACCEPTED: &str = "s_ and 32 hexadecimal digits, or to be absent";
const OWNER_ACCEPTED: &str = "1 to 128 characters without control characters, or to be absent";
const TOKEN_ACCEPTED: &str = "1 to 1024 visible ASCII characters";
const DEADLINE_ACCEPTED: &str = "a Unix time in whole seconds, or to be absent";
const ORPHAN_SECS_ACCEPTED: &str = "a number of seconds from 1 to 86400, or to be absent";
const EGRESS_ACCEPTED: &str = "unix:PATH with a path of at most 107 bytes, or to be absent";
const WEATHER_URL_ACCEPTED: &str = "http://HOST[:PORT] or https://HOST[:PORT], or to be absent";

const MEMORY_URL_ACCEPTED: &str =
    "none, file:PATH, libsql://HOST[:PORT], http://HOST[:PORT] or https://HOST[:PORT], or to be absent";

/// What the agent is told at its start.
#[derive(Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: Listen,
    /// Whose agent it is; without, it waits to be bound.
    pub session: Option<SessionId>,
    /// The person whose session it is, as far as the hub knows.
    pub owner: Option<Owner>,
    /// What every caller must show.
    pub token: Token,
    /// When it exits at the latest, in Unix seconds.
    pub deadline: Option<u64>,
    /// How long it lives after the last call from a hub.
    pub orphan_after: Duration,
    /// The socket of the hub's egress proxy: the way out. Without, there is none but the network's own.
    pub egress: Option<PathBuf>,
    /// Where the memory is.
    pub memory: Location,
    /// What the memory's server asks for.
    pub memory_token: Option<Token>,
    /// Base address of the weather service, without a slash at its end, in place of Open-Meteo's own.
    pub weather_url: Option<String>,
    /// What thinks.
    pub model: Choice,
    /// Whose tools it has besides its own.
    pub servers: Vec<ServerConfig>,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A Unix socket, made with mode 0600.
    Unix(PathBuf),
    /// A TCP address, for people with a debugger.
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

/// A secret that no log shows.
#[derive(Clone)]
pub struct Token(String);

/// A variable that the agent cannot start with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It must be set.
    #[error("{name} is not set: it must be {accepted}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What would do.
        accepted: &'static str,
    },
    /// Its value is not accepted.
    #[error("{name} is {value}: it must be {accepted}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value in quotes, or a word in place of a secret.
        value: String,
        /// What would do.
        accepted: &'static str,
    },
}

impl Config {
    /// Reads the environment through `get`.
    ///
    /// # Errors
    /// The first variable that is missing or not accepted.
    pub fn read(get: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let optional = |name, accepted| match get(name) {
            None => Ok(None),
            Some(value) => value.into_string().map(Some).map_err(|raw| ConfigError::Invalid {
                name,
                value: if [ENV_TOKEN, ENV_MEMORY_TOKEN].contains(&name) {
                    "not shown".to_owned()
                } else {
                    format!("{raw:?}")
                },
                accepted,
            }),
        };
        let required =
            |name, accepted| optional(name, accepted)?.ok_or(ConfigError::Missing { name, accepted });

        let listen = required(ENV_LISTEN, LISTEN_ACCEPTED)?;
        let token = required(ENV_TOKEN, TOKEN_ACCEPTED)?;
        let session = optional(ENV_SESSION, SESSION_ACCEPTED)?;
        let owner = optional(ENV_OWNER, OWNER_ACCEPTED)?;
        let deadline = optional(ENV_DEADLINE, DEADLINE_ACCEPTED)?;
        let orphan_secs = optional(ENV_ORPHAN_SECS, ORPHAN_SECS_ACCEPTED)?;
        let egress = optional(ENV_EGRESS, EGRESS_ACCEPTED)?;
        let memory_url = optional(ENV_MEMORY_URL, MEMORY_URL_ACCEPTED)?;
        let memory_token = optional(ENV_MEMORY_TOKEN, TOKEN_ACCEPTED)?;
        let weather_url = optional(ENV_WEATHER_URL, WEATHER_URL_ACCEPTED)?;
        let listen = parse_listen(&listen).ok_or_else(|| invalid(ENV_LISTEN, &listen, LISTEN_ACCEPTED))?;
        let memory = match memory_url {
            None => beside(&listen),
            Some(url) => {
                parse_memory(&url).ok_or_else(|| invalid(ENV_MEMORY_URL, &url, MEMORY_URL_ACCEPTED))?
            }
        };
        Ok(Self {
            listen,
            session: session
                .map(|text| text.parse().map_err(|_| invalid(ENV_SESSION, &text, SESSION_ACCEPTED)))
                .transpose()?,
            owner: owner
                .map(|text| text.parse().map_err(|_| invalid(ENV_OWNER, &text, OWNER_ACCEPTED)))
                .transpose()?,
            token: Token::parse(ENV_TOKEN, token)?,
            memory,
            memory_token: memory_token.map(|token| Token::parse(ENV_MEMORY_TOKEN, token)).transpose()?,
            deadline: deadline
                .map(|text| text.parse().map_err(|_| invalid(ENV_DEADLINE, &text, DEADLINE_ACCEPTED)))
                .transpose()?,
            orphan_after: orphan_secs.map_or(Ok(ORPHAN_AFTER), |text| {
                parse_orphan_secs(&text).ok_or_else(|| invalid(ENV_ORPHAN_SECS, &text, ORPHAN_SECS_ACCEPTED))
            })?,
            egress: egress
                .map(|text| parse_unix(&text).ok_or_else(|| invalid(ENV_EGRESS, &text, EGRESS_ACCEPTED)))
                .transpose()?,
            model: Choice::read(&get)?,
            servers: mcp::read(&get)?,
            weather_url: weather_url
                .map(|text| {
                    parse_base_url(&text).ok_or_else(|| invalid(ENV_WEATHER_URL, &text, WEATHER_URL_ACCEPTED))
                })
                .transpose()?,
        })
    }
}

fn invalid(name: &'static str, value: &str, accepted: &'static str) -> ConfigError {
    ConfigError::Invalid { name, value: format!("{value:?}"), accepted }
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

/// A file beside the agent's socket, in the directory that is the agent's own and goes with it.
fn beside(listen: &Listen) -> Location {
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
    parse_base_url(&url).map(Location::Remote)
}

fn parse_base_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let valid =
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none();
    valid.then(|| text.trim_end_matches('/').to_owned())
}

impl Token {
    /// # Errors
    /// When it is empty, too long or could not stand in a header. The error does not hold it.
    pub fn parse(name: &'static str, text: String) -> Result<Self, ConfigError> {
        if is_token(&text) {
            return Ok(Self(text));
        }
        Err(ConfigError::Invalid { name, value: "not shown".to_owned(), accepted: TOKEN_ACCEPTED })
    }

    /// The secret itself, for whoever asks for it.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is the token; takes as long whatever is wrong with it.
    pub fn matches(&self, shown: &[u8]) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.0.as_bytes(), shown).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
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
        assert_eq!(config.orphan_after, Duration::from_secs(7));
        assert_eq!(config.egress, Some("/run/egress.sock".into()));
        assert_eq!(config.weather_url.as_deref(), Some("http://127.0.0.1:9/base"));
    }

    #[test]
    fn listen_and_token_are_enough() {
        let config = read(&[(ENV_LISTEN, "localhost:4000"), (ENV_TOKEN, "secret")]).unwrap();
        assert_eq!(config.listen, Listen::Tcp("localhost:4000".to_owned()));
        assert_eq!((config.session, config.deadline), (None, None));
        assert_eq!(config.orphan_after, Duration::from_secs(120));
        assert_eq!((config.egress, config.weather_url), (None, None));
    }

    #[test]
    fn an_error_names_variable_value_and_what_is_accepted() {
        let missing = read(&[(ENV_TOKEN, "secret")]).unwrap_err();
        assert_eq!(missing, ConfigError::Missing { name: ENV_LISTEN, accepted: LISTEN_ACCEPTED });
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
    fn the_memory_is_beside_the_socket_or_where_it_is_said_to_be() {
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
        for url in ["", "file:", "memory", "ftp://host", "libsql://"] {
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

    #[test]
    fn only_the_whole_token_matches() {
        let token = Token::parse(ENV_TOKEN, "secret".to_owned()).unwrap();
        for other in ["", "secre", "secrets", "Secret"] {
            assert!(!token.matches(other.as_bytes()), "{other}");
        }
    }
}
