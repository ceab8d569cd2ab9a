//! The settings table: one row for each setting.
//!
//! A new setting is one row here and one field in the settings of its owner. The command line, the file, the variables,
//! `mayfly config`, `--help`, the man page and `docs/configuration.md` follow from the row.

use std::time::Duration;

use mayfly_platform::AgentToken;
use mayfly_platform::settings::{AgentNetwork, DockerNetwork, PlatformKind, SandboxKind};
use mayfly_session::Activity;

use crate::limits::{MAX_SESSIONS_MAX, PARALLEL_SPAWNS_MAX, POOL_SIZE_MAX, TTL_MAX, TTL_MIN, WAIT_MAX};
use crate::ops::{JournalKind, LogFormat};
use crate::settings::setting::{Group, Preset, Rejection, Setting};
use crate::settings::value::{
    absolute_path, agent_address, bound, command, count, cpus, duration, list, listen, memory, network,
    optional, path, text, web_url, word,
};
use crate::settings::{agent_env, credentials, preset};

/// Hosts of the weather service that the built-in agent asks (Open-Meteo).
const WEATHER: &str = "api.open-meteo.com:443,geocoding-api.open-meteo.com:443";

/// Returns `true` if a setting has this variable.
fn is_variable(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.variable == name)
}

const ROW: Setting = Setting {
    name: "",
    variable: "",
    group: Group::Connections,
    help: "",
    placeholder: "VALUE",
    form: "",
    preset: Preset::Unset,
    is_secret: false,
    store: |_, _| Ok(()),
};

/// Returns the row of a setting. For constants: a name without a row does not compile.
///
/// # Panics
/// If there is no row of that name.
pub const fn row(name: &str) -> &'static Setting {
    let mut at = 0;
    while at < SETTINGS.len() {
        if is_equal(SETTINGS[at].name.as_bytes(), name.as_bytes()) {
            return &SETTINGS[at];
        }
        at += 1;
    }
    panic!("no setting has this name")
}

