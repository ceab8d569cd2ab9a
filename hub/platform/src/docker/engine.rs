//! The container engine: the way to it, what it is and what it cannot do, its errors by what can be done about them.
//!
//! Facts: Docker Engine API v1.41, <https://docs.docker.com/engine/api/v1.41/>; the wording of its errors is
//! moby/moby's.

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

/// The user of agents that are not to be this hub's: nobody's on any system (Debian's, Kubernetes' and distroless
/// images' `nobody` or `nonroot`).
const NONROOT: AgentUid = AgentUid { user: 65532, group: 65532 };
const SOCKET_SCHEME: &str = "unix://";

/// Why the platform cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Only engines of this machine are spoken to.
    #[error(
        "--docker-host {0}: expected unix://PATH; agents share a directory with the hub, so the engine is a local one"
    )]
    NotLocal(String),
    /// The engine does not answer.
    #[error("the container engine at {host} does not answer: {cause}; see --docker-host")]
    Unreachable {
        /// Where.
        host: String,
        /// Why not.
        cause: String,
    },
    /// The engine runs containers in a machine of its own.
    #[error(
        "Docker Desktop runs containers in a virtual machine, where this hub cannot reach their sockets: run the hub in \
         a container too (deploy/compose.yaml), and name its directory with --docker-data-dir"
    )]
    Desktop,
    /// The engine gives containers' users numbers that this hub's user cannot hand files to.
    #[error(
        "the engine remaps users, so agents' files are user {0}'s: only a hub of root's can share a directory with them"
    )]
    Remapped(u32),
    /// The directories cannot be used.
    #[error(transparent)]
    RunDir(#[from] crate::run_dir::RunDirError),
}

/// What an engine answered, by what can be done about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("the container engine does not answer: {0}")]
    Gone(String),
    #[error("there is no such image")]
    NoImage,
    #[error("there is no such container")]
    NoContainer,
    #[error("{0}")]
    NameTaken(String),
    #[error("{0}")]
    DiskFull(String),
    #[error("the container engine refused ({status}): {message}")]
    Refused { status: u16, message: String },
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        let Error::DockerResponseServerError { status_code: status, message } = error else {
            return Self::Gone(chain(&error));
        };
        let says = |words: &str| message.to_ascii_lowercase().contains(words);
        match status {
            _ if says("no space left on device") => Self::DiskFull(message),
            404 if says("no such image") => Self::NoImage,
            404 if says("no such container") => Self::NoContainer,
            409 if says("is already in use by container") => Self::NameTaken(message),
            _ => Self::Refused { status, message },
        }
    }
}

impl EngineError {
    /// As an error of a spawn.
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

/// An error with its causes, as hyper's own text says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

/// Who agents are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Who {
    /// In the container.
    pub(super) inside: AgentUid,
    /// As this machine's kernel has it.
    pub(super) outside: AgentUid,
}

/// Connects, and tells the operator what the engine is and what it cannot do.
pub(super) async fn connect(settings: &DockerSettings) -> Result<(Docker, Who), DockerError> {
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
    let who = who(&system, hub, socket_owner.unwrap_or(hub));
    if who.outside != hub && hub.user != 0 {
        return Err(DockerError::Remapped(who.outside.user));
    }
    tell(settings, &system, who);
    match docker.inspect_image(&settings.image).await.map_err(EngineError::from) {
        Ok(_) => {}
        Err(EngineError::NoImage) => warn!(
            image = settings.image,
            "the engine does not have the agents' image, and it is not pulled: load it, or build it with `make image`"
        ),
        Err(error) => {
            warn!(image = settings.image, %error, "the engine cannot say whether it has the agents' image");
        }
    }
    Ok((docker, who))
}

fn has(system: &SystemInfo, option: &str) -> bool {
    // `name=seccomp,profile=default`
    let named = format!("name={option}");
    system.security_options.iter().flatten().any(|told| told.split(',').any(|part| part == named))
}

