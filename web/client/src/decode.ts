/**
 * Reads one WebSocket message. The hub vouches for its own frames and for a chunk's `type`; what else is in a chunk
 * is the agent's word, so every field that the reducer reads is checked here, once.
 */

import type { Frame } from "./protocol.ts";

/** A frame whose type this client does not know, but which counts in the session's record. */
export interface UnknownFrame {
  readonly type: "unknown";
  readonly seq: number | null;
}

export type Decoded = Frame | UnknownFrame;

type Check = "string" | "number" | "present";

/** Fields without which a frame cannot be folded in. Types that are not listed are unknown. */
const FIELDS: { readonly [type in Frame["type"]]: Readonly<Record<string, Check>> } = {
  "session.ready": { session: "string", status: "string", head: "number" },
  "session.status": { status: "string", elapsed_ms: "number" },
  "session.ended": { reason: "string" },
  "turn.accepted": { turn: "string", text: "string", position: "number", seq: "number" },
  "turn.done": { turn: "string", reason: "string", seq: "number" },
  error: { code: "string", scope: "string", message: "string" },
  help: {},
  start: { turn: "string", seq: "number" },
  "start-step": { turn: "string", seq: "number" },
  "finish-step": { turn: "string", seq: "number" },
  "text-start": { turn: "string", seq: "number", id: "string" },
  "text-delta": { turn: "string", seq: "number", id: "string", delta: "string" },
  "text-end": { turn: "string", seq: "number", id: "string" },
  "tool-input-start": { turn: "string", seq: "number", toolCallId: "string", toolName: "string" },
  "tool-input-available": {
    turn: "string",
    seq: "number",
    toolCallId: "string",
    toolName: "string",
    input: "present",
  },
  "tool-output-available": { turn: "string", seq: "number", toolCallId: "string", output: "present" },
  "tool-output-error": { turn: "string", seq: "number", toolCallId: "string", errorText: "string" },
};

/** The frame in a message, or a sentence that says what is wrong with it. */
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
  if (!isRecord(value) || typeof value.type !== "string") {
    return "a message without a type";
  }
  const seq = value.seq;
  if (seq !== undefined && !Number.isSafeInteger(seq)) {
    return `a ${value.type} frame with a bad seq`;
  }
  if (!Object.hasOwn(FIELDS, value.type)) {
    return { type: "unknown", seq: typeof seq === "number" ? seq : null };
  }
  const fields = FIELDS[value.type as Frame["type"]];
  for (const [name, check] of Object.entries(fields)) {
    const found = check === "present" ? value[name] !== undefined : typeof value[name] === check;
    if (!found) {
      return `a ${value.type} frame without a valid ${name}`;
    }
  }
  // Every field that the reducer reads has been checked above.
  return value as unknown as Frame;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
