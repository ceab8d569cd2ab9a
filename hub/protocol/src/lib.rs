//! Every frame on both of Mayfly's wires, as types.
//!
//! ```text
//! browser  <- client.rs / hub.rs ->  hub  <- agent.rs / chunk.rs ->  agent
//! ```
//!
//! - [`client`]: what a client may send (`ClientFrame`), and how a typed line becomes a frame
//! - [`hub`]: what the hub sends (`HubFrame`)
//! - [`agent`]: the calls from hub to agent, and the agent's environment
//! - [`chunk`]: one event of an agent's answer (AI SDK UI-message chunks)
//! - [`code`]: error codes with their HTTP status, close code, scope and retryability
//! - [`credential`]: the secrets of clients
//! - [`ids`]: one newtype for each id
//! - [`owner`]: the name of the person a session belongs to
//! - [`address`]: which addresses are public
//! - [`environment`]: the variables that choose an agent's model
//! - [`refusal`]: a refused request, and the frames and bodies that report it
//! - [`rest`]: the bodies of REST calls
//! - [`text`]: a frame as a person reads it (`?format=text`)
//! - [`typescript`]: the generated declarations of `web/client/src/protocol.ts`
//!
//! This crate knows no behaviour: when a frame is sent is decided in `mayfly-session`.
//! `docs/api.md` describes both wires and says which additions need no new version.

pub mod address;
pub mod agent;
pub mod chunk;
pub mod client;
pub mod code;
pub mod credential;
pub mod environment;
pub mod hub;
pub mod ids;
pub mod owner;
pub mod refusal;
pub mod rest;
pub mod text;
pub mod typescript;

/// Name of the WebSocket subprotocol, offered by clients and confirmed by the hub.
pub const SUBPROTOCOL: &str = "mayfly.v1";

/// Version of the browser wire, told in `session.ready`.
pub const VERSION: u8 = 1;
