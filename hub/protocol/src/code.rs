//! Error codes and WebSocket close codes: the closed lists that a client can program against.
//!
//! [`ErrorCode`] and its rules come from one table. A new code is one row there; the `error` frame, the close frame and
//! `application/problem+json` follow from it ([`crate::refusal`]).

use std::fmt;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The fixed properties of an error code: one row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The name on the wire, as `area.cause`.
    pub name: &'static str,
    /// HTTP status of a REST call that is refused with this code (RFC 9110, section 15).
    pub status: u16,
    /// Close code of a WebSocket that is closed because of this code. `None` if the code does not close sockets.
    pub close: Option<CloseCode>,
    /// The part of the conversation that an `error` frame with this code ends.
    pub scope: Scope,
    /// Advice on repeating the request.
    pub retry: Retry,
    /// The party that reports the code.
    pub source: Source,
}

/// Advice on repeating a refused request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request may succeed later.
    Later,
    /// The same request fails again.
    Never,
}

/// The party that reports an error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The hub only.
    Hub,
    /// An agent too: the code is about its model, its tools or its memory.
    Agent,
}

/// Declares [`ErrorCode`] and [`ErrorCode::rule`] from the table's rows.
macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $code:ident $name:literal $status:literal $close:tt $scope:ident $retry:ident $source:ident;)+) => {
        /// The cause of a refusal or failure, as `area.cause`. It stands in `error` frames, in `turn.done`, in problem
        /// details and as a close reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $code,)+
        }

        impl ErrorCode {
            /// Every code, in the table's order.
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// Returns the code's row of the table.
            pub const fn rule(self) -> Rule {
                match self {
                    $(Self::$code => Rule {
                        name: $name,
                        status: $status,
                        close: error_codes!(@close $close),
                        scope: Scope::$scope,
                        retry: Retry::$retry,
                        source: Source::$source,
                    },)+
                }
            }
        }
    };
    (@close -) => { None };
    (@close $close:ident) => { Some(CloseCode::$close) };
}

