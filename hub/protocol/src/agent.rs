//! Hub <-> agent: HTTP/1.1 calls and the agent's environment.

use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, TurnId};

/// Where the agent listens: `unix:PATH` or `HOST:PORT`.
pub const ENV_LISTEN: &str = "MAYFLY_LISTEN";
/// The session the agent belongs to.
pub const ENV_SESSION: &str = "MAYFLY_SESSION";
/// The bearer token the agent asks of every caller.
pub const ENV_TOKEN: &str = "MAYFLY_TOKEN";
/// When the agent exits at the latest, in Unix seconds.
pub const ENV_DEADLINE: &str = "MAYFLY_DEADLINE";
/// `unix:PATH` of the hub's egress proxy (HTTP CONNECT), the agent's way out; absent where there is none.
pub const ENV_EGRESS: &str = "MAYFLY_EGRESS";

/// `GET`: is the agent ready to talk; also the hub's sign of life.
pub const PATH_HEALTH: &str = "/health";
/// `POST`: one turn; the answer streams back.
pub const PATH_CHAT: &str = "/chat";

/// Header that marks a UI-message stream, with its value.
pub const STREAM_HEADER: (&str, &str) = ("x-vercel-ai-ui-message-stream", "v1");

/// An agent exits this long after the last call from a hub, in seconds.
pub const ORPHAN_SECS: u64 = 120;
/// A hub calls each of its agents at least this often, in seconds.
pub const SIGN_OF_LIFE_SECS: u64 = 30;

/// Path of `POST`: cancel a turn; its stream then ends with `abort`.
pub fn path_cancel(turn: TurnId) -> String {
    format!("/turns/{turn}/cancel")
}

/// Body of `POST /chat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatRequest {
    /// The agent refuses any session but its own.
    pub session_id: SessionId,
    /// Names the turn; one that the agent knows is replayed, not rerun.
    pub turn: TurnId,
    /// What the person says.
    pub message: String,
    /// The turn whose answer this one takes the place of: the agent forgets that one, and what led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<TurnId>,
}

/// Answer of `POST /chat` with `Accept: application/json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatResponse {
    /// The whole answer's text.
    pub response: String,
    /// The session.
    pub session_id: SessionId,
}

/// Answer of `GET /health`, with status 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `healthy`.
    pub status: HealthStatus,
    /// The agent's session, once it has one.
    pub session_id: Option<SessionId>,
    /// The turn that runs.
    pub turn: Option<TurnId>,
}

/// The only status an agent answers with 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Ready to talk.
    Healthy,
}
