//! Every bound of a session, with what happens at it.

use std::time::Duration;

/// Frames that wait for the slowest socket, in bytes with their overhead; past it the socket is closed with 4001.
pub const LOG_MAX_BYTES: usize = 192 * 1024;

/// What an entry of the log costs beyond its bytes.
pub const LOG_ENTRY_OVERHEAD_BYTES: usize = 64;

/// Frames for one socket alone that may wait (answers, errors); past it the socket is closed with 4001.
pub const DIRECT_MAX_FRAMES: usize = 64;

/// Turns that may wait behind the running one; past it a message is refused with `quota.queue`.
pub const QUEUE_MAX_TURNS: usize = 8;

/// How long a refused message should wait before it is sent again.
pub const QUEUE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long an agent has to end a cancelled turn; then its stream is dropped.
pub const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// Signs of life in a row that may fail; then the agent is lost.
pub const SIGN_OF_LIFE_MISSES: u8 = 2;

/// Keys in the top level of one chunk; more are refused.
pub const CHUNK_MAX_KEYS: usize = 24;

/// How deeply a chunk's values may nest; deeper ones are refused.
pub const CHUNK_MAX_DEPTH: usize = 32;
