//! Every bound of the hub's shell, and what happens when it is reached. `mayfly-session` has the bounds of a session.

use std::time::Duration;

use mayfly_platform::limits::AGENT_STOP_GRACE;
use mayfly_protocol::agent::EVENT_MAX_BYTES;
use mayfly_protocol::client::MESSAGE_MAX_BYTES;
use mayfly_session::limits::LOG_MAX_BYTES;
use mayfly_session::rate::RateLimit;

// Connections

/// Connections that the system keeps until the hub accepts them (listen(2)).
pub const LISTEN_BACKLOG: u32 = 4096;
/// Connections beyond one for each session; past it the hub closes the one that has waited longest without a request.
pub const CONNECTIONS_BEYOND_SESSIONS: usize = 8192;
/// Connections beyond one for each session, if the system allows few descriptors.
pub const CONNECTIONS_BEYOND_SESSIONS_MIN: usize = 16;
/// Time for a request's head to arrive; after it the hub closes the connection.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(8);
/// Time for a request to begin; after it the hub may close the connection to make room for another.
pub const HTTP_PATIENCE: Duration = Duration::from_secs(2);
/// Size of a request's head; the hub refuses a larger one with 431.
pub const HTTP_BUFFER_MAX_BYTES: usize = 16 * 1024;
/// Time between attempts to accept a connection after a failure or without room.
pub const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Connections without a request that the hub closes when it cannot accept another.
pub const ACCEPT_RETRY_DISMISSALS: usize = 64;
/// Smallest number of connections at which the slots of closed ones are removed. Above it, the number doubles.
pub const CONNECTION_SLOTS_TIDIED_MIN: usize = 64;
/// Descriptors of a session: its socket, its agent's connections, process and output.
pub const DESCRIPTORS_PER_SESSION: u64 = 6;
/// Descriptors of the hub beyond those of its sessions and connections.
pub const DESCRIPTORS_OF_THE_HUB: u64 = 64;
/// Time between checks for a changed TLS certificate or key.
pub const TLS_FILES_INTERVAL: Duration = Duration::from_secs(1);

// REST

/// Size of a call's body; the hub refuses a larger one with 413.
pub const REST_BODY_MAX_BYTES: usize = MESSAGE_MAX_BYTES;
/// Time for which a browser may cache a CORS preflight answer (Chromium's maximum).
pub const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);
/// Frames queued for one listener; the hub drops a listener that falls further behind than the transcript keeps.
pub const LISTENER_FRAMES_MAX: usize = 64;
/// Size of an answer in one JSON reply; a longer answer must be requested as a stream.
pub const REPLY_MAX_BYTES: usize = 1024 * 1024;
/// Time between comments on a silent event stream, so that no proxy closes it.
pub const STREAM_COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// Time for a session's task to report its state.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Sessions whose state is requested at the same time.
pub const LOOKS_AT_ONCE: usize = 64;
/// Time for a deleted session to terminate; after it the hub answers `terminating` with 202.
pub const DELETE_WAIT_MAX: Duration = Duration::from_secs(30);

// Sockets

/// Size of a message from a client; a larger one closes the socket with 1009.
pub const SOCKET_MESSAGE_MAX_BYTES: usize = MESSAGE_MAX_BYTES;
/// Size of a fragment that carries one byte, head and mask included. If the hub has read this much for each byte of
/// the longest message and no message is complete, it closes the socket with 1009.
pub const SOCKET_FRAGMENT_BYTES: usize = 8;
/// Read buffer of each socket, allocated as long as the socket is open.
pub const SOCKET_READ_BUFFER_BYTES: usize = 1024;
/// Write buffer of each socket; the hub flushes it when it is full, or when no frame is left.
pub const SOCKET_WRITE_BUFFER_BYTES: usize = 4 * 1024;
/// Maximum of the write buffer, never reached: a full buffer and the largest frame, a snapshot of the whole transcript.
pub const SOCKET_WRITE_BUFFER_MAX_BYTES: usize =
    SOCKET_WRITE_BUFFER_BYTES + LOG_MAX_BYTES + AGENT_EVENT_MAX_BYTES;
