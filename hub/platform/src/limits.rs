//! Every bound of the platforms and of the launcher.

use std::time::Duration;

use mayfly_protocol::agent::STOP_GRACE_SECS;

// Agents of all platforms

/// Time between SIGTERM and the kill of an agent's tree. Whole seconds.
pub const AGENT_STOP_GRACE: Duration = Duration::from_secs(STOP_GRACE_SECS);
/// The same after the hub has died. Whole seconds.
pub const AGENT_ORPHANED_GRACE: Duration = Duration::from_secs(2);
/// Time for an agent's supervisor to end; after it the hub kills the supervisor's process group.
pub const AGENT_STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Interval between two checks of the size of an agent's directory. Whole seconds.
pub const AGENT_DIRECTORY_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes in an agent's directory; an agent with more is ended.
pub const AGENT_DIRECTORY_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Files in an agent's directory; an agent with more is ended.
pub const AGENT_DIRECTORY_MAX_FILES: usize = 16 * 1024;
/// Size of one file that an agent writes, anywhere; a longer write fails (`RLIMIT_FSIZE`).
pub const AGENT_FILE_MAX_BYTES: u64 = 1024 * 1024 * 1024;
/// Size of each in-memory file system that a sandboxed agent can write: `/tmp`, `/dev/shm`.
pub const AGENT_TMP_BYTES: u64 = 64 * 1024 * 1024;
/// Processes and threads of an agent's tree; beyond it no process can be started.
pub const AGENT_PROCESSES_MAX: u64 = 256;
/// Length of one logged line of an agent's output; the rest of a longer line is dropped.
pub const OUTPUT_LINE_MAX_BYTES: usize = 1024;
/// Last lines of an agent's output that are logged when the agent ends unexpectedly.
pub const OUTPUT_LINES_KEPT: usize = 20;

// Processes

/// Memory of an agent's tree, where a control group can limit it; beyond it the kernel kills the largest process.
pub const AGENT_MEMORY_MAX_BYTES: u64 = 512 * 1024 * 1024;
/// Share of one processor that an agent's tree may use, in percent, where a control group can limit it.
pub const AGENT_CPU_PERCENT: u64 = 50;

// Containers

/// Smallest accepted memory limit of a container (Docker's own minimum is 6 MiB).
pub const AGENT_MEMORY_MIN_BYTES: u64 = 16 * 1024 * 1024;
/// Size of the log that the engine keeps for a container; older lines are dropped.
pub const AGENT_LOG_MAX_BYTES: u64 = 1024 * 1024;
/// Time for the engine to answer one call. Whole seconds.
pub const ENGINE_CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// First delay before the next attempt to reach the engine, or to stop or remove a container; doubled each time.
pub const ENGINE_RETRY_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Longest of these delays.
pub const ENGINE_RETRY_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// Containers that are created and started at once; the next one waits. More at once make none of them faster.
pub const ENGINE_STARTS_AT_ONCE: usize = 8;
