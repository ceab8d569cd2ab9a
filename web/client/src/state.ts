/**
 * The client's state of a session: plain immutable values, created by the reducer only.
 *
 * ```text
 * link:   idle -> connecting -> open <-> reconnecting
 *         any -> closed                               (a new session moves the turns to `earlier`)
 * turn:   sending -> waiting -> done                  (a refused or lost message goes from sending to done)
 * tool:   input -> running -> done | failed | cut
 * ```
 */

import type { Clock, EndReason, Status, Step, TurnError, TurnReason, Usage } from "./protocol.ts";

export interface SessionState {
  readonly link: Link;
  /** Time of the next attempt to connect, in Unix milliseconds; null if none is scheduled. */
  readonly retryAtMs: number | null;
  /** The session's id; null before `session.ready`. */
  readonly session: string | null;
  /** Identifies the numbering of frames to which `head` belongs. */
  readonly epoch: string | null;
  readonly status: Status | null;
  /** The client's place in line while all agents are in use; null otherwise. */
  readonly line: Line | null;
  /** The steps of the agent's start. */
  readonly boot: readonly BootStep[];
  /**
   * Earlier sessions of this conversation, oldest first. Their agents have stopped; the current agent does not know
   * them.
   */
  readonly earlier: readonly EarlierSession[];
  /** Oldest first. */
  readonly turns: readonly Turn[];
  /** `seq` of the last applied frame. */
  readonly head: number;
  /** True if the hub no longer has the beginning of the conversation. */
  readonly truncated: boolean;
  /** The session's deadlines; null before `session.ready`. */
  readonly deadline: DeadlineAt | null;
  /** Time for which the hub keeps the session after a lost connection, in milliseconds. */
  readonly graceMs: number | null;
  /** Earliest end of the grace period in Unix milliseconds; null while the connection is open. */
  readonly graceEndsAtMs: number | null;
  /** The hub's warning that the session is about to end. */
  readonly expiring: Expiring | null;
  /** The turn whose answer is to be replaced, from the request until the hub accepts it. */
  readonly regenerating: string | null;
  /** The hub's last refusal that did not end the session or a turn. */
  readonly notice: TurnError | null;
  /** The end of the session; its fields are filled while the session ends. */
  readonly end: End;
  /** The hub's protocol violation. No frames are applied after it. */
  readonly fault: string | null;
}

/** The turns of a session that has ended. */
export interface EarlierSession {
  readonly session: string | null;
  readonly turns: readonly Turn[];
}

/** The part of a conversation that can be stored as JSON and passed to a new client. */
export type Transcript = Pick<SessionState, "earlier" | "turns">;

export type Link = "idle" | "connecting" | "open" | "reconnecting" | "closed";

export interface Line {
  /** The place in line; 1 is next. */
  readonly position: number;
  /** Start of waiting, in Unix milliseconds. */
  readonly sinceMs: number;
}

/** Deadlines in Unix milliseconds by the local clock. */
export interface DeadlineAt {
  /** The idle deadline at the time of the hub's frame; null if none. Activity moves it without a new frame. */
  readonly idleAtMs: number | null;
  /** The deadline that no activity moves. */
  readonly maxAtMs: number;
}

export interface Expiring {
  readonly cause: Clock;
  readonly endsAtMs: number;
  /** True if the end can be postponed. */
  readonly canExtend: boolean;
}

export interface BootStep {
  readonly step: Step;
  /** Start in milliseconds after the session's creation; 0 for waiting in line. */
  readonly startedMs: number;
  /** Duration in milliseconds; null while the step runs. */
  readonly tookMs: number | null;
}

/** A message and its answer. */
export interface Turn {
  /** Stable and unique, so it serves as a list key. */
  readonly key: string;
  /** The hub's turn id; null before the message is accepted. */
  readonly turn: string | null;
  /** The message. */
  readonly text: string;
  readonly phase: "sending" | "waiting" | "done";
  /** Number of turns before this one. */
  readonly position: number;
  /** True if a stop was requested. */
  readonly stopping: boolean;
  readonly parts: readonly Part[];
  /** The outcome; null before `done`. */
  readonly outcome: Outcome | null;
  readonly error: TurnError | null;
  /** Milliseconds from the turn's start to the first content. */
  readonly ttftMs: number | null;
  /** Milliseconds from the turn's start to its end. */
  readonly tookMs: number | null;
  /** Token counts of the answer. */
  readonly usage: Usage | null;
}

/** `lost`: the connection was lost before the turn's end was known. `refused`: the hub refused the message. */
export type Outcome = TurnReason | "lost" | "refused";

export type Part = TextPart | ToolPart | NoticePart;

/** A remark for people about the answer. */
export interface NoticePart {
  readonly kind: "notice";
  readonly message: string;
}

/** Text of the answer, or the model's `reasoning`. */
export interface TextPart {
  readonly kind: "text" | "reasoning";
  /** The agent's id of the part. Agents may reuse an id after the part is closed. */
  readonly id: string;
  readonly text: string;
  readonly open: boolean;
}

export interface ToolPart {
  readonly kind: "tool";
  readonly id: string;
  readonly name: string;
  /** `cut`: the turn ended before the tool call. */
  readonly state: "input" | "running" | "done" | "failed" | "cut";
  /** The received part of the input's JSON; empty once `input` is complete. */
  readonly inputText: string;
  readonly input: unknown;
  readonly output: unknown;
  readonly error: string | null;
}

export interface End {
  /** The hub's reason for the end. */
  readonly reason: EndReason | null;
  /** The error frame before the end, if any. */
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
  regenerating: null,
  notice: null,
  end: { reason: null, failure: null, code: null },
  fault: null,
};

/** Returns the turn that the agent is answering, or null. */
export function runningTurn(state: SessionState): Turn | null {
  if (!isAgentReady(state)) {
    return null;
  }
  return state.turns.find((turn) => turn.phase === "waiting" && turn.position === 0) ?? null;
}

/**
 * Returns true if messages can be sent. They can before the hub and the agent are ready, because the client keeps them
 * until then.
 */
export function canSend(state: SessionState): boolean {
  const isLinked = state.link === "connecting" || state.link === "open" || state.link === "reconnecting";
  const isEnding = state.status === "terminating" || state.status === "terminated";
  return isLinked && !isEnding && state.fault === null;
}

/** Returns true if the last answer can be regenerated: it is complete and no other turn is open. */
export function canRegenerate(state: SessionState): boolean {
  const isQuiet = state.turns.every((turn) => turn.phase === "done") && state.regenerating === null;
  return state.link === "open" && isAgentReady(state) && isQuiet && lastTurn(state) !== null;
}

/** The hub's id of the last turn; null if there is none or it is not accepted. */
export function lastTurn(state: SessionState): string | null {
  return state.turns.at(-1)?.turn ?? null;
}

/** Returns true if the agent has started and the session has not ended. */
function isAgentReady(state: SessionState): boolean {
  return state.status === "active" || state.status === "idle";
}
