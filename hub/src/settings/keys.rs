//! Every setting: its name, what is accepted, what it is for.

/// One setting. Its flag is `--NAME`, its key in the file `NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Its variable.
    pub variable: &'static str,
    /// What is accepted.
    pub accepts: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Never shown, and never a flag: command lines can be read by others.
    pub is_secret: bool,
}

const fn key(name: &'static str, variable: &'static str, accepts: &'static str, help: &'static str) -> Key {
    Key { name, variable, accepts, help, is_secret: false }
}

/// Address.
pub const LISTEN: Key = key(
    "listen",
    "MAYFLY_LISTEN",
    "an address and port, such as 127.0.0.1:8080; any but a loopback address needs an operator key",
    "Where the hub listens",
);
/// File.
pub const TLS_CERT: Key = key(
    "tls-cert",
    "MAYFLY_TLS_CERT",
    "the path of a file in PEM",
    "The certificate that the hub shows, with those between it and one that clients know; without it there is no TLS",
);
/// File.
pub const TLS_KEY: Key =
    key("tls-key", "MAYFLY_TLS_KEY", "the path of a file in PEM", "The certificate's private key");
/// Credential.
pub const OPERATOR_KEY: Key = Key {
    is_secret: true,
    ..key(
        "operator-key",
        "MAYFLY_OPERATOR_KEY",
        "16 to 256 visible ASCII characters",
        "What lets its bearer do everything",
    )
};
/// File.
pub const OPERATOR_KEY_FILE: Key = key(
    "operator-key-file",
    "MAYFLY_OPERATOR_KEY_FILE",
    "the path of a file with 16 to 256 visible ASCII characters",
    "Where the operator key is, instead of a variable",
);
/// Credential.
pub const SECRET: Key = Key {
    is_secret: true,
    ..key(
        "secret",
        "MAYFLY_SECRET",
        "32 characters or more",
        "What all tokens are derived from, the same for all hubs of a cluster; else one is made in data-dir",
    )
};
/// Addresses.
pub const TRUSTED_PROXIES: Key = key(
    "trusted-proxies",
    "MAYFLY_TRUSTED_PROXIES",
    "a list of addresses or networks such as 10.0.0.0/8, separated by commas",
    "Proxies whose X-Forwarded-For is believed",
);
/// Platform.
pub const PLATFORM: Key = key("platform", "MAYFLY_PLATFORM", "process, docker or static", "Where agents run");
/// Command.
pub const AGENT_COMMAND: Key = key(
    "agent-command",
    "MAYFLY_AGENT_COMMAND",
    "a program and its arguments, quoted as in a shell",
    "What the process platform starts for each session",
);
/// Containment.
pub const SANDBOX: Key = key(
    "sandbox",
    "MAYFLY_SANDBOX",
    "auto, bwrap or none",
    "What contains the process platform's agents; auto takes the best that this machine has",
);
/// Paths.
pub const AGENT_PATHS: Key = key(
    "agent-paths",
    "MAYFLY_AGENT_PATHS",
    "a list of absolute paths, separated by commas",
    "What the process platform's agents may read besides the system's folders, their program and the paths in their command",
);
/// Network.
pub const AGENT_NETWORK: Key = key(
    "agent-network",
    "MAYFLY_AGENT_NETWORK",
    "none or host",
    "The network of agents in bubblewrap; without it they have the host's",
);
/// Names.
pub const AGENT_ENV: Key = key(
    "agent-env",
    "MAYFLY_AGENT_ENV",
    "names of variables that are set, separated by commas; none of the hub's own",
    "What of the hub's environment agents get too, such as a model's key; the values are shown nowhere",
);
/// Address.
pub const DOCKER_HOST: Key = key(
    "docker-host",
    "MAYFLY_DOCKER_HOST",
    "unix://PATH",
    "The container engine's socket; whoever can use it is root on its machine",
);
/// Name.
pub const AGENT_IMAGE: Key = key(
    "agent-image",
    "MAYFLY_AGENT_IMAGE",
    "an image that the engine has",
    "What the docker platform starts; never pulled",
);
/// Size.
pub const AGENT_MEMORY: Key = key(
    "agent-memory",
    "MAYFLY_AGENT_MEMORY",
    "a size from 16MiB, such as 512MiB or 2GiB",
    "Memory of each container",
);
/// Number.
pub const AGENT_CPUS: Key = key(
    "agent-cpus",
    "MAYFLY_AGENT_CPUS",
    "a number from 0.01, such as 0.5",
    "Processors that each container may use at once",
);
/// Network.
pub const DOCKER_NETWORK: Key = key(
    "docker-network",
    "MAYFLY_DOCKER_NETWORK",
    "none or bridge",
    "The network of containers; on the bridge they reach what the engine's machine reaches",
);
/// Name.
pub const DOCKER_RUNTIME: Key = key(
    "docker-runtime",
    "MAYFLY_DOCKER_RUNTIME",
    "a runtime that the engine has, such as runsc",
    "What runs the containers, when it is not the engine's default",
);
/// Directory.
pub const DOCKER_DATA_DIR: Key = key(
    "docker-data-dir",
    "MAYFLY_DOCKER_DATA_DIR",
    "an absolute path",
    "The data directory as the engine's machine has it, where the hub runs in a container itself",
);
/// Hosts.
pub const EGRESS_ALLOW: Key = key(
    "egress-allow",
    "MAYFLY_EGRESS_ALLOW",
    "a list of HOST:PORT or *.DOMAIN:PORT, separated by commas",
    "Where agents may connect to, through the hub; names lead to public addresses only",
);
/// Addresses.
pub const STATIC_AGENTS: Key = key(
    "static-agents",
    "MAYFLY_STATIC_AGENTS",
    "a list of unix:PATH or http://HOST:PORT, separated by commas",
    "Where the static platform's agents are",
);
/// Token.
pub const AGENT_TOKEN: Key = Key {
    is_secret: true,
    ..key(
        "agent-token",
        "MAYFLY_AGENT_TOKEN",
        "a text",
        "What the static platform's agents ask of their callers",
    )
};
/// Time.
pub const SPAWN_TIMEOUT: Key = key(
    "spawn-timeout",
    "MAYFLY_SPAWN_TIMEOUT",
    "a duration from 1s to 1h, such as 60s or 2m",
    "How long an agent has to become healthy",
);
/// Time.
pub const IDLE_TTL: Key = key(
    "idle-ttl",
    "MAYFLY_IDLE_TTL",
    "a duration from 1s to 7d, such as 30m",
    "How long nobody may do anything in a session",
);
/// Time.
pub const MAX_TTL: Key = key(
    "max-ttl",
    "MAYFLY_MAX_TTL",
    "a duration from 1s to 7d, such as 2h",
    "How long a session may take in all",
);
/// Time.
pub const WARNING: Key = key(
    "warning",
    "MAYFLY_WARNING",
    "a duration from 0s to 1h, such as 30s",
    "How long before one of these people are warned; of a shorter one, half of it",
);
/// Time.
pub const GRACE: Key = key(
    "grace",
    "MAYFLY_GRACE",
    "a duration from 0s to 1h, such as 20s",
    "How long a session waits for a person whose connection was lost",
);
/// Time.
pub const LINGER: Key = key(
    "linger",
    "MAYFLY_LINGER",
    "a duration from 0s to 1h, such as 5m",
    "How much longer it waits while an answer is under way",
);
/// Time.
pub const HEARTBEAT: Key = key(
    "heartbeat",
    "MAYFLY_HEARTBEAT",
    "a duration from 1s to 1h, such as 15s",
    "How often a quiet socket is asked for a sign; three times without one and it is closed",
);
/// Rule.
pub const ACTIVITY: Key = key(
    "activity",
    "MAYFLY_ACTIVITY",
    "heartbeat or message",
    "What keeps a session from being idle, besides what people say and a running answer",
);
/// Count.
pub const MAX_SESSIONS: Key = key(
    "max-sessions",
    "MAYFLY_MAX_SESSIONS",
    "a whole number from 1 to 100000",
    "How many sessions there may be at once",
);
/// Count.
pub const SESSIONS_PER_OWNER: Key = key(
    "sessions-per-owner",
    "MAYFLY_SESSIONS_PER_OWNER",
    "a whole number from 1 to 100000, or 0 for no bound",
    "How many sessions one owner may have at once, as tickets name owners",
);
/// Count.
pub const SESSIONS_PER_ADDRESS: Key = key(
    "sessions-per-address",
    "MAYFLY_SESSIONS_PER_ADDRESS",
    "a whole number from 1 to 100000, or 0 for no bound",
    "How many sessions there may be at once from one address, of those who come with a ticket",
);
/// Time.
pub const WAIT: Key = key(
    "wait",
    "MAYFLY_WAIT",
    "a duration from 0s to 1h, such as 30s",
    "How long a client may wait in line when all sessions are taken; with 0s it is refused at once",
);
/// Count.
pub const PARALLEL_SPAWNS: Key = key(
    "parallel-spawns",
    "MAYFLY_PARALLEL_SPAWNS",
    "a whole number from 1 to 1000",
    "How many agents may be started at once; by default four for each processor",
);
/// Count.
pub const POOL_SIZE: Key = key(
    "pool-size",
    "MAYFLY_POOL_SIZE",
    "a whole number from 0 to 1000",
    "How many agents are kept warm, besides those of sessions",
);
/// Directory.
pub const DATA_DIR: Key =
    key("data-dir", "MAYFLY_DATA_DIR", "a path", "Where the hub keeps its secret and its agents' sockets");
