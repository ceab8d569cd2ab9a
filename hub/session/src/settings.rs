//! The settings of a session.

use std::time::Duration;

/// The times of a session, and what counts as activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Time in which an agent must become healthy.
    pub spawn_timeout: Duration,
    /// Idle time after which a session ends.
    pub idle_ttl: Duration,
    /// Age at which a session ends.
    pub max_ttl: Duration,
    /// Warning sent before the idle or max deadline; half of the deadline if that is shorter.
    pub warning: Duration,
    /// Time that a session waits for a client to come back after its last socket was lost. Zero ends it at once.
    pub grace: Duration,
    /// Time added to the grace while a turn runs.
    pub linger: Duration,
    /// Interval of Pings on a silent socket. After three intervals the socket is closed.
    pub heartbeat: Duration,
    /// The kind of activity that keeps a session from being idle.
    pub activity: Activity,
}

/// The kind of activity that keeps a session from being idle, besides a running turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Any sign of life of a socket: a session with a socket is never idle.
    Heartbeat,
    /// Messages, stops and requests for more time.
    Message,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            spawn_timeout: Duration::from_secs(60),
            idle_ttl: Duration::from_secs(30 * 60),
            max_ttl: Duration::from_secs(2 * 60 * 60),
            warning: Duration::from_secs(30),
            grace: Duration::from_secs(20),
            linger: Duration::ZERO,
            heartbeat: Duration::from_secs(15),
            activity: Activity::Heartbeat,
        }
    }
}
