/**
 * The pure reducer `(state, input) -> state`. An input is a frame from the hub or a local event, such as a sent
 * message or a closed socket. Owns the rules by which frames become a conversation. Knows no sockets, clocks or
 * screens.
 */

import { REPLACED } from "./close.ts";
import { deadlineAt, expiringAt, remainingWarning } from "./deadline.ts";
import type { Decoded } from "./decode.ts";
import type { ContentFrame, HubFrame, SnapshotFrame, Step } from "./protocol.ts";
import { type BootStep, INITIAL, type Line, type SessionState, type Turn } from "./state.ts";
import { archiveTurns } from "./transcript.ts";
import {
  finish,
  foldAccepted,
  foldContent,
  foldDone,
  foldLateAcceptance,
  moveUp,
  sentTurn,
  type Turns,
  updateTurn,
  withTurn,
} from "./turns.ts";

/** An event on the client's side. */
export type LocalEvent =
  /** The client attaches to a stored session. Its known turns stay until the hub's snapshot arrives. */
  | { readonly type: "local.attaching" }
  /** A new session starts; the turns of the old one move to `earlier`. */
  | { readonly type: "local.new_session" }
  /** The place in line is lost, and the session with it; its unanswered messages are for the next one. */
  | { readonly type: "local.place_lost" }
  /** An attempt to connect starts. */
  | { readonly type: "local.attempt" }
  /** The connection was lost, and the next attempt is scheduled. */
  | {
      readonly type: "local.retry_scheduled";
      readonly retryAtMs: number;
      readonly code: number;
      readonly nowMs: number;
    }
  | { readonly type: "local.sent"; readonly message: string; readonly text: string }
  | { readonly type: "local.stopping"; readonly turn: string }
  | { readonly type: "local.regenerating"; readonly turn: string }
  /** The hub sent an invalid message. */
  | { readonly type: "local.fault"; readonly why: string }
  /** The connection was closed for good. */
  | { readonly type: "local.closed"; readonly code: number };

/** A frame with its local time of arrival in Unix milliseconds, to which the hub's relative times refer. */
export type Received = Decoded & { readonly receivedMs?: number };

export type Input = Received | LocalEvent;

/** Close code of a connection that was lost without a close frame. */
const LOST = 1006;

/** Applies one input to the state. Returns the same object if nothing changed. */
export function reduce(state: SessionState, input: Input): SessionState {
  switch (input.type) {
    case "local.attaching":
      return { ...INITIAL, link: "connecting", earlier: state.earlier, turns: state.turns };
    case "local.new_session":
      // Messages that the hub has not accepted belong to the next session.
      return {
        ...INITIAL,
        link: "connecting",
        earlier: archiveTurns(state),
        turns: state.turns.filter(isUnsent),
      };
    case "local.place_lost":
      return {
        ...INITIAL,
        link: "connecting",
        earlier: state.earlier,
        turns: state.turns.filter(isUnanswered).map(({ key, text }) => sentTurn(key, text)),
        end: state.end,
      };
    case "local.attempt":
      return { ...leaveLine(state), link: disconnectedLink(state), retryAtMs: null };
    case "local.retry_scheduled":
      return scheduleRetry(state, input);
    case "local.sent":
      return { ...state, notice: null, turns: [...state.turns, sentTurn(input.message, input.text)] };
    case "local.stopping":
      return {
        ...state,
        turns: updateTurn(state.turns, input.turn, (turn) => ({ ...turn, stopping: true })),
      };
    case "local.regenerating":
      return { ...state, notice: null, regenerating: input.turn };
    case "local.fault":
      return state.fault === null ? { ...state, fault: input.why } : state;
    case "local.closed":
      return close(state, input.code);
    default:
      return foldFrame(state, input);
  }
}

/** Checks a frame's sequence number, then applies the frame. */
function foldFrame(state: SessionState, frame: Received): SessionState {
  if (state.fault !== null) {
    return state;
  }
  const seq = "seq" in frame ? (frame.seq ?? null) : null;
  if (seq === null) {
    return frame.type === "unknown" ? state : fold(state, frame);
  }
  if (seq <= state.head) {
    return frame.type === "turn.accepted" ? withTurns(state, foldLateAcceptance(state.turns, frame)) : state;
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
      return foldStatus(state, frame);
    case "session.expiring":
      return { ...state, expiring: expiringAt(frame, frame.receivedMs ?? 0) };
    case "session.extended":
      return {
        ...state,
        deadline: deadlineAt(frame.deadline, frame.receivedMs ?? 0),
        expiring: remainingWarning(state.expiring),
      };
    case "session.ended":
      return {
        ...state,
        status: "terminated",
        expiring: null,
        end: { ...state.end, reason: frame.reason },
      };
    case "turn.accepted":
      return withTurns(clearRegenerating(state, frame.replaces), foldAccepted(state.turns, frame));
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
    // After a resumption the missing frames follow; otherwise a snapshot covers everything up to the hub's head.
    head: frame.resumed ? state.head : frame.head,
    deadline,
    graceMs: frame.grace_ms,
    graceEndsAtMs: null,
    expiring: remainingWarning(state.expiring, deadline),
    end: INITIAL.end,
  };
}

/**
 * Applies a status. A position is the place in line, which ends with a status without one. The hub may give a position
 * before `session.ready`; then there is no session yet, and the failure of an earlier attempt no longer matters.
 */
