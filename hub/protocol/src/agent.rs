//! Hub <-> agent: HTTP/1.1 calls and the agent's environment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ids::{SessionId, TurnId};

/// Where the agent listens: `unix:PATH` or `HOST:PORT`.
pub const ENV_LISTEN: &str = "MAYFLY_LISTEN";
/// The session the agent belongs to.
pub const ENV_SESSION: &str = "MAYFLY_SESSION";
/// The bearer token the agent asks of every caller.
pub const ENV_TOKEN: &str = "MAYFLY_TOKEN";
/// When the agent exits at the latest, in Unix seconds.
pub const ENV_DEADLINE: &str = "MAYFLY_DEADLINE";
/// Whose session it is, as far as the hub knows; what the agent remembers is then that person's, not the session's.
pub const ENV_OWNER: &str = "MAYFLY_OWNER";
/// `unix:PATH` of the hub's egress proxy (HTTP CONNECT), the agent's way out; absent where there is none.
pub const ENV_EGRESS: &str = "MAYFLY_EGRESS";

/// `GET`: is the agent ready to talk; also the hub's sign of life.
pub const PATH_HEALTH: &str = "/health";
/// `POST`: one turn; the answer streams back.
pub const PATH_CHAT: &str = "/chat";
/// `POST`: a warm agent, one without [`ENV_SESSION`], becomes a session's.
pub const PATH_BIND: &str = "/bind";
/// `GET`: the conversation so far, for a hub that adopts the agent.
pub const PATH_HISTORY: &str = "/history";

/// Header that marks a UI-message stream, with its value.
pub const STREAM_HEADER: (&str, &str) = ("x-vercel-ai-ui-message-stream", "v1");

/// Header of `GET /turns/{turn}/events`: the `id` of the last event that the caller has.
pub const HEADER_LAST_EVENT: &str = "last-event-id";
/// An answer of `GET /history` is at most as large; the oldest turns are left out of a longer one.
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

/// An agent exits this long after the last call from a hub, in seconds.
pub const ORPHAN_SECS: u64 = 120;
/// A hub calls each of its agents at least this often, in seconds.
pub const SIGN_OF_LIFE_SECS: u64 = 30;

/// Returns `true` if `text` can be an agent's bearer token: 1 to [`TOKEN_MAX_BYTES`] visible ASCII characters.
pub fn is_token(text: &str) -> bool {
    (1..=TOKEN_MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Path of `POST`: cancel a turn; its stream then ends with `abort`.
pub fn path_cancel(turn: TurnId) -> String {
    format!("/turns/{turn}/cancel")
}

/// Path of `GET`: a turn's events again, from its start or after [`HEADER_LAST_EVENT`], as `POST /chat` streams them.
pub fn path_events(turn: TurnId) -> String {
    format!("/turns/{turn}/events")
}

/// Body of `POST /bind`. Answered with 204; the same again too, anything else after it with 409. Until then a warm agent
/// takes no message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindRequest {
    /// Whose agent it is from now on.
    pub session_id: SessionId,
    /// When the agent exits at the latest, in Unix seconds; takes the place of [`ENV_DEADLINE`].
    pub deadline: u64,
    /// As [`ENV_OWNER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Further variables of that session's agent; they take the place of those it was started with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
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
    /// The client's own name for that, if it gave one; the agent keeps it, and tells it in [`PastTurn`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
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

/// Answer of `GET /history`: the session's turns, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct History {
    /// Whether older turns are left out.
    pub truncated: bool,
    /// The turn that runs, if one does, comes last.
    pub turns: Vec<PastTurn>,
}

/// One turn of a [`History`]: a message, the chunks of its answer and the chunk that ended it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PastTurn {
    /// The turn.
    pub turn: TurnId,
    /// What the person said.
    pub message: String,
    /// As in [`ChatRequest`]: a message that is sent again to another hub is not asked twice.
    #[serde(default, rename = "messageId", skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// As in [`ChatRequest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<TurnId>,
    /// In order, without the terminal one; adjacent deltas of a part are one. Each is an event's `data`: one line, within
    /// the bounds of an event. None of a turn that runs: its events are those of [`path_events`].
    pub chunks: Vec<Box<RawValue>>,
    /// The terminal chunk; none while the turn runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Box<RawValue>>,
}
