//! The container engine: the connection, its properties, and its errors by what a caller can do about them.
//!
//! Sources: Docker Engine API v1.41, <https://docs.docker.com/engine/api/v1.41/>; the texts of its errors are those of
//! moby/moby.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bollard::errors::Error;
use bollard::models::SystemInfo;
use bollard::{API_DEFAULT_VERSION, Docker};
use nix::unistd::{getegid, geteuid};
use tracing::{info, warn};

use crate::SpawnError;
use crate::limits::ENGINE_CALL_TIMEOUT;
use crate::settings::{DockerNetwork, DockerSettings};
use mayfly_egress::AgentUid;

/// User of the agents of a hub that runs as root: an id that belongs to nobody (Kubernetes' and distroless images'
/// `nobody` or `nonroot`).
const NONROOT: AgentUid = AgentUid { user: 65532, group: 65532 };
const SOCKET_SCHEME: &str = "unix://";

/// Error of [`super::DockerPlatform::open`].
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The engine is not named by a Unix socket.
    #[error(
        "--docker-host {0}: expected unix://PATH; the engine must be local, because agents share a directory with the hub"
    )]
    NotLocal(String),
    /// The engine does not answer.
    #[error("the container engine at {host} does not answer: {cause}; see --docker-host")]
    Unreachable {
        /// The engine's address.
        host: String,
        /// The cause.
        cause: String,
    },
    /// The engine runs containers in a virtual machine.
    #[error(
        "Docker Desktop runs containers in a virtual machine, so this hub cannot reach their sockets: run the hub in a \
         container too (see deploy/compose.yaml), and name its directory with --docker-data-dir"
    )]
    Desktop,
    /// The engine maps containers' users to other user ids, to which this hub's user cannot give files.
    #[error(
        "the engine maps the agents' user to user id {0}, with which only root can share a directory: run the hub as root, \
         or use an engine without userns-remap"
    )]
    Remapped(u32),
    /// The run directory cannot be used.
    #[error(transparent)]
    RunDir(#[from] crate::run_dir::RunDirError),
}

/// Error of the engine, by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("the container engine does not answer: {0}")]
    Gone(String),
    #[error("the engine has no such image")]
    NoImage,
    #[error("the engine has no such container")]
    NoContainer,
    #[error("{0}")]
    NameTaken(String),
    #[error("{0}")]
    DiskFull(String),
    #[error("the container engine answered {status}: {message}")]
    Refused { status: u16, message: String },
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        let Error::DockerResponseServerError { status_code: status, message } = error else {
            return Self::Gone(chain(&error));
        };
        let contains = |words: &str| message.to_ascii_lowercase().contains(words);
        match status {
            _ if contains("no space left on device") => Self::DiskFull(message),
            404 if contains("no such image") => Self::NoImage,
            404 if contains("no such container") => Self::NoContainer,
            409 if contains("is already in use by container") => Self::NameTaken(message),
            _ => Self::Refused { status, message },
        }
    }
}

impl EngineError {
    /// Returns the error of a spawn.
    pub(super) fn spawning(self, image: &str) -> SpawnError {
        match self {
            Self::NoImage => SpawnError::Image { image: image.to_owned() },
            Self::Gone(cause) => SpawnError::EngineGone(cause),
            Self::DiskFull(message) => SpawnError::DiskFull(message),
            Self::NameTaken(message) => SpawnError::NameTaken(message),
            error @ (Self::NoContainer | Self::Refused { .. }) => SpawnError::Engine(error.to_string()),
        }
    }
}

/// Returns an error's text with those of its causes, because hyper's own text omits them.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The user that agents run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Users {
    /// Ids in the container.
    pub(super) inside: AgentUid,
    /// Ids as this machine's kernel sees them.
    pub(super) outside: AgentUid,
}

/// Connects to the engine, and logs its properties and weaknesses.
pub(super) async fn connect(settings: &DockerSettings) -> Result<(Docker, Users), DockerError> {
    let path = settings.host.strip_prefix(SOCKET_SCHEME).filter(|path| path.starts_with('/'));
    let path = path.ok_or_else(|| DockerError::NotLocal(settings.host.clone()))?;
    let unreachable =
        |error: &Error| DockerError::Unreachable { host: settings.host.clone(), cause: chain(error) };
    let docker = Docker::connect_with_unix(path, ENGINE_CALL_TIMEOUT.as_secs(), API_DEFAULT_VERSION);
    let docker = docker.map_err(|error| unreachable(&error))?;
    let docker = docker.negotiate_version().await.map_err(|error| unreachable(&error))?;
    let system = docker.info().await.map_err(|error| unreachable(&error))?;
    if is_desktop(&system) && settings.data_dir.is_none() {
        return Err(DockerError::Desktop);
    }
    let socket_owner =
        std::fs::metadata(path).map(|socket| AgentUid { user: socket.uid(), group: socket.gid() });
    let hub = AgentUid { user: geteuid().as_raw(), group: getegid().as_raw() };
    let users = users(&system, hub, socket_owner.unwrap_or(hub));
    if users.outside != hub && hub.user != 0 {
        return Err(DockerError::Remapped(users.outside.user));
    }
    log_properties(settings, &system, users);
    match docker.inspect_image(&settings.image).await.map_err(EngineError::from) {
        Ok(_) => {}
        Err(EngineError::NoImage) => warn!(
            image = settings.image,
            "the engine lacks the agents' image, which the hub does not pull: load it, or build it with `make image`"
        ),
        Err(error) => {
            warn!(image = settings.image, %error, "presence of the agents' image unknown");
        }
    }
    Ok((docker, users))
}