fn is_desktop(system: &SystemInfo) -> bool {
    system.operating_system.as_deref().is_some_and(|name| name.contains("Docker Desktop"))
}

/// This hub's user, so that both may use the same directory; nobody's when that would be root's. What root is to a
/// rootless engine is that engine's user; of one that remaps users, the numbers begin elsewhere.
fn who(system: &SystemInfo, hub: AgentUid, engine: AgentUid) -> Who {
    let root = AgentUid { user: 0, group: 0 };
    if has(system, "rootless") {
        return Who { inside: root, outside: engine };
    }
    let inside = if hub.user == 0 { NONROOT } else { hub };
    let base = if has(system, "userns") { remapped_root(system) } else { None }.unwrap_or(root);
    Who { inside, outside: AgentUid { user: base.user + inside.user, group: base.group + inside.group } }
}

/// An engine that remaps users keeps its data in `…/UID.GID`, by what its root is.
fn remapped_root(system: &SystemInfo) -> Option<AgentUid> {
    let directory = Path::new(system.docker_root_dir.as_deref()?).file_name()?.to_str()?;
    let (user, group) = directory.split_once('.')?;
    Some(AgentUid { user: user.parse().ok()?, group: group.parse().ok()? })
}

fn tell(settings: &DockerSettings, system: &SystemInfo, who: Who) {
    let version = system.server_version.as_deref().unwrap_or("unknown");
    let kind = match (has(system, "rootless"), has(system, "userns")) {
        (true, _) => ", rootless",
        (_, true) => ", with users remapped",
        _ => "",
    };
    let (memory, cpus) = (settings.memory_bytes >> 20, settings.cpus);
    info!(
        image = settings.image,
        engine = version,
        user = who.outside.user,
        "agents run in containers{kind}: {memory} MiB of memory and {cpus} processors each"
    );
    match settings.network {
        DockerNetwork::None => {}
        DockerNetwork::Bridge => warn!(
            "agents are on a network (--docker-network bridge): they reach what this machine reaches, its own \
             services and clouds' metadata among it"
        ),
    }
    let open: Vec<_> = [
        (system.memory_limit, "memory"),
        (system.swap_limit, "swap"),
        (system.cpu_cfs_quota, "processor time"),
        (system.pids_limit, "processes"),
    ]
    .into_iter()
    .filter_map(|(can, what)| (can == Some(false)).then_some(what))
    .collect();
    if !open.is_empty() {
        warn!("each agent's use is not bounded, as the engine cannot: {}", open.join(", "));
    }
    if !has(system, "seccomp") {
        warn!("the engine does not filter system calls (no seccomp)");
    }
    for warning in system.warnings.iter().flatten() {
        warn!("the engine says: {warning}");
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
    fn agents_are_the_hubs_user_but_never_root() {
        let system = system(&["name=seccomp,profile=default", "name=cgroupns"], "/var/lib/docker");
        assert_eq!(who(&system, HUB, ROOT), Who { inside: HUB, outside: HUB });
        assert_eq!(who(&system, ROOT, ROOT), Who { inside: NONROOT, outside: NONROOT });
        assert!(has(&system, "seccomp") && !has(&system, "rootless"));
    }

    #[test]
    fn in_a_rootless_engine_root_is_the_engines_user() {
        let system =
            system(&["name=seccomp,profile=default", "name=rootless"], "/home/it/.local/share/docker");
        assert_eq!(who(&system, HUB, HUB), Who { inside: ROOT, outside: HUB });
    }

    #[test]
    fn an_engine_that_remaps_users_says_where_they_begin() {
        let system = system(&["name=userns"], "/var/lib/docker/100000.200000");
        let outside = AgentUid { user: 165_532, group: 265_532 };
        assert_eq!(who(&system, ROOT, ROOT), Who { inside: NONROOT, outside });
    }

    #[test]
    fn errors_are_told_apart_by_what_can_be_done() {
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
