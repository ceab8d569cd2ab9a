/** A fake browser. The test controls the clock and the hub's end of each socket. */

import type { Platform } from "../platform.ts";
import type { Socket } from "../socket.ts";

export class FakePlatform implements Platform {
  nowMs = 1_000_000;
  randomValue = 0.5;
  hidden = false;
  readonly stored = new Map<string, string>();
  #timers = new Map<number, { atMs: number; run: () => void }>();
  #next = 0;
  #wakes: (() => void)[] = [];

  now = () => this.nowMs;
  random = () => this.randomValue;
  isHidden = () => this.hidden;
  onWake = (run: () => void) => {
    this.#wakes.push(run);
    return () => {
      this.#wakes = this.#wakes.filter((each) => each !== run);
    };
  };
  after = (ms: number, run: () => void) => {
    const timer = ++this.#next;
    this.#timers.set(timer, { atMs: this.nowMs + ms, run });
    return () => void this.#timers.delete(timer);
  };
  storage = {
    getItem: (key: string) => this.stored.get(key) ?? null,
    setItem: (key: string, value: string) => void this.stored.set(key, value),
    removeItem: (key: string) => void this.stored.delete(key),
  };

  /** Advances the clock and runs due timers in order. */
  advance(ms: number) {
    const endMs = this.nowMs + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, { atMs }]) => atMs <= endMs);
      const [first] = due.sort(([, a], [, b]) => a.atMs - b.atMs);
      if (first === undefined) {
        break;
      }
      const [timer, { atMs, run }] = first;
      this.#timers.delete(timer);
      this.nowMs = atMs;
      run();
    }
    this.nowMs = endMs;
  }

  /** Signals that the network is back or the page is shown. */
  wake() {
    this.hidden = false;
    for (const run of this.#wakes) {
      run();
    }
  }
}

/** The hub's end of a socket. */
export class FakeSocket implements Socket {
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  sent: Record<string, unknown>[] = [];
  closed = false;
  readonly address: string;
  readonly protocols: string[];
  #seq = 0;

  constructor(address: string, protocols: string[]) {
    this.address = address;
    this.protocols = protocols;
  }

  /** All sent frames except hello and pings. */
  get requests() {
    return this.sent.filter(({ type }) => type !== "hello" && type !== "ping");
  }

  get pings() {
    return this.sent.filter(({ type }) => type === "ping");
  }

  send(data: string) {
    this.sent.push(JSON.parse(data));
  }

  close() {
    this.closed = true;
  }

  /** Starts a new session; `fields` replace those of `session.ready`. */
  open(fields: object = {}) {
    this.#call(this.onopen, {});
    this.receive({ ...READY, token: "k-1", ...fields });
  }

  /** Resumes a session after this frame. */
  resume(head: number) {
    this.#seq = head;
    this.open({ token: undefined, resumed: true, head });
  }

  /** Attaches to a session with a snapshot. */
  attach(head: number, ...frames: object[]) {
    this.#seq = head;
    this.open({ token: undefined, head });
    this.receive({ type: "session.snapshot", why: "new", truncated: false, frames });
  }

  /** Delivers a frame. */
  receive(frame: object) {
    this.#call(this.onmessage, { data: JSON.stringify(frame) });
  }

  /** Delivers a replayable frame with the next `seq`. */
  replayable(frame: object) {
    this.receive({ ...frame, seq: ++this.#seq });
  }

  /** Closes the socket from the hub's side. */
  disconnect(code: number) {
    this.#call(this.onclose, { code });
  }

  #call(handler: ((this: WebSocket, event: never) => unknown) | null, event: object) {
    handler?.call(this as unknown as WebSocket, event as never);
  }
}

const READY = {
  type: "session.ready",
  v: 1,
  session: "s_1",
  epoch: "e 1",
  head: 0,
  resumed: false,
  ping_ms: 20_000,
  grace_ms: 20_000,
  status: "creating",
  deadline: { max_ms: 3_600_000 },
};
