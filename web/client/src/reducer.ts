/**
 * `(state, input) -> state`, pure. An input is a frame from the hub or something that happened here: a person sent a
 * message, the socket closed. Owns the rules by which frames become a conversation; knows no socket, clock or screen.
 */

import type { Decoded } from "./decode.ts";
import { foldChunk, settle } from "./parts.ts";
import type { ContentFrame, HubFrame, Step } from "./protocol.ts";
import { type BootStep, INITIAL, type Outcome, type SessionState, type Turn } from "./state.ts";

/** What happened on this side of the socket. */
export type LocalEvent =
  | { readonly type: "local.connecting" }
  | { readonly type: "local.open" }
  | { readonly type: "local.sent"; readonly message: string; readonly text: string }
  | { readonly type: "local.stopping"; readonly turn: string }
  | { readonly type: "local.fault"; readonly why: string }
  | { readonly type: "local.closed"; readonly code: number };

export type Input = Decoded | LocalEvent;

export function reduce(state: SessionState, input: Input): SessionState {
  switch (input.type) {
    case "local.connecting":
      return { ...INITIAL, link: "connecting" };
    case "local.open":
      return { ...state, link: "open" };
    case "local.sent":
      return { ...state, notice: null, turns: [...state.turns, sentTurn(input.message, input.text)] };
    case "local.stopping":
      return updateTurn(state, input.turn, (turn) => ({ ...turn, stopping: true }));
    case "local.fault":
      return state.fault === null ? { ...state, fault: input.why } : state;
    case "local.closed":
      return close(state, input.code);
    default:
      return foldFrame(state, input);
  }
}

/** Checks a frame's place in the record, then folds it in. */
function foldFrame(state: SessionState, frame: Decoded): SessionState {
  if (state.fault !== null) {
    return state;
  }
  const seq = "seq" in frame ? (frame.seq ?? null) : null;
  if (seq === null) {
    return frame.type === "unknown" ? state : fold(state, frame);
  }
  if (seq <= state.head) {
    return state;
  }
  if (seq !== state.head + 1) {
    return { ...state, fault: `frame ${seq} came after frame ${state.head}` };
  }
  const next = { ...state, head: seq };
  return frame.type === "unknown" ? next : fold(next, frame);
}

function fold(state: SessionState, frame: HubFrame | ContentFrame): SessionState {
  switch (frame.type) {
    case "session.ready":
      return { ...state, session: frame.session, status: frame.status, head: frame.head };
    case "session.status":
      return { ...state, status: frame.status, boot: foldBoot(state.boot, frame.step, frame.elapsed_ms) };
    case "session.ended":
      return { ...state, status: "terminated", end: { ...state.end, reason: frame.reason } };
    case "turn.accepted":
      return foldAccepted(state, frame);
    case "turn.done":
      return foldDone(state, frame);
    case "error":
      return foldError(state, frame);
    case "help":
      return state;
    default:
      return foldContent(state, frame);
  }
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

function foldAccepted(
  state: SessionState,
  frame: Extract<HubFrame, { type: "turn.accepted" }>,
): SessionState {
  const { turn, text, position } = frame;
  const mine = state.turns.findIndex((each) => each.turn === null && each.key === frame.message);
  const before = state.turns[mine] ?? sentTurn(turn, text);
  const accepted: Turn = { ...before, turn, text, position, phase: "waiting", outcome: null, error: null };
  const others = state.turns.filter((_, index) => index !== mine);
  // The hub's order counts: what it has not accepted yet comes after.
  const index = others.findLastIndex((each) => each.turn !== null) + 1;
  return { ...state, turns: others.toSpliced(index, 0, accepted) };
}

function foldDone(state: SessionState, frame: Extract<HubFrame, { type: "turn.done" }>): SessionState {
  const index = state.turns.findIndex((each) => each.turn === frame.turn);
  const ended = state.turns[index];
  if (ended === undefined || ended.phase === "done") {
    return { ...state, fault: `the end of ${frame.turn}, which is not under way` };
  }
  const turns = state.turns.map((turn, at) => {
    if (at === index) {
      return finish(turn, frame.reason, frame.error ?? null);
    }
    const isBehind = at > index && turn.phase === "waiting" && turn.position > 0;
    return isBehind ? { ...turn, position: turn.position - 1 } : turn;
  });
  return { ...state, turns };
}

function foldError(state: SessionState, frame: Extract<HubFrame, { type: "error" }>): SessionState {
  const failure = { code: frame.code, message: frame.message };
  if (frame.scope === "session" || frame.scope === "hub") {
    return { ...state, end: { ...state.end, failure } };
  }
  // The frame does not name its message, and may have overtaken the acceptance of earlier ones: so it is the last.
  const index = state.turns.findLastIndex((turn) => turn.phase === "sending");
  const refused = state.turns[index];
  if (frame.code === "quota.queue" && refused !== undefined) {
    return { ...state, turns: state.turns.with(index, finish(refused, "refused", failure)) };
  }
  return { ...state, notice: failure };
}

function foldContent(state: SessionState, frame: ContentFrame): SessionState {
  const turn = state.turns.find((each) => each.turn === frame.turn);
  if (turn === undefined || turn.phase === "done") {
    return { ...state, fault: `a ${frame.type} frame of ${frame.turn}, which is not under way` };
  }
  const parts = foldChunk(turn.parts, frame);
  return parts === turn.parts ? state : updateTurn(state, frame.turn, (each) => ({ ...each, parts }));
}

function close(state: SessionState, code: number): SessionState {
  const turns = state.turns.map((turn) => (turn.phase === "done" ? turn : finish(turn, "lost", null)));
  return { ...state, link: "closed", turns, end: { ...state.end, code } };
}

function finish(turn: Turn, outcome: Outcome, error: Turn["error"]): Turn {
  return { ...turn, phase: "done", stopping: false, outcome, error, parts: settle(turn.parts) };
}

function sentTurn(key: string, text: string): Turn {
  return {
    key,
    turn: null,
    text,
    phase: "sending",
    position: 0,
    stopping: false,
    parts: [],
    outcome: null,
    error: null,
  };
}

function updateTurn(state: SessionState, name: string, update: (turn: Turn) => Turn): SessionState {
  return { ...state, turns: state.turns.map((turn) => (turn.turn === name ? update(turn) : turn)) };
}
