//! Every bound of a session, with what happens at it.

use std::time::Duration;

use mayfly_protocol::agent::{CANCEL_GRACE_SECS, CHUNK_SILENCE_MAX_SECS};
pub use mayfly_protocol::agent::{CHUNK_MAX_DEPTH, CHUNK_MAX_KEYS};

use crate::rate::RateLimit;

/// Frames that are kept, with their overhead; past it the oldest are forgotten, and a socket that still waits for one of
/// them is closed with 4001.
pub const LOG_MAX_BYTES: usize = 256 * 1024;

/// Of these, frames that are kept as they were sent; past it adjacent deltas are merged.
pub const RECENT_MAX_BYTES: usize = 64 * 1024;

/// The text of merged deltas; longer ones stay apart, unless a single one is.
pub const MERGED_MAX_BYTES: usize = 8 * 1024;

/// What an entry of the log costs beyond its bytes.
pub const LOG_ENTRY_OVERHEAD_BYTES: usize = 112;

/// Sockets of a session at once; past it one more is refused with `quota.sockets`.
pub const SOCKETS_MAX: usize = 16;

/// Who only listens to a session, or waits for an answer, at once; past it one more is refused with `quota.sockets`.
pub const LISTENERS_MAX: usize = 16;

/// Pings in a row that may go without any sign of a socket; then it is closed with 4002.
pub const PINGS_MISSED_MAX: u32 = 2;

/// Messages whose ids are remembered, so that they are not taken twice.
pub const MESSAGE_IDS_MAX: usize = 64;

/// Frames for one socket alone that may wait (answers, errors); past it the socket is closed with 4001.
pub const DIRECT_MAX_FRAMES: usize = 64;

/// The bytes of these; there is room for a snapshot of all that is kept.
pub const DIRECT_MAX_BYTES: usize = LOG_MAX_BYTES + 128 * 1024;

/// Messages of any kind that a socket may send, Ping and Pong included; past it the socket is closed with 4005.
pub const MESSAGE_RATE: RateLimit = RateLimit { burst: 100, interval: Duration::from_millis(50) };

/// Frames of a socket that may be refused; past it the socket is closed with 4505.
pub const BAD_FRAME_RATE: RateLimit = RateLimit { burst: 16, interval: Duration::from_secs(10) };

/// Turns that may wait behind the running one; past it a message is refused with `quota.queue`.
pub const QUEUE_MAX_TURNS: usize = 8;

/// How long a refused message should wait before it is sent again.
pub const QUEUE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long an agent has to end a cancelled turn; then its stream is dropped.
pub const CANCEL_GRACE: Duration = Duration::from_secs(CANCEL_GRACE_SECS);

/// How long an agent may send nothing during a turn, comments included; then the turn fails.
pub const AGENT_SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long an agent may send no chunk during a turn; then the turn fails.
pub const CHUNK_SILENCE_MAX: Duration = Duration::from_secs(CHUNK_SILENCE_MAX_SECS);

/// How long a turn may take; then it fails.
pub const TURN_MAX: Duration = Duration::from_secs(30 * 60);

/// Signs of life in a row that may fail; then the agent is lost.
pub const SIGN_OF_LIFE_MISSES: u8 = 2;

/// How long turns may go on when the hub shuts down; then they are over.
pub const DRAIN_TURNS_MAX: Duration = Duration::from_secs(18);

/// When who is turned away because the hub shuts down may come back.
pub const DRAIN_RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long a session that was another hub's waits for its people at least: clients try to come back every 30 s.
pub const ADOPTION_GRACE_MIN: Duration = Duration::from_secs(60);

/// The highest number of a turn that another hub can have given: the rest is for those to come.
pub const TURN_RECALLED_MAX: u32 = u32::MAX / 2;
