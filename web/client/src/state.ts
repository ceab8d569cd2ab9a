/**
 * What a client knows of its session: plain immutable values, made by the reducer only. Knows no socket and no screen.
 *
 * ```text
 * link:   idle -> connecting -> open -> closed        (connecting again starts from nothing)
 * turn:   sending -> waiting -> done                  (an unsent message can be done at once)
 * tool:   input -> running -> done | failed | cut
 * ```
 */

import type { EndReason, Status, Step, TurnError, TurnReason } from "./protocol.ts";

export interface SessionState {
  readonly link: Link;
  /** The session's id, once the hub has told it. */
  readonly session: string | null;
  readonly status: Status | null;
  /** The agent's start, step by step. */
  readonly boot: readonly BootStep[];
  /** Oldest first. */
  readonly turns: readonly Turn[];
  /** `seq` of the last frame that was folded in. */
  readonly head: number;
  /** The last thing the hub refused without ending anything. */
  readonly notice: TurnError | null;
  /** How and why it ended; fills up while the session ends. */
  readonly end: End;
  /** What the hub sent against the protocol. Nothing is folded in after it. */
  readonly fault: string | null;
}

export type Link = "idle" | "connecting" | "open" | "closed";

export interface BootStep {
  readonly step: Step;
  /** Milliseconds since the session was made. */
  readonly startedMs: number;
  /** How long the step took; null while it runs. */
  readonly tookMs: number | null;
}

/** A message and its answer. */
export interface Turn {
  /** Stable and unique: fit for a list's key. */
  readonly key: string;
  /** The hub's name for it; null until it was accepted. */
  readonly turn: string | null;
  /** What the person said. */
  readonly text: string;
  readonly phase: "sending" | "waiting" | "done";
  /** How many turns come first. */
  readonly position: number;
  /** Whether a stop was asked for. */
  readonly stopping: boolean;
  readonly parts: readonly Part[];
  /** How it ended; null until `done`. */
  readonly outcome: Outcome | null;
  readonly error: TurnError | null;
}

/** `lost`: the connection went before the hub told how the turn ended. `refused`: the hub did not take the message. */
export type Outcome = TurnReason | "lost" | "refused";

export type Part = TextPart | ToolPart;

export interface TextPart {
  readonly kind: "text";
  /** The agent's name for it; agents may use a name again once the part is closed. */
  readonly id: string;
  readonly text: string;
  readonly open: boolean;
}

export interface ToolPart {
  readonly kind: "tool";
  readonly id: string;
  readonly name: string;
  /** `cut`: the turn was over before the tool was. */
  readonly state: "input" | "running" | "done" | "failed" | "cut";
  readonly input: unknown;
  readonly output: unknown;
  readonly error: string | null;
}

export interface End {
  /** What the hub gave as the session's end. */
  readonly reason: EndReason | null;
  /** The error that came before it, if any. */
  readonly failure: TurnError | null;
  /** The socket's close code. */
  readonly code: number | null;
}

export const INITIAL: SessionState = {
  link: "idle",
  session: null,
  status: null,
  boot: [],
  turns: [],
  head: 0,
  notice: null,
  end: { reason: null, failure: null, code: null },
  fault: null,
};

/** The turn that the agent is answering, if any. */
export function runningTurn(state: SessionState): Turn | null {
  if (state.status !== "active") {
    return null;
  }
  return state.turns.find((turn) => turn.phase === "waiting" && turn.position === 0) ?? null;
}

/** Whether messages can be sent: from the first moment, since the hub keeps them until the agent is there. */
export function canSend(state: SessionState): boolean {
  const isLinked = state.link === "connecting" || state.link === "open";
  const isEnding = state.status === "terminating" || state.status === "terminated";
  return isLinked && !isEnding && state.fault === null;
}
