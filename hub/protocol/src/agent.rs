//! Hub <-> agent: HTTP/1.1 calls, and the agent's environment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ids::{SessionId, TurnId};

/// Address on which the agent listens: `unix:PATH` or `HOST:PORT`.
pub const ENV_LISTEN: &str = "MAYFLY_LISTEN";
/// Id of the agent's session; absent while the agent is warm.
pub const ENV_SESSION: &str = "MAYFLY_SESSION";
/// Bearer token that the agent requires from every caller.
pub const ENV_TOKEN: &str = "MAYFLY_TOKEN";
/// Time at which the agent exits at the latest, in Unix seconds.
pub const ENV_DEADLINE: &str = "MAYFLY_DEADLINE";
/// Owner of the session, if the hub knows one. The agent's memory then belongs to the owner, not to the session.
pub const ENV_OWNER: &str = "MAYFLY_OWNER";
/// `unix:PATH` of the hub's egress proxy (HTTP CONNECT); absent if the agent has no proxy.
pub const ENV_EGRESS: &str = "MAYFLY_EGRESS";

/// `GET`: reports that the agent is ready. The call is also the hub's sign of life.
pub const PATH_HEALTH: &str = "/health";
/// `POST`: runs a turn and streams its answer.
pub const PATH_CHAT: &str = "/chat";
/// `POST`: binds a warm agent, which has no [`ENV_SESSION`], to a session.
pub const PATH_BIND: &str = "/bind";
/// `GET`: returns the conversation, for a hub that adopts the agent.
pub const PATH_HISTORY: &str = "/history";

/// Name and value of the header that marks a UI-message stream.
pub const STREAM_HEADER: (&str, &str) = ("x-vercel-ai-ui-message-stream", "v1");

/// Header of `GET /turns/{turn}/events` with the `id` of the caller's last event.
pub const HEADER_LAST_EVENT: &str = "last-event-id";
/// Largest answer of `GET /history`, in bytes. The agent leaves out the oldest turns of a longer conversation.
pub const HISTORY_MAX_BYTES: usize = 512 * 1024;
/// Longest bearer token that an agent accepts, in bytes; all of them are visible ASCII characters.
pub const TOKEN_MAX_BYTES: usize = 1024;
/// Longest path of a Unix socket, in bytes (unix(7): 108 with the final NUL).
pub const SOCKET_PATH_MAX_BYTES: usize = 107;

/// Largest event of an agent's stream, in bytes; a larger one fails the turn with `agent.protocol`.
pub const EVENT_MAX_BYTES: usize = 64 * 1024;
/// Largest number of keys in the top level of a chunk; more fail the turn with `agent.protocol`.
pub const CHUNK_MAX_KEYS: usize = 24;
/// Deepest nesting of a chunk, the chunk itself included; a deeper one fails the turn with `agent.protocol`.
pub const CHUNK_MAX_DEPTH: usize = 32;
/// Longest silence on an agent's stream, in seconds: an agent with nothing to send writes a comment before that.
pub const COMMENT_INTERVAL_MAX_SECS: u64 = 10;
/// Longest time without a chunk during a turn, in seconds; the turn then fails with `agent.stalled`.
pub const CHUNK_SILENCE_MAX_SECS: u64 = 5 * 60;
/// Time after which a cancelled turn must be over, in seconds; the hub then drops its stream.
pub const CANCEL_GRACE_SECS: u64 = 2;
/// Time after which an agent must have exited after SIGTERM, in seconds; the hub then kills it.
pub const STOP_GRACE_SECS: u64 = 10;

/// Time after the last call from a hub after which an agent exits, in seconds.
pub const ORPHAN_SECS: u64 = 120;
/// Longest time between two calls of a hub to its agent, in seconds.
pub const SIGN_OF_LIFE_SECS: u64 = 30;

/// Returns `true` if `text` can be an agent's bearer token: 1 to [`TOKEN_MAX_BYTES`] visible ASCII characters.
pub fn is_token(text: &str) -> bool {
    (1..=TOKEN_MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns the path of `POST` that cancels a turn. The turn's stream then ends with `abort`.
pub fn path_cancel(turn: TurnId) -> String {
    format!("/turns/{turn}/cancel")
}

/// Returns the path of `GET` that streams a turn's events again, from the start or after [`HEADER_LAST_EVENT`].
pub fn path_events(turn: TurnId) -> String {
    format!("/turns/{turn}/events")
}

/// Body of `POST /bind`. The agent answers it and each repetition with 204, and a different body after it with 409. A
/// warm agent accepts no message before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindRequest {
    /// Id of the agent's session.
    pub session_id: SessionId,
    /// Time at which the agent exits at the latest, in Unix seconds. Replaces [`ENV_DEADLINE`].
    pub deadline: u64,
    /// Owner of the session, as in [`ENV_OWNER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Further variables. They replace those with which the agent was started.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// Body of `POST /chat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatRequest {
    /// Id of the session. The agent refuses any other than its own.
    pub session_id: SessionId,
    /// Id of the turn. The agent replays a known turn instead of running it again.
    pub turn: TurnId,
    /// Text of the message.
    pub message: String,
    /// The message's `id`, if the client gave one. The agent keeps it and returns it in [`PastTurn`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Turn that this turn replaces. The agent forgets that turn's message and answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<TurnId>,
}

/// Answer of `POST /chat` with `Accept: application/json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatResponse {
    /// Text of the whole answer.
    pub response: String,
    /// Id of the session.
    pub session_id: SessionId,
}

/// Answer of `GET /health`, with status 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `healthy`.
    pub status: HealthStatus,
    /// Id of the agent's session; `null` while the agent is warm.
    pub session_id: Option<SessionId>,
    /// Running turn.
    pub turn: Option<TurnId>,
}

/// Status in an answer with 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// The agent accepts messages.
    Healthy,
}

/// Answer of `GET /history`: the session's turns, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct History {
    /// `true` if the agent left out older turns.
    pub truncated: bool,
    /// Turns, oldest first. A running turn comes last.
    pub turns: Vec<PastTurn>,
}

/// One turn of a [`History`]: a message, the chunks of its answer and the chunk that ended it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PastTurn {
    /// Id of the turn.
    pub turn: TurnId,
    /// Text of the message.
    pub message: String,
    /// As in [`ChatRequest`]. With it, another hub recognizes a repeated message.
    #[serde(default, rename = "messageId", skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// As in [`ChatRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<TurnId>,
    /// Chunks in order, without the terminal chunk and with adjacent deltas of a part merged. Each is one line within the
    /// bounds of an event's `data`. Empty for a running turn, whose events [`path_events`] returns.
    pub chunks: Vec<Box<RawValue>>,
    /// Terminal chunk; absent while the turn runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Box<RawValue>>,
}
