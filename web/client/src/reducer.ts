/**
 * `(state, input) -> state`, pure. An input is a frame from the hub or something that happened here: a person sent a
 * message, the socket closed. Owns the rules by which frames become a conversation; knows no socket, clock or screen.
 */

import { REPLACED } from "./close.ts";
import { deadlineAt, expiringAt, stillExpiring } from "./deadline.ts";
import type { Decoded } from "./decode.ts";
import type { ContentFrame, HubFrame, SnapshotFrame, Step } from "./protocol.ts";
import { type BootStep, INITIAL, type Line, type SessionState, type Turn } from "./state.ts";
import { setAside } from "./transcript.ts";
import {
  finish,
  foldAccepted,
  foldAcceptedLongAgo,
  foldContent,
  foldDone,
  moveUp,
  sentTurn,
  type Turns,
  updateTurn,
  withTurn,
} from "./turns.ts";

/** What happened on this side of the socket. */
export type LocalEvent =
  /** A session of before is to be told from its beginning; until then what is known of it stays. */
  | { readonly type: "local.connecting" }
  /** Another session begins. */
  | { readonly type: "local.anew" }
  | { readonly type: "local.attempt" }
  | {
      readonly type: "local.waiting";
      readonly retryAtMs: number;
      readonly code: number;
      readonly nowMs: number;
    }
  | { readonly type: "local.sent"; readonly message: string; readonly text: string }
  | { readonly type: "local.stopping"; readonly turn: string }
  | { readonly type: "local.again"; readonly turn: string }
  | { readonly type: "local.fault"; readonly why: string }
  | { readonly type: "local.closed"; readonly code: number };

/** A frame, and by the local clock when it came; the hub's times are relative to that. */
export type Received = Decoded & { readonly receivedMs?: number };

export type Input = Received | LocalEvent;

/** The browser's code for a connection that went without a word. */
const LOST = 1006;

export function reduce(state: SessionState, input: Input): SessionState {
  switch (input.type) {
    case "local.connecting":
      return { ...INITIAL, link: "connecting", earlier: state.earlier, turns: state.turns };
    case "local.anew":
      // Only messages that nobody has heard yet are for the next session.
      return {
        ...INITIAL,
        link: "connecting",
        earlier: setAside(state),
        turns: state.turns.filter(isUnsent),
      };
    case "local.attempt":
      return { ...outOfLine(state), link: linkless(state), retryAtMs: null };
    case "local.waiting":
      return wait(state, input);
    case "local.sent":
      return { ...state, notice: null, turns: [...state.turns, sentTurn(input.message, input.text)] };
    case "local.stopping":
      return {
        ...state,
        turns: updateTurn(state.turns, input.turn, (turn) => ({ ...turn, stopping: true })),
      };
    case "local.again":
      return { ...state, notice: null, again: input.turn };
    case "local.fault":
      return state.fault === null ? { ...state, fault: input.why } : state;
    case "local.closed":
      return close(state, input.code);
    default:
      return foldFrame(state, input);
  }
}

/** Checks a frame's place in the record, then folds it in. */
function foldFrame(state: SessionState, frame: Received): SessionState {
  if (state.fault !== null) {
    return state;
  }
  const seq = "seq" in frame ? (frame.seq ?? null) : null;
  if (seq === null) {
    return frame.type === "unknown" ? state : fold(state, frame);
  }
  if (seq <= state.head) {
    return frame.type === "turn.accepted" ? withTurns(state, foldAcceptedLongAgo(state.turns, frame)) : state;
  }
  const first = ("from" in frame ? frame.from : undefined) ?? seq;
  if (first !== state.head + 1) {
    return { ...state, fault: `frame ${first} came after frame ${state.head}` };
  }
  const next = { ...state, head: seq };
  return frame.type === "unknown" ? next : fold(next, frame);
}

type Known = Exclude<Received, { type: "unknown" }>;

