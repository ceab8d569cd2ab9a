/**
 * Schedules attempts to reconnect with exponential backoff and full jitter, so that the clients of a restarted hub do
 * not all reconnect at once. Knows no sockets.
 */

import type { Platform } from "./platform.ts";

/** Longest delay after the first failure; it doubles with each further failure. */
export const BASE_MS = 500;
/** Limit of the longest delay. */
export const CAP_MS = 30_000;
/** Duration after which a connection counts as stable and resets the number of failures. */
export const STABLE_MS = 5_000;

export class Reconnect {
  readonly #platform: Platform;
  readonly #attempt: () => void;
  #failures = 0;
  #openedMs: number | null = null;
  #scheduled: { readonly notBeforeMs: number; readonly cancel: () => void } | null = null;

  constructor(platform: Platform, attempt: () => void) {
    this.#platform = platform;
    this.#attempt = attempt;
  }

  /** Schedules an attempt, not before `retryAfterMs` has passed. Returns its time in Unix milliseconds. */
  schedule(retryAfterMs: number): number {
    this.cancel();
    const now = this.#platform.now();
    if (this.#openedMs !== null && now - this.#openedMs >= STABLE_MS) {
      this.#failures = 0;
    }
    this.#openedMs = null;
    const waitMs = retryAfterMs + backoffMs(this.#failures, this.#platform.random());
    this.#failures += 1;
    const cancel = this.#platform.after(waitMs, () => this.runNow());
    this.#scheduled = { notBeforeMs: now + retryAfterMs, cancel };
    return now + waitMs;
  }

  /** Records an open connection and cancels a scheduled attempt. */
  opened(): void {
    this.cancel();
    this.#openedMs = this.#platform.now();
  }

  /** Makes the scheduled attempt now, if there is one. */
  runNow(): void {
    if (this.#scheduled !== null) {
      this.cancel();
      this.#attempt();
    }
  }

  /** Makes the scheduled attempt now, unless the hub asked for more time. */
  wake(): void {
    if (this.#scheduled !== null && this.#scheduled.notBeforeMs <= this.#platform.now()) {
      this.runNow();
    }
  }

  /** Cancels a scheduled attempt. */
  cancel(): void {
    this.#scheduled?.cancel();
    this.#scheduled = null;
  }
}

/** Delay with full jitter: a random part of the current limit. */
export function backoffMs(failures: number, random: number): number {
  return Math.round(random * Math.min(CAP_MS, BASE_MS * 2 ** failures));
}
