//! Hub -> client: the frames that the hub sends.
//!
//! Frames with a `seq` form the session's log, which is the same for every socket. Frames without one are for a single
//! socket. A frame with `from` covers the numbers `from` to `seq`: the hub merged adjacent deltas of one part.
//! The hub passes an agent's chunk through and adds `seq` and `turn`: see [`crate::chunk`].

use std::fmt;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::code::{ErrorCode, Scope};
use crate::ids::{Epoch, SessionId, TurnId};

/// A frame from the hub; an agent's chunks and `session.snapshot` have their own types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type")]
pub enum HubFrame {
    /// Opens the session on a socket. It is the first frame, unless the hub refuses the socket with `error`.
    #[serde(rename = "session.ready")]
    Ready {
        /// Version of this protocol.
        v: u8,
        /// The session's id.
        #[ts(type = "string")]
        session: SessionId,
        /// Session token, with which a client attaches and resumes. Only the socket that created the session gets it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        token: Option<String>,
        /// Epoch of the frame numbers. A client resumes with the epoch and its last `seq`.
        #[ts(type = "string")]
        epoch: Epoch,
        /// Latest `seq` of the session.
        #[ts(type = "number")]
        head: u64,
        /// `true` if every frame after the client's last one follows. If not, and the session is not new, a
        /// `session.snapshot` replaces everything that the client has.
        resumed: bool,
        /// Interval of the hub's WebSocket Pings, in milliseconds. The hub closes a socket from which it receives
        /// nothing for three intervals.
        #[ts(type = "number")]
        ping_ms: u64,
        /// Time in which a client can resume after the session's last connection was lost, in milliseconds.
        #[ts(type = "number")]
        grace_ms: u64,
        /// State of the session.
        status: Status,
        /// Time left until the session ends.
        deadline: Deadline,
    },
    /// Reports the session's state and start-up step: with `seq` after a change, without `seq` as the answer to
    /// `status`.
    #[serde(rename = "session.status")]
    Status {
        /// State of the session.
        status: Status,
        /// Step of the agent's start, while `creating`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        step: Option<Step>,
        /// Position among the sessions that wait for capacity, while `queued` for it; 1 is next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        position: Option<u32>,
        /// Milliseconds since the session was created; of a session that waited, since it was admitted.
        #[ts(type = "number")]
        elapsed_ms: u64,
        /// Running turn, in an answer to `status`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "string")]
        turn: Option<TurnId>,
        /// Number of waiting turns, in an answer to `status`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        queued: Option<u32>,
        /// Number of the frame in the session's log.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "number")]
        seq: Option<u64>,
    },
    /// Confirms a message: it became a turn.
    #[serde(rename = "turn.accepted")]
    TurnAccepted {
        /// Id of the turn.
        #[ts(type = "string")]
        turn: TurnId,
        /// The message's `id`, if the client gave one.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        message: Option<String>,
        /// Number of turns before this one; 0 if it is next or already running.
        position: u32,
        /// Text of the message.
        text: String,
        /// Turn whose answer this turn replaces.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "string")]
        replaces: Option<TurnId>,
        /// Number of the frame in the session's log.
        #[ts(type = "number")]
        seq: u64,
    },
    /// Ends a turn. Every accepted turn gets exactly one.
    #[serde(rename = "turn.done")]
    TurnDone {
        /// Id of the turn.
        #[ts(type = "string")]
        turn: TurnId,
        /// Outcome of the turn.
        reason: TurnReason,
        /// Cause, if the reason is `error`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        error: Option<TurnError>,
        /// Milliseconds from the turn's start to the first piece of its answer, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "number")]
        ttft_ms: Option<u64>,
        /// Milliseconds from the turn's start to its end, if it was started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "number")]
        took_ms: Option<u64>,
        /// Tokens that the answer used, if the agent reports them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        usage: Option<Usage>,
        /// Number of the frame in the session's log.
        #[ts(type = "number")]
        seq: u64,
    },
    /// Warns that the session ends soon.
    #[serde(rename = "session.expiring")]
    Expiring {
        /// Clock that ends the session.
        cause: Clock,
        /// Milliseconds until the session ends.
        #[ts(type = "number")]
        remaining_ms: u64,
        /// `true` if `extend` gives the session more time.
        can_extend: bool,
    },
    /// Reports that the session has more time.
    #[serde(rename = "session.extended")]
    Extended {
        /// Time left until the session ends.
        deadline: Deadline,
    },
    /// Answers `ping`.
    #[serde(rename = "pong")]
    Pong {
        /// The value of the `ping`.
        #[ts(type = "number")]
        t: u64,
    },
    /// Ends the session; the last frame before the socket closes.
    #[serde(rename = "session.ended")]
    Ended {
        /// Cause of the end.
        reason: EndReason,
    },
    /// Reports a refused frame, a refused connection or the cause of the session's end.
    #[serde(rename = "error")]
    Error {
        /// `id` of the refused message, if the client gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        id: Option<String>,
        /// Cause, for programs.
        code: ErrorCode,
        /// Part of the conversation that the error ends.
        scope: Scope,
        /// `true` if the same request may succeed later.
        retryable: bool,
        /// Milliseconds after which the same request may succeed.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "number")]
        retry_after_ms: Option<u64>,
        /// Cause, for people.
        message: String,
    },
    /// Answers `help`.
    #[serde(rename = "help")]
    Help {
        /// Every command that a person can type.
        commands: Vec<Command>,
    },
}

