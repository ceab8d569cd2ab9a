/**
 * What a client knows of its session: plain immutable values, made by the reducer only. Knows no socket and no screen.
 *
 * ```text
 * link:   idle -> connecting -> open <-> reconnecting
 *         any -> closed                               (what was said is set aside when a new session begins)
 * turn:   sending -> waiting -> done                  (an unsent message can be done at once)
 * tool:   input -> running -> done | failed | cut
 * ```
 */

import type { Clock, EndReason, Status, Step, TurnError, TurnReason, Usage } from "./protocol.ts";

export interface SessionState {
  readonly link: Link;
  /** When the next attempt to connect is made, by the local clock; null while one is under way or none is needed. */
  readonly retryAtMs: number | null;
  /** The session's id, once the hub has told it. */
  readonly session: string | null;
  /** Names the hub's numbering of frames, to which `head` belongs. */
  readonly epoch: string | null;
  readonly status: Status | null;
  /** The line that this client waits in, as all sessions are taken; null when there is none to wait for. */
  readonly line: Line | null;
  /** The agent's start, step by step. */
  readonly boot: readonly BootStep[];
  /** Sessions before this one, oldest first: their agents are gone, and this one's knows nothing of them. */
  readonly earlier: readonly Earlier[];
  /** Oldest first. */
  readonly turns: readonly Turn[];
  /** `seq` of the last frame that was folded in. */
  readonly head: number;
  /** Whether the hub no longer has the beginning of the conversation. */
  readonly truncated: boolean;
  /** When the session ends, as far as the hub told. */
  readonly deadline: DeadlineAt | null;
  /** How long the hub keeps the session for somebody whose connection is lost, in milliseconds. */
  readonly graceMs: number | null;
  /** Until when it does, now that the connection is lost; by the local clock, and no sooner than that. */
  readonly graceEndsAtMs: number | null;
  /** The hub's warning that it is about to. */
  readonly expiring: Expiring | null;
  /** The answer that another was asked for in its place, until that is on its way. */
  readonly again: string | null;
  /** The last thing the hub refused without ending anything. */
  readonly notice: TurnError | null;
  /** How and why it ended; fills up while the session ends. */
  readonly end: End;
  /** What the hub sent against the protocol. Nothing is folded in after it. */
  readonly fault: string | null;
}

/** What was said in a session that is over. */
export interface Earlier {
  readonly session: string | null;
  readonly turns: readonly Turn[];
}

/** What of a conversation can be kept elsewhere, as JSON, and given to a client that goes on with it. */
export type Transcript = Pick<SessionState, "earlier" | "turns">;

export type Link = "idle" | "connecting" | "open" | "reconnecting" | "closed";

export interface Line {
  /** The place in it; 1 is next. */
  readonly position: number;
  /** Since when, by the local clock. */
  readonly sinceMs: number;
}

/** Times are by the local clock. */
export interface DeadlineAt {
  /** When it ends if nothing happens until then; whatever happens moves it, untold. */
  readonly idleAtMs: number | null;
  /** When it ends whatever happens. */
  readonly maxAtMs: number;
}

export interface Expiring {
  readonly cause: Clock;
  readonly endsAtMs: number;
  /** Whether there is a way to put it off. */
  readonly canExtend: boolean;
}

export interface BootStep {
  readonly step: Step;
  /** Milliseconds since the session was made; of the line before it, 0. */
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
  /** From the turn's start to the first piece of the answer. */
  readonly ttftMs: number | null;
  /** From the turn's start to its end. */
  readonly tookMs: number | null;
  /** What the answer took of the model. */
  readonly usage: Usage | null;
}

/** `lost`: the connection went before the hub told how the turn ended. `refused`: the hub did not take the message. */
export type Outcome = TurnReason | "lost" | "refused";

export type Part = TextPart | ToolPart | NoticePart;

/** Something that people should know about the answer. */
export interface NoticePart {
  readonly kind: "notice";
  readonly message: string;
}

/** `reasoning`: what the model thought on the way to its answer. */
export interface TextPart {
  readonly kind: "text" | "reasoning";
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
  /** The input's JSON, as far as it has come, until it is complete. */
  readonly inputText: string;
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
  retryAtMs: null,
  session: null,
  epoch: null,
  status: null,
  line: null,
  boot: [],
  earlier: [],
  turns: [],
  head: 0,
  truncated: false,
  deadline: null,
  graceMs: null,
  graceEndsAtMs: null,
  expiring: null,
  again: null,
  notice: null,
  end: { reason: null, failure: null, code: null },
  fault: null,
};

/** The turn that the agent is answering, if any. */
export function runningTurn(state: SessionState): Turn | null {
  if (!isUp(state)) {
    return null;
  }
  return state.turns.find((turn) => turn.phase === "waiting" && turn.position === 0) ?? null;
}

/** Whether messages can be sent: from the first moment, since they are kept until the agent and the hub are there. */
export function canSend(state: SessionState): boolean {
  const isLinked = state.link === "connecting" || state.link === "open" || state.link === "reconnecting";
  const isEnding = state.status === "terminating" || state.status === "terminated";
  return isLinked && !isEnding && state.fault === null;
}

/** Whether the last answer can be asked for again: it is there, and nothing else is under way. */
export function canRegenerate(state: SessionState): boolean {
  const isQuiet = state.turns.every((turn) => turn.phase === "done") && state.again === null;
  return state.link === "open" && isUp(state) && isQuiet && lastTurn(state) !== null;
}

/** The hub's name for the last turn; null while there is none, or it is not accepted. */
export function lastTurn(state: SessionState): string | null {
  return state.turns.at(-1)?.turn ?? null;
}

/** Whether the agent is there. */
function isUp(state: SessionState): boolean {
  return state.status === "active" || state.status === "idle";
}
