//! The hub's configuration: one typed [`Config`], from file < environment < flags.
//!
//! Every setting is one row of [`keys::KEYS`]. Whatever a value's source, it is text until [`Config::resolve`] reads it,
//! so that a bad one is refused in one place and in the same words. Knows nothing of what the values are for.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use mayfly_platform::{AgentAddress, AgentToken};
use mayfly_session::{Activity, Settings};

use crate::exit::Rule;
use crate::identity::{ClusterSecret, OperatorKey};
use crate::limits::{TTL_MAX, TTL_MIN, WAIT_MAX};

mod agent_env;
pub mod keys;
pub mod sources;
mod value;

pub use mayfly_platform::settings::{
    AgentEnv, AgentNetwork, Containment, DockerNetwork, DockerSettings, SandboxKind,
};
pub use value::Origin;

use keys::Key;
use sources::Values;

/// What is in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the hub listens; beyond loopback only with an operator key.
    pub listen: SocketAddr,
    /// The certificate that the hub shows there, where it speaks TLS.
    pub tls: Option<TlsFiles>,
    /// What lets its bearer do everything; without one, who is on this machine may make sessions.
    pub operator_key: Option<OperatorKey>,
    /// What all tokens are derived from, instead of the secret in the data directory.
    pub secret: Option<ClusterSecret>,
    /// Proxies that are believed when they say for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
    /// Where agents run.
    pub platform: PlatformKind,
    /// What the process platform starts: a program and its arguments.
    pub agent_command: Vec<String>,
    /// What of the hub's environment agents get too.
    pub agent_env: AgentEnv,
    /// What contains the process platform's agents.
    pub containment: Containment,
    /// Where agents may connect to, through this hub.
    pub egress: Vec<Rule>,
    /// What the docker platform starts, and where.
    pub docker: DockerSettings,
    /// Where the static platform's agents are.
    pub static_agents: Vec<AgentAddress>,
    /// What the static platform's agents ask of their callers.
    pub agent_token: AgentToken,
    /// How long a session may do what.
    pub session: Settings,
    /// How many sessions there may be at once.
    pub max_sessions: usize,
    /// Of these, how many of one owner, if that is bounded.
    pub sessions_per_owner: Option<usize>,
    /// The same for one client's address.
    pub sessions_per_address: Option<usize>,
    /// How long a client may wait for a session to be free; zero where it is refused at once.
    pub wait: Duration,
    /// How many agents may be started at once.
    pub parallel_spawns: usize,
    /// How many agents are kept warm, besides those of sessions.
    pub pool_size: usize,
    /// Where the hub keeps its secret and its agents' sockets.
    pub data_dir: PathBuf,
    /// Where what became of sessions is kept.
    pub journal: JournalKind,
    /// Pages of these origins may use the hub, besides its own.
    pub allow_origins: Vec<Origin>,
    /// Where traces are sent, if anywhere.
    pub otlp_endpoint: Option<String>,
    /// How the log is written.
    pub log: LogFormat,
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and one that clients know.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Where agents run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformKind {
    /// A child process for each session.
    Process,
    /// A container for each session.
    Docker,
    /// Agents that run already.
    Static,
}

/// Where what became of sessions is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalKind {
    /// A file in the data directory.
    File,
    /// As long as the hub runs.
    Memory,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// An object on each line.
    Json,
    /// For people.
    Pretty,
}

/// A setting that cannot be used; says what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that is not accepted.
    #[error("{key} = \"{value}\" (from {source_}): expected {accepted}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// Where that came from.
        source_: Source,
        /// What is accepted.
        accepted: &'static str,
    },
    /// A setting that others need is missing.
    #[error("{key} is not set: {reason}")]
    Missing {
        /// The setting.
        key: &'static str,
        /// Why it is needed.
        reason: &'static str,
    },
    /// A setting that does not go with another.
    #[error("{key} is too short: {reason}")]
    Conflict {
        /// The setting.
        key: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// The file cannot be read, or is not TOML.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A key of the file that is none of ours.
    #[error("{}: unknown key \"{key}\": expected one of {accepted}", path.display())]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// The key.
        key: String,
        /// All that are known.
        accepted: String,
    },
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// This file.
    File(PathBuf),
    /// This variable.
    Environment(&'static str),
    /// The command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag => f.write_str("flag"),
        }
    }
}

