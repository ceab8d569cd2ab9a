// Generated from hub/protocol by `make generate`; do not edit.

export type ClientFrame = { "type": "hello", 
/**
 * Name and version of the client, for people.
 */
client?: string, 
/**
 * The client's own name for itself, 1 to 64 bytes; another socket that said the same is replaced (4507).
 */
client_id?: string, 
/**
 * A session's token, a ticket or the operator key, for who could not give one with the upgrade.
 */
token?: string, } | { "type": "message", 
/**
 * The client's own name for the message, 1 to 64 bytes; comes back in `turn.accepted`. A message that is sent
 * again with the same name is answered, not taken twice.
 */
id?: string, 
/**
 * What the person says; not empty.
 */
text: string, } | { "type": "stop", 
/**
 * Which turn.
 */
turn?: string, } | { "type": "regenerate", 
/**
 * Which answer the new one replaces: asked for again, the same is not done twice. Without it, the last.
 */
turn?: string, } | { "type": "ping", 
/**
 * Comes back in `pong`.
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
 * Whether every frame after the client's last one follows. If not, and the session is not new, a
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
 * Whether `extend` gives the session more time.
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
 * Whether the same request may succeed later.
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
 * The status in words.
 */
title: string, 
/**
 * The status.
 */
status: number, 
/**
 * The cause, for programs.
 */
code: ErrorCode, 
/**
 * What, for people.
 */
detail: string, 
/**
 * When to try again, as `Retry-After` but finer.
 */
retry_after_ms?: number, };

export type NewSession = { 
/**
 * Whose session it is, up to 128 characters; with the operator key only.
 */
owner?: string, };

export type CreatedSession = { 
/**
 * The session's id.
 */
sessionId: string, 
/**
 * Its state: `creating`.
 */
status: Status, 
/**
 * What lets its bearer take part in it.
 */
token: string, 
/**
 * The path of its WebSocket, at this host.
 */
endpoint: string, 
/**
 * When it ends at the latest (RFC 3339).
 */
expiresAt: string, };

export type SessionView = { 
/**
 * The session's id.
 */
sessionId: string, 
/**
 * Its state.
 */
status: Status, 
/**
 * How far the agent's start is, while `creating`.
 */
step?: Step, 
/**
 * Why it ended.
 */
reason?: EndReason, 
/**
 * Whose it is, where that is known.
 */
owner?: string, 
/**
 * When it was made (RFC 3339).
 */
createdAt: string, 
/**
 * Milliseconds since then, until now or its end.
 */
uptimeMs: number, 
/**
 * What is left of its time.
 */
deadline?: Deadline, 
/**
 * The turn that runs.
 */
turn?: string, 
/**
 * Turns that wait.
 */
queued: number, 
/**
 * WebSockets that take part.
 */
sockets: number, 
/**
 * Names the numbering of its frames, while there are any.
 */
epoch?: string, 
/**
 * The last number in it.
 */
head?: number, };

export type SessionList = { 
/**
 * The sessions that have not terminated, oldest first.
 */
sessions: Array<SessionView>, };

export type NewMessage = { 
/**
 * What the person says; not blank.
 */
message: string, };

export type Reply = { 
/**
 * The answer's text; its parts are paragraphs.
 */
response: string, 
/**
 * The session.
 */
sessionId: string, 
/**
 * The turn.
 */
turn: string, 
/**
 * How it ended; a turn that failed is a refusal instead.
 */
reason: TurnReason, };

export type Deleted = { 
/**
 * The session.
 */
sessionId: string, 
/**
 * Its state: `terminated`, or with status 202 `terminating`.
 */
status: Status, };

export type SessionHealth = { 
/**
 * How its agent is.
 */
status: Health, 
/**
 * When it was asked (RFC 3339).
 */
lastCheck: string, 
/**
 * How long that took.
 */
responseTimeMs: number, 
/**
 * What is wrong.
 */
error?: string, };

export type Health = "healthy" | "unhealthy" | "terminated";

