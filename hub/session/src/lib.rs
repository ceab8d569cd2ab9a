//! The behaviour of one session, as a state machine that is driven from outside.
//!
//! ```text
//!                 Ready                    end: bye, disconnected, agent_lost, drained
//!   creating ------------> active ----------------------------------+
//!      |                                                            v        Gone
//!      +--- end: spawn_failed, bye, disconnected, drained ---> terminating ------> terminated
//! ```
//!
//! An agent that is known to be gone leaves nothing to stop: then `terminating` is skipped.
//!
//! The driver (the hub's shell) calls `handle_*` with what happened and the time it happened, then takes what is to be
//! done from [`Session::poll_command`], what is to be sent from [`Session::poll_transmit`], and the time of the next
//! [`Session::handle_timeout`] from [`Session::poll_timeout`]. There is no runtime, no clock and no I/O in this crate:
//! its manifest has none.
//!
//! - `session.rs`: states; who calls whom. `session/answer.rs`: what an answer does to its turn. `session/end.rs`: how a
//!   session ends
//! - `turns.rs`: which turn runs, which wait
//! - `log.rs`: the numbered frames that some socket still has to take
//! - `cursor.rs`: one socket's place in the log, and the frames that are for it alone
//! - `rate.rs`: how often something may happen
//! - `chunk.rs`: what an agent may send, checked in one pass, and the frame made of it
//! - `limits.rs`: every bound

pub mod chunk;
mod command;
mod cursor;
pub mod limits;
mod log;
pub mod rate;
mod session;
mod turns;

pub use command::{AgentEvent, Command, PlatformEvent, SocketId, Transmit};
pub use session::{Session, Settings};
