// Generated from hub/protocol by `make generate`; do not edit.

export type ClientFrame = { "type": "hello", 
/**
 * Name and version of the client, for people.
 */
client?: string, 
/**
 * Id that the client chose for itself, 1 to 64 bytes. It replaces an older socket with the same id (4507).
 */
client_id?: string, 
/**
 * Session token, ticket or operator key, if the upgrade request had none.
 */
token?: string, } | { "type": "message", 
/**
 * Id that the client chose for the message, 1 to 64 bytes. It comes back in `turn.accepted`. A repeated message
 * with the same id is confirmed again, and starts no second turn.
 */
id?: string, 
/**
 * Text of the message; not blank.
 */
text: string, } | { "type": "stop", 
/**
 * Turn to stop; without it, the running turn.
 */
turn?: string, } | { "type": "regenerate", 
/**
 * Turn whose answer is replaced; without it, the last turn. A repeated request for the same turn does nothing.
 */
turn?: string, } | { "type": "ping", 
/**
 * Value that comes back in `pong`.
 */
t: number, } | { "type": "extend" } | { "type": "status" } | { "type": "help" } | { "type": "bye" };

export type HubFrame = { "type": "session.ready", 
/**
 * Version of this protocol.
 */
v: number, 
/**
 * The session's id.
 */
session: string, 
/**
 * Session token, with which a client attaches and resumes. Only the socket that created the session gets it.
 */
token?: string, 
/**
 * Epoch of the frame numbers. A client resumes with the epoch and its last `seq`.
 */
epoch: string, 
/**
 * Latest `seq` of the session.
 */
head: number, 
/**
 * `true` if every frame after the client's last one follows. If not, and the session is not new, a
 * `session.snapshot` replaces everything that the client has.
 */
resumed: boolean, 
/**
 * Interval of the hub's WebSocket Pings, in milliseconds. The hub closes a socket from which it receives
 * nothing for three intervals.
 */
ping_ms: number, 
/**
 * Time in which a client can resume after the session's last connection was lost, in milliseconds.
 */
grace_ms: number, 
/**
 * State of the session.
 */
status: Status, 
/**
 * Time left until the session ends.
 */
deadline: Deadline, } | { "type": "session.status", 
/**
 * State of the session.
 */
status: Status, 
/**
 * Step of the agent's start, while `creating`.
 */
step?: Step, 
/**
 * Position among the sessions that wait for capacity, while `queued` for it; 1 is next.
 */
position?: number, 
/**
 * Milliseconds since the session was created; of a session that waited, since it was admitted.
 */
elapsed_ms: number, 
/**
 * Running turn, in an answer to `status`.
 */
turn?: string, 
/**
 * Number of waiting turns, in an answer to `status`.
 */
queued?: number, 
/**
 * Number of the frame in the session's log.
 */
seq?: number, } | { "type": "turn.accepted", 
/**
 * Id of the turn.
 */
turn: string, 
/**
 * The message's `id`, if the client gave one.
 */
message?: string, 
/**
 * Number of turns before this one; 0 if it is next or already running.
 */
position: number, 
/**
 * Text of the message.
 */
text: string, 
/**
 * Turn whose answer this turn replaces.
 */
replaces?: string, 
/**
 * Number of the frame in the session's log.
 */
seq: number, } | { "type": "turn.done", 
/**
 * Id of the turn.
 */
turn: string, 
/**
 * Outcome of the turn.
 */
reason: TurnReason, 
/**
 * Cause, if the reason is `error`.
 */
error?: TurnError, 
/**
 * Milliseconds from the turn's start to the first piece of its answer, if there was one.
 */
ttft_ms?: number, 
/**
 * Milliseconds from the turn's start to its end, if it was started.
 */
took_ms?: number, 
/**
 * Tokens that the answer used, if the agent reports them.
 */
usage?: Usage, 
/**
 * Number of the frame in the session's log.
 */
seq: number, } | { "type": "session.expiring", 
/**
 * Clock that ends the session.
 */
cause: Clock, 
/**
 * Milliseconds until the session ends.
 */
remaining_ms: number, 
/**
 * `true` if `extend` gives the session more time.
 */
can_extend: boolean, } | { "type": "session.extended", 
/**
 * Time left until the session ends.
 */
deadline: Deadline, } | { "type": "pong", 
/**
 * The value of the `ping`.
 */
t: number, } | { "type": "session.ended", 
/**
 * Cause of the end.
 */
reason: EndReason, } | { "type": "error", 
/**
 * `id` of the refused message, if the client gave one.
 */
id?: string, 
/**
 * Cause, for programs.
 */
code: ErrorCode, 
/**
 * Part of the conversation that the error ends.
 */
scope: Scope, 
/**
 * `true` if the same request may succeed later.
 */
retryable: boolean, 
/**
 * Milliseconds after which the same request may succeed.
 */
retry_after_ms?: number, 
/**
 * Cause, for people.
 */
message: string, } | { "type": "help", 
/**
 * Every command that a person can type.
 */
commands: Array<Command>, };

