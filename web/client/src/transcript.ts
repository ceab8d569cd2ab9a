/** What outlasts a session: its turns, set aside when another begins, and read back from where a page kept them. Pure. */

import type { Earlier, SessionState, Transcript, Turn } from "./state.ts";
import { finish } from "./turns.ts";

/** So many turns of sessions that are over are kept; the oldest go first. */
export const EARLIER_MAX_TURNS = 500;

/** The sessions that are over, this one among them: how its open turns ended is not known any more. */
export function setAside(state: Pick<SessionState, "session" | "earlier" | "turns">): readonly Earlier[] {
  const turns = state.turns
    .filter((turn) => turn.phase !== "sending")
    .map((turn) => (turn.phase === "waiting" ? finish(turn, "lost", null) : turn));
  if (turns.length === 0) {
    return state.earlier;
  }
  return bounded([...state.earlier, { session: state.session, turns }]);
}

/** A transcript that was kept as JSON; null when it is none. */
export function readTranscript(json: string | null): Transcript | null {
  try {
    const kept: unknown = JSON.parse(json ?? "null");
    return isTranscript(kept) ? { earlier: kept.earlier, turns: kept.turns } : null;
  } catch {
    return null;
  }
}

function bounded(earlier: readonly Earlier[]): readonly Earlier[] {
  let left = EARLIER_MAX_TURNS;
  const kept: Earlier[] = [];
  for (const { session, turns } of earlier.toReversed()) {
    const newest = turns.slice(Math.max(0, turns.length - left));
    left -= newest.length;
    if (newest.length > 0) {
      kept.unshift({ session, turns: newest });
    }
  }
  return kept;
}

/** Checks the outline; what is in a turn is as it was written. */
function isTranscript(value: unknown): value is Transcript {
  const isTurns = (turns: unknown): turns is readonly Turn[] =>
    Array.isArray(turns) && turns.every((turn) => typeof turn?.key === "string" && Array.isArray(turn.parts));
  const { earlier, turns } = (value ?? {}) as Partial<Transcript>;
  return isTurns(turns) && Array.isArray(earlier) && earlier.every((each) => isTurns(each?.turns));
}
