//! Every bound of the hub's shell, with what happens at it. The rules of a session have theirs in `mayfly-session`.

use std::time::Duration;

use mayfly_platform::limits::AGENT_STOP_GRACE;
use mayfly_protocol::agent::EVENT_MAX_BYTES;
use mayfly_protocol::client::MESSAGE_MAX_BYTES;
use mayfly_session::limits::LOG_MAX_BYTES;
use mayfly_session::rate::RateLimit;

// Connections

/// Connections that the system keeps until the hub takes them (listen(2)).
pub const LISTEN_BACKLOG: u32 = 4096;
/// Connections beyond one for each session; past it the one that has waited longest without a request is closed.
pub const CONNECTIONS_BEYOND_SESSIONS: usize = 8192;
/// The same where the system allows few descriptors.
pub const CONNECTIONS_BEYOND_SESSIONS_MIN: usize = 16;
/// For a request's head to arrive; then the connection is closed.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(8);
/// For a request to begin where others want the room; then the connection may be closed for them.
pub const HTTP_PATIENCE: Duration = Duration::from_secs(2);
/// For a request's head; a longer one is refused with 431.
pub const HTTP_BUFFER_MAX_BYTES: usize = 16 * 1024;
/// Until the next try when a connection could not be accepted, or there was no room for it.
pub const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Connections without a request that are closed when one could not be accepted.
pub const ACCEPT_RETRY_DISMISSALS: usize = 64;
/// Smallest number of connections at which the slots of closed ones are removed. Above it, the number doubles.
pub const CONNECTION_SLOTS_TIDIED_MIN: usize = 64;
/// Descriptors of a session: its socket, its agent's connections, process and output.
pub const DESCRIPTORS_PER_SESSION: u64 = 6;
/// Descriptors of the hub beyond those of its sessions and connections.
pub const DESCRIPTORS_OF_THE_HUB: u64 = 64;
/// Between two looks whether the TLS certificate or its key has changed.
pub const TLS_FILES_INTERVAL: Duration = Duration::from_secs(1);

// REST

/// The body of a call; a longer one is refused with 413.
pub const REST_BODY_MAX_BYTES: usize = MESSAGE_MAX_BYTES;
/// How long a browser need not ask again whether a page of another origin may call (Chromium takes no more).
pub const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);
/// Frames on their way to one who listens; when more wait than may be kept, it is let go.
pub const LISTENER_FRAMES_MAX: usize = 64;
/// An answer's text as JSON, in one piece; a longer one has to be asked for as a stream.
pub const REPLY_MAX_BYTES: usize = 1024 * 1024;
/// Between two comments on a stream where nothing happens, so that nobody on the way takes it for dead.
pub const STREAM_COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// For a session's task to say how it is.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Sessions that are asked at once how they are.
pub const LOOKS_AT_ONCE: usize = 64;
/// For a session that is deleted to be gone; then it is said to be `terminating`, with 202.
pub const DELETE_WAIT_MAX: Duration = Duration::from_secs(30);

// Sockets

/// One message from a client; a longer one closes the socket with 1009.
pub const SOCKET_MESSAGE_MAX_BYTES: usize = MESSAGE_MAX_BYTES;
/// What a byte of a message takes in a fragment of its own, head and mask included. When more than that for each byte of
/// the longest message was read and no message is complete, the socket is closed with 1009.
pub const SOCKET_FRAGMENT_BYTES: usize = 8;
/// Allocated for each socket as long as it lives.
pub const SOCKET_READ_BUFFER_BYTES: usize = 1024;
/// Frames are written to the socket when there is as much of them, or when there are no more.
pub const SOCKET_WRITE_BUFFER_BYTES: usize = 4 * 1024;
/// Above what one frame beyond a full write buffer can take, a snapshot of all that is kept, so never met.
pub const SOCKET_WRITE_BUFFER_MAX_BYTES: usize =
    SOCKET_WRITE_BUFFER_BYTES + LOG_MAX_BYTES + AGENT_EVENT_MAX_BYTES;
