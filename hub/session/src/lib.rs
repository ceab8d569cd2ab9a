//! The behaviour of one session, as a state machine that is driven from outside.
//!
//! ```text
//!                       idle warning
//!             Ready    +-----------> idle ---+
//!   creating ------> active <----------+     |
//!      |               |   something is done |
//!      |               +-------+-------------+
//!      |                       | end: bye, disconnected, idle, max, agent_lost, drained
//!      |                       v               Gone
//!      +------------------> terminating ------------> terminated
//!        end: bye, disconnected, spawn_failed, max, drained
//! ```
//!
//! A session that is adopted from another hub begins as `active`.
//!
//! An agent that is known to be gone leaves nothing to stop: then `terminating` is skipped.
//!
//! The driver (the hub's shell) calls `handle_*` with what happened and the time it happened, then takes what is to be
//! done from [`Session::poll_command`], what is to be sent from [`Session::poll_transmit`], and the time of the next
//! [`Session::handle_timeout`] from [`Session::poll_timeout`]. There is no runtime, no clock and no I/O in this crate:
//! its manifest has none.
//!
//! - `session.rs`: states; who calls whom. In `session/`: `sockets.rs`, who takes part and what each is told; `turn.rs`,
//!   what a person asks of turns; `answer.rs`, what an agent's answer does to its turn; `end.rs`, how a session ends; `drain.rs`, what the end of
//!   the hub means for it; `adopt.rs`, how another hub's session goes on; `rest.rs`, what is done
//!   without a socket
//! - `clocks.rs`: how long a session may last; `settings.rs`: what of that an operator may set
//! - `turns.rs`: which turn runs, which wait
//! - `log.rs`: the numbered frames, as far back as they are kept
//! - `cursor.rs`: a socket's or a listener's place in the log, and the frames that are for it alone
//! - `record.rs`: what is worth keeping of a session
//! - `rate.rs`: how often something may happen
//! - `chunk.rs`: what an agent may send, checked in one pass by `chunk/scanner.rs`, and the frame made of it
//! - `lifecycle.rs`: the lifecycle of one agent, of a session or of the warm pool
//! - `limits.rs`: every bound

use std::time::Duration;

pub mod chunk;
mod clocks;
mod command;
mod cursor;
pub mod lifecycle;
pub mod limits;
mod log;
pub mod rate;
mod record;
mod session;
mod settings;
mod turns;

pub use command::{AgentEvent, Attach, Command, Detach, PlatformEvent, SocketId, Transmit};
pub use record::{Ended, Record, TurnRecord};
pub use session::adopt::Adopted;
pub use session::drain::Fate;
pub use session::rest::View;
pub use session::{Identity, Session};
pub use settings::{Activity, Settings};

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