/// Bytes after the hub's close that are searched for the client's close: room for messages on their way.
/// After a violation of the protocol the hub searches none.
pub const LAST_MESSAGES_MAX_BYTES: usize = 2 * SOCKET_MESSAGE_MAX_BYTES;
/// Bytes of these that are searched at once.
pub const LAST_MESSAGES_AT_ONCE_BYTES: usize = 16 * 1024;
/// Size of one read of further bytes, which the hub discards.
pub const UNREAD_BUFFER_BYTES: usize = 16 * 1024;
/// Number of such reads at once.
pub const UNREAD_READS_AT_ONCE: usize = 4;
/// Time between reads from a client that keeps sending after the close; long, because each wake-up costs most.
pub const FAREWELL_INTERVAL: Duration = Duration::from_millis(250);
/// Time for the last frames and the close handshake; after it the hub cuts the connection.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

// Callers

/// Time for a socket without a credential to send `hello` with one; after it the hub closes the socket with 4502.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Validity of a ticket.
pub const TICKET_TTL: Duration = Duration::from_secs(30);
/// Tickets that are not redeemed; past it the hub issues no more.
pub const TICKETS_MAX: usize = 10_000;

// Places

/// Sessions in the line; past it the hub refuses a client with `quota.sessions`. Fewer if the system allows few descriptors.
pub const WAITING_MAX: usize = 1024;
/// Rate of requests for sessions from one address; past it the hub refuses them with `quota.rate`.
pub const ADDRESS_RATE: RateLimit = RateLimit { burst: 20, interval: Duration::from_secs(1) };
/// Addresses whose rate is counted; past it the hub asks other addresses to retry later.
pub const ADDRESSES_MAX: usize = 10_000;
/// Time after which a slow start no longer counts against `--parallel-spawns`.
pub const SPAWN_SHARE_MAX: Duration = Duration::from_secs(5);

// Requests to sessions

/// Sockets that join one session at the same time; others wait for their turn.
pub const REQUESTS_MAX: usize = 4;

// Measurement

/// Number of chunk arrivals of a session of which the relay delay of one is measured.
pub const RELAY_SAMPLE_INTERVAL: u32 = 64;

/// Time for a collector to accept a batch of spans; after it the batch is lost.
pub const TRACES_POST_TIMEOUT: Duration = Duration::from_secs(5);
/// Size of a collector's answer; a larger one counts as a failure.
pub const TRACES_ANSWER_MAX_BYTES: usize = 64 * 1024;
/// Time to send the last spans when the hub shuts down.
pub const TRACES_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

// Agents

/// Size of one event of an agent's stream; a larger one fails the turn with `agent.protocol`.
pub const AGENT_EVENT_MAX_BYTES: usize = EVENT_MAX_BYTES;
/// Bytes read ahead from an agent; beyond it the agent waits.
pub const AGENT_READ_BUFFER_BYTES: usize = 16 * 1024;
/// Events relayed in one flush; after them other sessions have their turn.
pub const AGENT_EVENTS_PER_FLUSH: usize = 64;
/// Bytes relayed in one flush, far below the transcript that a session keeps for slow sockets.
pub const AGENT_BYTES_PER_FLUSH: usize = 32 * 1024;
/// Time for a call to an agent without a stream: health, cancel.
pub const AGENT_CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Size of the answer to such a call; a larger one fails the call.
pub const AGENT_ANSWER_MAX_BYTES: usize = 16 * 1024;
/// Time between health checks of a starting agent, at first.
pub const PROBE_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// Time between health checks of a starting agent, at most.
pub const PROBE_INTERVAL_MAX: Duration = Duration::from_millis(250);
/// Time between attempts to stop an agent, at first.
pub const STOP_RETRY_INTERVAL_MIN: Duration = Duration::from_millis(250);
/// Time between attempts to stop an agent, at most.
pub const STOP_RETRY_INTERVAL_MAX: Duration = Duration::from_secs(15);
/// Attempts to list a platform's agents at start; after them the hub starts without the list.
pub const LIST_ATTEMPTS: usize = 5;
/// Time between these attempts.
pub const LIST_RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Time between a session's deadline and its agent's later deadline.
pub const AGENT_DEADLINE_MARGIN: Duration = Duration::from_secs(60);

