//! Tools for tests of Mayfly. Nothing here is shipped.
//!
//! - [`agent`]: the simulated agent, one process for many sessions; it answers with [`token`]s on a schedule
//! - [`load`]: the message that asks the simulated agent for tokens
//! - [`mod@contract`]: the rules that each platform must keep
//! - [`probe`]: an agent that tries to leave its sandbox
//! - [`scripted`]: an agent whose bytes a test writes
//! - [`provider`]: a model provider that a test plays
//! - [`fuzz`]: properties of the parsers that read foreign input
//! - [`harness`]: a hub as a child process, and a WebSocket client
//! - [`http`]: an HTTP client
//! - [`engine`]: the container engine of the tests
//! - [`relay`]: a socket in front of another one, which a test can cut
//! - [`address`], [`clock`], [`process`], [`socket`]: addresses, the shared clock, child processes, raw WebSockets

pub mod address;
pub mod agent;
pub mod clock;
pub mod contract;
pub mod engine;
pub mod fuzz;
pub mod harness;
pub mod http;
pub mod load;
pub mod probe;
pub mod process;
pub mod provider;
pub mod relay;
pub mod scripted;
pub mod socket;
pub mod token;
