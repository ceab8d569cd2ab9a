//! Every bound of the agent, with what happens at it.

use std::time::Duration;

use mayfly_protocol::agent::{
    CANCEL_GRACE_SECS, CHUNK_SILENCE_MAX_SECS, COMMENT_INTERVAL_MAX_SECS, EVENT_MAX_BYTES, STOP_GRACE_SECS,
};
use mayfly_protocol::client::MESSAGE_MAX_BYTES;

/// Largest expansion of a byte of text in JSON: a control character is written as six.
const ESCAPED_MAX_BYTES: usize = 6;
/// Bytes of a chunk beside its text: the names of its keys, its ids.
const CHUNK_FRAME_MAX_BYTES: usize = 4 * 1024;

// The wire's bounds hold for what this agent sends.
const _: () = {
    assert!(CALL_BODY_MAX_BYTES > MESSAGE_MAX_BYTES * ESCAPED_MAX_BYTES);
    assert!(KEEP_ALIVE_INTERVAL.as_secs() < COMMENT_INTERVAL_MAX_SECS);
    assert!(CANCEL_WAIT_MAX.as_secs() <= CANCEL_GRACE_SECS);
    assert!(SHUTDOWN_TIMEOUT.as_secs() < STOP_GRACE_SECS && SHIM_STOP_TIMEOUT.as_secs() < STOP_GRACE_SECS);
    assert!(DELTA_MAX_BYTES * ESCAPED_MAX_BYTES + CHUNK_FRAME_MAX_BYTES <= EVENT_MAX_BYTES);
    assert!(MERGED_MAX_BYTES * ESCAPED_MAX_BYTES + CHUNK_FRAME_MAX_BYTES <= EVENT_MAX_BYTES);
    assert!(TOOL_INPUT_MAX_BYTES + CHUNK_FRAME_MAX_BYTES <= EVENT_MAX_BYTES);
    assert!(TOOL_OUTPUT_MAX_BYTES + CHUNK_FRAME_MAX_BYTES <= EVENT_MAX_BYTES);
    assert!(MODEL_SILENCE_MAX.as_secs() < CHUNK_SILENCE_MAX_SECS);
};

// Calls from the hub

/// Body of a call; a longer one is refused with 413. The hub's longest message is 64 KiB, six times that when every
/// byte is escaped.
pub const CALL_BODY_MAX_BYTES: usize = 512 * 1024;
/// Between two comments on a silent stream; the protocol asks for at most 10 s.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// For a cancelled turn to be over; then the cancel is answered all the same.
pub const CANCEL_WAIT_MAX: Duration = Duration::from_secs(2);
/// Connections that wait to be accepted.
pub const LISTEN_BACKLOG: u32 = 64;
/// For streams to end and connections to close after SIGTERM; then they are cut.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

// Calls to others

/// To connect, through the hub's egress proxy or straight; TLS not included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For which a connection without a request is kept, to be used again.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// What the hub's egress proxy says when it refuses; of more, nothing is told.
pub const REFUSAL_MAX_BYTES: usize = 1024;

// The shim

/// Connections of each kind at once; another one waits for its turn.
pub const SHIM_CONNECTIONS_MAX: usize = 128;
/// For the agent behind it to end after SIGTERM; then it is killed.
pub const SHIM_STOP_TIMEOUT: Duration = Duration::from_secs(8);

// Turns

/// Turns that can be replayed; the oldest is forgotten first, and refused with 410 from then on.
pub const TURNS_KEPT: usize = 8;
/// Events of one turn; at that size it ends with finish reason `length`.
pub const TURN_MAX_BYTES: usize = 1024 * 1024;
/// Deltas of a part are merged up to this. The hub takes events of up to 64 KiB, where a byte may be six.
pub const MERGED_MAX_BYTES: usize = 8 * 1024;
/// Text of one event; more goes into several. The hub takes events of up to 64 KiB, six bytes for one that is escaped.
pub const DELTA_MAX_BYTES: usize = 8 * 1024;
/// Calls of the model in one turn; then it ends with finish reason `length`.
pub const STEPS_MAX: usize = 8;
/// What the agent remembers; the oldest messages are forgotten first, each with its answer.
pub const CONVERSATION_MAX_BYTES: usize = 256 * 1024;