const fn is_equal(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

fn set<T>(field: &mut T, parsed: Option<T>) -> Result<(), Rejection> {
    *field = parsed.ok_or(Rejection::Form)?;
    Ok(())
}

/// All settings, in the order of their groups.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "listen",
        variable: "MAYFLY_LISTEN",
        group: Group::Connections,
        help: "Address and port on which the hub listens; any address but loopback needs an operator key",
        placeholder: "ADDRESS",
        form: "ADDRESS:PORT, localhost:PORT, or PORT alone for 127.0.0.1",
        preset: Preset::Text("127.0.0.1:8080"),
        store: |config, text| set(&mut config.edge.listen, listen(text)),
        ..ROW
    },
    Setting {
        name: "tls-cert",
        variable: "MAYFLY_TLS_CERT",
        group: Group::Connections,
        help: "Certificate chain of the hub; with it and --tls-key the hub serves HTTPS",
        placeholder: "FILE",
        form: "the path of a PEM file",
        store: |config, text| set(&mut config.edge.tls_cert, optional(path)(text)),
        ..ROW
    },
    Setting {
        name: "tls-key",
        variable: "MAYFLY_TLS_KEY",
        group: Group::Connections,
        help: "Private key of the certificate in --tls-cert",
        placeholder: "FILE",
        form: "the path of a PEM file",
        store: |config, text| set(&mut config.edge.tls_key, optional(path)(text)),
        ..ROW
    },
    Setting {
        name: "trusted-proxies",
        variable: "MAYFLY_TRUSTED_PROXIES",
        group: Group::Connections,
        help: "Proxies whose X-Forwarded-For header the hub believes",
        placeholder: "NETWORKS",
        form: "a list of addresses or networks such as 10.0.0.0/8, separated by commas",
        store: |config, text| set(&mut config.edge.trusted_proxies, list(text, network)),
        ..ROW
    },
    Setting {
        name: "allow-origin",
        variable: "MAYFLY_ALLOW_ORIGIN",
        group: Group::Connections,
        help: "Web origins whose pages may use the hub, besides the hub's own page",
        placeholder: "ORIGINS",
        form: "a list of origins such as https://chat.example, separated by commas",
        store: |config, text| set(&mut config.edge.allow_origins, list(text, |item| item.parse().ok())),
        ..ROW
    },
    Setting {
        name: "operator-key",
        variable: "MAYFLY_OPERATOR_KEY",
        group: Group::Credentials,
        help: "Key that allows its bearer every call; without it, programs on this machine may create sessions",
        placeholder: "KEY",
        form: "16 to 256 visible ASCII characters",
        is_secret: true,
        store: |config, text| set(&mut config.edge.operator_key, optional(credentials::operator_key)(text)),
        ..ROW
    },
    Setting {
        name: "operator-key-file",
        variable: "MAYFLY_OPERATOR_KEY_FILE",
        group: Group::Credentials,
        help: "File that holds the operator key; ignored if MAYFLY_OPERATOR_KEY is set",
        placeholder: "FILE",
        form: "the path of a file with 16 to 256 visible ASCII characters",
        store: |config, text| credentials::read_operator_key(&mut config.edge.operator_key, text),
        ..ROW
    },
    Setting {
        name: "secret",
        variable: "MAYFLY_SECRET",
        group: Group::Credentials,
        help: "Secret from which the hub derives all tokens, the same for all hubs of a cluster; \
               without it the hub creates one in --data-dir",
        placeholder: "SECRET",
        form: "32 characters or more",
        is_secret: true,
        store: |config, text| set(&mut config.secret, optional(credentials::secret)(text)),
        ..ROW
    },
    Setting {
        name: "platform",
        variable: "MAYFLY_PLATFORM",
        group: Group::Agents,
        help: "Where agents run: a child process for each session, a container for each session, \
               or agents that already run",
        placeholder: "PLATFORM",
        form: "process, docker or static",
        preset: Preset::Text("process"),
        store: |config, text| set(&mut config.platform.kind, word(text, &PlatformKind::WORDS)),
        ..ROW
    },
    Setting {
        name: "agent-env",
        variable: "MAYFLY_AGENT_ENV",
        group: Group::Agents,
        help: "Variables of the hub's environment that agents receive, such as a model's key; \
               the hub shows their values nowhere",
        placeholder: "NAMES",
        form: "names of variables that are set, separated by commas; none of the hub's own",
        store: |config, text| agent_env::read(&mut config.agents.env, text, is_variable),
        ..ROW
    },
    Setting {
        name: "egress-allow",
        variable: "MAYFLY_EGRESS_ALLOW",
        group: Group::Agents,
        help: "Hosts that agents may connect to through the hub; a name must resolve to a public address",
        placeholder: "HOSTS",
        form: "a list of HOST:PORT or *.DOMAIN:PORT, separated by commas",
        preset: Preset::Text(WEATHER),
        store: |config, text| set(&mut config.egress, list(text, |item| item.parse().ok())),
        ..ROW
    },
    Setting {
        name: "spawn-timeout",
        variable: "MAYFLY_SPAWN_TIMEOUT",
        group: Group::Agents,
        help: "Time within which an agent must become healthy",
        placeholder: "DURATION",
        form: "a duration from 1s to 1h, such as 60s or 2m",
        preset: Preset::Text("1m"),
        store: |config, text| set(&mut config.session.spawn_timeout, duration(text, TTL_MIN, WAIT_MAX)),
        ..ROW
    },
    Setting {
        name: "parallel-spawns",
        variable: "MAYFLY_PARALLEL_SPAWNS",
        group: Group::Agents,
        help: "Maximum number of agents that start at the same time; others wait for their turn",
        placeholder: "NUMBER",
        form: "a whole number from 1 to 1000",
        preset: Preset::Computed { rule: "4 for each processor", text: preset::parallel_spawns },
        store: |config, text| set(&mut config.agents.parallel_spawns, count(text, 1, PARALLEL_SPAWNS_MAX)),
        ..ROW
    },
    Setting {
        name: "pool-size",
        variable: "MAYFLY_POOL_SIZE",
        group: Group::Agents,
        help: "Number of agents that the hub keeps started for sessions to come",
        placeholder: "NUMBER",
        form: "a whole number from 0 to 1000",
        preset: Preset::Text("0"),
        store: |config, text| set(&mut config.agents.pool_size, count(text, 0, POOL_SIZE_MAX)),
        ..ROW
    },
    Setting {
        name: "agent-command",
        variable: "MAYFLY_AGENT_COMMAND",
        group: Group::Process,
        help: "Program that the hub starts for each session",
        placeholder: "COMMAND",
        form: "a program and its arguments, quoted as in a shell",
        preset: Preset::Computed {
            rule: "the agent inside this program, /proc/self/exe agent",
            text: preset::agent_command,
        },
        store: |config, text| set(&mut config.platform.agent_command, command(text)),
        ..ROW
    },
    Setting {
        name: "sandbox",
        variable: "MAYFLY_SANDBOX",
        group: Group::Process,
        help: "Sandbox of each agent; auto takes bubblewrap if it works here, then Landlock",
        placeholder: "SANDBOX",
        form: "auto, bwrap or none",
        preset: Preset::Text("auto"),
        store: |config, text| set(&mut config.platform.containment.sandbox, word(text, &SandboxKind::WORDS)),
        ..ROW
    },
    Setting {
        name: "agent-paths",
        variable: "MAYFLY_AGENT_PATHS",
        group: Group::Process,
        help: "Paths that agents may read, besides the system's directories, their program and the paths in \
               --agent-command",
        placeholder: "PATHS",
        form: "a list of absolute paths, separated by commas",
        store: |config, text| set(&mut config.platform.containment.paths, list(text, absolute_path)),
        ..ROW
    },
    Setting {
        name: "agent-network",
        variable: "MAYFLY_AGENT_NETWORK",
        group: Group::Process,
        help: "Network of agents in bubblewrap; without bubblewrap they have the host's network",
        placeholder: "NETWORK",
        form: "none or host",
        preset: Preset::Text("none"),
        store: |config, text| set(&mut config.platform.containment.network, word(text, &AgentNetwork::WORDS)),
        ..ROW
    },
    Setting {
        name: "docker-host",
        variable: "MAYFLY_DOCKER_HOST",
        group: Group::Docker,
        help: "Socket of the container engine; whoever can use it has root's rights on the engine's machine",
        placeholder: "URL",
        form: "unix://PATH",
        preset: Preset::Computed {
            rule: "DOCKER_HOST, or unix:///var/run/docker.sock",
            text: preset::docker_host,
        },
        store: |config, value| set(&mut config.platform.docker.host, text(value)),
        ..ROW
    },
    Setting {
        name: "agent-image",
        variable: "MAYFLY_AGENT_IMAGE",
        group: Group::Docker,
        help: "Image of the agents; the hub never pulls it",
        placeholder: "IMAGE",
        form: "an image that the engine has",
        preset: Preset::Text("mayfly-agent"),
        store: |config, value| set(&mut config.platform.docker.image, text(value)),
        ..ROW
    },
    Setting {
        name: "agent-memory",
        variable: "MAYFLY_AGENT_MEMORY",
        group: Group::Docker,
        help: "Memory of each container",
        placeholder: "SIZE",
        form: "a size from 16MiB, such as 512MiB or 2GiB",
        preset: Preset::Text("512MiB"),
        store: |config, text| set(&mut config.platform.docker.memory_bytes, memory(text)),
        ..ROW
    },
    Setting {
        name: "agent-cpus",
        variable: "MAYFLY_AGENT_CPUS",
        group: Group::Docker,
        help: "Processors that each container may use at the same time",
        placeholder: "NUMBER",
        form: "a number from 0.01, such as 0.5",
        preset: Preset::Text("0.5"),
        store: |config, text| set(&mut config.platform.docker.cpus, cpus(text)),
        ..ROW
    },
    Setting {
        name: "docker-network",
        variable: "MAYFLY_DOCKER_NETWORK",
        group: Group::Docker,
        help: "Network of containers; on a bridge they reach every address that the engine's machine reaches",
        placeholder: "NETWORK",
        form: "none or bridge",
        preset: Preset::Text("none"),
        store: |config, text| set(&mut config.platform.docker.network, word(text, &DockerNetwork::WORDS)),
        ..ROW
    },
    Setting {
        name: "docker-runtime",
        variable: "MAYFLY_DOCKER_RUNTIME",
        group: Group::Docker,
        help: "Container runtime, if not the engine's default",
        placeholder: "NAME",
        form: "a runtime that the engine has, such as runsc",
        store: |config, value| set(&mut config.platform.docker.runtime, optional(text)(value)),
        ..ROW
    },
    Setting {
        name: "docker-data-dir",
        variable: "MAYFLY_DOCKER_DATA_DIR",
        group: Group::Docker,
        help: "Path of the data directory on the engine's machine, if the hub itself runs in a container",
        placeholder: "DIRECTORY",
        form: "an absolute path",
        store: |config, text| set(&mut config.platform.docker.data_dir, optional(absolute_path)(text)),
        ..ROW
    },
    Setting {
        name: "static-agents",
        variable: "MAYFLY_STATIC_AGENTS",
        group: Group::Static,
        help: "Addresses of the agents; sessions are assigned to them in turn",
        placeholder: "ADDRESSES",
        form: "a list of unix:PATH or http://HOST:PORT, separated by commas",
        store: |config, text| set(&mut config.platform.static_agents, list(text, agent_address)),
        ..ROW
    },
    Setting {
        name: "agent-token",
        variable: "MAYFLY_AGENT_TOKEN",
        group: Group::Static,
        help: "Token with which the hub calls the agents; their MAYFLY_TOKEN",
        placeholder: "TOKEN",
        form: "a text",
        is_secret: true,
        store: |config, text| {
            config.platform.agent_token = AgentToken::new(text.to_owned());
            Ok(())
        },
        ..ROW
    },
    Setting {
        name: "idle-ttl",
        variable: "MAYFLY_IDLE_TTL",
        group: Group::Sessions,
        help: "Idle time after which a session ends; at least twice --heartbeat with --activity heartbeat",
        placeholder: "DURATION",
        form: "a duration from 1s to 7d, such as 30m",
        preset: Preset::Text("30m"),
        store: |config, text| set(&mut config.session.idle_ttl, duration(text, TTL_MIN, TTL_MAX)),
        ..ROW
    },
    Setting {
        name: "max-ttl",
        variable: "MAYFLY_MAX_TTL",
        group: Group::Sessions,
        help: "Age at which a session ends",
        placeholder: "DURATION",
        form: "a duration from 1s to 7d, such as 2h",
        preset: Preset::Text("2h"),
        store: |config, text| set(&mut config.session.max_ttl, duration(text, TTL_MIN, TTL_MAX)),
        ..ROW
    },
    Setting {
        name: "warning",
        variable: "MAYFLY_WARNING",
        group: Group::Sessions,
        help: "Time between the warning and the end by --idle-ttl or --max-ttl; half of that setting if it is shorter",
        placeholder: "DURATION",
        form: "a duration from 0s to 1h, such as 30s",
        preset: Preset::Text("30s"),
        store: |config, text| set(&mut config.session.warning, duration(text, Duration::ZERO, WAIT_MAX)),
        ..ROW
    },
    Setting {
        name: "grace",
        variable: "MAYFLY_GRACE",
        group: Group::Sessions,
        help: "Time that a session without a connection waits for a client to reconnect",
        placeholder: "DURATION",
        form: "a duration from 0s to 1h, such as 20s",
        preset: Preset::Text("20s"),
        store: |config, text| set(&mut config.session.grace, duration(text, Duration::ZERO, WAIT_MAX)),
        ..ROW
    },
    Setting {
        name: "linger",
        variable: "MAYFLY_LINGER",
        group: Group::Sessions,
        help: "Time added to --grace while an answer is running",
        placeholder: "DURATION",
        form: "a duration from 0s to 1h, such as 5m",
        preset: Preset::Text("0s"),
        store: |config, text| set(&mut config.session.linger, duration(text, Duration::ZERO, WAIT_MAX)),
        ..ROW
    },
    Setting {
        name: "heartbeat",
        variable: "MAYFLY_HEARTBEAT",
        group: Group::Sessions,
        help: "Silence of a socket after which the hub sends a Ping; after three such intervals it closes the socket",
        placeholder: "DURATION",
        form: "a duration from 1s to 1h, such as 15s",
        preset: Preset::Text("15s"),
        store: |config, text| set(&mut config.session.heartbeat, duration(text, TTL_MIN, WAIT_MAX)),
        ..ROW
    },
    Setting {
        name: "activity",
        variable: "MAYFLY_ACTIVITY",
        group: Group::Sessions,
        help: "What resets the idle time, besides a running answer: any sign of an open socket, \
               or only a person's messages and actions",
        placeholder: "ACTIVITY",
        form: "heartbeat or message",
        preset: Preset::Text("heartbeat"),
        store: |config, text| {
            let words = [("heartbeat", Activity::Heartbeat), ("message", Activity::Message)];
            set(&mut config.session.activity, word(text, &words))
        },
        ..ROW
    },
    Setting {
        name: "max-sessions",
        variable: "MAYFLY_MAX_SESSIONS",
        group: Group::Capacity,
        help: "Maximum number of sessions at the same time",
        placeholder: "NUMBER",
        form: "a whole number from 1 to 100000",
        preset: Preset::Text("100"),
        store: |config, text| set(&mut config.admission.max_sessions, count(text, 1, MAX_SESSIONS_MAX)),
        ..ROW
    },
    Setting {
        name: "sessions-per-owner",
        variable: "MAYFLY_SESSIONS_PER_OWNER",
        group: Group::Capacity,
        help: "Maximum number of sessions of one owner, as named by tickets; 0 removes the bound",
        placeholder: "NUMBER",
        form: "a whole number from 0 to 100000",
        preset: Preset::Text("20"),
        store: |config, text| set(&mut config.admission.per_owner, bound(text, MAX_SESSIONS_MAX)),
        ..ROW
    },
    Setting {
        name: "sessions-per-address",
        variable: "MAYFLY_SESSIONS_PER_ADDRESS",
        group: Group::Capacity,
        help: "Maximum number of sessions created with tickets from one client address; 0 removes the bound",
        placeholder: "NUMBER",
        form: "a whole number from 0 to 100000",
        preset: Preset::Text("50"),
        store: |config, text| set(&mut config.admission.per_address, bound(text, MAX_SESSIONS_MAX)),
        ..ROW
    },
    Setting {
        name: "wait",
        variable: "MAYFLY_WAIT",
        group: Group::Capacity,
        help: "Time that a client may wait in line while all sessions are taken; with 0s it is refused at once",
        placeholder: "DURATION",
        form: "a duration from 0s to 1h, such as 30s",
        preset: Preset::Text("0s"),
        store: |config, text| set(&mut config.admission.wait, duration(text, Duration::ZERO, WAIT_MAX)),
        ..ROW
    },
    Setting {
        name: "data-dir",
        variable: "MAYFLY_DATA_DIR",
        group: Group::Operations,
        help: "Directory of the hub's secret, its journal and its agents' sockets; each hub needs its own",
        placeholder: "DIRECTORY",
        form: "the path of a directory that the hub can create or write",
        preset: Preset::Computed {
            rule: "$XDG_DATA_HOME/mayfly, or ~/.local/share/mayfly",
            text: preset::data_dir,
        },
        store: |config, text| set(&mut config.ops.data_dir, path(text)),
        ..ROW
    },
    Setting {
        name: "journal",
        variable: "MAYFLY_JOURNAL",
        group: Group::Operations,
        help: "Where the hub records the fate of its sessions: a file in --data-dir, or memory that ends with the hub",
        placeholder: "JOURNAL",
        form: "file or memory",
        preset: Preset::Text("file"),
        store: |config, text| set(&mut config.ops.journal, word(text, &JournalKind::WORDS)),
        ..ROW
    },
    Setting {
        name: "otlp-endpoint",
        variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
        group: Group::Operations,
        help: "OpenTelemetry collector that receives traces as OTLP over HTTP; without it there are no traces",
        placeholder: "URL",
        form: "http://HOST:PORT or https://HOST:PORT, with or without a path",
        store: |config, text| set(&mut config.ops.otlp_endpoint, optional(web_url)(text)),
        ..ROW
    },
    Setting {
        name: "log",
        variable: "MAYFLY_LOG",
        group: Group::Operations,
        help: "Format of the log on stderr; RUST_LOG sets its level",
        placeholder: "FORMAT",
        form: "json or pretty",
        preset: Preset::Computed { rule: "pretty on a terminal, else json", text: preset::log },
        store: |config, text| set(&mut config.ops.log, word(text, &LogFormat::WORDS)),
        ..ROW
    },
];
