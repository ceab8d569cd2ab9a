/** The arithmetic of a countdown in whole seconds. Pure. */

const SECOND_MS = 1_000;
/** Longest delay that a browser's timer accepts. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Converts milliseconds to whole seconds, rounding up; negative values are 0. */
export function secondsIn(ms: number): number {
  return Math.max(0, Math.ceil(ms / SECOND_MS));
}

/**
 * Milliseconds until the displayed countdown changes. `within` is the number of seconds before the end at which the
 * countdown appears.
 */
export function untilChange(leftMs: number, within: number): number {
  const beforeMs = leftMs - within * SECOND_MS;
  return beforeMs > 0 ? Math.min(beforeMs, TIMER_MAX_MS) : Math.max(0, leftMs) % SECOND_MS || SECOND_MS;
}