// Memory

/// For one access to the memory, connecting included; then it failed, and the conversation goes on without.
pub const MEMORY_TIMEOUT: Duration = Duration::from_secs(5);
/// Turns that are kept of one person or session; the oldest are forgotten first.
pub const MEMORY_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Turns and notes older than that are removed.
pub const MEMORY_AGE_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// A file's pages of 4 KiB; then nothing more is kept.
pub const MEMORY_FILE_MAX_PAGES: u32 = 8 * 1024;
/// What is read again at the start, the latest turns.
pub const RECALL_MAX_BYTES: usize = 2 * 1024 * 1024;
/// One answer of a remote database.
pub const MEMORY_ANSWER_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Turns that wait for a memory which fails; the oldest are not kept then.
pub const UNKEPT_MAX: usize = 16;
/// Notes of one person or session; then one must be removed first.
pub const NOTES_MAX: usize = 200;
/// Notes that are told at once; of more, the latest.
pub const NOTES_TOLD_MAX_BYTES: usize = 24 * 1024;
/// One note.
pub const NOTE_MAX_BYTES: usize = 2 * 1024;

// Tools

/// One call of a tool; then it fails.
pub const TOOL_TIMEOUT: Duration = Duration::from_secs(10);
/// A tool's input; a larger one is a failure.
pub const TOOL_INPUT_MAX_BYTES: usize = 32 * 1024;
/// A tool's output; a larger one is a failure. The hub takes events of up to 64 KiB.
pub const TOOL_OUTPUT_MAX_BYTES: usize = 32 * 1024;
/// For the weather service: both requests together, connecting included.
pub const WEATHER_TIMEOUT: Duration = Duration::from_secs(4);
/// One answer of the weather service.
pub const WEATHER_BODY_MAX_BYTES: usize = 64 * 1024;
/// An expression to calculate.
pub const EXPRESSION_MAX_BYTES: usize = 512;
/// Stack of a calculation; taken only as far as brackets nest.
pub const CALCULATION_STACK_BYTES: usize = 64 * 1024 * 1024;
/// For a calculation; then it is given up.
pub const CALCULATION_TIMEOUT: Duration = Duration::from_secs(1);
/// The result of a calculation.
pub const RESULT_MAX_BYTES: usize = 4 * 1024;
/// A web address.
pub const URL_MAX_BYTES: usize = 2048;
/// For a page: every hop and the whole body together.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(8);
/// Redirects to follow for a page.
pub const REDIRECTS_MAX: usize = 5;
/// A page as it comes; of a longer one the beginning is read.
pub const PAGE_MAX_BYTES: usize = 1024 * 1024;
/// A page's text; of a longer one the beginning is told. Less than [`TOOL_OUTPUT_MAX_BYTES`] even when much is escaped.
pub const PAGE_TEXT_MAX_BYTES: usize = 12 * 1024;
/// A tool's name (OpenAI's bound; Anthropic's is wider).
pub const TOOL_NAME_MAX_BYTES: usize = 64;
/// A place's name, in characters.
pub const PLACE_MAX_CHARS: usize = 100;

// MCP servers

