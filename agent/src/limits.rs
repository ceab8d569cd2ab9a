//! The bounds of the agent, with the effect of each.

use std::time::Duration;

use mayfly_protocol::agent::{
    CANCEL_GRACE_SECS, CHUNK_MAX_DEPTH, CHUNK_SILENCE_MAX_SECS, COMMENT_INTERVAL_MAX_SECS, EVENT_MAX_BYTES,
    STOP_GRACE_SECS,
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
    assert!(TOOL_VALUE_MAX_DEPTH < CHUNK_MAX_DEPTH);
    assert!(MODEL_SILENCE_MAX.as_secs() < CHUNK_SILENCE_MAX_SECS);
};

// Calls from the hub

/// Largest body of a call; a larger one is refused with 413. Has room for the longest message with every byte escaped.
pub const CALL_BODY_MAX_BYTES: usize = 8 * MESSAGE_MAX_BYTES;
/// Interval between comments on a silent stream.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Time after which a cancel is answered even if the turn is not over.
pub const CANCEL_WAIT_MAX: Duration = Duration::from_secs(2);
/// Connections that wait to be accepted (listen(2)).
pub const LISTEN_BACKLOG: u32 = 64;
/// Time for streams and connections to end after SIGTERM; they are then cut.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

// Calls to others

/// Time to connect, directly or through the hub's egress proxy, without TLS.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time after which an unused connection is closed.
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest reason of the egress proxy for a refusal; a longer one is not shown.
pub const REFUSAL_MAX_BYTES: usize = 1024;

// The shim

/// Connections in each direction; further ones wait.
pub const SHIM_CONNECTIONS_MAX: usize = 128;
/// Time for the agent behind the shim to exit after SIGTERM; it is then killed.
pub const SHIM_STOP_TIMEOUT: Duration = Duration::from_secs(8);

// Turns

/// Turns that can be replayed; older ones are refused with 410.
pub const TURNS_KEPT: usize = 8;
/// Bytes of a turn's events; at this size the turn ends with finish reason `length`.
pub const TURN_MAX_BYTES: usize = 1024 * 1024;
/// Longest merged delta in a history.
pub const MERGED_MAX_BYTES: usize = 8 * 1024;
/// Longest text of one event; a longer text becomes several events.
pub const DELTA_MAX_BYTES: usize = 8 * 1024;
/// Steps of a turn; the turn then ends with finish reason `length`.
pub const STEPS_MAX: usize = 8;
/// Bytes of the conversation that models read; the oldest exchanges are then removed.
pub const CONVERSATION_MAX_BYTES: usize = 256 * 1024;

// Memory

/// Time for one access to the memory, including the connection; the access then fails and the conversation continues.
pub const MEMORY_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a scope's turns; the oldest are then deleted.
pub const MEMORY_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Age at which turns and notes are deleted.
pub const MEMORY_AGE_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Pages of 4 KiB in a memory file; nothing more is saved beyond that.
pub const MEMORY_FILE_MAX_PAGES: u32 = 8 * 1024;
/// Bytes of the latest turns that are loaded at start.
pub const RECALL_MAX_BYTES: usize = 2 * 1024 * 1024;
/// Largest response of a remote database.
pub const MEMORY_ANSWER_MAX_BYTES: usize = 32 * 1024 * 1024;
/// Turns that wait for a memory that fails; the oldest are then not saved.
pub const UNSAVED_TURNS_MAX: usize = 16;
/// Notes of a scope; a further note is refused.
pub const NOTES_MAX: usize = 200;
/// Bytes of notes in one tool output; older notes are left out.
pub const NOTES_TOLD_MAX_BYTES: usize = 24 * 1024;
/// Longest note.
pub const NOTE_MAX_BYTES: usize = 2 * 1024;

// Tools

/// Time for a tool call; the call then fails.
pub const TOOL_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest input of a tool; a larger one fails the call.
pub const TOOL_INPUT_MAX_BYTES: usize = 32 * 1024;
/// Largest output of a tool; a larger one fails the call.
pub const TOOL_OUTPUT_MAX_BYTES: usize = 32 * 1024;
/// Deepest nesting of a tool's input and output, which stand one level deep in a chunk; a deeper one fails the call.
pub const TOOL_VALUE_MAX_DEPTH: usize = CHUNK_MAX_DEPTH - 1;
/// Time for the weather service: both requests together, connections included.
pub const WEATHER_TIMEOUT: Duration = Duration::from_secs(4);
/// Largest response of the weather service.
pub const WEATHER_BODY_MAX_BYTES: usize = 64 * 1024;
/// Longest expression to calculate.
pub const EXPRESSION_MAX_BYTES: usize = 512;
/// Stack of a calculation; memory is used only as deep as brackets nest.
pub const CALCULATION_STACK_BYTES: usize = 64 * 1024 * 1024;
/// Time for a calculation; the calculation then fails.
pub const CALCULATION_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest result of a calculation.
pub const RESULT_MAX_BYTES: usize = 4 * 1024;
/// Longest URL of a page.
pub const URL_MAX_BYTES: usize = 2048;
/// Time to fetch a page: all redirects and the whole body.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(8);
/// Redirects of a page.
pub const REDIRECTS_MAX: usize = 5;
/// Bytes of a page that are read; the rest of a larger one is left out.
pub const PAGE_MAX_BYTES: usize = 1024 * 1024;
/// Bytes of a page's text in the output. Less than [`TOOL_OUTPUT_MAX_BYTES`] even if much has to be escaped.
pub const PAGE_TEXT_MAX_BYTES: usize = 12 * 1024;
/// Longest name of a tool (OpenAI's bound; Anthropic's is larger).
pub const TOOL_NAME_MAX_BYTES: usize = 64;
/// Longest name of a place, in characters.
pub const PLACE_MAX_CHARS: usize = 100;