/// Place.
pub const JOURNAL: Key = key(
    "journal",
    "MAYFLY_JOURNAL",
    "file or memory",
    "What became of sessions is kept in the data directory, or only as long as the hub runs",
);
/// Origins.
pub const ALLOW_ORIGIN: Key = key(
    "allow-origin",
    "MAYFLY_ALLOW_ORIGIN",
    "a list of origins such as https://chat.example, separated by commas",
    "Pages of these origins may use the hub, besides its own",
);
/// Address.
pub const OTLP_ENDPOINT: Key = key(
    "otlp-endpoint",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "http://HOST:PORT or https://HOST:PORT, with a path or without",
    "The OpenTelemetry collector that traces are sent to, as OTLP over HTTP; without it there are none",
);
/// Format.
pub const LOG: Key = key("log", "MAYFLY_LOG", "json or pretty", "How the log is written");

/// All of them, in the order in which they are shown.
pub const KEYS: &[&Key] = &[
    &LISTEN,
    &TLS_CERT,
    &TLS_KEY,
    &OPERATOR_KEY,
    &OPERATOR_KEY_FILE,
    &SECRET,
    &TRUSTED_PROXIES,
    &PLATFORM,
    &AGENT_COMMAND,
    &SANDBOX,
    &AGENT_PATHS,
    &AGENT_NETWORK,
    &AGENT_ENV,
    &DOCKER_HOST,
    &AGENT_IMAGE,
    &AGENT_MEMORY,
    &AGENT_CPUS,
    &DOCKER_NETWORK,
    &DOCKER_RUNTIME,
    &DOCKER_DATA_DIR,
    &EGRESS_ALLOW,
    &STATIC_AGENTS,
    &AGENT_TOKEN,
    &SPAWN_TIMEOUT,
    &IDLE_TTL,
    &MAX_TTL,
    &WARNING,
    &GRACE,
    &LINGER,
    &HEARTBEAT,
    &ACTIVITY,
    &MAX_SESSIONS,
    &SESSIONS_PER_OWNER,
    &SESSIONS_PER_ADDRESS,
    &WAIT,
    &PARALLEL_SPAWNS,
    &POOL_SIZE,
    &DATA_DIR,
    &JOURNAL,
    &ALLOW_ORIGIN,
    &OTLP_ENDPOINT,
    &LOG,
];
