//! The facts of a session that outlive it, as [`Command::Journal`](crate::Command::Journal) tells them in order. The shell
//! decides where they go: the journal, metrics, traces.

use std::time::Duration;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{EndReason, Status, Step, TurnReason, Usage};
use mayfly_protocol::ids::TurnId;

/// A fact about a session. There are none while it waits in the hub's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalEntry {
    /// The session entered a state. It begins as `creating`, without an entry.
    Status(Status),
    /// The first socket attached.
    Joined,
    /// A step of the agent's start is over. It took this long.
    Step(Step, Duration),
    /// An accepted turn is over.
    Turn(Box<TurnSummary>),
    /// The session ends. There is one such entry, before the last state.
    Ended(SessionSummary),
    /// The session left the hub's line without being admitted. This is the only entry of such a session. The code says why
    /// the hub refused it; there is none if the session ended by itself.
    LeftLine(Option<ErrorCode>),
}

/// The outcome of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnSummary {
    /// The turn.
    pub turn: TurnId,
    /// The reason why it ended.
    pub reason: TurnReason,
    /// The error, when the reason is `error`.
    pub code: Option<ErrorCode>,
    /// Time from its start to its end; absent if it never ran.
    pub took: Option<Duration>,
    /// Time from its start to the first delta of its answer, if there was one.
    pub first_token: Option<Duration>,
    /// The model's usage, as far as the agent reports it.
    pub usage: Option<Usage>,
}

/// The outcome of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionSummary {
    /// The reason why it ended.
    pub reason: EndReason,
    /// The error that ended it, if one did.
    pub code: Option<ErrorCode>,
    /// Accepted turns.
    pub turns: u32,
    /// Accepted messages; a regenerated turn is none.
    pub messages: u32,
    /// Bytes of all numbered frames, each counted once.
    pub bytes: u64,
}
