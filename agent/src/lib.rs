//! The agent that ships with Mayfly: model, tools and memory behind HTTP and server-sent events.
//!
//! ```text
//! hub --HTTP--> server.rs --> agent.rs --> turn.rs --> model.rs
//!     <--SSE---     |            |            |------> tool.rs
//!               record.rs <------+------------+------> conversation.rs
//! ```
//!
//! - [`cli`]: arguments, help, log; assembles the agent
//! - [`config`]: the environment, checked at start
//! - [`server`]: listeners, HTTP routes, event streams, shutdown
//! - [`agent`]: the session's state: its binding, the turns it knows
//! - [`turn`]: model -> tools -> model, one chunk for each token
//! - [`record`]: a turn's events, replayed to whoever asks
//! - [`conversation`]: what models read
//! - [`memory`]: what outlives the process: turns and notes in libSQL
//! - [`history`]: the session's turns, for a hub that adopts the agent
//! - [`model`]: the trait, and the built-in model
//! - [`tool`]: the trait, the set at hand, and the tools: `weather`, `time`, `calculate`, `fetch_url`
//! - [`mcp`]: tools of MCP servers
//! - [`http`]: the way out, for models and tools
//! - [`lifetime`]: when the agent ends by itself
//! - [`shim`]: for agents that only speak TCP
//! - [`limits`]: every bound
//!
//! `docs/agents.md` and `docs/models.md` describe its use, `docs/api.md` its wire.

pub use crate::cli::run;

pub mod agent;
pub mod cli;
pub mod config;
pub mod conversation;
pub mod history;
pub mod http;
pub mod lifetime;
pub mod limits;
pub mod mcp;
pub mod memory;
pub mod model;
pub mod record;
pub mod server;
pub mod shim;
pub mod tool;
pub mod turn;
