// Generated from hub/protocol by `make generate`; do not edit.

export type ClientFrame = { "type": "message", 
/**
 * The client's own name for the message, 1 to 64 bytes; comes back in `turn.accepted`.
 */
id?: string, 
/**
 * What the person says; not empty.
 */
text: string, } | { "type": "stop", 
/**
 * Which turn.
 */
turn?: string, } | { "type": "status" } | { "type": "help" } | { "type": "bye" };

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
 * The session's state.
 */
status: Status, 
/**
 * The last `seq` before this socket's first frame.
 */
head: number, } | { "type": "session.status", 
/**
 * The session's state.
 */
status: Status, 
/**
 * How far the agent's start is, while `creating`.
 */
step?: Step, 
/**
 * Milliseconds since the session was made.
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
 * Place in the session's record.
 */
seq: number, } | { "type": "session.ended", 
/**
 * Why it ended.
 */
reason: EndReason, } | { "type": "error", 
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

export type Status = "creating" | "active" | "terminating" | "terminated";

export type Step = "starting" | "probing";

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

export type EndReason = "bye" | "disconnected" | "agent_lost" | "spawn_failed" | "drained";

export type ErrorCode = "proto.bad_json" | "proto.unknown_type" | "proto.invalid" | "proto.too_large" | "auth.origin" | "quota.sessions" | "quota.queue" | "quota.rate" | "quota.slow" | "spawn.timeout" | "spawn.failed" | "agent.unreachable" | "agent.http" | "agent.protocol" | "agent.stream_truncated" | "agent.stalled" | "agent.crashed" | "agent.failed" | "model.refused" | "turn.not_found" | "session.ended" | "hub.draining";

export type Scope = "frame" | "turn" | "session" | "hub";

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
id: string, } | { "type": "tool-input-start", 
/**
 * Names the call.
 */
toolCallId: string, 
/**
 * Names the tool.
 */
toolName: string, } | { "type": "tool-input-available", 
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
errorText: string, } | { "type": "finish", 
/**
 * Why the model ended.
 */
finishReason: FinishReason, } | { "type": "abort" } | { "type": "error", 
/**
 * Why, for people.
 */
errorText: string, };

export type FinishReason = "stop" | "tool-calls" | "length" | "content-filter" | "error" | "other";

/** An agent's chunk with its place in the session's record. */
export type ContentFrame = Exclude<Chunk, { type: "finish" | "abort" | "error" }> & { seq: number; turn: string };

/** Everything the hub sends. */
export type Frame = HubFrame | ContentFrame;

export const SUBPROTOCOL = "mayfly.v1";
