/** How frames and what a person does become turns. Pure; knows the turns only, not the session around them. */

import { foldChunk, settle } from "./parts.ts";
import type { ContentFrame, HubFrame } from "./protocol.ts";
import type { Outcome, Turn } from "./state.ts";

export type Turns = readonly Turn[];
type Accepted = Extract<HubFrame, { type: "turn.accepted" }>;
type Done = Extract<HubFrame, { type: "turn.done" }>;

export function sentTurn(key: string, text: string): Turn {
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
    ttftMs: null,
    tookMs: null,
    usage: null,
  };
}

export function finish(turn: Turn, outcome: Outcome, error: Turn["error"]): Turn {
  return { ...turn, phase: "done", stopping: false, outcome, error, parts: settle(turn.parts) };
}

export function updateTurn(turns: Turns, name: string, update: (turn: Turn) => Turn): Turns {
  return turns.map((turn) => (turn.turn === name ? update(turn) : turn));
}

export function foldAccepted(turns: Turns, frame: Accepted): Turns {
  const { turn, text, position } = frame;
  const mine = turns.find((each) => isOf(each, frame));
  const before = mine ?? sentTurn(frame.message ?? turn, text);
  const accepted: Turn = { ...before, turn, text, position, phase: "waiting", outcome: null, error: null };
  const others = turns.filter(
    (each) => each !== mine && (frame.replaces === undefined || each.turn !== frame.replaces),
  );
  // The hub's order counts: what it has not accepted yet comes after.
  const index = others.findLastIndex((each) => each.turn !== null) + 1;
  return others.toSpliced(index, 0, accepted);
}

/**
 * A message that was sent again has been accepted before the record that is known here begins. So the turn is one
 * whose beginning is missing, or it is over.
 */
export function foldAcceptedLongAgo(turns: Turns, frame: Accepted): Turns {
  const mine = turns.find((each) => isOf(each, frame));
  if (mine === undefined) {
    return turns;
  }
  const { turn, text } = frame;
  if (turns.some((each) => each.turn === turn)) {
    return updateTurn(
      turns.filter((each) => each !== mine),
      turn,
      (each) => ({ ...each, text }),
    );
  }
  return turns.map((each) => (each === mine ? finish({ ...mine, turn, text }, "lost", null) : each));
}

/** Null when the turn is not under way. */
export function foldDone(turns: Turns, frame: Done): Turns | null {
  const index = turns.findIndex((each) => each.turn === frame.turn);
  const turn = turns[index];
  if (turn?.phase !== "waiting") {
    return null;
  }
  const ended = finish(turn, frame.reason, frame.error ?? null);
  const done: Turn = {
    ...ended,
    ttftMs: frame.ttft_ms ?? null,
    tookMs: frame.took_ms ?? null,
    usage: frame.usage ?? null,
  };
  return moveUp(turns, index).with(index, done);
}

/** One turn less comes before all that wait behind this place. */
export function moveUp(turns: Turns, place: number): Turn[] {
  return turns.map((turn, at) =>
    at > place && turn.phase === "waiting" && turn.position > 0
      ? { ...turn, position: turn.position - 1 }
      : turn,
  );
}

/** The same turns when nothing changed; null when the turn is not under way. */
export function foldContent(turns: Turns, frame: ContentFrame): Turns | null {
  const turn = turns.find((each) => each.turn === frame.turn);
  if (turn?.phase !== "waiting") {
    return null;
  }
  const parts = foldChunk(turn.parts, frame);
  return parts === turn.parts ? turns : updateTurn(turns, frame.turn, (each) => ({ ...each, parts }));
}

/** Makes the turn of a frame whose acceptance is no longer known: it runs, so it comes before all that waits. */
export function withTurn(turns: Turns, name: string): Turns {
  if (turns.some((each) => each.turn === name)) {
    return turns;
  }
  const made: Turn = { ...sentTurn(name, ""), turn: name, phase: "waiting" };
  const index = turns.findIndex((each) => each.phase !== "done");
  return turns.toSpliced(index === -1 ? turns.length : index, 0, made);
}

function isOf(turn: Turn, frame: Accepted): boolean {
  return turn.turn === null && turn.key === frame.message;
}