function foldStatus(
  state: SessionState,
  frame: Extract<HubFrame, { type: "session.status" }> & { receivedMs?: number },
): SessionState {
  const { position, status, step, elapsed_ms } = frame;
  const nowMs = frame.receivedMs ?? 0;
  if (position !== undefined) {
    const line = { position, sinceMs: state.line?.sinceMs ?? nowMs - elapsed_ms };
    return { ...state, status, line, boot: [{ step: "queued", startedMs: 0, tookMs: null }] };
  }
  // The hub counts the steps of the start from the admission.
  const boot = state.line === null ? state.boot : foldLineEnd(state.line, nowMs);
  return {
    ...state,
    status,
    line: null,
    boot: foldBoot(boot, step, elapsed_ms),
    expiring: status === "active" ? remainingWarning(state.expiring) : state.expiring,
  };
}

function foldLineEnd({ sinceMs }: Line, nowMs: number): readonly BootStep[] {
  return [{ step: "queued", startedMs: 0, tookMs: Math.max(0, nowMs - sinceMs) }];
}

/** Clears the place in line, which is lost with the connection. */
function leaveLine(state: SessionState): SessionState {
  return state.line === null ? state : { ...state, line: null, boot: [] };
}

/** Replaces the known turns with the hub's, and keeps messages that the hub has not accepted. */
function foldSnapshot(state: SessionState, frame: SnapshotFrame): SessionState {
  const isOtherHub = frame.why === "epoch";
  const empty: SessionState = {
    ...state,
    boot: [],
    truncated: true,
    turns: state.turns.flatMap((turn) =>
      turn.turn === null ? [turn] : isOtherHub && isResendable(turn) ? [sentTurn(turn.key, turn.text)] : [],
    ),
  };
  const replayed = frame.frames.reduce((before: SessionState, each) => fold(before, each), empty);
  const stopping = new Set(state.turns.map((turn) => (turn.stopping ? turn.turn : null)));
  const before = new Map(state.turns.map((turn) => [turn.key, turn]));
  return {
    ...replayed,
    truncated: frame.truncated,
    turns: replayed.turns.map((turn) =>
      turn.phase === "waiting" && stopping.has(turn.turn)
        ? { ...turn, stopping: true }
        : isUnsent(turn)
          ? resolveUnknown(turn, before.get(turn.key), frame.truncated)
          : turn,
    ),
  };
}

/**
 * Returns true if an accepted message without an answer can be sent again: its key must be the client's message id.
 */
function isResendable(turn: Turn): boolean {
  return turn.phase === "waiting" && turn.key !== turn.turn;
}

/** Returns true if no agent has received the message of a session in line, and it can be sent again. */
function isUnanswered(turn: Turn): boolean {
  const isExpired = turn.phase === "done" && turn.outcome === "expired" && turn.key !== turn.turn;
  return isUnsent(turn) || isResendable(turn) || isExpired;
}

/**
 * Decides about a message that the previous hub had accepted and this hub does not know. It is sent again, because the
 * agent has not seen it. It counts as lost if it may have been running and the transcript is truncated.
 */
function resolveUnknown(turn: Turn, before: Turn | undefined, truncated: boolean): Turn {
  if (before === undefined || before.turn === null) {
    return turn;
  }
  if (before.stopping) {
    return finish(turn, "stopped", null);
  }
  return truncated && before.position === 0 ? finish(turn, "lost", null) : turn;
}

/** Adds a boot step. A step ends when the next one starts, or when the status has no step. */
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
  return { ...state, fault: `the end of ${frame.turn}, which is not open` };
}

function foldAnswer(state: SessionState, frame: ContentFrame): SessionState {
  const turns = foldContent(state.truncated ? withTurn(state.turns, frame.turn) : state.turns, frame);
  if (turns === null) {
    return { ...state, fault: `a ${frame.type} frame of ${frame.turn}, which is not open` };
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
    return { ...state, notice: failure, regenerating: null };
  }
  // A draining hub accepts no messages; the hub that replaces it will.
  const isKept = frame.code === "hub.draining";
  return isKept ? state : { ...state, turns: state.turns.with(index, finish(refused, "refused", failure)) };
}

/** Ends the request for another answer once the hub has accepted it. */
function clearRegenerating(state: SessionState, turn: string | undefined): SessionState {
  return turn !== undefined && turn === state.regenerating ? { ...state, regenerating: null } : state;
}

/** Applies a scheduled reconnect. Keeps the refusal of the last attempt, but not after a lost connection. */
function scheduleRetry(
  state: SessionState,
  { retryAtMs, code, nowMs }: Extract<LocalEvent, { type: "local.retry_scheduled" }>,
): SessionState {
  const failure = code === LOST ? null : state.end.failure;
  const graceEndsAtMs = state.graceEndsAtMs ?? (state.graceMs === null ? null : nowMs + state.graceMs);
  return {
    ...leaveLine(state),
    link: disconnectedLink(state),
    retryAtMs,
    graceEndsAtMs,
    end: { ...state.end, failure, code },
  };
}

function close(state: SessionState, code: number): SessionState {
  // Running turns continue in the tab that replaced this one.
  const isLost = (turn: Turn) => turn.phase === "sending" || (turn.phase === "waiting" && code !== REPLACED);
  const turns = state.turns.map((turn) => (isLost(turn) ? finish(turn, "lost", null) : turn));
  return {
    ...leaveLine(state),
    link: "closed",
    retryAtMs: null,
    expiring: null,
    regenerating: null,
    turns,
    end: { ...state.end, code },
  };
}

function disconnectedLink(state: SessionState): "connecting" | "reconnecting" {
  return state.session === null ? "connecting" : "reconnecting";
}

function isUnsent(turn: Turn): boolean {
  return turn.phase === "sending";
}

function withTurns(state: SessionState, turns: Turns): SessionState {
  return turns === state.turns ? state : { ...state, turns };
}