/// Returns `true` if the engine reports this security option.
fn has(system: &SystemInfo, option: &str) -> bool {
    // For example `name=seccomp,profile=default`.
    let named = format!("name={option}");
    system.security_options.iter().flatten().any(|option| option.split(',').any(|part| part == named))
}

fn is_desktop(system: &SystemInfo) -> bool {
    system.operating_system.as_deref().is_some_and(|name| name.contains("Docker Desktop"))
}

/// Returns the agents' user: this hub's user, so that both can use the same directory, or [`NONROOT`] for root. In a
/// rootless engine, root in a container is the engine's user. An engine with userns-remap adds an offset to all ids.
fn users(system: &SystemInfo, hub: AgentUid, engine: AgentUid) -> Users {
    let root = AgentUid { user: 0, group: 0 };
    if has(system, "rootless") {
        return Users { inside: root, outside: engine };
    }
    let inside = if hub.user == 0 { NONROOT } else { hub };
    let base = if has(system, "userns") { remapped_root(system) } else { None }.unwrap_or(root);
    Users { inside, outside: AgentUid { user: base.user + inside.user, group: base.group + inside.group } }
}

/// Returns the ids of root in a container: an engine with userns-remap keeps its data in a directory named `UID.GID`.
fn remapped_root(system: &SystemInfo) -> Option<AgentUid> {
    let directory = Path::new(system.docker_root_dir.as_deref()?).file_name()?.to_str()?;
    let (user, group) = directory.split_once('.')?;
    Some(AgentUid { user: user.parse().ok()?, group: group.parse().ok()? })
}

fn log_properties(settings: &DockerSettings, system: &SystemInfo, users: Users) {
    let user_mapping = match (has(system, "rootless"), has(system, "userns")) {
        (true, _) => "rootless",
        (_, true) => "userns-remap",
        _ => "none",
    };
    info!(
        image = settings.image,
        engine = system.server_version.as_deref().unwrap_or("unknown"),
        user_mapping,
        user = users.outside.user,
        memory_mib = settings.memory_bytes >> 20,
        cpus = settings.cpus,
        "agents run in containers"
    );
    match settings.network {
        DockerNetwork::None => {}
        DockerNetwork::Bridge => warn!(
            network = "bridge",
            "agents can reach everything that this machine can, including its own services and cloud metadata"
        ),
    }
    let unlimited: Vec<_> = [
        (system.memory_limit, "memory"),
        (system.swap_limit, "swap"),
        (system.cpu_cfs_quota, "processor time"),
        (system.pids_limit, "processes"),
    ]
    .into_iter()
    .filter_map(|(is_limited, resource)| (is_limited == Some(false)).then_some(resource))
    .collect();
    if !unlimited.is_empty() {
        warn!(resources = unlimited.join(", "), "agents are not limited: the engine does not support it");
    }
    if !has(system, "seccomp") {
        warn!("agents' system calls are not filtered: the engine has no seccomp");
    }
    for warning in system.warnings.iter().flatten() {
        warn!(warning, "container engine reports a warning");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: AgentUid = AgentUid { user: 1000, group: 100 };
    const ROOT: AgentUid = AgentUid { user: 0, group: 0 };

    fn system(options: &[&str], root_dir: &str) -> SystemInfo {
        let security_options = Some(options.iter().map(|option| (*option).to_owned()).collect());
        SystemInfo { security_options, docker_root_dir: Some(root_dir.to_owned()), ..Default::default() }
    }

    #[test]
    fn agents_run_as_the_hubs_user_but_never_as_root() {
        let system = system(&["name=seccomp,profile=default", "name=cgroupns"], "/var/lib/docker");
        assert_eq!(users(&system, HUB, ROOT), Users { inside: HUB, outside: HUB });
        assert_eq!(users(&system, ROOT, ROOT), Users { inside: NONROOT, outside: NONROOT });
        assert!(has(&system, "seccomp") && !has(&system, "rootless"));
    }

    #[test]
    fn root_in_a_rootless_engine_is_the_engines_user() {
        let system =
            system(&["name=seccomp,profile=default", "name=rootless"], "/home/it/.local/share/docker");
        assert_eq!(users(&system, HUB, HUB), Users { inside: ROOT, outside: HUB });
    }

    #[test]
    fn userns_remap_adds_its_offset_to_ids() {
        let system = system(&["name=userns"], "/var/lib/docker/100000.200000");
        let outside = AgentUid { user: 165_532, group: 265_532 };
        assert_eq!(users(&system, ROOT, ROOT), Users { inside: NONROOT, outside });
    }

    #[test]
    fn errors_are_classified_by_status_and_text() {
        let classify = |status_code, message: &str| {
            EngineError::from(Error::DockerResponseServerError { status_code, message: message.to_owned() })
        };
        assert!(matches!(classify(404, "No such image: x:latest"), EngineError::NoImage));
        assert!(matches!(classify(404, "No such container: x"), EngineError::NoContainer));
        let taken = "Conflict. The container name \"/x\" is already in use by container \"y\".";
        assert!(matches!(classify(409, taken), EngineError::NameTaken(_)));
        let full = "failed to create shim: mkdir /run/x: no space left on device: unknown";
        assert!(matches!(classify(500, full), EngineError::DiskFull(_)));
        assert!(matches!(classify(500, "oh"), EngineError::Refused { status: 500, .. }));
        assert!(matches!(EngineError::from(Error::RequestTimeoutError), EngineError::Gone(_)));
    }
}
