//! The agent that ships with Mayfly: model, tools and memory behind HTTP and server-sent events.
//!
//! ```text
//! hub --HTTP--> server.rs --> agent.rs --> turn.rs --> model.rs
//!     <--SSE---     |            |            |------> tool.rs, mcp.rs
//!            turn_events.rs <----+------------+------> conversation.rs
//! ```
//!
//! Modules import only modules further down in this list:
//!
//! - [`cli`]: arguments, help, log; assembles the agent
//! - [`shim`]: runs an agent that only speaks TCP
//! - [`server`]: listeners, HTTP routes, event streams, shutdown
//! - [`agent`]: the session's state and its turns
//! - [`turn`]: model -> tools -> model, one chunk for each token
//! - [`config`]: the settings
//! - [`mcp`]: tools of MCP servers
//! - [`model`]: the trait of a model, the providers' models, the built-in model
//! - [`tool`]: the trait of a tool, and the tools `weather`, `time`, `calculate`, `fetch_url` and `notes`
//! - [`memory`]: turns and notes in libSQL, which outlive the process
//! - [`history`]: the session's turns, for a hub that adopts the agent
//! - [`turn_events`]: a turn's events, replayed to every reader
//! - [`conversation`]: the messages that models read
//! - [`binding`]: the session that the agent belongs to
//! - [`http`]: the HTTP client, directly or through the hub's egress proxy
//! - [`environment`]: reading and checking of environment variables
//! - [`secret`]: tokens and keys
//! - [`lifetime`]: the rule by which the agent exits on its own
//! - [`limits`]: all bounds
//!
//! `docs/agents.md` and `docs/models.md` describe its use, `docs/api.md` its wire.

pub use crate::cli::run;

pub mod agent;
pub mod binding;
pub mod cli;
pub mod config;
pub mod conversation;
pub mod environment;
pub mod history;
pub mod http;
pub mod lifetime;
pub mod limits;
pub mod mcp;
pub mod memory;
pub mod model;
pub mod secret;
pub mod server;
pub mod shim;
pub mod tool;
pub mod turn;
pub mod turn_events;