/// A command that a person can type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Command {
    /// The typed text, with its slash.
    pub name: String,
    /// Effect of the command.
    pub does: String,
}

/// Time left until a session ends, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deadline {
    /// Time until the session ends because it is idle. Absent while the idle clock is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub idle_ms: Option<u64>,
    /// Time until the session reaches its maximum age.
    #[ts(type = "number")]
    pub max_ms: u64,
}

/// A clock that ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The session was idle for too long.
    Idle,
    /// The session reached its maximum age.
    Max,
    /// The hub is shutting down.
    Drain,
}

/// Tokens that a model used for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Input tokens, cached or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub input_tokens: Option<u32>,
    /// Input tokens that the provider had in its cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub cached_input_tokens: Option<u32>,
    /// Output tokens, reasoning included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub output_tokens: Option<u32>,
    /// Input and output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub total_tokens: Option<u32>,
}

/// Reason for a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotReason {
    /// The client did not say which frames it has.
    New,
    /// The client's frames are of another epoch.
    Epoch,
    /// No frame of the log ends at the client's last number.
    Gap,
    /// The hub no longer keeps the frames that follow the client's last one.
    Gone,
}

/// Builds a `session.snapshot` frame, which replaces everything that a client has. It follows `session.ready` and covers
/// every frame up to its `head`. `frames` are JSON frames of the log, which are copied as they are.
pub fn snapshot_json<'a>(
    frames: impl Iterator<Item = &'a [u8]>,
    truncated: bool,
    why: SnapshotReason,
) -> Vec<u8> {
    let why = serde_json::to_string(&why).unwrap_or_default();
    let mut json =
        format!(r#"{{"type":"session.snapshot","why":{why},"truncated":{truncated},"frames":["#).into_bytes();
    for (index, frame) in frames.enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(frame);
    }
    json.extend_from_slice(b"]}");
    json
}

/// State of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The agent is starting.
    Creating,
    /// The agent is running.
    Active,
    /// The agent is running, and the session ends soon unless there is activity.
    Idle,
    /// The session has ended, and the agent is stopping.
    Terminating,
    /// The session has ended, and the agent is gone.
    Terminated,
}

/// Step of an agent's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The session waits for capacity (with `position`), or until fewer agents are starting.
    Queued,
    /// The session claims an agent from the pool.
    Claiming,
    /// The platform is starting the agent.
    Starting,
    /// The agent runs, and the hub waits until it is healthy.
    Probing,
}

/// Outcome of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum TurnReason {
    /// The agent finished its answer.
    Complete,
    /// A client stopped the turn.
    Stopped,
    /// The turn failed; the error gives the cause.
    Error,
    /// The session ended before the turn did.
    Expired,
    /// The model reached its length limit.
    Length,
}

/// Cause of a turn's failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TurnError {
    /// Cause, for programs.
    pub code: ErrorCode,
    /// Cause, for people.
    pub message: String,
}

/// Cause of a session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A client said `bye`.
    Bye,
    /// The last socket was closed, or was not resumed in time.
    Disconnected,
    /// The session was idle for too long.
    Idle,
    /// The session reached its maximum age.
    Max,
    /// A REST call ended the session.
    Deleted,
    /// The agent died or does not answer.
    AgentLost,
    /// The agent did not start.
    SpawnFailed,
    /// The hub shut down.
    Drained,
}

impl HubFrame {
    /// Returns the frame as compact JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // A frame holds only strings, numbers and enums: serializing it into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Implements `Display` as the name on the wire.
macro_rules! display_wire_name {
    ($($name:ident),*) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        })*
    };
}

display_wire_name!(Status, Step, TurnReason, EndReason);
