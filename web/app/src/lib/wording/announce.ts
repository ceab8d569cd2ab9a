/** Announcements for screen readers: what starts and what ends, but not continuous changes. Pure. */

import { type Expiring, runningTurn, type SessionState, type Turn } from "@mayfly/client/state";
import { secondsIn } from "../browser/countdown.ts";
import { describeConnectionProblem } from "./connection.ts";
import { describeEnd } from "./end.ts";
import { describeLine } from "./status.ts";

/** The reason for an end that cannot be postponed. */
export function expiryReason({ cause }: Expiring): string {
  return cause === "drain" ? "the hub is shutting down" : "its time limit is reached";
}

/** The announcement for a change of state; null if the change needs none. */
export function announce(
  before: SessionState,
  after: SessionState,
  isOnline: boolean,
  nowMs: number,
): string | null {
  return (
    announceEnd(before, after) ??
    announceWarning(before, after, nowMs) ??
    announceConnection(before, after, isOnline) ??
    announceAnswer(before, after)
  );
}

function announceEnd(before: SessionState, after: SessionState): string | null {
  const end = describeEnd(after);
  return end !== null && end.title !== describeEnd(before)?.title ? `${end.title}. ${end.text}` : null;
}

function announceWarning(before: SessionState, { expiring }: SessionState, nowMs: number): string | null {
  if (expiring === null || before.expiring !== null) {
    return null;
  }
  const ends = `This conversation ends in ${secondsIn(expiring.endsAtMs - nowMs)} seconds`;
  return expiring.canExtend
    ? `Still there? ${ends}. Press Enter in the empty message field to continue it.`
    : `${ends}: ${expiryReason(expiring)}.`;
}

function announceConnection(before: SessionState, after: SessionState, isOnline: boolean): string | null {
  if (before.link === "reconnecting" && after.link === "open") {
    return "Reconnected.";
  }
  if (before.status === "creating" && after.status === "active") {
    return "The agent is ready.";
  }
  // Only joining the line and becoming next in line are announced; other moves would be noise.
  const place = after.line?.position ?? null;
  if (place !== null && (before.line === null || (place === 1 && before.line.position !== 1))) {
    return describeLine(after);
  }
  const cause = describeConnectionProblem(after, isOnline)?.cause ?? null;
  return cause !== null && cause !== describeConnectionProblem(before, isOnline)?.cause ? cause : null;
}

function announceAnswer(before: SessionState, after: SessionState): string | null {
  const running = runningTurn(after);
  if (running !== null && running.key !== runningTurn(before)?.key) {
    return "The agent is answering.";
  }
  // A turn can start and end within one commit. Turns that were done when the page loaded are not announced.
  const isSame = before.session !== null && before.session === after.session;
  const wasDone = new Set(before.turns.flatMap(({ key, phase }) => (phase === "done" ? [key] : [])));
  const ended = after.turns.findLast(({ key, phase }) => phase === "done" && !wasDone.has(key));
  return isSame && ended !== undefined ? outcomeText(ended) : null;
}

function outcomeText({ outcome, error }: Turn): string {
  switch (outcome) {
    case "complete":
      return "The answer is complete.";
    case "stopped":
      return "The answer was stopped.";
    default:
      return `The answer is incomplete. ${error?.message ?? ""}`.trim();
  }
}