error_codes! {
    // Code               Name                      HTTP  Close        Scope    Retry  Source

    /// The frame or body is not JSON.
    ProtoBadJson          "proto.bad_json"          400   BadFrames    Frame    Never  Hub;
    /// The frame's `type` is not one that clients send.
    ProtoUnknownType      "proto.unknown_type"      400   BadFrames    Frame    Never  Hub;
    /// A field of the frame or body is missing, or its value is not accepted.
    ProtoInvalid          "proto.invalid"           422   BadFrames    Frame    Never  Hub;
    /// The message or body is larger than the hub accepts.
    ProtoTooLarge         "proto.too_large"         413   TooBig       Frame    Never  Hub;
    /// A query parameter of the URL has a value that is not accepted.
    ProtoQuery            "proto.query"             400   -            Frame    Never  Hub;
    /// The URL's path does not exist.
    ProtoPath             "proto.path"              404   -            Frame    Never  Hub;
    /// The path exists, but not with this HTTP method.
    ProtoMethod           "proto.method"            405   -            Frame    Never  Hub;
    /// The body's content type is not `application/json`.
    ProtoContentType      "proto.content_type"      415   -            Frame    Never  Hub;
    /// The path is a WebSocket endpoint, and the request is not a WebSocket handshake.
    ProtoUpgrade          "proto.upgrade"           426   -            Frame    Never  Hub;
    /// The hub does not serve the host name in the request.
    AuthHost              "auth.host"               421   -            Hub      Never  Hub;
    /// The page's origin is not allowed to use this hub.
    AuthOrigin            "auth.origin"             403   Forbidden    Hub      Never  Hub;
    /// The request needs a credential and has none.
    AuthMissing           "auth.missing"            401   Denied       Hub      Never  Hub;
    /// The credential does not permit this request, or is no longer valid.
    AuthDenied            "auth.denied"             403   Denied       Hub      Never  Hub;
    /// The hub has reached its limit of sessions.
    QuotaSessions         "quota.sessions"          503   AtCapacity   Hub      Later  Hub;
    /// The session's owner has reached the limit of sessions per owner.
    QuotaOwner            "quota.owner"             429   AtCapacity   Hub      Later  Hub;
    /// The client's address has reached the limit of sessions per address.
    QuotaAddress          "quota.address"           429   AtCapacity   Hub      Later  Hub;
    /// The session has reached its limit of sockets.
    QuotaSockets          "quota.sockets"           429   AtCapacity   Session  Later  Hub;
    /// The session has reached its limit of waiting messages.
    QuotaQueue            "quota.queue"             429   -            Frame    Later  Hub;
    /// The client sends messages or requests faster than the hub allows.
    QuotaRate             "quota.rate"              429   RateLimited  Session  Later  Hub;
    /// The client reads frames more slowly than the hub can keep them.
    QuotaSlow             "quota.slow"              429   TooSlow      Session  Later  Hub;
    /// The agent did not become healthy in time.
    SpawnTimeout          "spawn.timeout"           504   SpawnFailed  Session  Never  Hub;
    /// The agent's image does not exist.
    SpawnImage            "spawn.image"             502   SpawnFailed  Session  Never  Hub;
    /// The agent could not be started.
    SpawnFailed           "spawn.failed"            502   SpawnFailed  Session  Never  Hub;
    /// The agent does not answer.
    AgentUnreachable      "agent.unreachable"       502   AgentLost    Session  Never  Hub;
    /// The agent's process or container ended.
    AgentCrashed          "agent.crashed"           502   AgentLost    Session  Never  Hub;
    /// The agent answered with an HTTP status other than 200, or not with an event stream.
    AgentHttp             "agent.http"              502   -            Turn     Never  Hub;
    /// The agent sent an event that violates the protocol.
    AgentProtocol         "agent.protocol"          502   -            Turn     Never  Hub;
    /// The agent's stream ended without its terminal event.
    AgentStreamTruncated  "agent.stream_truncated"  502   -            Turn     Never  Hub;
    /// The agent's stream stopped making progress.
    AgentStalled          "agent.stalled"           504   -            Turn     Never  Hub;
    /// The agent reports that the turn failed, without a more precise code.
    AgentFailed           "agent.failed"            502   -            Turn     Never  Hub;
    /// The model's provider is overloaded.
    ModelOverloaded       "model.overloaded"        502   -            Turn     Later  Agent;
    /// The model's provider limits the rate or the amount of requests.
    ModelRateLimited      "model.rate_limited"      502   -            Turn     Later  Agent;
    /// The conversation is longer than the model's context.
    ModelContextLength    "model.context_length"    502   -            Turn     Never  Agent;
    /// The model refused to answer.
    ModelRefused          "model.refused"           502   -            Turn     Never  Agent;
    /// The model's provider rejects the agent's API key.
    ModelAuth             "model.auth"              502   -            Turn     Never  Agent;
    /// The model's provider cannot be reached.
    ModelUnreachable      "model.unreachable"       502   -            Turn     Never  Agent;
    /// The model failed in another way, or its provider rejected the request.
    ModelFailed           "model.failed"            502   -            Turn     Never  Agent;
    /// The agent's memory cannot be read, or cannot store the conversation.
    MemoryFailed          "memory.failed"           502   -            Turn     Never  Agent;
    /// A tool failed, and the turn failed with it.
    ToolFailed            "tool.failed"             502   -            Turn     Never  Agent;
    /// A tool took too long, and the turn failed with it.
    ToolTimeout           "tool.timeout"            502   -            Turn     Never  Agent;
    /// The turn does not exist, or its answer is no longer kept.
    TurnNotFound          "turn.not_found"          404   -            Frame    Never  Hub;
    /// The request is not possible while another turn runs or waits.
    TurnConflict          "turn.conflict"           409   -            Frame    Never  Hub;
    /// The turn's answer is too large for one JSON reply.
    TurnTooLarge          "turn.too_large"          502   -            Turn     Never  Hub;
    /// The session reached its idle or maximum time.
    SessionExpired        "session.expired"         410   Expired      Session  Never  Hub;
    /// The session does not exist, or the hub no longer remembers it.
    SessionGone           "session.gone"            404   Gone         Hub      Never  Hub;
    /// The session has ended.
    SessionEnded          "session.ended"           410   Ended        Session  Never  Hub;
    /// The hub is shutting down.
    HubDraining           "hub.draining"            503   Draining     Hub      Later  Hub;
}

