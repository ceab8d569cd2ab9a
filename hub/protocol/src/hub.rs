//! Hub -> client: the frames a client sees.
//!
//! Frames that carry `seq` are the session's record, the same for every socket; the others are for one socket.
//! An agent's chunk comes as it was sent, with `seq` and `turn` added: see [`crate::chunk`].

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::code::{ErrorCode, Scope};
use crate::ids::{SessionId, TurnId};

/// One frame from the hub, but for an agent's chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type")]
pub enum HubFrame {
    /// The first frame on every socket.
    #[serde(rename = "session.ready")]
    Ready {
        /// Version of this wire.
        v: u8,
        /// The session's id.
        #[ts(type = "string")]
        session: SessionId,
        /// The session's state.
        status: Status,
        /// The last `seq` before this socket's first frame.
        #[ts(type = "number")]
        head: u64,
    },
    /// The session's state or boot step; with `seq` when it changed, without as the answer to `status`.
    #[serde(rename = "session.status")]
    Status {
        /// The session's state.
        status: Status,
        /// How far the agent's start is, while `creating`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        step: Option<Step>,
        /// Milliseconds since the session was made.
        #[ts(type = "number")]
        elapsed_ms: u64,
        /// The turn that runs, in an answer to `status`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "string")]
        turn: Option<TurnId>,
        /// How many turns wait, in an answer to `status`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        queued: Option<u32>,
        /// Place in the session's record.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "number")]
        seq: Option<u64>,
    },
    /// A message was taken as a turn.
    #[serde(rename = "turn.accepted")]
    TurnAccepted {
        /// The turn.
        #[ts(type = "string")]
        turn: TurnId,
        /// The client's own id of the message, if it gave one.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        message: Option<String>,
        /// How many turns come first; 0 is next or already running.
        position: u32,
        /// What the person said.
        text: String,
        /// Place in the session's record.
        #[ts(type = "number")]
        seq: u64,
    },
    /// A turn is over. Each accepted turn gets exactly one.
    #[serde(rename = "turn.done")]
    TurnDone {
        /// The turn.
        #[ts(type = "string")]
        turn: TurnId,
        /// How it ended.
        reason: TurnReason,
        /// Why, when the reason is `error`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        error: Option<TurnError>,
        /// Place in the session's record.
        #[ts(type = "number")]
        seq: u64,
    },
    /// The session is over; the last frame before the socket closes.
    #[serde(rename = "session.ended")]
    Ended {
        /// Why it ended.
        reason: EndReason,
    },
    /// Something was refused or failed.
    #[serde(rename = "error")]
    Error {
        /// What, for programs.
        code: ErrorCode,
        /// How far it reaches.
        scope: Scope,
        /// Whether the same may succeed later.
        retryable: bool,
        /// When to try again.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "number")]
        retry_after_ms: Option<u64>,
        /// What, for people.
        message: String,
    },
    /// The answer to `help`.
    #[serde(rename = "help")]
    Help {
        /// Each line that can be typed.
        commands: Vec<Command>,
    },
}

/// One line that can be typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Command {
    /// The line.
    pub name: String,
    /// What it does.
    pub does: String,
}

/// States of a session, as users see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The agent is being started.
    Creating,
    /// The agent is there.
    Active,
    /// The agent is being ended.
    Terminating,
    /// The agent is gone.
    Terminated,
}

/// Steps of an agent's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The platform is starting the agent.
    Starting,
    /// The agent is started, and asked whether it is healthy.
    Probing,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum TurnReason {
    /// The agent finished its answer.
    Complete,
    /// A person stopped it.
    Stopped,
    /// It failed; the error says why.
    Error,
    /// The session ended first.
    Expired,
    /// The model reached its length limit.
    Length,
}

/// Why a turn failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TurnError {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A client said `bye`.
    Bye,
    /// The last socket left.
    Disconnected,
    /// The agent died or no longer answers.
    AgentLost,
    /// The agent did not start.
    SpawnFailed,
    /// The hub is shutting down.
    Drained,
}

impl HubFrame {
    /// The frame as compact JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // A frame holds only strings, numbers and enums: serializing it into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
