/** Frames for tests. */

import { expect } from "vitest";
import type { Frame } from "../protocol.ts";
import { type Input, reduce } from "../reducer.ts";
import { INITIAL, type SessionState, type Turn } from "../state.ts";

export type WithoutSeq<T> = T extends { seq: number } ? Omit<T, "seq"> : T;

/** Applies inputs to the initial state and numbers the replayable frames. */
export function fold(...inputs: (WithoutSeq<Frame> | Input)[]): SessionState {
  let seq = 0;
  const numbered = inputs.map((input) => {
    const isReplayable = !/^(local|error|help|pong|session\.(ready|ended|snapshot|expiring|extended))/.test(
      input.type,
    );
    return (isReplayable && !("seq" in input) ? { ...input, seq: ++seq } : input) as Input;
  });
  return numbered.reduce(reduce, INITIAL);
}

/** Returns the only turn. */
export function only(state: SessionState): Turn {
  const [turn, ...others] = state.turns;
  expect(others).toEqual([]);
  if (turn === undefined) {
    throw new Error("there is no turn");
  }
  return turn;
}

export const ready = {
  type: "session.ready",
  v: 1,
  session: "s_1",
  token: "k",
  epoch: "e1",
  head: 0,
  resumed: false,
  ping_ms: 20_000,
  grace_ms: 20_000,
  status: "creating",
  deadline: { max_ms: 60_000 },
} as const;
export const active = { type: "session.status", status: "active", elapsed_ms: 400 } as const;
export const open = [{ type: "local.attaching" }, ready] as const;
export const sent = (message: string, text: string) => ({ type: "local.sent", message, text }) as const;
export const accepted = (turn: string, message: string, position = 0) =>
  ({ type: "turn.accepted", turn, message, position, text: `text of ${message}` }) as const;
export const done = (turn: string, reason: "complete" | "stopped" = "complete") =>
  ({ type: "turn.done", turn, reason }) as const;
export const delta = (text: string, id = "x0") =>
  ({ type: "text-delta", turn: "t1", id, delta: text }) as const;