export type Command = { 
/**
 * The typed text, with its slash.
 */
name: string, 
/**
 * Effect of the command.
 */
does: string, };

export type Deadline = { 
/**
 * Time until the session ends because it is idle. Absent while the idle clock is stopped.
 */
idle_ms?: number, 
/**
 * Time until the session reaches its maximum age.
 */
max_ms: number, };

export type Clock = "idle" | "max" | "drain";

export type Usage = { 
/**
 * Input tokens, cached or not.
 */
inputTokens?: number, 
/**
 * Input tokens that the provider had in its cache.
 */
cachedInputTokens?: number, 
/**
 * Output tokens, reasoning included.
 */
outputTokens?: number, 
/**
 * Input and output tokens.
 */
totalTokens?: number, };

export type SnapshotReason = "new" | "epoch" | "gap" | "gone";

export type Status = "creating" | "active" | "idle" | "terminating" | "terminated";

export type Step = "queued" | "claiming" | "starting" | "probing";

export type TurnReason = "complete" | "stopped" | "error" | "expired" | "length";

export type TurnError = { 
/**
 * Cause, for programs.
 */
code: ErrorCode, 
/**
 * Cause, for people.
 */
message: string, };

export type EndReason = "bye" | "disconnected" | "idle" | "max" | "deleted" | "agent_lost" | "spawn_failed" | "drained";

export type ErrorCode = "proto.bad_json" | "proto.unknown_type" | "proto.invalid" | "proto.too_large" | "proto.query" | "proto.path" | "proto.method" | "proto.content_type" | "proto.upgrade" | "auth.host" | "auth.origin" | "auth.missing" | "auth.denied" | "quota.sessions" | "quota.owner" | "quota.address" | "quota.sockets" | "quota.queue" | "quota.rate" | "quota.slow" | "spawn.timeout" | "spawn.image" | "spawn.failed" | "agent.unreachable" | "agent.crashed" | "agent.http" | "agent.protocol" | "agent.stream_truncated" | "agent.stalled" | "agent.failed" | "model.overloaded" | "model.rate_limited" | "model.context_length" | "model.refused" | "model.auth" | "model.unreachable" | "model.failed" | "memory.failed" | "tool.failed" | "tool.timeout" | "turn.not_found" | "turn.conflict" | "turn.too_large" | "session.expired" | "session.gone" | "session.ended" | "hub.draining";

export type Scope = "frame" | "turn" | "session" | "hub";

export type Problem = { 
/**
 * HTTP status as a phrase.
 */
title: string, 
/**
 * HTTP status.
 */
status: number, 
/**
 * Cause, for programs.
 */
code: ErrorCode, 
/**
 * Cause, for people.
 */
detail: string, 
/**
 * Milliseconds after which the same call may succeed; more precise than `Retry-After`.
 */
retry_after_ms?: number, };

export type NewSession = { 
/**
 * Owner of the session, up to 128 characters. Accepted with the operator key only.
 */
owner?: string, };

export type CreatedSession = { 
/**
 * Id of the session.
 */
sessionId: string, 
/**
 * State of the session: `creating`.
 */
status: Status, 
/**
 * Token that permits everything in this session.
 */
token: string, 
/**
 * Path of the session's WebSocket on this host.
 */
endpoint: string, 
/**
 * Time at which the session ends at the latest (RFC 3339).
 */
expiresAt: string, };

export type SessionView = { 
/**
 * Id of the session.
 */
sessionId: string, 
/**
 * State of the session.
 */
status: Status, 
/**
 * Step of the agent's start, while `creating`.
 */
step?: Step, 
/**
 * Cause of the session's end.
 */
reason?: EndReason, 
/**
 * Owner of the session, if the creator named one.
 */
owner?: string, 
/**
 * Time of the session's creation (RFC 3339).
 */
createdAt: string, 
/**
 * Milliseconds from the session's creation until now or its end.
 */
uptimeMs: number, 
/**
 * Time left until the session ends.
 */
deadline?: Deadline, 
/**
 * Running turn.
 */
turn?: string, 
/**
 * Number of waiting turns.
 */
queued: number, 
/**
 * Number of attached WebSockets.
 */
sockets: number, 
/**
 * Epoch of the frame numbers, while the session runs.
 */
epoch?: string, 
/**
 * Latest frame number.
 */
head?: number, };

export type SessionList = { 
/**
 * The sessions that have not terminated, oldest first.
 */
sessions: Array<SessionView>, };

export type NewMessage = { 
/**
 * Text of the message; not blank.
 */
message: string, };

export type Reply = { 
/**
 * Text of the answer. An empty line separates its parts.
 */
response: string, 
/**
 * Id of the session.
 */
sessionId: string, 
/**
 * Id of the turn.
 */
turn: string, 
/**
 * Outcome of the turn. A failed turn is answered with a problem instead.
 */
reason: TurnReason, };

