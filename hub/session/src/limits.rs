//! Every bound of a session, and its effect.

use std::time::Duration;

use mayfly_protocol::agent::{CANCEL_GRACE_SECS, CHUNK_SILENCE_MAX_SECS};
pub use mayfly_protocol::agent::{CHUNK_MAX_DEPTH, CHUNK_MAX_KEYS};

use crate::rate::RateLimit;

/// Bytes of the frames that are kept, with their overhead. Past it the oldest are forgotten, and a socket whose next frame
/// is forgotten is closed with 4001.
pub const LOG_MAX_BYTES: usize = 256 * 1024;

/// Bytes of the frames that are kept as they were sent. Past it adjacent deltas are merged.
pub const RECENT_MAX_BYTES: usize = 64 * 1024;

/// Bytes of the text of merged deltas. Deltas that would exceed it together stay apart.
pub const MERGED_MAX_BYTES: usize = 8 * 1024;

/// Overhead of a frame that is kept, in bytes.
pub const LOG_ENTRY_OVERHEAD_BYTES: usize = 112;

/// Sockets of a session. Past it a socket is refused with `quota.sockets`.
pub const SOCKETS_MAX: usize = 16;

/// Listeners of a session, including callers that wait for an answer. Past it a listener is refused with `quota.sockets`.
pub const LISTENERS_MAX: usize = 16;

/// Pings in a row without a sign of life of a socket. One heartbeat interval later it is closed with 4002.
pub const PINGS_MISSED_MAX: u32 = 2;

/// Messages whose ids are remembered, so that none is accepted twice.
pub const MESSAGE_IDS_MAX: usize = 64;

/// Frames for one socket alone (answers, errors) that wait. Past it the socket is closed with 4001.
pub const DIRECT_MAX_FRAMES: usize = 64;

/// Bytes of these frames: a snapshot of all that is kept, and more.
pub const DIRECT_MAX_BYTES: usize = LOG_MAX_BYTES + 128 * 1024;

/// Rate of a socket's messages of any kind, Ping and Pong included. Past it the socket is closed with 4005.
pub const MESSAGE_RATE: RateLimit = RateLimit { burst: 100, interval: Duration::from_millis(50) };

/// Rate of a socket's refused frames. Past it the socket is closed with 4505.
pub const BAD_FRAME_RATE: RateLimit = RateLimit { burst: 16, interval: Duration::from_secs(10) };

/// Turns that wait behind the running one. Past it a message is refused with `quota.queue`.
pub const QUEUE_MAX_TURNS: usize = 8;

/// Time after which a refused message may be sent again.
pub const QUEUE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bytes of the messages of a session in the hub's line. Past it a message is refused with `quota.queue`.
pub const LINE_MESSAGES_MAX_BYTES: usize = 64 * 1024;

/// Bytes of the log of a session in the hub's line, of messages that were stopped too. Past it a message is refused
/// with `quota.queue`.
pub const LINE_LOG_MAX_BYTES: usize = 2 * LINE_MESSAGES_MAX_BYTES;

/// Interval at which clients are told a changed position in the hub's line.
pub const POSITION_INTERVAL: Duration = Duration::from_secs(1);

/// Retry delay sent when all sessions are taken.
pub const CAPACITY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Time in which an agent must end a cancelled turn. Past it the turn's stream is dropped.
pub const CANCEL_GRACE: Duration = Duration::from_secs(CANCEL_GRACE_SECS);

/// Time without a byte of the agent during a turn, comments included. Past it the turn fails.
pub const AGENT_SILENCE_MAX: Duration = Duration::from_secs(30);

/// Time without a chunk of the agent during a turn. Past it the turn fails.
pub const CHUNK_SILENCE_MAX: Duration = Duration::from_secs(CHUNK_SILENCE_MAX_SECS);

/// Duration of a turn. Past it the turn fails.
pub const TURN_MAX: Duration = Duration::from_secs(30 * 60);

/// Failed signs of life in a row after which the agent is lost.
pub const SIGN_OF_LIFE_MISSES: u8 = 2;

/// Time that turns have to finish when the hub shuts down. Past it they are over.
pub const DRAIN_TURNS_MAX: Duration = Duration::from_secs(18);

/// Time after which a client that is refused because the hub shuts down may come back.
pub const DRAIN_RETRY_AFTER: Duration = Duration::from_secs(2);

/// Least grace of a session that was adopted. Clients try to come back every 30 s.
pub const ADOPTION_GRACE_MIN: Duration = Duration::from_secs(60);

/// Highest number of a turn of another hub. The rest is for new turns.
pub const TURN_RECALLED_MAX: u32 = u32::MAX / 2;
