/**
 * When to try again after a connection is lost: a random part of a span that doubles with each failure, so that the
 * clients of a hub that went away do not all come back at once. Knows no socket.
 */

import type { Platform } from "./platform.ts";

export const BASE_MS = 500;
export const CAP_MS = 30_000;
/** How long a connection has to last for the failures before it to be forgotten. */
export const STABLE_MS = 5_000;

export class Reconnect {
  readonly #platform: Platform;
  readonly #attempt: () => void;
  #failures = 0;
  #openedMs: number | null = null;
  #planned: { readonly notBeforeMs: number; readonly cancel: () => void } | null = null;

  constructor(platform: Platform, attempt: () => void) {
    this.#platform = platform;
    this.#attempt = attempt;
  }

  /** Plans an attempt, not before the time that the hub asked for. Returns when it will be. */
  plan(retryAfterMs: number): number {
    this.cancel();
    const now = this.#platform.now();
    if (this.#openedMs !== null && now - this.#openedMs >= STABLE_MS) {
      this.#failures = 0;
    }
    this.#openedMs = null;
    const waitMs = retryAfterMs + backoffMs(this.#failures, this.#platform.random());
    this.#failures += 1;
    const cancel = this.#platform.after(waitMs, () => this.now());
    this.#planned = { notBeforeMs: now + retryAfterMs, cancel };
    return now + waitMs;
  }

  /** The connection stands. */
  opened(): void {
    this.cancel();
    this.#openedMs = this.#platform.now();
  }

  /** Makes the planned attempt now, if there is one. */
  now(): void {
    if (this.#planned !== null) {
      this.cancel();
      this.#attempt();
    }
  }

  /** Makes the planned attempt now, unless the hub asked for more time. */
  wake(): void {
    if (this.#planned !== null && this.#planned.notBeforeMs <= this.#platform.now()) {
      this.now();
    }
  }

  /** Takes the plan back. */
  cancel(): void {
    this.#planned?.cancel();
    this.#planned = null;
  }
}

/** Full jitter: anything from nothing to the whole span. */
export function backoffMs(failures: number, random: number): number {
  return Math.round(random * Math.min(CAP_MS, BASE_MS * 2 ** failures));
}
