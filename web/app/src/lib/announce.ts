/** What a screen reader is told: what begins and what ends, never what merely moves. Pure. */

import { type Expiring, runningTurn, type SessionState, type Turn } from "@mayfly/client/state";
import { describeEnd, describeLine, describeTrouble } from "./describe.ts";
import { secondsIn } from "./seconds-left.ts";

/** Why a conversation ends that cannot be kept. */
export function whyItEnds({ cause }: Expiring): string {
  return cause === "drain" ? "the hub is shutting down" : "its time is up";
}

/** What is new since the state before; null when it need not be said. */
export function announce(
  before: SessionState,
  after: SessionState,
  isOnline: boolean,
  nowMs: number,
): string | null {
  return (
    ofEnd(before, after) ??
    ofTime(before, after, nowMs) ??
    ofConnection(before, after, isOnline) ??
    ofAnswer(before, after)
  );
}

function ofEnd(before: SessionState, after: SessionState): string | null {
  const end = describeEnd(after);
  return end !== null && end.title !== describeEnd(before)?.title ? `${end.title}. ${end.text}` : null;
}

function ofTime(before: SessionState, { expiring }: SessionState, nowMs: number): string | null {
  if (expiring === null || before.expiring !== null) {
    return null;
  }
  const ends = `This conversation ends in ${secondsIn(expiring.endsAtMs - nowMs)} seconds`;
  return expiring.canExtend
    ? `Still there? ${ends}. Enter in the empty message field keeps it.`
    : `${ends}: ${whyItEnds(expiring)}.`;
}

function ofConnection(before: SessionState, after: SessionState, isOnline: boolean): string | null {
  if (before.link === "reconnecting" && after.link === "open") {
    return "Reconnected.";
  }
  if (before.status === "creating" && after.status === "active") {
    return "The agent is ready.";
  }
  // Who waits hears of the beginning and of being next; the rest merely moves.
  const place = after.line?.position ?? null;
  if (place !== null && (before.line === null || (place === 1 && before.line.position !== 1))) {
    return describeLine(after);
  }
  const trouble = describeTrouble(after, isOnline)?.what ?? null;
  return trouble !== null && trouble !== describeTrouble(before, isOnline)?.what ? trouble : null;
}

function ofAnswer(before: SessionState, after: SessionState): string | null {
  const running = runningTurn(after);
  if (running !== null && running.key !== runningTurn(before)?.key) {
    return "The agent is answering.";
  }
  // An answer may begin and end between two looks at it; what was over when the page came is no news.
  const isSame = before.session !== null && before.session === after.session;
  const wasDone = new Set(before.turns.flatMap(({ key, phase }) => (phase === "done" ? [key] : [])));
  const ended = after.turns.findLast(({ key, phase }) => phase === "done" && !wasDone.has(key));
  return isSame && ended !== undefined ? outcomeWords(ended) : null;
}

function outcomeWords({ outcome, error }: Turn): string {
  switch (outcome) {
    case "complete":
      return "The answer is complete.";
    case "stopped":
      return "The answer was stopped.";
    default:
      return `The answer is not complete. ${error?.message ?? ""}`.trim();
  }
}
