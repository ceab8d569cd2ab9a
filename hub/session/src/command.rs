//! The inputs and outputs of a [`Session`](crate::Session).

use bytes::Bytes;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::{Epoch, TurnId};
use mayfly_protocol::refusal::Close;

use crate::journal::JournalEntry;

/// The id of a socket within its session. The driver assigns it and never uses it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

/// The way in which a socket attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// The socket created the session. It receives the token.
    Create,
    /// The socket joins the session or resumes it.
    Join {
        /// The epoch and the last sequence number that the client has, if it has any.
        position: Option<(Epoch, u64)>,
    },
    /// The socket only listens: it gets no Pings, and the session does not depend on it.
    Listen {
        /// The epoch and the last sequence number that the client has, if it has any.
        position: Option<(Epoch, u64)>,
    },
}

/// The way in which a socket detached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detach {
    /// The client closed it on purpose.
    Closed,
    /// The connection was lost; the client may come back.
    Lost,
}

/// A task for the driver.
///
/// The driver reports the outcome of each command but [`Command::Close`] and [`Command::Journal`], as the variant says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Begin the [`Lifecycle`](crate::lifecycle::Lifecycle) of an agent. Its
    /// [`LifecycleChange`](crate::lifecycle::LifecycleChange)s are reported.
    Spawn,
    /// Stop the agent, even if it is still being started. Reported as
    /// [`LifecycleChange::Gone`](crate::lifecycle::LifecycleChange::Gone) once nothing of it is left.
    Stop,
    /// Start a turn. Reported as [`AgentEvent`]s until the turn is over.
    StartTurn {
        /// The turn.
        turn: TurnId,
        /// The message.
        text: String,
        /// The client's id of the message, if it gave one.
        message: Option<String>,
        /// The turn whose answer this turn replaces.
        replaces: Option<TurnId>,
    },
    /// Request all events of a turn that another hub has started. Reported as for [`Command::StartTurn`].
    ResumeTurn {
        /// The turn.
        turn: TurnId,
    },
    /// Ask the agent to end a turn. Reported by [`handle_cancelled`](crate::Session::handle_cancelled) once the agent has
    /// answered or has not answered in time.
    CancelTurn {
        /// The turn.
        turn: TurnId,
    },
    /// Send these frames to a socket, then close it. The session has forgotten the socket, so nothing else follows for it.
    /// Ignored if the socket is gone.
    Close {
        /// The socket.
        socket: SocketId,
        /// The frames that the socket has not taken yet, with the sequence number that each completes.
        frames: Vec<(Bytes, Option<u64>)>,
        /// The close frame.
        close: Close,
    },
    /// Write an entry into the journal.
    Journal(JournalEntry),
}

/// An output for one socket. Outputs are in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// A text message, and the sequence number up to which the client then has the transcript, if the frame is part of it.
    Frame(Bytes, Option<u64>),
    /// A WebSocket Ping.
    Ping,
}

/// A part of an agent's answer to a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentEvent<'a> {
    /// Bytes that are no event yet: the head of the answer, a comment, a part of an event.
    Alive,
    /// The data of one event.
    Chunk(&'a [u8]),
    /// The stream ended, broke or never began. Ignored if the turn is already over.
    Failed {
        /// `agent.unreachable`, `agent.http`, `agent.protocol` or `agent.stream_truncated`.
        code: ErrorCode,
        /// The cause, for people.
        message: &'a str,
    },
}
