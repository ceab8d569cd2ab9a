//! Hub -> client: the frames a client sees.
//!
//! Frames that carry `seq` are the session's record, the same for every socket; the others are for one socket. A frame that
//! carries `from` too stands for all from there on: the deltas of one part, merged.
//! An agent's chunk comes as it was sent, with `seq` and `turn` added: see [`crate::chunk`].

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::code::{ErrorCode, Scope};
use crate::ids::{Epoch, SessionId, TurnId};

/// One frame from the hub, but for an agent's chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type")]
pub enum HubFrame {
    /// The first frame of a session on every socket; before it there may be a refusal, or `session.status` for who waits.
    #[serde(rename = "session.ready")]
    Ready {
        /// Version of this wire.
        v: u8,
        /// The session's id.
        #[ts(type = "string")]
        session: SessionId,
        /// What lets others attach and resume; only on the socket that made the session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        token: Option<String>,
        /// Names this numbering of frames: a client resumes with it and the last `seq` it has.
        #[ts(type = "string")]
        epoch: Epoch,
        /// The last `seq` so far.
        #[ts(type = "number")]
        head: u64,
        /// Whether all frames after the client's last one follow. If not, and unless the session is new, a
        /// `session.snapshot` takes the place of all the client has.
        resumed: bool,
        /// How often the hub sends a WebSocket Ping, in milliseconds. Three intervals without any sign of the client
        /// and its socket is closed.
        #[ts(type = "number")]
        ping_ms: u64,
        /// How long the session waits for somebody to come back once its last connection is lost, in milliseconds.
        #[ts(type = "number")]
        grace_ms: u64,
        /// The session's state.
        status: Status,
        /// What is left of the session's time.
        deadline: Deadline,
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
        /// The place in the line of those who wait for a session to be free, while `queued` there; 1 is next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        position: Option<u32>,
        /// Milliseconds since the session was made, or with `position` since the client began to wait.
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
        /// The turn whose answer this one takes the place of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "string")]
        replaces: Option<TurnId>,
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
        /// Milliseconds from the turn's start to the first piece of its answer, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "number")]
        ttft_ms: Option<u64>,
        /// Milliseconds from the turn's start to its end, if it was started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional, type = "number")]
        took_ms: Option<u64>,
        /// What the answer took of the model, as far as the agent says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        usage: Option<Usage>,
        /// Place in the session's record.
        #[ts(type = "number")]
        seq: u64,
    },
    /// The session ends soon, unless something is done.
    #[serde(rename = "session.expiring")]
    Expiring {
        /// Which clock.
        cause: Clock,
        /// Milliseconds until then.
        #[ts(type = "number")]
        remaining_ms: u64,
        /// Whether `extend` helps.
        can_extend: bool,
    },
    /// The session got more time.
    #[serde(rename = "session.extended")]
    Extended {
        /// What is left of it now.
        deadline: Deadline,
    },
    /// The answer to `ping`.
    #[serde(rename = "pong")]
    Pong {
        /// What the `ping` said.
        #[ts(type = "number")]
        t: u64,
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
        /// The message that was refused, by its own id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        id: Option<String>,
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

/// What is left of a session's time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deadline {
    /// Until the session ends for idleness, if nothing renews it; absent while nothing counts it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub idle_ms: Option<u64>,
    /// Until the session ends whatever happens.
    #[ts(type = "number")]
    pub max_ms: u64,
}

/// The clocks that end a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Nobody does anything.
    Idle,
    /// The session is as old as it may get.
    Max,
    /// The hub shuts down.
    Drain,
}

/// Tokens of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// What it read, cached or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub input_tokens: Option<u32>,
    /// Of that, what the provider had in its cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub cached_input_tokens: Option<u32>,
    /// What it wrote, thoughts included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub output_tokens: Option<u32>,
    /// Both.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub total_tokens: Option<u32>,
}

/// Why a client gets a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotReason {
    /// It did not say what it has.
    New,
    /// What it has is of another numbering.
    Epoch,
    /// What it has ends where no frame ends any more, or has not ended yet.
    Gap,
    /// What follows what it has is no longer kept.
    Gone,
}

/// `session.snapshot`: takes the place of all that a client has. Comes right after `session.ready`, and covers all up to
/// its `head`. `frames` are joined as they are, each a frame of the record.
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

/// States of a session, as users see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The agent is being started.
    Creating,
    /// The agent is there.
    Active,
    /// Nobody does anything; the session ends soon, unless somebody does.
    Idle,
    /// The agent is being ended.
    Terminating,
    /// The agent is gone.
    Terminated,
}

/// Steps of an agent's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It waits for its turn: all sessions are taken (with `position`), or as many agents are being started as may be.
    Queued,
    /// A warm agent becomes the session's.
    Claiming,
    /// The platform is starting the agent.
    Starting,
    /// The agent is started, and asked whether it is healthy.
    Probing,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A client said `bye`.
    Bye,
    /// The last socket left.
    Disconnected,
    /// Nobody did anything for too long.
    Idle,
    /// The session was as old as it may get.
    Max,
    /// Somebody ended it over REST.
    Deleted,
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
