//! Where values come from: the command line and the environment (clap), the file (TOML), and what they are otherwise.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::IsTerminal;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};
use mayfly_session::Settings;

use crate::settings::keys::{self, KEYS, Key};
use crate::settings::{ConfigError, Source};

/// The file that is read when it is there and no other is named.
const FILE: &str = "mayfly.toml";

/// What the agent that ships with Mayfly asks for the weather (Open-Meteo).
const WEATHER: &str = "api.open-meteo.com:443,geocoding-api.open-meteo.com:443";

/// The text of each setting, and where it comes from.
#[derive(Debug, Clone)]
pub struct Values(BTreeMap<&'static str, (String, Source)>);

/// The flags of all settings, each with its variable, and `--config`.
pub fn args() -> Vec<Arg> {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help(format!("Configuration file [default: {FILE}, when it is there]"));
    let setting = |key: &&Key| {
        let arg = Arg::new(key.name)
            .env(key.variable)
            .hide_env_values(key.is_secret)
            .value_name("VALUE")
            .action(ArgAction::Append)
            .help(format!("{}: {}", key.help, key.accepts));
        if key.is_secret { arg.hide(true).long(None) } else { arg.long(key.name) }
    };
    let flags = KEYS.iter().filter(|key| !key.is_secret).map(setting);
    std::iter::once(config).chain(flags).collect()
}

impl Values {
    /// All values in force.
    ///
    /// # Errors
    /// [`ConfigError`] when the file cannot be used.
    pub fn gather(matches: &ArgMatches) -> Result<Self, ConfigError> {
        let file = read_file(matches.get_one::<PathBuf>("config").map(PathBuf::as_path))?;
        let value = |key: &Key| {
            from_arguments(matches, key)
                .or_else(|| secret_from_environment(key))
                .or_else(|| file.get(key.name).cloned())
                .unwrap_or_else(|| (default(key), Source::Default))
        };
        Ok(Self(KEYS.iter().map(|key| (key.name, value(key))).collect()))
    }

    /// A setting's text and source.
    pub fn get(&self, key: &Key) -> (&str, &Source) {
        match self.0.get(key.name) {
            Some((text, source)) => (text, source),
            None => ("", &Source::Default),
        }
    }

    /// A setting's value.
    pub(super) fn read<T>(&self, key: &Key, read: impl Fn(&str) -> Option<T>) -> Result<T, ConfigError> {
        let (text, source) = self.get(key);
        read(text).ok_or_else(|| ConfigError::Value {
            key: key.name,
            value: if key.is_secret { "…".to_owned() } else { text.to_owned() },
            source_: source.clone(),
            accepted: key.accepts,
        })
    }
}

/// A flag that is given more than once is a list.
fn from_arguments(matches: &ArgMatches, key: &Key) -> Option<(String, Source)> {
    let texts = matches.try_get_many::<String>(key.name).ok()??;
    let text = texts.map(String::as_str).collect::<Vec<_>>().join(",");
    let is_variable = matches.value_source(key.name) == Some(ValueSource::EnvVariable);
    let source = if is_variable { Source::Environment(key.variable) } else { Source::Flag };
    Some((text, source))
}

fn secret_from_environment(key: &Key) -> Option<(String, Source)> {
    let text = env::var(key.variable).ok().filter(|_| key.is_secret)?;
    Some((text, Source::Environment(key.variable)))
}

fn read_file(named: Option<&Path>) -> Result<BTreeMap<String, (String, Source)>, ConfigError> {
    let path = named.unwrap_or(Path::new(FILE));
    let failed = |cause: String| ConfigError::File { path: path.to_owned(), cause };
    let text = match fs::read_to_string(path) {
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(BTreeMap::new());
        }
        text => text.map_err(|error| failed(error.to_string()))?,
    };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| failed(error.to_string()))?;
    let mut values = BTreeMap::new();
    for (name, value) in table {
        if !KEYS.iter().any(|key| key.name == name) {
            let accepted = KEYS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ");
            return Err(ConfigError::UnknownKey { path: path.to_owned(), key: name, accepted });
        }
        values.insert(name, (as_text(&value), Source::File(path.to_owned())));
    }
    Ok(values)
}

/// A value of the file as the text that a flag would have. A list is joined with commas.
fn as_text(value: &toml::Value) -> String {
    match (value.as_str(), value.as_array()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(items)) => items.iter().map(as_text).collect::<Vec<_>>().join(","),
        (None, None) => value.to_string(),
    }
}

fn default(key: &Key) -> String {
    let session = Settings::default();
    let duration = |duration: Duration| humantime::format_duration(duration).to_string();
    match key.name {
        name if name == keys::LISTEN.name => "127.0.0.1:8080".to_owned(),
        name if name == keys::PLATFORM.name => "process".to_owned(),
        name if name == keys::AGENT_COMMAND.name => beside_the_hub("mayfly-agent"),
        name if name == keys::SANDBOX.name => "auto".to_owned(),
        name if name == keys::AGENT_NETWORK.name => "none".to_owned(),
        // Where every other client of the engine looks, too.
        name if name == keys::DOCKER_HOST.name => {
            env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
        }
        name if name == keys::AGENT_IMAGE.name => "mayfly-agent".to_owned(),
        name if name == keys::AGENT_MEMORY.name => "512MiB".to_owned(),
        name if name == keys::AGENT_CPUS.name => "0.5".to_owned(),
        name if name == keys::DOCKER_NETWORK.name => "none".to_owned(),
        name if name == keys::EGRESS_ALLOW.name => WEATHER.to_owned(),
        name if name == keys::SPAWN_TIMEOUT.name => duration(session.spawn_timeout),
        name if name == keys::IDLE_TTL.name => duration(session.idle_ttl),
        name if name == keys::MAX_TTL.name => duration(session.max_ttl),
        name if name == keys::WARNING.name => duration(session.warning),
        name if name == keys::GRACE.name => duration(session.grace),
        name if name == keys::LINGER.name => duration(session.linger),
        name if name == keys::HEARTBEAT.name => duration(session.heartbeat),
        name if name == keys::ACTIVITY.name => "heartbeat".to_owned(),
        name if name == keys::MAX_SESSIONS.name => "100".to_owned(),
        name if name == keys::SESSIONS_PER_OWNER.name => "20".to_owned(),
        name if name == keys::SESSIONS_PER_ADDRESS.name => "50".to_owned(),
        name if name == keys::WAIT.name => "0s".to_owned(),
        name if name == keys::PARALLEL_SPAWNS.name => (4 * processors()).to_string(),
        name if name == keys::POOL_SIZE.name => "0".to_owned(),
        name if name == keys::DATA_DIR.name => data_dir(),
        name if name == keys::JOURNAL.name => "file".to_owned(),
        name if name == keys::LOG.name && std::io::stderr().is_terminal() => "pretty".to_owned(),
        name if name == keys::LOG.name => "json".to_owned(),
        _ => String::new(),
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn beside_the_hub(program: &str) -> String {
    let beside = env::current_exe().ok().and_then(|hub| Some(hub.parent()?.join(program)));
    let path = beside.unwrap_or_else(|| PathBuf::from(program));
    shell_words::quote(&path.display().to_string()).into_owned()
}

/// The user's own place for data (XDG Base Directory Specification).
fn data_dir() -> String {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/share"));
    let base = absolute("XDG_DATA_HOME").or_else(home);
    base.map_or_else(String::new, |base| base.join("mayfly").display().to_string())
}