/// Time between searches for agents that a dead hub was starting, at first.
pub const STRAYS_INTERVAL_MIN: Duration = Duration::from_secs(2);
/// Time between searches for agents that a dead hub was starting, at most.
pub const STRAYS_INTERVAL_MAX: Duration = Duration::from_secs(60);

// Warm agents

/// Time between starts of warm agents.
pub const POOL_SPAWN_INTERVAL: Duration = Duration::from_millis(200);
/// Time to the next start of a warm agent after a failure, at first; doubled with each failure in a row.
pub const POOL_BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Time to the next start of a warm agent after a failure, at most.
pub const POOL_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Age at which a warm agent is replaced.
pub const POOL_AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// Random part by which the age is shortened, so that not all warm agents are replaced at the same time.
pub const POOL_AGE_JITTER_PERCENT: u32 = 20;
/// Time between checks whether warm agents are of the current version.
pub const POOL_VERSION_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum of `--pool-size`.
pub const POOL_SIZE_MAX: usize = 1_000;

// Egress

/// Bytes that an agent may send and receive through the hub; beyond it its tunnels are cut and no other is opened.
pub const EGRESS_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Refused connections of one agent that are logged; all of them are counted.
pub const EGRESS_REFUSALS_LOGGED: u64 = 16;

// Shutdown

/// Time for agents to end after the last turn, as long as one agent may take; after it the hub leaves them.
pub const DRAIN_AGENTS_MAX: Duration = Duration::from_secs(AGENT_STOP_GRACE.as_secs() + 1);
/// Time for connections to close after the last session; after it the hub cuts them.
pub const DRAIN_REST_MAX: Duration = Duration::from_secs(CLOSE_TIMEOUT.as_secs() + 1);
/// Time of the whole shutdown, turns included.
pub const DRAIN_MAX: Duration = Duration::from_secs(30);

// Journal

/// Requests queued for the journal; past it entries are lost, counted and logged.
pub const JOURNAL_QUEUE_MAX: usize = 16 * 1024;
/// Entries in one transaction; further entries go into the next.
pub const JOURNAL_BATCH_MAX: usize = 1024;
/// Time for the journal to write an entry that a caller waits for, or to answer a query; after it the journal counts as
/// failing, and callers no longer wait.
pub const JOURNAL_WAIT_MAX: Duration = Duration::from_secs(1);
/// Time between attempts to write entries after a failure.
pub const JOURNAL_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Time for another program to release the journal's file.
pub const JOURNAL_BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// Time for which the journal keeps a terminated session.
pub const JOURNAL_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Terminated sessions that the journal keeps; it removes the oldest first.
pub const JOURNAL_SESSIONS_MAX: i64 = 200_000;
/// Time between removals of old sessions.
pub const JOURNAL_TIDY_INTERVAL: Duration = Duration::from_secs(60);
/// Size of the journal's file; when it is full, writes fail until the oldest sessions are removed.
pub const JOURNAL_FILE_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Part of the journal that is cached in memory.
pub const JOURNAL_CACHE_BYTES: u64 = 256 * 1024;
/// Size to which the journal's write-ahead log is truncated.
pub const JOURNAL_LOG_MAX_BYTES: u64 = 4 * 1024 * 1024;

// Settings

/// Minimum of `--idle-ttl` and `--max-ttl`.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// Maximum of `--idle-ttl` and `--max-ttl`.
pub const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Maximum of other durations, such as `--wait` and `--grace`.
pub const WAIT_MAX: Duration = Duration::from_secs(60 * 60);
/// Maximum of `--max-sessions`.
pub const MAX_SESSIONS_MAX: usize = 100_000;
/// Maximum of `--parallel-spawns`.
pub const PARALLEL_SPAWNS_MAX: usize = 1_000;
