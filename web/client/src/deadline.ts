/** The hub's countdowns as times of the local clock. Pure. */

import type { Deadline, HubFrame } from "./protocol.ts";
import type { DeadlineAt, Expiring } from "./state.ts";

/** How much later a time may come out that was told again, for all that the network does in between. */
const TOLERANCE_MS = 1_000;

export function deadlineAt(deadline: Deadline, nowMs: number): DeadlineAt {
  return {
    idleAtMs: deadline.idle_ms === undefined ? null : nowMs + deadline.idle_ms,
    maxAtMs: nowMs + deadline.max_ms,
  };
}

export function expiringAt(frame: Extract<HubFrame, { type: "session.expiring" }>, nowMs: number): Expiring {
  return { cause: frame.cause, endsAtMs: nowMs + frame.remaining_ms, canExtend: frame.can_extend };
}

/**
 * What is left of a warning when the session goes on: one that can be put off is gone, unless the deadline that the
 * hub tells says otherwise.
 */
export function stillExpiring(warning: Expiring | null, deadline?: DeadlineAt): Expiring | null {
  if (warning === null || (deadline === undefined && (warning.cause === "idle" || warning.canExtend))) {
    return null;
  }
  if (deadline === undefined) {
    return warning;
  }
  const endsAtMs = warning.cause === "idle" ? deadline.idleAtMs : deadline.maxAtMs;
  return endsAtMs !== null && endsAtMs <= warning.endsAtMs + TOLERANCE_MS ? { ...warning, endsAtMs } : null;
}