function fold(state: SessionState, frame: Known): SessionState {
  switch (frame.type) {
    case "session.ready":
      return foldReady(state, frame);
    case "session.snapshot":
      return foldSnapshot(state, frame);
    case "session.status":
      if (frame.position !== undefined) {
        return foldLine(state, frame.position, (frame.receivedMs ?? 0) - frame.elapsed_ms);
      }
      return {
        ...state,
        status: frame.status,
        boot: foldBoot(state.boot, frame.step, frame.elapsed_ms),
        expiring: frame.status === "active" ? stillExpiring(state.expiring) : state.expiring,
      };
    case "session.expiring":
      return { ...state, expiring: expiringAt(frame, frame.receivedMs ?? 0) };
    case "session.extended":
      return {
        ...state,
        deadline: deadlineAt(frame.deadline, frame.receivedMs ?? 0),
        expiring: stillExpiring(state.expiring),
      };
    case "session.ended":
      return {
        ...state,
        status: "terminated",
        expiring: null,
        end: { ...state.end, reason: frame.reason },
      };
    case "turn.accepted":
      return withTurns(replaced(state, frame.replaces), foldAccepted(state.turns, frame));
    case "turn.done":
      return foldEnd(state, frame);
    case "error":
      return foldError(state, frame);
    case "pong":
    case "help":
      return state;
    default:
      return foldAnswer(state, frame);
  }
}

function foldReady(
  state: SessionState,
  frame: Extract<HubFrame, { type: "session.ready" }> & { receivedMs?: number },
): SessionState {
  const deadline = deadlineAt(frame.deadline, frame.receivedMs ?? 0);
  return {
    ...state,
    link: "open",
    retryAtMs: null,
    session: frame.session,
    epoch: frame.epoch,
    status: frame.status,
    line: null,
    boot: state.line === null ? state.boot : foldWaited(state.line, frame.receivedMs ?? 0),
    // All that follows a resumption is what came after the head.
    head: frame.resumed ? state.head : frame.head,
    deadline,
    graceMs: frame.grace_ms,
    graceEndsAtMs: null,
    expiring: stillExpiring(state.expiring, deadline),
    end: INITIAL.end,
  };
}

/** There is no session yet, and whatever kept this client from one before is over. */
function foldLine(state: SessionState, position: number, sinceMs: number): SessionState {
  const line = { position, sinceMs: state.line?.sinceMs ?? sinceMs };
  return { ...state, line, boot: [{ step: "queued", startedMs: 0, tookMs: null }], end: INITIAL.end };
}

function foldWaited({ sinceMs }: Line, nowMs: number): readonly BootStep[] {
  return [{ step: "queued", startedMs: 0, tookMs: Math.max(0, nowMs - sinceMs) }];
}

/** Whoever loses the connection loses the place. */
function outOfLine(state: SessionState): SessionState {
  return state.line === null ? state : { ...state, line: null, boot: [] };
}

/** What the hub knows takes the place of what was known here, but for messages that it has not accepted. */
function foldSnapshot(state: SessionState, frame: SnapshotFrame): SessionState {
  const isAnotherHub = frame.why === "epoch";
  const empty: SessionState = {
    ...state,
    boot: [],
    truncated: true,
    turns: state.turns.flatMap((turn) =>
      turn.turn === null ? [turn] : isAnotherHub && isUnanswered(turn) ? [sentTurn(turn.key, turn.text)] : [],
    ),
  };
  const told = frame.frames.reduce((before: SessionState, each) => fold(before, each), empty);
  const stopping = new Set(state.turns.map((turn) => (turn.stopping ? turn.turn : null)));
  const before = new Map(state.turns.map((turn) => [turn.key, turn]));
  return {
    ...told,
    truncated: frame.truncated,
    turns: told.turns.map((turn) =>
      turn.phase === "waiting" && stopping.has(turn.turn)
        ? { ...turn, stopping: true }
        : isUnsent(turn)
          ? untold(turn, before.get(turn.key), frame.truncated)
          : turn,
    ),
  };
}

/** Whether the hub had accepted it under a name that can be sent again. */
function isUnanswered(turn: Turn): boolean {
  return turn.phase === "waiting" && turn.key !== turn.turn;
}

/**
 * What another hub had accepted and this one does not know: it is sent again, since the agent was never asked. Unless
 * the agent may have been, and does not know all that it was asked.
 */
