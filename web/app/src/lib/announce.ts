/** What a screen reader is told beyond the status and the end, which are told where they stand. Pure. */

import type { SessionState } from "@mayfly/client/state";
import { describeTrouble } from "./describe.ts";
import { secondsIn } from "./seconds-left.ts";

/** What is new since the state before; null when it need not be said. */
export function announce(before: SessionState, after: SessionState, nowMs: number): string | null {
  const { expiring } = after;
  if (expiring !== null && before.expiring === null) {
    const seconds = secondsIn(expiring.endsAtMs - nowMs);
    const ends = `This conversation ends in ${seconds} seconds`;
    return expiring.canExtend
      ? `Still there? ${ends}. Enter in the empty message field keeps it.`
      : `${ends}: its time is up.`;
  }
  if (before.link === "reconnecting" && after.link === "open") {
    return "Reconnected.";
  }
  if (after.link === "reconnecting" && after.end.failure === null) {
    return null;
  }
  const trouble = describeTrouble(after);
  return trouble !== null && trouble !== describeTrouble(before) ? trouble : null;
}
