//! REST: the bodies of the calls below `/sessions` and of `POST /tickets`. Names are camelCase, as in the agent's API.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::code::ErrorCode;
use crate::hub::{Deadline, EndReason, Status, Step};
use crate::ids::{Epoch, SessionId, TurnId};

/// Body of every refusal (RFC 9457), as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// The cause, for programs.
    pub code: ErrorCode,
    /// What, for people.
    pub detail: String,
    /// When to try again, as `Retry-After` but finer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub retry_after_ms: Option<u64>,
}

/// Body of `POST /sessions`; all of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct NewSession {
    /// Whose session it is, up to 128 characters; with the operator key only.
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
    /// The session's id.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub session_id: SessionId,
    /// Its state: `creating`.
    pub status: Status,
    /// What lets its bearer take part in it.
    pub token: String,
    /// The path of its WebSocket, at this host.
    pub endpoint: String,
    /// When it ends at the latest (RFC 3339).
    pub expires_at: String,
}

/// A session as it is now: an item of `GET /sessions`, and the answer of `GET /sessions/{id}` and of
/// `POST /sessions/{id}/extend`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// The session's id.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub session_id: SessionId,
    /// Its state.
    pub status: Status,
    /// How far the agent's start is, while `creating`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub step: Option<Step>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub reason: Option<EndReason>,
    /// Whose it is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub owner: Option<String>,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// Milliseconds since then, until now or its end.
    #[ts(type = "number")]
    pub uptime_ms: u64,
    /// What is left of its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub deadline: Option<Deadline>,
    /// The turn that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub turn: Option<TurnId>,
    /// Turns that wait.
    pub queued: u32,
    /// WebSockets that take part.
    pub sockets: u32,
    /// Names the numbering of its frames, while there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub epoch: Option<Epoch>,
    /// The last number in it.
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
    /// What the person says; not blank.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, pattern = r"\S"))]
    pub message: String,
}

/// Answer of `POST /sessions/{id}/messages`: the whole turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// The answer's text; its parts are paragraphs.
    pub response: String,
    /// The session.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub session_id: SessionId,
    /// The turn.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub turn: TurnId,
    /// How it ended; a turn that failed is a refusal instead.
    pub reason: crate::hub::TurnReason,
}

/// Answer of `DELETE /sessions/{id}`, once the agent is gone, or takes too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// The session.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub session_id: SessionId,
    /// Its state: `terminated`, or with status 202 `terminating`.
    pub status: Status,
}

/// Answer of `GET /sessions/{id}/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionHealth {
    /// How its agent is.
    pub status: Health,
    /// When it was asked (RFC 3339).
    pub last_check: String,
    /// How long that took.
    #[ts(type = "number")]
    pub response_time_ms: u64,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub error: Option<String>,
}

/// How a session's agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It answers.
    Healthy,
    /// It does not, or is being started.
    Unhealthy,
    /// It is gone, as its session is over.
    Terminated,
}

/// Answer of `GET /sessions/{id}/metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionMetrics {
    /// Turns that are over and ran; of a session that is over, messages.
    pub messages_processed: u32,
    /// How long they took; not known of a session that is over.
    #[ts(type = "number | null")]
    pub average_response_time_ms: Option<u64>,
    /// Memory of the agent's whole tree, where the platform tells.
    #[ts(type = "number | null")]
    pub memory_usage_bytes: Option<u64>,
    /// Since it was made, until now or its end.
    #[ts(type = "number")]
    pub uptime_ms: u64,
}

/// Body of `POST /tickets`; all of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct NewTicket {
    /// Whose session it is to make, up to 128 characters.
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
    /// Lets its bearer make one session.
    #[ts(type = "string")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub ticket: crate::credential::Credential,
    /// When it is no longer good (RFC 3339).
    pub expires_at: String,
}
