//! What an operator may set about a session.

use std::time::Duration;

/// How long a session may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long an agent has to become healthy.
    pub spawn_timeout: Duration,
    /// How long nobody may do anything; then the session ends.
    pub idle_ttl: Duration,
    /// How long a session may take in all.
    pub max_ttl: Duration,
    /// How long before one of these its people are warned; of a shorter clock, its half.
    pub warning: Duration,
    /// How long a session without a socket waits for one that resumes it; zero ends it at once.
    pub grace: Duration,
    /// How much longer it waits while a turn runs.
    pub linger: Duration,
    /// How often a socket gets a Ping when nothing is heard of it; after three intervals it is closed.
    pub heartbeat: Duration,
    /// What counts as doing something.
    pub activity: Activity,
}

/// What keeps a session from being idle, besides what its people do and a running turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Any sign of a socket: a session with a socket is never idle.
    Heartbeat,
    /// Nothing else.
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
