/** Transcripts that outlive their session: archived when a new session starts, or read from a page's storage. Pure. */

import type { EarlierSession, SessionState, Transcript, Turn } from "./state.ts";
import { finish } from "./turns.ts";

/** Limit of turns kept from earlier sessions; the oldest are dropped first. */
export const EARLIER_MAX_TURNS = 500;

/** Adds the current session to the earlier ones. Open turns become `lost`; unsent messages are left out. */
export function archiveTurns(
  state: Pick<SessionState, "session" | "earlier" | "turns">,
): readonly EarlierSession[] {
  const turns = state.turns
    .filter((turn) => turn.phase !== "sending")
    .map((turn) => (turn.phase === "waiting" ? finish(turn, "lost", null) : turn));
  if (turns.length === 0) {
    return state.earlier;
  }
  return bounded([...state.earlier, { session: state.session, turns }]);
}

/** Reads a transcript from JSON; null if the text is not a transcript. */
export function readTranscript(json: string | null): Transcript | null {
  try {
    const value: unknown = JSON.parse(json ?? "null");
    return isTranscript(value) ? { earlier: value.earlier, turns: value.turns } : null;
  } catch {
    return null;
  }
}

function bounded(earlier: readonly EarlierSession[]): readonly EarlierSession[] {
  let left = EARLIER_MAX_TURNS;
  const kept: EarlierSession[] = [];
  for (const { session, turns } of earlier.toReversed()) {
    const newest = turns.slice(Math.max(0, turns.length - left));
    left -= newest.length;
    if (newest.length > 0) {
      kept.unshift({ session, turns: newest });
    }
  }
  return kept;
}

/** Checks the outline only; the contents of turns are trusted, because the page itself wrote them. */
function isTranscript(value: unknown): value is Transcript {
  const isTurns = (turns: unknown): turns is readonly Turn[] =>
    Array.isArray(turns) && turns.every((turn) => typeof turn?.key === "string" && Array.isArray(turn.parts));
  const { earlier, turns } = (value ?? {}) as Partial<Transcript>;
  return isTurns(turns) && Array.isArray(earlier) && earlier.every((each) => isTurns(each?.turns));
}