// MCP servers

/// Bytes of the configuration file that are read.
pub const MCP_CONFIG_MAX_BYTES: u64 = 256 * 1024;
/// Servers of an agent; with more the agent does not start.
pub const MCP_SERVERS_MAX: usize = 8;
/// Longest name of a server; a prefix of its tools' names.
pub const MCP_NAME_MAX_BYTES: usize = 24;
/// Tools of all servers; further ones are left out.
pub const MCP_TOOLS_MAX: usize = 64;
/// Pages of a server's list of tools; further ones are not read.
pub const MCP_PAGES_MAX: usize = 8;
/// Largest schema of a tool; a tool with a larger one is left out.
pub const MCP_SCHEMA_MAX_BYTES: usize = 16 * 1024;
/// Deepest nesting of a tool's schema; a tool with a deeper one is left out.
pub const MCP_SCHEMA_MAX_DEPTH: usize = 16;
/// Largest message of a server; the server is lost with a larger one.
pub const MCP_MESSAGE_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Longest text of a result or a description; a longer one is truncated. Less than [`TOOL_OUTPUT_MAX_BYTES`] even if much
/// has to be escaped.
pub const MCP_TEXT_MAX_BYTES: usize = 12 * 1024;
/// Longest line of a program's standard error; a longer one counts as several.
pub const MCP_STDERR_LINE_MAX_BYTES: usize = 512;
/// Lines of a program's standard error that are kept.
pub const MCP_STDERR_LINES_KEPT: usize = 8;
/// Time for a server to start and to list its tools. A turn waits no longer for it.
pub const MCP_START_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for one call of a server's tool; the call then fails and is cancelled.
pub const MCP_CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for the answer to a ping after such a call; the server is then restarted.
pub const MCP_PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait of a call for a server that was lost; the call then fails.
pub const MCP_RETURN_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval between two reads of a list that a server changes.
pub const MCP_RELIST_INTERVAL: Duration = Duration::from_secs(1);
/// Longest delay before the first restart; doubled with each failure.
pub const MCP_RETRY_BASE: Duration = Duration::from_millis(500);
/// Longest delay before any restart. The count of failures restarts after a server was up for longer.
pub const MCP_RETRY_CAP: Duration = Duration::from_secs(60);
/// Time for a server to exit on its own; it is then killed.
pub const MCP_STOP_TIMEOUT: Duration = Duration::from_secs(1);

// Models behind a provider

/// Longest silence of a provider, before and within an answer; the model is then unreachable. Shorter than the hub's
/// bound, so that the user sees this reason.
pub const MODEL_SILENCE_MAX: Duration = Duration::from_secs(4 * 60);
/// Largest event of a provider's answer; the answer fails with a larger one.
pub const MODEL_EVENT_MAX_BYTES: usize = 512 * 1024;
/// Largest answer of a provider; a larger one fails.
pub const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// Largest error body of a provider; a larger one is not read.
pub const ERROR_BODY_MAX_BYTES: usize = 64 * 1024;
/// Characters of a provider's error message that users are shown.
pub const PROVIDER_MESSAGE_MAX_CHARS: usize = 300;
/// Retries of a model that failed temporarily.
pub const RETRIES_MAX: u32 = 3;
/// Longest wait before the first retry; doubled with each retry.
pub const RETRY_BASE: Duration = Duration::from_millis(500);
/// Longest wait before any retry.
pub const RETRY_CAP: Duration = Duration::from_secs(8);
/// Longest wait that a provider may ask for; a longer one fails the answer at once.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(20);
/// Default of `MODEL_MAX_TOKENS` for an API that requires a bound on the answer.
pub const ANSWER_MAX_TOKENS: u32 = 8192;
/// Tool calls in one answer; the answer fails with more.
pub const CALLS_MAX: usize = 64;

// The built-in model

/// Delay before each token.
pub const BUILTIN_PACE: Duration = Duration::from_millis(20);
/// Places in one question; further ones are ignored.
pub const PLACES_MAX: usize = 4;
/// Longest quote of a message, in characters.
pub const QUOTE_MAX_CHARS: usize = 160;
/// Messages in a summary, the latest.
pub const SUMMARY_MAX_MESSAGES: usize = 20;