/// What of a client that is being closed is looked through for its own close: room for a message that was on its way.
/// Nothing is, of one that broke a rule.
pub const LAST_MESSAGES_MAX_BYTES: usize = 2 * SOCKET_MESSAGE_MAX_BYTES;
/// Of this, what is looked through at once.
pub const LAST_MESSAGES_AT_ONCE_BYTES: usize = 16 * 1024;
/// One read of what a client sends beyond that, which is not looked at.
pub const UNREAD_BUFFER_BYTES: usize = 16 * 1024;
/// How often it is read at once.
pub const UNREAD_READS_AT_ONCE: usize = 4;
/// Between two looks at a client that is being closed and has more to say; seldom, since what costs most is to wake up.
pub const FAREWELL_INTERVAL: Duration = Duration::from_millis(250);
/// For the last frames and the close handshake; then the connection is cut.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

// Callers

/// For a socket without a credential to say `hello` with one; then it is closed with 4502.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a ticket is good.
pub const TICKET_TTL: Duration = Duration::from_secs(30);
/// Tickets that wait to be redeemed; past it no more are minted.
pub const TICKETS_MAX: usize = 10_000;

// Places

/// Sessions in the line. Past it a client is refused with `quota.sessions`. Fewer where the system allows few descriptors.
pub const WAITING_MAX: usize = 1024;
/// Sessions that may be asked for from one address; past it they are refused with `quota.rate`.
pub const ADDRESS_RATE: RateLimit = RateLimit { burst: 20, interval: Duration::from_secs(1) };
/// Addresses that are counted; past it another one is told to come later.
pub const ADDRESSES_MAX: usize = 10_000;
/// For which an agent that is being started keeps others from it; one that takes longer is not counted any more.
pub const SPAWN_SHARE_MAX: Duration = Duration::from_secs(5);

// Requests to sessions

/// Requests in a session's mailbox; a further sender waits.
pub const REQUESTS_MAX: usize = 4;

// Measurement

/// Of so many arrivals of an agent's chunks one is measured on its way through the hub.
pub const RELAY_SAMPLE_INTERVAL: u32 = 64;

/// For a collector to take a batch of spans; then it is lost.
pub const TRACES_POST_TIMEOUT: Duration = Duration::from_secs(5);
/// Its answer; a longer one counts as none.
pub const TRACES_ANSWER_MAX_BYTES: usize = 64 * 1024;
/// For the last spans to be sent when the hub ends.
pub const TRACES_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

// Agents

/// One event of an agent's stream; a longer one fails the turn with `agent.protocol`.
pub const AGENT_EVENT_MAX_BYTES: usize = EVENT_MAX_BYTES;
/// Read ahead from an agent; beyond it the agent waits.
pub const AGENT_READ_BUFFER_BYTES: usize = 16 * 1024;
/// Events that are put into one flush when they are there at once; then other sessions have their turn.
pub const AGENT_EVENTS_PER_FLUSH: usize = 64;
/// Likewise for their bytes: no flush comes near what a session keeps for those who are behind.
pub const AGENT_BYTES_PER_FLUSH: usize = 32 * 1024;
/// For a call without a stream: health, cancel.
pub const AGENT_CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The answer to such a call; a longer one fails it.
pub const AGENT_ANSWER_MAX_BYTES: usize = 16 * 1024;
/// Between two questions whether an agent that was just started is healthy: at first, and at most.
pub const PROBE_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// See [`PROBE_INTERVAL_MIN`].
pub const PROBE_INTERVAL_MAX: Duration = Duration::from_millis(250);
/// Between two tries to stop an agent: at first, and at most.
pub const STOP_RETRY_INTERVAL_MIN: Duration = Duration::from_millis(250);
/// See [`STOP_RETRY_INTERVAL_MIN`].
pub const STOP_RETRY_INTERVAL_MAX: Duration = Duration::from_secs(15);
/// How often a platform is asked at start what runs, before the hub goes without knowing.
pub const LIST_ATTEMPTS: usize = 5;
/// Between two of these.
pub const LIST_RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// An agent's deadline is this much after its session's.
pub const AGENT_DEADLINE_MARGIN: Duration = Duration::from_secs(60);

