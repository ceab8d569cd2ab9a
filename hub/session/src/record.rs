//! What is worth keeping of a session: told by [`Command::Record`](crate::Command::Record) when it happens, in order.
//! Who keeps it, and how, is the shell's affair.

use std::time::Duration;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{EndReason, Status, Step, TurnReason, Usage};
use mayfly_protocol::ids::TurnId;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The session is in another state now. It begins as `creating`, which is not told.
    Status(Status),
    /// The first socket came.
    Joined,
    /// A step of the agent's start is over, and took so long.
    Step(Step, Duration),
    /// An accepted turn is over.
    Turn(Box<TurnRecord>),
    /// The session ends; comes once, between the states before and after.
    Ended(Ended),
}

/// What became of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnRecord {
    /// The turn.
    pub turn: TurnId,
    /// How it ended.
    pub reason: TurnReason,
    /// What went wrong, when the reason is `error`.
    pub code: Option<ErrorCode>,
    /// From its start to its end; absent if it never ran.
    pub took: Option<Duration>,
    /// From its start to the first piece of its answer, if one came.
    pub first_token: Option<Duration>,
    /// What the answer took of the model, as far as the agent says.
    pub usage: Option<Usage>,
}

/// Why a session ends, and what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// What went wrong, if something did.
    pub code: Option<ErrorCode>,
    /// Turns that were accepted.
    pub turns: u32,
    /// Messages that were accepted; a turn asked for again is none.
    pub messages: u32,
    /// Bytes of its record: what each of its sockets was sent.
    pub bytes: u64,
}
