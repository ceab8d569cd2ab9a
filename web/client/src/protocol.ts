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
 * Version of this wire.
 */
v: number, 
/**
 * The session's id.
 */
session: string, 
/**
 * What lets others attach and resume; only on the socket that made the session.
 */
token?: string, 
/**
 * Names this numbering of frames: a client resumes with it and the last `seq` it has.
 */
epoch: string, 
/**
 * The last `seq` so far.
 */
head: number, 
/**
 * Whether all frames after the client's last one follow. If not, and unless the session is new, a
 * `session.snapshot` takes the place of all the client has.
 */
resumed: boolean, 
/**
 * How often the hub sends a WebSocket Ping, in milliseconds. Three intervals without any sign of the client
 * and its socket is closed.
 */
ping_ms: number, 
/**
 * How long the session waits for somebody to come back once its last connection is lost, in milliseconds.
 */
grace_ms: number, 
/**
 * The session's state.
 */
status: Status, 
/**
 * What is left of the session's time.
 */
deadline: Deadline, } | { "type": "session.status", 
/**
 * The session's state.
 */
status: Status, 
/**
 * How far the agent's start is, while `creating`.
 */
step?: Step, 
/**
 * The place in the line of those who wait for a session to be free, while `queued` there; 1 is next.
 */
position?: number, 
/**
 * Milliseconds since the session was made, or with `position` since the client began to wait.
 */
elapsed_ms: number, 
/**
 * The turn that runs, in an answer to `status`.
 */
turn?: string, 
/**
 * How many turns wait, in an answer to `status`.
 */
queued?: number, 
/**
 * Place in the session's record.
 */
seq?: number, } | { "type": "turn.accepted", 
/**
 * The turn.
 */
turn: string, 
/**
 * The client's own id of the message, if it gave one.
 */
message?: string, 
/**
 * How many turns come first; 0 is next or already running.
 */
position: number, 
/**
 * What the person said.
 */
text: string, 
/**
 * The turn whose answer this one takes the place of.
 */
replaces?: string, 
/**
 * Place in the session's record.
 */
seq: number, } | { "type": "turn.done", 
/**
 * The turn.
 */
turn: string, 
/**
 * How it ended.
 */
reason: TurnReason, 
/**
 * Why, when the reason is `error`.
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
 * What the answer took of the model, as far as the agent says.
 */
usage?: Usage, 
/**
 * Place in the session's record.
 */
seq: number, } | { "type": "session.expiring", 
/**
 * Which clock.
 */
cause: Clock, 
/**
 * Milliseconds until then.
 */
remaining_ms: number, 
/**
 * Whether `extend` helps.
 */
can_extend: boolean, } | { "type": "session.extended", 
/**
 * What is left of it now.
 */
deadline: Deadline, } | { "type": "pong", 
/**
 * What the `ping` said.
 */
t: number, } | { "type": "session.ended", 
/**
 * Why it ended.
 */
reason: EndReason, } | { "type": "error", 
/**
 * The message that was refused, by its own id.
 */
id?: string, 
/**
 * What, for programs.
 */
code: ErrorCode, 
/**
 * How far it reaches.
 */
scope: Scope, 
/**
 * Whether the same may succeed later.
 */
retryable: boolean, 
/**
 * When to try again.
 */
retry_after_ms?: number, 
/**
 * What, for people.
 */
message: string, } | { "type": "help", 
/**
 * Each line that can be typed.
 */
commands: Array<Command>, };

export type Command = { 
/**
 * The line.
 */
name: string, 
/**
 * What it does.
 */
does: string, };

export type Deadline = { 
/**
 * Until the session ends for idleness, if nothing renews it; absent while nothing counts it down.
 */
idle_ms?: number, 
/**
 * Until the session ends whatever happens.
 */
max_ms: number, };

export type Clock = "idle" | "max" | "drain";

export type Usage = { 
/**
 * What it read, cached or not.
 */
inputTokens?: number, 
/**
 * Of that, what the provider had in its cache.
 */
cachedInputTokens?: number, 
/**
 * What it wrote, thoughts included.
 */
outputTokens?: number, 
/**
 * Both.
 */
totalTokens?: number, };

export type SnapshotReason = "new" | "epoch" | "gap" | "gone";

export type Status = "creating" | "active" | "idle" | "terminating" | "terminated";

export type Step = "queued" | "claiming" | "starting" | "probing";

export type TurnReason = "complete" | "stopped" | "error" | "expired" | "length";

export type TurnError = { 
/**
 * For programs.
 */
code: ErrorCode, 
/**
 * For people.
 */
message: string, };

export type EndReason = "bye" | "disconnected" | "idle" | "max" | "deleted" | "agent_lost" | "spawn_failed" | "drained";

export type ErrorCode = "proto.bad_json" | "proto.unknown_type" | "proto.invalid" | "proto.too_large" | "auth.origin" | "auth.missing" | "auth.denied" | "quota.sessions" | "quota.owner" | "quota.address" | "quota.sockets" | "quota.queue" | "quota.rate" | "quota.slow" | "spawn.timeout" | "spawn.image" | "spawn.failed" | "agent.unreachable" | "agent.http" | "agent.protocol" | "agent.stream_truncated" | "agent.stalled" | "agent.crashed" | "agent.failed" | "model.overloaded" | "model.rate_limited" | "model.context_length" | "model.refused" | "model.auth" | "model.unreachable" | "model.failed" | "memory.failed" | "tool.failed" | "tool.timeout" | "turn.not_found" | "turn.conflict" | "session.expired" | "session.gone" | "session.ended" | "hub.draining";

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
 * What, for programs: an error code of the wire, or one of HTTP's own.
 */
code: string, 
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
 * Why, for programs: one that [`ErrorCode::is_an_agents`].
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
