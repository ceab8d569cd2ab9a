//! What goes in and out of a [`Session`](crate::Session).

use bytes::Bytes;
use mayfly_protocol::code::{CloseCode, ErrorCode};
use mayfly_protocol::hub::Step;
use mayfly_protocol::ids::{Epoch, TurnId};

use crate::record::Record;

/// One socket of a session; given by the driver, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

/// How a socket comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// It made the session: it is told the token.
    Create,
    /// It comes to a session that exists.
    Join {
        /// The numbering, and the last number in it, that the client has; if it has anything.
        position: Option<(Epoch, u64)>,
    },
    /// It only listens, and takes no part: it is not asked for signs of life, and nothing changes when it comes or goes.
    Listen {
        /// As that of a socket that joins.
        position: Option<(Epoch, u64)>,
    },
}

/// How a socket went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detach {
    /// Its client closed it: the person is done.
    Closed,
    /// It was lost: the person may come back.
    Lost,
}

/// What the driver is to do. Each of these but [`Command::Record`] is told back to the session when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start an agent and wait until it is healthy: [`PlatformEvent`] `Step`s, then `Ready`, `Failed` or `Gone`.
    Spawn,
    /// End the agent, also one that is still being started: `Gone` (or `Failed`) when nothing of it is left.
    Stop,
    /// Ask the agent for a turn: [`AgentEvent`]s until it is over.
    StartTurn {
        /// The turn.
        turn: TurnId,
        /// What the person said.
        text: String,
        /// What the client calls that, if it says so.
        message: Option<String>,
        /// The turn whose answer this one takes the place of.
        replaces: Option<TurnId>,
    },
    /// Ask the agent for the events of a turn that another hub has started, from the first on: as
    /// [`Command::StartTurn`].
    ResumeTurn {
        /// The turn.
        turn: TurnId,
    },
    /// Ask the agent to end a turn: [`handle_cancelled`](crate::Session::handle_cancelled) when it has answered, or does
    /// not in time.
    CancelTurn {
        /// The turn.
        turn: TurnId,
    },
    /// Call the agent, so that it knows there is a hub, and the hub that there is an agent: `Alive` or `Silent`.
    SignOfLife,
    /// Keep this.
    Record(Record),
}

/// What comes out for one socket, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// A text message to send, and up to which number its client has the record then; nothing if it is no part of that.
    Frame(Bytes, Option<u64>),
    /// A WebSocket Ping to send.
    Ping,
    /// Close the socket; the session has forgotten it.
    Close(CloseCode),
}

/// What became of the agent's process or container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformEvent {
    /// Its start has come this far.
    Step(Step),
    /// It is healthy.
    Ready,
    /// It could not be started, and nothing of it is left.
    Failed {
        /// `spawn.failed` or `spawn.image`.
        code: ErrorCode,
        /// Why, for people.
        message: String,
    },
    /// It is gone, by itself or by [`Command::Stop`].
    Gone,
    /// It answered a sign of life.
    Alive,
    /// It did not answer a sign of life in time.
    Silent,
}

/// What an agent's answer to a turn brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentEvent<'a> {
    /// Something came that is no event: the head of the answer, a comment, a part of an event.
    Alive,
    /// The data of one event.
    Chunk(&'a [u8]),
    /// There is no more to come: the stream ended, or broke, or never was one. What it means when the
    /// turn is over already: nothing.
    Failed {
        /// `agent.unreachable`, `agent.http`, `agent.protocol` or `agent.stream_truncated`.
        code: ErrorCode,
        /// Why, for people.
        message: &'a str,
    },
}