export type SessionMetrics = { 
/**
 * Turns that are over and ran; of a session that is over, messages.
 */
messagesProcessed: number, 
/**
 * How long they took; not known of a session that is over.
 */
averageResponseTimeMs: number | null, 
/**
 * Memory of the agent's whole tree, where the platform tells.
 */
memoryUsageBytes: number | null, 
/**
 * Since it was made, until now or its end.
 */
uptimeMs: number, };

export type NewTicket = { 
/**
 * Whose session it is to make, up to 128 characters.
 */
owner?: string, };

export type MintedTicket = { 
/**
 * Lets its bearer make one session.
 */
ticket: string, 
/**
 * When it is no longer good (RFC 3339).
 */
expiresAt: string, };

export type Chunk = { "type": "start" } | { "type": "start-step" } | { "type": "finish-step" } | { "type": "text-start", 
/**
 * Names the piece.
 */
id: string, } | { "type": "text-delta", 
/**
 * Names the piece.
 */
id: string, 
/**
 * The text to append.
 */
delta: string, } | { "type": "text-end", 
/**
 * Names the piece.
 */
id: string, } | { "type": "reasoning-start", 
/**
 * Names the piece.
 */
id: string, } | { "type": "reasoning-delta", 
/**
 * Names the piece.
 */
id: string, 
/**
 * The text to append.
 */
delta: string, } | { "type": "reasoning-end", 
/**
 * Names the piece.
 */
id: string, } | { "type": "tool-input-start", 
/**
 * Names the call.
 */
toolCallId: string, 
/**
 * Names the tool.
 */
toolName: string, } | { "type": "tool-input-delta", 
/**
 * Names the call.
 */
toolCallId: string, 
/**
 * JSON to append.
 */
inputTextDelta: string, } | { "type": "tool-input-error", 
/**
 * Names the call.
 */
toolCallId: string, 
/**
 * Names the tool.
 */
toolName: string, 
/**
 * The input, as far as it came.
 */
input: unknown, 
/**
 * Why, for the model and for people.
 */
errorText: string, } | { "type": "tool-input-available", 
/**
 * Names the call.
 */
toolCallId: string, 
/**
 * Names the tool.
 */
toolName: string, 
/**
 * The input, as the tool's schema says.
 */
input: unknown, } | { "type": "tool-output-available", 
/**
 * Names the call.
 */
toolCallId: string, 
/**
 * What the tool answered.
 */
output: unknown, } | { "type": "tool-output-error", 
/**
 * Names the call.
 */
toolCallId: string, 
/**
 * Why, for the model and for people.
 */
errorText: string, } | { "type": "data-notice", 
/**
 * What.
 */
data: Notice, } | { "type": "finish", 
/**
 * Why the model ended.
 */
finishReason: FinishReason, 
/**
 * What else there is to say of the answer.
 */
messageMetadata?: MessageMetadata, } | { "type": "abort", 
/**
 * What else there is to say of the answer.
 */
messageMetadata?: MessageMetadata, } | { "type": "error", 
/**
 * Why, for people.
 */
errorText: string, 
/**
 * Why, for programs: one that [`ErrorCode::is_from_agent`].
 */
code?: ErrorCode, 
/**
 * What else there is to say of the answer.
 */
messageMetadata?: MessageMetadata, };

export type FinishReason = "stop" | "tool-calls" | "length" | "content-filter" | "error" | "other";

export type Notice = { 
/**
 * For programs.
 */
code: ErrorCode, 
/**
 * For people.
 */
message: string, };

export type MessageMetadata = { 
/**
 * What the answer took of the model.
 */
usage?: Usage, };

/** An agent's chunk with its place in the session's record; with `from`, all from there on in one. */
export type ContentFrame = Exclude<Chunk, { type: "finish" | "abort" | "error" }> & { from?: number; seq: number; turn: string };

/** Takes the place of all that a client has; comes right after `session.ready`, up to its `head`. */
export type SnapshotFrame = { type: "session.snapshot"; why: SnapshotReason; truncated: boolean; frames: Array<HubFrame | ContentFrame> };

/** Everything the hub sends. */
export type Frame = HubFrame | ContentFrame | SnapshotFrame;

export const SUBPROTOCOL = "mayfly.v1";