export type Deleted = { 
/**
 * Id of the session.
 */
sessionId: string, 
/**
 * State of the session: `terminated`, or with status 202 `terminating`.
 */
status: Status, };

export type SessionHealth = { 
/**
 * Health of the session's agent.
 */
status: Health, 
/**
 * Time of the check (RFC 3339).
 */
lastCheck: string, 
/**
 * Duration of the check in milliseconds.
 */
responseTimeMs: number, 
/**
 * Cause, if the agent is not healthy.
 */
error?: string, };

export type Health = "healthy" | "unhealthy" | "terminated";

export type SessionMetrics = { 
/**
 * Number of turns that ran and ended; for an ended session, the number of messages.
 */
messagesProcessed: number, 
/**
 * Mean duration of those turns in milliseconds; `null` for an ended session.
 */
averageResponseTimeMs: number | null, 
/**
 * Memory of all the agent's processes, if the platform reports it.
 */
memoryUsageBytes: number | null, 
/**
 * Milliseconds from the session's creation until now or its end.
 */
uptimeMs: number, };

export type NewTicket = { 
/**
 * Owner of the session that the ticket creates, up to 128 characters.
 */
owner?: string, };

export type MintedTicket = { 
/**
 * Ticket, with which a client can create one session.
 */
ticket: string, 
/**
 * Time at which the ticket expires (RFC 3339).
 */
expiresAt: string, };

export type Chunk = { "type": "start" } | { "type": "start-step" } | { "type": "finish-step" } | { "type": "text-start", 
/**
 * Id of the part.
 */
id: string, } | { "type": "text-delta", 
/**
 * Id of the part.
 */
id: string, 
/**
 * The text to append.
 */
delta: string, } | { "type": "text-end", 
/**
 * Id of the part.
 */
id: string, } | { "type": "reasoning-start", 
/**
 * Id of the part.
 */
id: string, } | { "type": "reasoning-delta", 
/**
 * Id of the part.
 */
id: string, 
/**
 * The text to append.
 */
delta: string, } | { "type": "reasoning-end", 
/**
 * Id of the part.
 */
id: string, } | { "type": "tool-input-start", 
/**
 * Id of the tool call.
 */
toolCallId: string, 
/**
 * Name of the tool.
 */
toolName: string, } | { "type": "tool-input-delta", 
/**
 * Id of the tool call.
 */
toolCallId: string, 
/**
 * JSON to append.
 */
inputTextDelta: string, } | { "type": "tool-input-error", 
/**
 * Id of the tool call.
 */
toolCallId: string, 
/**
 * Name of the tool.
 */
toolName: string, 
/**
 * The input as the model sent it.
 */
input: unknown, 
/**
 * Cause, for the model and for people.
 */
errorText: string, } | { "type": "tool-input-available", 
/**
 * Id of the tool call.
 */
toolCallId: string, 
/**
 * Name of the tool.
 */
toolName: string, 
/**
 * The input, which matches the tool's schema.
 */
input: unknown, } | { "type": "tool-output-available", 
/**
 * Id of the tool call.
 */
toolCallId: string, 
/**
 * The tool's output.
 */
output: unknown, } | { "type": "tool-output-error", 
/**
 * Id of the tool call.
 */
toolCallId: string, 
/**
 * Cause, for the model and for people.
 */
errorText: string, } | { "type": "data-notice", 
/**
 * The problem.
 */
data: Notice, } | { "type": "finish", 
/**
 * Reason for the end of the model's answer.
 */
finishReason: FinishReason, 
/**
 * Further facts about the answer.
 */
messageMetadata?: MessageMetadata, } | { "type": "abort", 
/**
 * Further facts about the answer.
 */
messageMetadata?: MessageMetadata, } | { "type": "error", 
/**
 * Cause, for people.
 */
errorText: string, 
/**
 * Cause, for programs: a code of the model, a tool or the memory.
 */
code?: ErrorCode, 
/**
 * Further facts about the answer.
 */
messageMetadata?: MessageMetadata, };

export type FinishReason = "stop" | "tool-calls" | "length" | "content-filter" | "error" | "other";

export type Notice = { 
/**
 * Cause, for programs.
 */
code: ErrorCode, 
/**
 * Cause, for people.
 */
message: string, };

export type MessageMetadata = { 
/**
 * Tokens that the answer used.
 */
usage?: Usage, };

/** An agent's chunk with its number in the session's log. With `from`, it covers the numbers `from` to `seq`. */
export type ContentFrame = Exclude<Chunk, { type: "finish" | "abort" | "error" }> & { from?: number; seq: number; turn: string };

/** Replaces everything that a client has. It follows `session.ready` and covers every frame up to its `head`. */
export type SnapshotFrame = { type: "session.snapshot"; why: SnapshotReason; truncated: boolean; frames: Array<HubFrame | ContentFrame> };

/** Any frame from the hub. */
export type Frame = HubFrame | ContentFrame | SnapshotFrame;

export const SUBPROTOCOL = "mayfly.v1";
