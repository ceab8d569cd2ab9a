//! The behaviour of one session, as a state machine without I/O.
//!
//! ```text
//!    (queued)
//!      |   |
//!      |   | end, drain ------------------------------------------------------------------------> terminated
//!      |
//!      | admitted
//!      v       Ready             idle warning
//!   creating --------> active ------------------> idle
//!      |               |    ^                     |  |
//!      |               |    +---------------------+  |
//!      |               |           activity          |
//!      |               +--------------+--------------+
//!      |                              |
//!      | end, drain                   | end, drain                     drain, and the agent lives on
//!      v                              v
//!   terminating <---------------------+---------------------------------> (left)
//!      |
//!      | Gone
//!      v
//!   terminated
//! ```
//!
//! - queued: the session waits in the hub's line until there is room for it. Messages wait. Clients see `creating` with the
//!   step `queued` and a position.
//! - `creating`: the agent is being started. Messages wait.
//! - `active`: the agent is ready.
//! - `idle`: as `active`, and clients were warned that the idle time is almost over.
//! - left: the hub shuts down, and the next hub adopts the session with its agent. Clients never see this state; they are
//!   told to come back.
//! - `terminating`: the agent is being stopped. Every turn is over and every socket is closed.
//! - `terminated`: nothing of the agent is left.
//!
//! A session that is adopted from another hub begins as `active`. If the agent is known to be gone, the session skips
//! `terminating`.
//!
//! [`Session`] documents how a driver calls it. There is no runtime, no clock and no I/O in this crate, because its
//! manifest has none.
//!
//! - `session.rs`: the state and the inputs of clients. In `session/`: `agent.rs`, the agent's lifecycle; `sockets.rs`,
//!   sockets that come, go and fall behind; `turn.rs`, requests about turns; `answer.rs`, the agent's answers; `time.rs`,
//!   activity and warnings; `end.rs`, the end of the session; `drain.rs`, the end of the hub; `line.rs`, the hub's
//!   line; `adopt.rs`, sessions of
//!   another hub; `rest.rs`, REST calls
//! - `timers.rs`: the table of timers; `clocks.rs`: the idle, max and grace clocks, which set theirs there
//! - `settings.rs`: the settings of an operator; `limits.rs`: every bound
//! - `turns.rs`: the running turn and the queue
//! - `log.rs`: the numbered frames; `cursor.rs`: a socket's place among them
//! - `journal.rs`: the facts that outlive a session
//! - `lifecycle.rs`: the lifecycle of one agent, of a session or of the warm pool
//! - `rate.rs`: rate limits
//! - `chunk.rs`: the check of an agent's events in one pass by `chunk/scanner.rs`, and the frames made of them
//!
//! `ARCHITECTURE.md` defines every state and lists the invariants.

pub mod chunk;
mod clocks;
mod command;
mod cursor;
mod duration;
mod journal;
pub mod lifecycle;
pub mod limits;
mod log;
pub mod rate;
mod session;
mod settings;
mod timers;
mod turns;

pub use command::{AgentEvent, Attach, Command, Detach, SocketId, Transmit};
pub use journal::{JournalEntry, SessionSummary, TurnSummary};
pub use session::adopt::Adopted;
pub use session::drain::Fate;
pub use session::rest::View;
pub use session::{Identity, Session};
pub use settings::{Activity, Settings};
