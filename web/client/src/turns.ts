/** Applies frames and local events to the list of turns. Pure. Knows nothing of the session. */

import { closeParts, foldChunk } from "./parts.ts";
import type { ContentFrame, HubFrame } from "./protocol.ts";
import type { Outcome, Turn } from "./state.ts";

export type Turns = readonly Turn[];
type Accepted = Extract<HubFrame, { type: "turn.accepted" }>;
type Done = Extract<HubFrame, { type: "turn.done" }>;

/** A turn for a message that the hub has not accepted. */
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

/** Ends a turn and closes its parts. */
export function finish(turn: Turn, outcome: Outcome, error: Turn["error"]): Turn {
  return { ...turn, phase: "done", stopping: false, outcome, error, parts: closeParts(turn.parts) };
}

/** Replaces the turn with this id. */
export function updateTurn(turns: Turns, name: string, update: (turn: Turn) => Turn): Turns {
  return turns.map((turn) => (turn.turn === name ? update(turn) : turn));
}

/** Applies an acceptance: the sent message becomes a turn, or another client's message is added. */
export function foldAccepted(turns: Turns, frame: Accepted): Turns {
  const { turn, text, position } = frame;
  const sent = turns.find((each) => isOf(each, frame));
  const before = sent ?? sentTurn(frame.message ?? turn, text);
  const accepted: Turn = { ...before, turn, text, position, phase: "waiting", outcome: null, error: null };
  const others = turns.filter(
    (each) => each !== sent && (frame.replaces === undefined || each.turn !== frame.replaces),
  );
  // Accepted turns are in the hub's order; messages that it has not accepted follow.
  const index = others.findLastIndex((each) => each.turn !== null) + 1;
  return others.toSpliced(index, 0, accepted);
}

/**
 * Applies an acceptance that repeats an old one: the client sent a message again that the hub had accepted before the
 * frames known here. So the turn is already in the list without its text, or it has ended.
 */
export function foldLateAcceptance(turns: Turns, frame: Accepted): Turns {
  const sent = turns.find((each) => isOf(each, frame));
  if (sent === undefined) {
    return turns;
  }
  const { turn, text } = frame;
  if (turns.some((each) => each.turn === turn)) {
    return updateTurn(
      turns.filter((each) => each !== sent),
      turn,
      (each) => ({ ...each, text }),
    );
  }
  return turns.map((each) => (each === sent ? finish({ ...sent, turn, text }, "lost", null) : each));
}

/** Applies the end of a turn. Returns null if the turn is not open. */
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

/** Moves queued turns after `place` up by one position. */
export function moveUp(turns: Turns, place: number): Turn[] {
  return turns.map((turn, at) =>
    at > place && turn.phase === "waiting" && turn.position > 0
      ? { ...turn, position: turn.position - 1 }
      : turn,
  );
}

/** Applies a content frame. Returns the same array if nothing changed, and null if the turn is not open. */
export function foldContent(turns: Turns, frame: ContentFrame): Turns | null {
  const turn = turns.find((each) => each.turn === frame.turn);
  if (turn?.phase !== "waiting") {
    return null;
  }
  const parts = foldChunk(turn.parts, frame);
  return parts === turn.parts ? turns : updateTurn(turns, frame.turn, (each) => ({ ...each, parts }));
}

/** Adds a turn whose acceptance the hub no longer has. The turn is running, so it precedes all queued turns. */
export function withTurn(turns: Turns, name: string): Turns {
  if (turns.some((each) => each.turn === name)) {
    return turns;
  }
  const added: Turn = { ...sentTurn(name, ""), turn: name, phase: "waiting" };
  const index = turns.findIndex((each) => each.phase !== "done");
  return turns.toSpliced(index === -1 ? turns.length : index, 0, added);
}

function isOf(turn: Turn, frame: Accepted): boolean {
  return turn.turn === null && turn.key === frame.message;
}
