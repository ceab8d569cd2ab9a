/**
 * Tells a dead connection from a silent one. A page does not see the hub's WebSocket Pings, so it sends its own, as
 * long as somebody looks at it; one that is hidden hardly gets timers, and asks once it is shown again.
 */

import type { Platform } from "./platform.ts";

/** How long the answer may take when the page is shown again or the network is back. */
export const CHECK_MS = 5_000;
/** However often the hub itself pings: a page does it no more often than this. */
const PING_MIN_MS = 1_000;
/** So many unanswered pings are a dead connection. */
const MISSES = 2;

export class Heartbeat {
  readonly #platform: Platform;
  readonly #ping: (t: number) => void;
  readonly #dead: () => void;
  #pingMs = 0;
  #unanswered = 0;
  #cancelBeat: (() => void) | null = null;
  #check: { readonly t: number; readonly cancel: () => void } | null = null;

  constructor(platform: Platform, on: { ping: (t: number) => void; dead: () => void }) {
    this.#platform = platform;
    this.#ping = on.ping;
    this.#dead = on.dead;
  }

  start(pingMs: number): void {
    this.stop();
    this.#pingMs = Math.max(pingMs, PING_MIN_MS);
    this.#schedule();
  }

  stop(): void {
    this.#cancelBeat?.();
    this.#cancelBeat = null;
    this.#check?.cancel();
    this.#check = null;
    this.#unanswered = 0;
  }

  /** Something came; what a pong says is in `t`. */
  heard(t: number | null): void {
    this.#unanswered = 0;
    // Other frames may have waited in this machine since before it slept.
    if (this.#check !== null && t === this.#check.t) {
      this.#check.cancel();
      this.#check = null;
    }
  }

  /** Asks at once, and does not wait long. */
  check(): void {
    if (this.#cancelBeat === null || this.#check !== null) {
      return;
    }
    const t = this.#platform.now();
    this.#check = { t, cancel: this.#platform.after(CHECK_MS, () => this.#dead()) };
    this.#ping(t);
  }

  #schedule(): void {
    this.#cancelBeat = this.#platform.after(this.#pingMs, () => this.#beat());
  }

  #beat(): void {
    if (this.#platform.isHidden()) {
      this.#unanswered = 0;
    } else if (this.#unanswered >= MISSES) {
      this.#dead();
      return;
    } else {
      this.#unanswered += 1;
      this.#ping(this.#platform.now());
    }
    this.#schedule();
  }
}
