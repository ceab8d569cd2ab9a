//! The container engine of the tests. `tests/engine` starts it and makes its images. Without an engine its tests are
//! skipped; in CI they fail.

use std::path::PathBuf;

use mayfly_platform::settings::{DockerNetwork, DockerSettings};

/// Image of `mayfly-agent`.
pub const AGENT_IMAGE: &str = "mayfly-tests/agent";
/// Image of `probe-agent`.
pub const PROBE_IMAGE: &str = "mayfly-tests/probe";
/// Image of the hub.
pub const HUB_IMAGE: &str = "mayfly-tests/hub";

/// Returns the engine's address for `--docker-host`, or `None` without an engine.
///
/// # Panics
/// In CI without an engine.
pub fn host() -> Option<String> {
    let host = std::env::var("ENGINE").ok();
    if host.is_none() {
        assert!(std::env::var_os("CI").is_none(), "no container engine in CI: tests/engine starts one");
        eprintln!("left out: there is no container engine; run the tests with tests/engine");
    }
    host
}

/// Returns the path of the engine's socket.
pub fn socket() -> Option<PathBuf> {
    host().and_then(|host| host.strip_prefix("unix://").map(PathBuf::from))
}

/// Returns the default settings for agents of this image.
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