/// The file that names them.
pub const MCP_CONFIG_MAX_BYTES: u64 = 256 * 1024;
/// Of one agent; with more it does not start.
pub const MCP_SERVERS_MAX: usize = 8;
/// A server's name, which begins its tools' names.
pub const MCP_NAME_MAX_BYTES: usize = 24;
/// Tools of all servers; more are left out.
pub const MCP_TOOLS_MAX: usize = 64;
/// Pages of a server's list; more are not read.
pub const MCP_PAGES_MAX: usize = 8;
/// A tool's schema; a tool with a larger one is left out.
pub const MCP_SCHEMA_MAX_BYTES: usize = 16 * 1024;
/// How deep a tool's schema may nest; a tool with a deeper one is left out.
pub const MCP_SCHEMA_MAX_DEPTH: usize = 16;
/// One message of a server; with a larger one the server is lost.
pub const MCP_MESSAGE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// An answer's or a description's text; of a longer one the beginning is told. Less than [`TOOL_OUTPUT_MAX_BYTES`] even
/// when much is escaped.
pub const MCP_TEXT_MAX_BYTES: usize = 12 * 1024;
/// A line of a program's standard error; a longer one counts as several.
pub const MCP_SAID_MAX_BYTES: usize = 512;
/// Lines of a program's standard error that are kept, the latest.
pub const MCP_SAID_MAX_LINES: usize = 8;
/// For a server to start and to list its tools; then it failed. A turn does not wait longer for it either.
pub const MCP_START_TIMEOUT: Duration = Duration::from_secs(10);
/// One call of a server's tool; then it fails, and is cancelled.
pub const MCP_CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// For a sign of life after such a call; without one the server is started again.
pub const MCP_PING_TIMEOUT: Duration = Duration::from_secs(5);
/// For a server that was lost to be there again when it is called; then the call fails.
pub const MCP_RETURN_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two readings of a list that a server changes.
pub const MCP_RELIST_INTERVAL: Duration = Duration::from_secs(1);
/// The most to wait before a server is started again for the first time; twice that before the next, and so on.
pub const MCP_RETRY_BASE: Duration = Duration::from_millis(500);
/// The most to wait before any of these. A server that was there for longer is as good as new.
pub const MCP_RETRY_CAP: Duration = Duration::from_secs(60);
/// For a server to end by itself; then it is killed.
pub const MCP_STOP_TIMEOUT: Duration = Duration::from_secs(1);

// Models of others

/// A provider's key.
pub const KEY_MAX_BYTES: usize = 1024;
/// Of a provider that is being asked, until its answer begins, and then between two pieces of it; then the model is
/// unreachable. Shorter than the hub's patience, so that the person is told why.
pub const MODEL_SILENCE_MAX: Duration = Duration::from_secs(4 * 60);
/// One event of a provider's answer; with a larger one the answer fails.
pub const MODEL_EVENT_MAX_BYTES: usize = 512 * 1024;
/// One answer of a provider; a longer one fails.
pub const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// What a provider says of a failure; a longer text is not read.
pub const ERROR_BODY_MAX_BYTES: usize = 64 * 1024;
/// Characters of a provider's words that people are shown.
pub const PROVIDER_MESSAGE_MAX_CHARS: usize = 300;
/// How often a model that failed in passing is asked again.
pub const RETRIES_MAX: u32 = 3;
/// The most to wait before it is asked again for the first time; twice that before the next, and so on.
pub const RETRY_BASE: Duration = Duration::from_millis(500);
/// The most to wait before any of these.
pub const RETRY_CAP: Duration = Duration::from_secs(8);
/// The most that a provider may ask to be waited for; when it asks for more, the answer fails at once.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(20);
/// Tokens of one answer of a model that has to be told a bound, unless `MODEL_MAX_TOKENS` says so.
pub const ANSWER_MAX_TOKENS: u32 = 8192;
/// Calls of tools in one answer of a model; with more the answer fails.
pub const CALLS_MAX: usize = 64;

// The built-in model

/// Between two of its tokens.
pub const BUILTIN_PACE: Duration = Duration::from_millis(20);
/// Places that it looks up for one question.
pub const PLACES_MAX: usize = 4;
/// Characters of a person's words when it quotes them.
pub const QUOTE_MAX_CHARS: usize = 160;
/// Messages that it quotes in a summary, the latest ones.
pub const SUMMARY_MAX_MESSAGES: usize = 20;
