/** Converts the hub's relative times to local timestamps. Pure. */

import type { Deadline, HubFrame } from "./protocol.ts";
import type { DeadlineAt, Expiring } from "./state.ts";

/** Difference by which a repeated deadline may come out later because of network delay. */
const TOLERANCE_MS = 1_000;

/** The session's deadline in Unix milliseconds. */
export function deadlineAt(deadline: Deadline, nowMs: number): DeadlineAt {
  return {
    idleAtMs: deadline.idle_ms === undefined ? null : nowMs + deadline.idle_ms,
    maxAtMs: nowMs + deadline.max_ms,
  };
}

/** The warning of a `session.expiring` frame with its end in Unix milliseconds. */
export function expiringAt(frame: Extract<HubFrame, { type: "session.expiring" }>, nowMs: number): Expiring {
  return { cause: frame.cause, endsAtMs: nowMs + frame.remaining_ms, canExtend: frame.can_extend };
}

/**
 * The warning that remains after the session was resumed, extended or active again. An idle or extendable warning is
 * cleared, unless the new deadline is still the time that the warning gave.
 */
export function remainingWarning(warning: Expiring | null, deadline?: DeadlineAt): Expiring | null {
  if (warning === null || (deadline === undefined && (warning.cause === "idle" || warning.canExtend))) {
    return null;
  }
  if (deadline === undefined) {
    return warning;
  }
  const endsAtMs = warning.cause === "idle" ? deadline.idleAtMs : deadline.maxAtMs;
  return endsAtMs !== null && endsAtMs <= warning.endsAtMs + TOLERANCE_MS ? { ...warning, endsAtMs } : null;
}
