//! REST: the bodies of the calls below `/sessions` and of `POST /tickets`, with camelCase names as in the agent's API.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::code::ErrorCode;
use crate::hub::{Deadline, EndReason, Status, Step};
use crate::ids::{Epoch, SessionId, TurnId};

/// Body of a refused call's answer (RFC 9457), as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// HTTP status as a phrase.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Cause, for programs.
    pub code: ErrorCode,
    /// Cause, for people.
    pub detail: String,
    /// Milliseconds after which the same call may succeed; more precise than `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub retry_after_ms: Option<u64>,
}

/// Body of `POST /sessions`. It may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct NewSession {
    /// Owner of the session, up to 128 characters. Accepted with the operator key only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    #[cfg_attr(
        feature = "openapi",
        schema(max_length = 128, min_length = 1, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub owner: Option<String>,
}

/// Answer of `POST /sessions`, with status 201.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CreatedSession {
    /// Id of the session.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub session_id: SessionId,
    /// State of the session: `creating`.
    pub status: Status,
    /// Token that permits everything in this session.
    pub token: String,
    /// Path of the session's WebSocket on this host.
    pub endpoint: String,
    /// Time at which the session ends at the latest (RFC 3339).
    pub expires_at: String,
}

/// State of a session: an item of `GET /sessions`, and the answer of `GET /sessions/{id}` and
/// `POST /sessions/{id}/extend`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// Id of the session.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub session_id: SessionId,
    /// State of the session.
    pub status: Status,
    /// Step of the agent's start, while `creating`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub step: Option<Step>,
    /// Cause of the session's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub reason: Option<EndReason>,
    /// Owner of the session, if the creator named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub owner: Option<String>,
    /// Time of the session's creation (RFC 3339).
    pub created_at: String,
    /// Milliseconds from the session's creation until now or its end.
    #[ts(type = "number")]
    pub uptime_ms: u64,
    /// Time left until the session ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub deadline: Option<Deadline>,
    /// Running turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub turn: Option<TurnId>,
    /// Number of waiting turns.
    pub queued: u32,
    /// Number of attached WebSockets.
    pub sockets: u32,
    /// Epoch of the frame numbers, while the session runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub epoch: Option<Epoch>,
    /// Latest frame number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub head: Option<u64>,
}

/// Answer of `GET /sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionList {
    /// The sessions that have not terminated, oldest first.
    pub sessions: Vec<SessionView>,
}

/// Body of `POST /sessions/{id}/messages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewMessage {
    /// Text of the message; not blank.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, pattern = r"\S"))]
    pub message: String,
}

/// Answer of `POST /sessions/{id}/messages`: the complete turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Text of the answer. An empty line separates its parts.
    pub response: String,
    /// Id of the session.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub session_id: SessionId,
    /// Id of the turn.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub turn: TurnId,
    /// Outcome of the turn. A failed turn is answered with a problem instead.
    pub reason: crate::hub::TurnReason,
}

/// Answer of `DELETE /sessions/{id}`, once the agent is gone or takes too long to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// Id of the session.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub session_id: SessionId,
    /// State of the session: `terminated`, or with status 202 `terminating`.
    pub status: Status,
}

/// Answer of `GET /sessions/{id}/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionHealth {
    /// Health of the session's agent.
    pub status: Health,
    /// Time of the check (RFC 3339).
    pub last_check: String,
    /// Duration of the check in milliseconds.
    #[ts(type = "number")]
    pub response_time_ms: u64,
    /// Cause, if the agent is not healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub error: Option<String>,
}

/// Health of a session's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// The agent answers.
    Healthy,
    /// The agent does not answer, or is starting.
    Unhealthy,
    /// The session has ended, and the agent is gone.
    Terminated,
}

/// Answer of `GET /sessions/{id}/metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionMetrics {
    /// Number of turns that ran and ended; for an ended session, the number of messages.
    pub messages_processed: u32,
    /// Mean duration of those turns in milliseconds; `null` for an ended session.
    #[ts(type = "number | null")]
    pub average_response_time_ms: Option<u64>,
    /// Memory of all the agent's processes, if the platform reports it.
    #[ts(type = "number | null")]
    pub memory_usage_bytes: Option<u64>,
    /// Milliseconds from the session's creation until now or its end.
    #[ts(type = "number")]
    pub uptime_ms: u64,
}

/// Body of `POST /tickets`. It may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct NewTicket {
    /// Owner of the session that the ticket creates, up to 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    #[cfg_attr(
        feature = "openapi",
        schema(max_length = 128, min_length = 1, pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$")
    )]
    pub owner: Option<String>,
}

/// Answer of `POST /tickets`, with status 201.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct MintedTicket {
    /// Ticket, with which a client can create one session.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub ticket: crate::credential::Credential,
    /// Time at which the ticket expires (RFC 3339).
    pub expires_at: String,
}