function untold(turn: Turn, before: Turn | undefined, truncated: boolean): Turn {
  if (before === undefined || before.turn === null) {
    return turn;
  }
  if (before.stopping) {
    return finish(turn, "stopped", null);
  }
  return truncated && before.position === 0 ? finish(turn, "lost", null) : turn;
}

/** A step ends where the next begins, the last one when there is no step any more. */
function foldBoot(boot: readonly BootStep[], step: Step | undefined, elapsedMs: number): readonly BootStep[] {
  const last = boot.at(-1);
  if (last?.step === step) {
    return boot;
  }
  const ended = boot.map((each) =>
    each.tookMs === null ? { ...each, tookMs: Math.max(0, elapsedMs - each.startedMs) } : each,
  );
  return step === undefined ? ended : [...ended, { step, startedMs: elapsedMs, tookMs: null }];
}

function foldEnd(state: SessionState, frame: Extract<HubFrame, { type: "turn.done" }>): SessionState {
  const turns = foldDone(state.turns, frame);
  if (turns !== null) {
    return { ...state, turns };
  }
  if (state.truncated && state.turns.every((turn) => turn.turn !== frame.turn)) {
    return { ...state, turns: moveUp(state.turns, -1) };
  }
  return { ...state, fault: `the end of ${frame.turn}, which is not under way` };
}

function foldAnswer(state: SessionState, frame: ContentFrame): SessionState {
  const turns = foldContent(state.truncated ? withTurn(state.turns, frame.turn) : state.turns, frame);
  if (turns === null) {
    return { ...state, fault: `a ${frame.type} frame of ${frame.turn}, which is not under way` };
  }
  return withTurns(state, turns);
}

function foldError(state: SessionState, frame: Extract<HubFrame, { type: "error" }>): SessionState {
  const failure = { code: frame.code, message: frame.message };
  if (frame.scope === "session" || frame.scope === "hub") {
    return { ...state, end: { ...state.end, failure } };
  }
  const index = state.turns.findIndex((turn) => isUnsent(turn) && turn.key === frame.id);
  const refused = state.turns[index];
  if (refused === undefined) {
    return { ...state, notice: failure, again: null };
  }
  // A hub that ends takes no message; the one that comes after it does.
  const isLater = frame.code === "hub.draining";
  return isLater ? state : { ...state, turns: state.turns.with(index, finish(refused, "refused", failure)) };
}

/** An answer is on its way that takes the place of this one. */
function replaced(state: SessionState, turn: string | undefined): SessionState {
  return turn !== undefined && turn === state.again ? { ...state, again: null } : state;
}

/** What the hub said when it refused the last attempt stays; a connection that was lost said nothing. */
function wait(
  state: SessionState,
  { retryAtMs, code, nowMs }: Extract<LocalEvent, { type: "local.waiting" }>,
): SessionState {
  const failure = code === LOST ? null : state.end.failure;
  const graceEndsAtMs = state.graceEndsAtMs ?? (state.graceMs === null ? null : nowMs + state.graceMs);
  return {
    ...outOfLine(state),
    link: linkless(state),
    retryAtMs,
    graceEndsAtMs,
    end: { ...state.end, failure, code },
  };
}

function close(state: SessionState, code: number): SessionState {
  // In another tab they go on.
  const isLost = (turn: Turn) => turn.phase === "sending" || (turn.phase === "waiting" && code !== REPLACED);
  const turns = state.turns.map((turn) => (isLost(turn) ? finish(turn, "lost", null) : turn));
  return {
    ...outOfLine(state),
    link: "closed",
    retryAtMs: null,
    expiring: null,
    again: null,
    turns,
    end: { ...state.end, code },
  };
}

function linkless(state: SessionState): "connecting" | "reconnecting" {
  return state.session === null ? "connecting" : "reconnecting";
}

function isUnsent(turn: Turn): boolean {
  return turn.phase === "sending";
}

function withTurns(state: SessionState, turns: Turns): SessionState {
  return turns === state.turns ? state : { ...state, turns };
}
