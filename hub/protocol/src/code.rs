//! Error codes and WebSocket close codes: the closed lists a client can program against.

use std::fmt;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What went wrong, as `area.cause`. Stands in `error` frames, in `turn.done` and as a close reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
pub enum ErrorCode {
    /// The frame is not JSON.
    #[serde(rename = "proto.bad_json")]
    ProtoBadJson,
    /// The frame's `type` is not one that clients send.
    #[serde(rename = "proto.unknown_type")]
    ProtoUnknownType,
    /// The frame's type is known, but a field is missing or has a value that is not accepted.
    #[serde(rename = "proto.invalid")]
    ProtoInvalid,
    /// The WebSocket message is larger than the hub reads.
    #[serde(rename = "proto.too_large")]
    ProtoTooLarge,
    /// The page's origin may not use this hub.
    #[serde(rename = "auth.origin")]
    AuthOrigin,
    /// A credential is needed, and there is none.
    #[serde(rename = "auth.missing")]
    AuthMissing,
    /// The credential does not fit.
    #[serde(rename = "auth.denied")]
    AuthDenied,
    /// The hub runs as many sessions as it may.
    #[serde(rename = "quota.sessions")]
    QuotaSessions,
    /// Whoever the session would be for has as many as one may have.
    #[serde(rename = "quota.owner")]
    QuotaOwner,
    /// There are as many sessions from the client's address as there may be.
    #[serde(rename = "quota.address")]
    QuotaAddress,
    /// The session has as many sockets as it may.
    #[serde(rename = "quota.sockets")]
    QuotaSockets,
    /// The session has as many messages waiting as it may.
    #[serde(rename = "quota.queue")]
    QuotaQueue,
    /// The client sends or asks more often than it may.
    #[serde(rename = "quota.rate")]
    QuotaRate,
    /// The socket takes frames more slowly than the hub can keep them.
    #[serde(rename = "quota.slow")]
    QuotaSlow,
    /// The agent did not become healthy in time.
    #[serde(rename = "spawn.timeout")]
    SpawnTimeout,
    /// The agent's image is not there.
    #[serde(rename = "spawn.image")]
    SpawnImage,
    /// The agent could not be started.
    #[serde(rename = "spawn.failed")]
    SpawnFailed,
    /// The agent does not answer.
    #[serde(rename = "agent.unreachable")]
    AgentUnreachable,
    /// The agent answered with another HTTP status than 200, or not with an event stream.
    #[serde(rename = "agent.http")]
    AgentHttp,
    /// The agent sent an event that breaks the protocol.
    #[serde(rename = "agent.protocol")]
    AgentProtocol,
    /// The agent's stream ended without its terminal event.
    #[serde(rename = "agent.stream_truncated")]
    AgentStreamTruncated,
    /// The agent stopped getting on with its answer.
    #[serde(rename = "agent.stalled")]
    AgentStalled,
    /// The agent's process or container ended.
    #[serde(rename = "agent.crashed")]
    AgentCrashed,
    /// The agent says that the turn failed.
    #[serde(rename = "agent.failed")]
    AgentFailed,
    /// The model's provider has too much to do; the same may succeed later.
    #[serde(rename = "model.overloaded")]
    ModelOverloaded,
    /// The model's provider was asked more, or more often, than it allows.
    #[serde(rename = "model.rate_limited")]
    ModelRateLimited,
    /// The conversation is longer than the model reads.
    #[serde(rename = "model.context_length")]
    ModelContextLength,
    /// The model refused to answer.
    #[serde(rename = "model.refused")]
    ModelRefused,
    /// The model's provider does not take the agent's key.
    #[serde(rename = "model.auth")]
    ModelAuth,
    /// The model's provider cannot be reached.
    #[serde(rename = "model.unreachable")]
    ModelUnreachable,
    /// The model failed in another way, or its provider did not understand the request.
    #[serde(rename = "model.failed")]
    ModelFailed,
    /// The agent's memory cannot be read, or does not keep what is said.
    #[serde(rename = "memory.failed")]
    MemoryFailed,
    /// A tool failed, and the turn with it.
    #[serde(rename = "tool.failed")]
    ToolFailed,
    /// A tool took too long, and the turn failed with it.
    #[serde(rename = "tool.timeout")]
    ToolTimeout,
    /// There is no such turn to stop.
    #[serde(rename = "turn.not_found")]
    TurnNotFound,
    /// Not while another turn runs or waits.
    #[serde(rename = "turn.conflict")]
    TurnConflict,
    /// The session's time is up.
    #[serde(rename = "session.expired")]
    SessionExpired,
    /// There is no such session, or no longer.
    #[serde(rename = "session.gone")]
    SessionGone,
    /// The session has ended.
    #[serde(rename = "session.ended")]
    SessionEnded,
    /// The hub is shutting down.
    #[serde(rename = "hub.draining")]
    HubDraining,
}

