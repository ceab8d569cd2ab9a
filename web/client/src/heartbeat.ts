/**
 * Detects dead connections. Browsers do not show WebSocket Pings to pages, so the client sends `ping` frames while the
 * page is visible. Timers of a hidden page are throttled, so the page probes the connection when it is shown again.
 */

import type { Platform } from "./platform.ts";

/** Time within which a probe must be answered. */
export const PROBE_TIMEOUT_MS = 5_000;
/** Shortest interval between pings, even if the hub's own is shorter. */
const PING_MIN_MS = 1_000;
/** Number of unanswered pings after which the connection is dead. */
const MISSED_PINGS_MAX = 2;

export class Heartbeat {
  readonly #platform: Platform;
  readonly #sendPing: (t: number) => void;
  readonly #onDead: () => void;
  #pingMs = 0;
  #unanswered = 0;
  #cancelBeat: (() => void) | null = null;
  #pendingProbe: { readonly t: number; readonly cancel: () => void } | null = null;

  constructor(platform: Platform, on: { sendPing: (t: number) => void; onDead: () => void }) {
    this.#platform = platform;
    this.#sendPing = on.sendPing;
    this.#onDead = on.onDead;
  }

  /** Starts pinging at the hub's interval. */
  start(pingMs: number): void {
    this.stop();
    this.#pingMs = Math.max(pingMs, PING_MIN_MS);
    this.#schedule();
  }

  /** Stops pinging and cancels a pending probe. */
  stop(): void {
    this.#cancelBeat?.();
    this.#cancelBeat = null;
    this.#pendingProbe?.cancel();
    this.#pendingProbe = null;
    this.#unanswered = 0;
  }

  /** Records a received frame; `t` is the value of a pong, null for other frames. */
  record(t: number | null): void {
    this.#unanswered = 0;
    // Other frames may have been buffered since before the machine slept, so only the pong answers the probe.
    if (this.#pendingProbe !== null && t === this.#pendingProbe.t) {
      this.#pendingProbe.cancel();
      this.#pendingProbe = null;
    }
  }

  /** Pings now and reports a dead connection unless the pong arrives within {@link PROBE_TIMEOUT_MS}. */
  probe(): void {
    if (this.#cancelBeat === null || this.#pendingProbe !== null) {
      return;
    }
    const t = this.#platform.now();
    this.#pendingProbe = { t, cancel: this.#platform.after(PROBE_TIMEOUT_MS, () => this.#onDead()) };
    this.#sendPing(t);
  }

  #schedule(): void {
    this.#cancelBeat = this.#platform.after(this.#pingMs, () => this.#beat());
  }

  #beat(): void {
    if (this.#platform.isHidden()) {
      this.#unanswered = 0;
    } else if (this.#unanswered >= MISSED_PINGS_MAX) {
      this.#onDead();
      return;
    } else {
      this.#unanswered += 1;
      this.#sendPing(this.#platform.now());
    }
    this.#schedule();
  }
}
