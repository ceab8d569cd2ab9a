//! Defaults that depend on the machine.

use std::env;
use std::io::IsTerminal;
use std::num::NonZero;
use std::path::PathBuf;

/// Agents that start at the same time for each processor.
const SPAWNS_PER_PROCESSOR: usize = 4;

/// The agent inside this program: [`mayfly_platform::launcher::OWN_PROGRAM`] with its subcommand.
pub const OWN_AGENT: &str = "/proc/self/exe agent";

pub(super) fn agent_command() -> String {
    OWN_AGENT.to_owned()
}

pub(super) fn parallel_spawns() -> String {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    (SPAWNS_PER_PROCESSOR * processors).to_string()
}

/// Returns the socket that every other client of the engine uses.
pub(super) fn docker_host() -> String {
    let named = env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    named.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

/// Returns the user's directory for data (XDG Base Directory Specification).
pub(super) fn data_dir() -> String {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/share"));
    let base = absolute("XDG_DATA_HOME").or_else(home);
    base.map_or_else(String::new, |base| base.join("mayfly").display().to_string())
}

pub(super) fn log() -> String {
    if std::io::stderr().is_terminal() { "pretty" } else { "json" }.to_owned()
}