impl ErrorCode {
    /// Whether an agent may say this of its turn: of its model, its tools and its memory, but not of the hub or itself.
    pub fn is_an_agents(self) -> bool {
        let name = self.to_string();
        ["model.", "tool.", "memory."].iter().any(|area| name.starts_with(area))
    }
}

/// How far an error reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Only the frame that caused it; everything else goes on.
    Frame,
    /// One turn.
    Turn,
    /// The session.
    Session,
    /// The hub refused before there was a session.
    Hub,
}

/// WebSocket close codes (RFC 6455, section 7.4). A client may reconnect after 4000-4499 and must not after 4500-4999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The client said `bye`.
    Normal = 1000,
    /// What came is no WebSocket protocol.
    ProtocolError = 1002,
    /// Text that is not UTF-8.
    InvalidUtf8 = 1007,
    /// A message larger than the hub reads.
    TooBig = 1009,
    /// The hub shuts down; the session goes on elsewhere or later, or a new one can be made then.
    Draining = 4000,
    /// The socket was too slow; the session may be tried again.
    TooSlow = 4001,
    /// Nothing was heard of the socket for too long.
    Silent = 4002,
    /// The hub runs as many sessions as it may, or the session has as many sockets.
    AtCapacity = 4004,
    /// The socket sent more often than it may.
    RateLimited = 4005,
    /// The session's time is up.
    Expired = 4500,
    /// The session has ended.
    Ended = 4501,
    /// The credential does not fit.
    Denied = 4502,
    /// The page's origin may not use this hub.
    Forbidden = 4503,
    /// The socket sent too many frames that had to be refused.
    BadFrames = 4505,
    /// There is no such session, or no longer.
    Gone = 4506,
    /// Another socket with the same `client_id` took its place.
    Replaced = 4507,
    /// The agent failed to start.
    SpawnFailed = 4508,
    /// The agent was lost.
    AgentLost = 4509,
}

impl CloseCode {
    /// Whether the same session may be tried again.
    pub fn may_reconnect(self) -> bool {
        (4000..4500).contains(&self.number())
    }

    /// Whether the client broke a rule: with what it sent, or how much or how often.
    pub fn is_violation(self) -> bool {
        matches!(
            self,
            Self::ProtocolError | Self::InvalidUtf8 | Self::TooBig | Self::RateLimited | Self::BadFrames
        )
    }

    /// The reason text on the wire: `bye`, `heartbeat`, `replaced` or an error code.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "bye",
            Self::TooBig => "proto.too_large",
            Self::Draining => "hub.draining",
            Self::TooSlow => "quota.slow",
            Self::Silent => "heartbeat",
            Self::Expired => "session.expired",
            Self::Denied => "auth.denied",
            Self::Gone => "session.gone",
            Self::Replaced => "replaced",
            Self::AtCapacity => "quota.sessions",
            Self::RateLimited => "quota.rate",
            Self::Ended => "session.ended",
            Self::Forbidden => "auth.origin",
            Self::ProtocolError | Self::InvalidUtf8 | Self::BadFrames => "proto.invalid",
            Self::SpawnFailed => "spawn.failed",
            Self::AgentLost => "agent.crashed",
        }
    }

    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