impl Config {
    /// Reads every value.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn resolve(values: &Values) -> Result<Self, ConfigError> {
        let config = Self {
            listen: values.read(&keys::LISTEN, value::listen)?,
            tls: tls(values)?,
            operator_key: operator_key(values)?,
            secret: values.read(&keys::SECRET, value::secret)?,
            trusted_proxies: values
                .read(&keys::TRUSTED_PROXIES, |text| value::list(text, value::network_of))?,
            platform: values.read(&keys::PLATFORM, value::platform)?,
            agent_command: values.read(&keys::AGENT_COMMAND, value::command)?,
            agent_env: values
                .read(&keys::AGENT_ENV, agent_env::of_this_process)
                .map_err(agent_env::refused)?,
            containment: Containment {
                sandbox: values.read(&keys::SANDBOX, value::sandbox)?,
                paths: values.read(&keys::AGENT_PATHS, |text| value::list(text, value::absolute))?,
                network: values.read(&keys::AGENT_NETWORK, value::network)?,
            },
            egress: values.read(&keys::EGRESS_ALLOW, |text| value::list(text, |item| item.parse().ok()))?,
            docker: DockerSettings {
                host: values.read(&keys::DOCKER_HOST, |text| Some(text.to_owned()))?,
                image: values.read(&keys::AGENT_IMAGE, value::text)?,
                memory_bytes: values.read(&keys::AGENT_MEMORY, value::memory)?,
                cpus: values.read(&keys::AGENT_CPUS, value::cpus)?,
                network: values.read(&keys::DOCKER_NETWORK, value::docker_network)?,
                runtime: values.read(&keys::DOCKER_RUNTIME, |text| Some(value::text(text)))?,
                data_dir: values.read(&keys::DOCKER_DATA_DIR, value::optional(value::absolute))?,
            },
            static_agents: values.read(&keys::STATIC_AGENTS, |text| value::list(text, value::address))?,
            agent_token: values.read(&keys::AGENT_TOKEN, |text| Some(AgentToken::new(text.to_owned())))?,
            session: Settings {
                spawn_timeout: values.read(&keys::SPAWN_TIMEOUT, value::duration(TTL_MIN, WAIT_MAX))?,
                idle_ttl: values.read(&keys::IDLE_TTL, value::duration(TTL_MIN, TTL_MAX))?,
                max_ttl: values.read(&keys::MAX_TTL, value::duration(TTL_MIN, TTL_MAX))?,
                warning: values.read(&keys::WARNING, value::duration(Duration::ZERO, WAIT_MAX))?,
                grace: values.read(&keys::GRACE, value::duration(Duration::ZERO, WAIT_MAX))?,
                linger: values.read(&keys::LINGER, value::duration(Duration::ZERO, WAIT_MAX))?,
                heartbeat: values.read(&keys::HEARTBEAT, value::duration(TTL_MIN, WAIT_MAX))?,
                activity: values.read(&keys::ACTIVITY, value::activity)?,
            },
            max_sessions: values.read(&keys::MAX_SESSIONS, value::max_sessions)?,
            sessions_per_owner: values.read(&keys::SESSIONS_PER_OWNER, value::bound)?,
            sessions_per_address: values.read(&keys::SESSIONS_PER_ADDRESS, value::bound)?,
            wait: values.read(&keys::WAIT, value::duration(Duration::ZERO, WAIT_MAX))?,
            parallel_spawns: values.read(&keys::PARALLEL_SPAWNS, value::parallel_spawns)?,
            pool_size: values.read(&keys::POOL_SIZE, value::pool_size)?,
            data_dir: values.read(&keys::DATA_DIR, value::directory)?,
            journal: values.read(&keys::JOURNAL, value::journal)?,
            allow_origins: values
                .read(&keys::ALLOW_ORIGIN, |text| value::list(text, |item| item.parse().ok()))?,
            otlp_endpoint: values.read(&keys::OTLP_ENDPOINT, value::optional(value::web_address))?,
            log: values.read(&keys::LOG, value::log)?,
        };
        if !config.listen.ip().is_loopback() && config.operator_key.is_none() {
            let reason = "beyond loopback everybody could start agents; set MAYFLY_OPERATOR_KEY or \
                          operator-key-file, or listen on 127.0.0.1";
            return Err(ConfigError::Missing { key: keys::OPERATOR_KEY.name, reason });
        }
        if config.platform == PlatformKind::Static && config.static_agents.is_empty() {
            let reason = "the static platform needs to know where its agents are";
            return Err(ConfigError::Missing { key: keys::STATIC_AGENTS.name, reason });
        }
        let Settings { idle_ttl, heartbeat, activity, .. } = config.session;
        if activity == Activity::Heartbeat && idle_ttl < heartbeat * 2 {
            let reason = "where heartbeats keep a session, it must be at least twice the heartbeat";
            return Err(ConfigError::Conflict { key: keys::IDLE_TTL.name, reason });
        }
        Ok(config)
    }

    /// Whether what is said to the hub can be read on the way, as far as it knows: there may be a proxy with TLS before it.
    pub fn is_plain_beyond_this_machine(&self) -> bool {
        self.tls.is_none() && !self.listen.ip().is_loopback() && self.trusted_proxies.is_empty()
    }
}

/// Both files, or neither.
fn tls(values: &Values) -> Result<Option<TlsFiles>, ConfigError> {
    let cert = values.read(&keys::TLS_CERT, value::optional_path)?;
    let key = values.read(&keys::TLS_KEY, value::optional_path)?;
    let missing = |key: &Key, reason| Err(ConfigError::Missing { key: key.name, reason });
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => missing(&keys::TLS_KEY, "a certificate is of no use without its key"),
        (None, Some(_)) => missing(&keys::TLS_CERT, "a key is of no use without its certificate"),
    }
}

/// From its own setting, or the file that another names.
fn operator_key(values: &Values) -> Result<Option<OperatorKey>, ConfigError> {
    let key = values.read(&keys::OPERATOR_KEY, value::operator_key)?;
    let path = values.read(&keys::OPERATOR_KEY_FILE, value::optional_path)?;
    let Some(path) = path.filter(|_| key.is_none()) else { return Ok(key) };
    let failed = |cause: String| ConfigError::File { path: path.clone(), cause };
    let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    let key = OperatorKey::new(text.trim_end());
    key.map(Some).ok_or_else(|| failed(format!("expected {}", keys::OPERATOR_KEY.accepts)))
}

/// What is in force as TOML that can be used as a file, each line with the value's source. A secret is left out.
pub fn print(values: &Values) -> String {
    let line = |key: &Key| {
        let (text, source) = values.get(key);
        match (key.is_secret, text.is_empty()) {
            (true, true) => format!("# {} is not set\n", key.name),
            (true, false) => format!("# {} is set, and not shown ({source})\n", key.name),
            (false, _) => format!("{} = {} # {source}\n", key.name, toml::Value::String(text.to_owned())),
        }
    };
    keys::KEYS.iter().map(|key| line(key)).collect()
}
