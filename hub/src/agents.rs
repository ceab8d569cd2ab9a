//! Agents: the client of their wire, the warm pool, the limit on parallel starts, and the reaper that stops them.

pub mod client;
pub(crate) mod pool;
pub(crate) mod reaper;
pub(crate) mod spawns;