/// Between two looks for what a dead hub has left and its platform finished late: at first, and at most.
pub const STRAYS_INTERVAL_MIN: Duration = Duration::from_secs(2);
/// See [`STRAYS_INTERVAL_MIN`].
pub const STRAYS_INTERVAL_MAX: Duration = Duration::from_secs(60);

// Warm agents

/// Between two spawns for the pool.
pub const POOL_SPAWN_INTERVAL: Duration = Duration::from_millis(200);
/// Until the next spawn for the pool after a failure: at first, doubled with each one in a row, and at most.
pub const POOL_BACKOFF_MIN: Duration = Duration::from_secs(1);
/// See [`POOL_BACKOFF_MIN`].
pub const POOL_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A warm agent that is older is replaced.
pub const POOL_AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// How much sooner that may be, so that not all are replaced at once.
pub const POOL_AGE_JITTER_PERCENT: u32 = 20;
/// Between two looks whether what is started now is what the warm agents are.
pub const POOL_VERSION_INTERVAL: Duration = Duration::from_secs(5);
/// Most warm agents that can be asked for.
pub const POOL_SIZE_MAX: usize = 1_000;

// Egress

/// Bytes that an agent may send and receive through the hub; beyond it its tunnels are cut and no other is opened.
pub const EGRESS_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Refused connections of one agent that are logged; all of them are counted.
pub const EGRESS_REFUSALS_LOGGED: u64 = 16;

// Shutdown

/// For agents to be gone when turns are over, as long as one may take to end; then they are left.
pub const DRAIN_AGENTS_MAX: Duration = Duration::from_secs(AGENT_STOP_GRACE.as_secs() + 1);
/// For connections to close when sessions are over; then they are cut.
pub const DRAIN_REST_MAX: Duration = Duration::from_secs(CLOSE_TIMEOUT.as_secs() + 1);
/// For the whole of it, turns included.
pub const DRAIN_MAX: Duration = Duration::from_secs(30);

// Journal

/// Entries and questions on their way to the journal; past it entries are lost, which is counted and logged.
pub const JOURNAL_QUEUE_MAX: usize = 16 * 1024;
/// Entries of one transaction; the rest are in the next.
pub const JOURNAL_BATCH_MAX: usize = 1024;
/// For an entry to be on disk that is waited for, or a question to be answered; then the journal is said to be in trouble,
/// and not waited for.
pub const JOURNAL_WAIT_MAX: Duration = Duration::from_secs(1);
/// Between two tries to write what could not be written.
pub const JOURNAL_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// For another program to give the journal back.
pub const JOURNAL_BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// How long it is known what became of a session.
pub const JOURNAL_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Of how many sessions that are over that is known; the oldest are forgotten first.
pub const JOURNAL_SESSIONS_MAX: i64 = 200_000;
/// Between two looks for what is too old.
pub const JOURNAL_TIDY_INTERVAL: Duration = Duration::from_secs(60);
/// The journal's file; when it is full, the journal is in trouble until the oldest sessions are forgotten.
pub const JOURNAL_FILE_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// What of the journal is kept in memory; the rest is read when it is asked for.
pub const JOURNAL_CACHE_BYTES: u64 = 256 * 1024;
/// What is left of the journal's write-ahead log when it is empty.
pub const JOURNAL_LOG_MAX_BYTES: u64 = 4 * 1024 * 1024;

// Settings

/// Shortest and longest life that can be asked for.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// See [`TTL_MIN`].
pub const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Longest wait that can be asked for.
pub const WAIT_MAX: Duration = Duration::from_secs(60 * 60);
/// Most sessions that can be asked for.
pub const MAX_SESSIONS_MAX: usize = 100_000;
/// Most agents that can be asked to be started at once.
pub const PARALLEL_SPAWNS_MAX: usize = 1_000;