impl ErrorCode {
    /// Returns the name on the wire, as `area.cause`.
    pub const fn name(self) -> &'static str {
        self.rule().name
    }

    /// Returns `true` if a client caused this error with a frame that it must not send again.
    pub fn is_bad_frame(self) -> bool {
        matches!(self.rule().close, Some(CloseCode::BadFrames | CloseCode::TooBig))
    }

    /// Returns `true` if an agent may report this code for its turn.
    pub fn is_from_agent(self) -> bool {
        self.rule().source == Source::Agent
    }
}

/// Written by hand: the derive does not see names that come from a macro.
#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for ErrorCode {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .enum_values(Some(Self::ALL.iter().map(|code| code.name())))
            .description(Some("The cause of a refusal or failure, as `area.cause`."))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for ErrorCode {
    fn name() -> std::borrow::Cow<'static, str> {
        "ErrorCode".into()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The part of the conversation that an error ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The frame or request that caused the error; everything else goes on.
    Frame,
    /// The turn; the session goes on.
    Turn,
    /// This client's connection to the session, or the session itself.
    Session,
    /// Any session at this hub: the hub refuses the client, or is shutting down.
    Hub,
}

/// WebSocket close codes (RFC 6455, section 7.4). A client may reconnect after 4000-4499 and must not after 4500-4999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The client said `bye`.
    Normal = 1000,
    /// The client violated the WebSocket protocol.
    ProtocolError = 1002,
    /// The client sent text that is not UTF-8.
    InvalidUtf8 = 1007,
    /// The client sent a message larger than the hub accepts.
    TooBig = 1009,
    /// The hub is shutting down. The session goes on elsewhere or later, or the client can make a new one then.
    Draining = 4000,
    /// The client read too slowly. It may resume the session.
    TooSlow = 4001,
    /// The client sent no sign of life for too long.
    Silent = 4002,
    /// The hub has reached a limit of sessions, or the session its limit of sockets.
    AtCapacity = 4004,
    /// The client sent messages or requests too fast.
    RateLimited = 4005,
    /// The session reached its idle or maximum time.
    Expired = 4500,
    /// The session has ended.
    Ended = 4501,
    /// The credential is missing, or does not permit this.
    Denied = 4502,
    /// The page's origin is not allowed to use this hub.
    Forbidden = 4503,
    /// The client sent too many frames that the hub refused.
    BadFrames = 4505,
    /// The session does not exist, or the hub no longer remembers it.
    Gone = 4506,
    /// Another socket with the same `client_id` replaced this one.
    Replaced = 4507,
    /// The agent did not start.
    SpawnFailed = 4508,
    /// The agent was lost.
    AgentLost = 4509,
}

impl CloseCode {
    /// Returns `true` if the client may reconnect to the same session.
    pub fn may_reconnect(self) -> bool {
        (4000..4500).contains(&self.number())
    }

    /// Returns `true` if the client violated a rule: by the content, the size or the rate of its messages.
    pub fn is_violation(self) -> bool {
        matches!(
            self,
            Self::ProtocolError | Self::InvalidUtf8 | Self::TooBig | Self::RateLimited | Self::BadFrames
        )
    }

    /// Returns the number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}
