/**
 * Decodes one WebSocket message. The hub validates its own frames and the `type` of content chunks, but not their
 * other fields, which come from the agent. So every field that the reducer reads is checked here.
 */

import type { Frame, SnapshotFrame } from "./protocol.ts";

/** A frame of an unknown type. Its `seq` still counts. */
export interface UnknownFrame {
  readonly type: "unknown";
  readonly from?: number | undefined;
  readonly seq: number | null;
}

export type Decoded = Frame | UnknownFrame;

type Check = "string" | "number" | "boolean" | "object" | "array" | "present";

/** The required fields of each frame type. Types that are not listed are unknown. */
const REQUIRED_FIELDS: { readonly [type in Frame["type"]]: Readonly<Record<string, Check>> } = {
  "session.ready": {
    session: "string",
    epoch: "string",
    head: "number",
    resumed: "boolean",
    ping_ms: "number",
    grace_ms: "number",
    status: "string",
    deadline: "object",
  },
  "session.snapshot": { why: "string", truncated: "boolean", frames: "array" },
  "session.status": { status: "string", elapsed_ms: "number" },
  "session.expiring": { cause: "string", remaining_ms: "number", can_extend: "boolean" },
  "session.extended": { deadline: "object" },
  "session.ended": { reason: "string" },
  "turn.accepted": { turn: "string", text: "string", position: "number", seq: "number" },
  "turn.done": { turn: "string", reason: "string", seq: "number" },
  error: { code: "string", scope: "string", message: "string" },
  pong: { t: "number" },
  help: {},
  start: { turn: "string", seq: "number" },
  "start-step": { turn: "string", seq: "number" },
  "finish-step": { turn: "string", seq: "number" },
  "text-start": { turn: "string", seq: "number", id: "string" },
  "text-delta": { turn: "string", seq: "number", id: "string", delta: "string" },
  "text-end": { turn: "string", seq: "number", id: "string" },
  "reasoning-start": { turn: "string", seq: "number", id: "string" },
  "reasoning-delta": { turn: "string", seq: "number", id: "string", delta: "string" },
  "reasoning-end": { turn: "string", seq: "number", id: "string" },
  "tool-input-start": { turn: "string", seq: "number", toolCallId: "string", toolName: "string" },
  "tool-input-available": {
    turn: "string",
    seq: "number",
    toolCallId: "string",
    toolName: "string",
    input: "present",
  },
  "tool-input-delta": { turn: "string", seq: "number", toolCallId: "string", inputTextDelta: "string" },
  "tool-input-error": {
    turn: "string",
    seq: "number",
    toolCallId: "string",
    toolName: "string",
    input: "present",
    errorText: "string",
  },
  "tool-output-available": { turn: "string", seq: "number", toolCallId: "string", output: "present" },
  "tool-output-error": { turn: "string", seq: "number", toolCallId: "string", errorText: "string" },
  "data-notice": { turn: "string", seq: "number", data: "object" },
};

/** Returns the frame in a message, or a phrase that names the message's fault. */
export function decode(data: unknown): Decoded | string {
  if (typeof data !== "string") {
    return "a binary message";
  }
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return "a message that is not JSON";
  }
  return decodeValue(value);
}

function decodeValue(value: unknown): Decoded | string {
  if (!isRecord(value) || typeof value.type !== "string") {
    return "a message without a type";
  }
  const { from, seq, type } = value;
  if (!isSeq(seq) || !isSeq(from)) {
    return `a ${type} frame with a bad seq`;
  }
  if (!isKnown(type)) {
    return { type: "unknown", from, seq: seq ?? null };
  }
  for (const [name, check] of Object.entries(REQUIRED_FIELDS[type])) {
    if (!matches(value[name], check)) {
      return `a ${type} frame without a valid ${name}`;
    }
  }
  if (type === "session.snapshot") {
    return decodeSnapshot(value as unknown as SnapshotFrame);
  }
  // The required fields are checked above.
  return value as unknown as Frame;
}

/** Decodes a snapshot's frames and drops those of unknown types: `head` of `session.ready` covers their numbers. */
function decodeSnapshot(snapshot: SnapshotFrame): SnapshotFrame | string {
  const frames: SnapshotFrame["frames"] = [];
  for (const value of snapshot.frames) {
    const frame = decodeValue(value);
    if (typeof frame === "string") {
      return `a snapshot with ${frame}`;
    }
    if (frame.type !== "unknown" && frame.type !== "session.snapshot") {
      frames.push(frame);
    }
  }
  return { ...snapshot, frames };
}

function isSeq(value: unknown): value is number | undefined {
  return value === undefined || Number.isSafeInteger(value);
}

function isKnown(type: string): type is Frame["type"] {
  return Object.hasOwn(REQUIRED_FIELDS, type);
}

function matches(value: unknown, check: Check): boolean {
  switch (check) {
    case "present":
      return value !== undefined;
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null;
    default:
      return typeof value === check;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
