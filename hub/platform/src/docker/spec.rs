//! A container as the engine sees it: its name, its labels, and the request that creates it.
//!
//! Labels cannot change after the creation, so the name records the session that claims a warm agent. Source: Docker
//! Engine API v1.41, `POST /containers/create`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::{
    ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, HealthConfig, HostConfig,
    HostConfigLogConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use mayfly_protocol::agent::{ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN};
use mayfly_protocol::ids::{Incarnation, SessionId};

use crate::SpawnSpec;
use crate::limits::{
    AGENT_FILE_MAX_BYTES, AGENT_LOG_MAX_BYTES, AGENT_PROCESSES_MAX, AGENT_STOP_GRACE, AGENT_TMP_BYTES,
};
use crate::run_dir::SOCKET;
use crate::settings::{DockerNetwork, DockerSettings};
use mayfly_egress::{self as egress, AgentUid};

/// Cluster of the hub; all hubs with the same secret are one cluster.
pub(super) const LABEL_CLUSTER: &str = "mayfly.cluster";
/// Incarnation of the agent.
pub(super) const LABEL_INCARNATION: &str = "mayfly.incarnation";
/// Time of the creation, in Unix seconds.
const LABEL_CREATED: &str = "mayfly.created";
/// The agent's directory on the engine's machine; tells apart hubs of one cluster.
const LABEL_DIRECTORY: &str = "mayfly.directory";
/// The platform's version at the start.
const LABEL_VERSION: &str = "mayfly.version";
/// Path of the agent's directory in the container.
const DIRECTORY: &str = "/run/mayfly";

/// A container of this cluster in the engine's list.
pub(super) struct ListedContainer {
    pub(super) id: String,
    pub(super) incarnation: Incarnation,
    pub(super) session: Option<SessionId>,
    pub(super) created: SystemTime,
    pub(super) directory: PathBuf,
    pub(super) version: Option<String>,
    /// `true` if it runs; `false` also for a container that was created and not started yet.
    pub(super) is_alive: bool,
}

/// Returns a container's name; it contains the session of a claimed agent.
pub(super) fn name(cluster: &str, agent: Incarnation, session: Option<SessionId>) -> String {
    let session = session.map(|session| format!("-{session}")).unwrap_or_default();
    format!("mayfly-{cluster}-{agent}{session}")
}

/// Returns the name of the cluster's bridge.
pub(super) fn network(cluster: &str) -> String {
    format!("mayfly-{cluster}")
}

/// Returns the filter for a cluster's containers in lists and events.
pub(super) fn filter(cluster: &str) -> HashMap<&'static str, Vec<String>> {
    HashMap::from([("label", vec![format!("{LABEL_CLUSTER}={cluster}")])])
}

impl ListedContainer {
    /// Returns `None` for a container without the hub's labels.
    pub(super) fn read(container: ContainerSummary) -> Option<Self> {
        let labels = container.labels.unwrap_or_default();
        let created = labels.get(LABEL_CREATED)?.parse().ok()?;
        let names = container.names.unwrap_or_default();
        let session = names.iter().find_map(|name| name.rsplit('-').next()?.parse().ok());
        use ContainerSummaryStateEnum::{PAUSED, RESTARTING, RUNNING};
        Some(Self {
            id: container.id?,
            incarnation: labels.get(LABEL_INCARNATION)?.parse().ok()?,
            session,
            created: UNIX_EPOCH + Duration::from_secs(created),
            directory: labels.get(LABEL_DIRECTORY)?.into(),
            version: labels.get(LABEL_VERSION).cloned(),
            is_alive: matches!(container.state, Some(PAUSED | RESTARTING | RUNNING)),
        })
    }
}

/// Returns the request for an agent's container. `directory` is a path on the engine's machine.
pub(super) fn body(
    settings: &DockerSettings,
    cluster: &str,
    spec: &SpawnSpec,
    directory: &Path,
    user: AgentUid,
    has_egress: bool,
    version: Option<String>,
) -> ContainerCreateBody {
    let seconds =
        |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
    let variables = [
        Some((ENV_LISTEN, format!("unix:{DIRECTORY}/{SOCKET}"))),
        Some((ENV_TOKEN, spec.token.expose().to_owned())),
        Some((ENV_DEADLINE, seconds(spec.deadline))),
        has_egress.then(|| (ENV_EGRESS, format!("unix:{DIRECTORY}/{}", egress::SOCKET))),
        spec.session.map(|session| (ENV_SESSION, session.to_string())),
        spec.owner.clone().map(|owner| (ENV_OWNER, owner)),
    ];
    let variables = variables.into_iter().flatten();
    let given = spec.env.iter().map(|(name, value)| (name, value.to_owned()));
    let labels = [
        (LABEL_CLUSTER, cluster.to_owned()),
        (LABEL_INCARNATION, spec.incarnation.to_string()),
        (LABEL_CREATED, seconds(SystemTime::now())),
        (LABEL_DIRECTORY, directory.display().to_string()),
    ];
    let version = version.map(|version| (LABEL_VERSION, version));
    ContainerCreateBody {
        image: Some(settings.image.clone()),
        user: Some(format!("{}:{}", user.user, user.group)),
        env: Some(variables.chain(given).map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(
            labels.into_iter().chain(version).map(|(name, value)| (name.to_owned(), value)).collect(),
        ),
        stop_timeout: Some(AGENT_STOP_GRACE.as_secs().cast_signed()),
        // The hub checks the agent's health itself.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
        host_config: Some(host_config(settings, cluster, directory)),
        ..Default::default()
    }
}

fn host_config(settings: &DockerSettings, cluster: &str, directory: &Path) -> HostConfig {
    let own = Mount {
        typ: Some(MountType::BIND),
        source: Some(directory.display().to_string()),
        target: Some(DIRECTORY.to_owned()),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..Default::default()
        }),
        ..Default::default()
    };
    let limit = |name: &str, most: u64| {
        let most = Some(most.cast_signed());
        ResourcesUlimits { name: Some(name.to_owned()), soft: most, hard: most }
    };
    let log = [
        ("max-size", AGENT_LOG_MAX_BYTES.to_string()),
        ("max-file", "1".to_owned()),
        ("compress", "false".to_owned()),
    ];
    HostConfig {
        memory: Some(settings.memory_bytes.cast_signed()),
        // The sum of memory and swap: no swap.
        memory_swap: Some(settings.memory_bytes.cast_signed()),
        nano_cpus: Some(settings.nano_cpus()),
        pids_limit: Some(AGENT_PROCESSES_MAX.cast_signed()),
        ulimits: Some(vec![limit("core", 0), limit("fsize", AGENT_FILE_MAX_BYTES)]),
        init: Some(true),
        readonly_rootfs: Some(true),
        tmpfs: Some(HashMap::from([(
            "/tmp".to_owned(),
            format!("rw,noexec,nosuid,nodev,size={AGENT_TMP_BYTES},mode=1777"),
        )])),
        shm_size: Some(AGENT_TMP_BYTES.cast_signed()),
        mounts: Some(vec![own]),
        cap_drop: Some(vec!["ALL".to_owned()]),
        // Keeps the engine's own seccomp filter, because none is named here.
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        network_mode: Some(match settings.network {
            DockerNetwork::None => "none".to_owned(),
            DockerNetwork::Bridge => network(cluster),
        }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("local".to_owned()),
            config: Some(log.map(|(name, value)| (name.to_owned(), value)).into()),
        }),
        runtime: settings.runtime.clone(),
        ..Default::default()
    }
}
