//! The container engine of the tests: `tests/engine` starts it and makes its images. Without it they are left out, but for
//! in CI.

use std::path::PathBuf;

use mayfly::settings::{DockerNetwork, DockerSettings};

/// The image of the agent that ships.
pub const AGENT_IMAGE: &str = "mayfly-tests/agent";
/// The image of the one that tries things.
pub const PROBE_IMAGE: &str = "mayfly-tests/probe";
/// The image of the hub.
pub const HUB_IMAGE: &str = "mayfly-tests/hub";

/// Where it is, as `--docker-host` has it; none where the tests run without.
///
/// # Panics
/// In CI without one.
pub fn host() -> Option<String> {
    let host = std::env::var("ENGINE").ok();
    if host.is_none() {
        assert!(std::env::var_os("CI").is_none(), "no container engine in CI: tests/engine starts one");
        eprintln!("left out: there is no container engine; run the tests with tests/engine");
    }
    host
}

/// Its socket.
pub fn socket() -> Option<PathBuf> {
    host().and_then(|host| host.strip_prefix("unix://").map(PathBuf::from))
}

/// Agents of this image in it, as they are by default.
pub fn settings(host: String, image: &str) -> DockerSettings {
    DockerSettings {
        host,
        image: image.to_owned(),
        memory_bytes: 512 << 20,
        cpus: 0.5,
        network: DockerNetwork::None,
        runtime: None,
        data_dir: None,
    }
}
