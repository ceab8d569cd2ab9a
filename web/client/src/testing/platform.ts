/** A browser for tests: time passes when the test says so, and the hub's end of each socket is in its hands. */

import type { Platform } from "../platform.ts";
import type { Socket } from "../socket.ts";

export class FakePlatform implements Platform {
  nowMs = 1_000_000;
  chance = 0.5;
  hidden = false;
  readonly kept = new Map<string, string>();
  #timers = new Map<number, { atMs: number; run: () => void }>();
  #next = 0;
  #wakes: (() => void)[] = [];

  now = () => this.nowMs;
  random = () => this.chance;
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
    getItem: (key: string) => this.kept.get(key) ?? null,
    setItem: (key: string, value: string) => void this.kept.set(key, value),
    removeItem: (key: string) => void this.kept.delete(key),
  };

  /** Lets time pass, and what is due run in its order. */
  pass(ms: number) {
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

  /** The network is there again, or the page is shown again. */
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

  /** All that was sent but for greetings and pings. */
  get said() {
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

  /** A new session; with fields to tell otherwise. */
  open(fields: object = {}) {
    this.#call(this.onopen, {});
    this.hear({ ...READY, token: "k-1", ...fields });
  }

  /** A session that there has been, from the frame after this one on. */
  resume(head: number) {
    this.#seq = head;
    this.open({ token: undefined, resumed: true, head });
  }

  /** A session that there has been, told anew. */
  attach(head: number, ...frames: object[]) {
    this.#seq = head;
    this.open({ token: undefined, head });
    this.hear({ type: "session.snapshot", why: "new", truncated: false, frames });
  }

  hear(frame: object) {
    this.#call(this.onmessage, { data: JSON.stringify(frame) });
  }

  /** A frame of the session's record. */
  record(frame: object) {
    this.hear({ ...frame, seq: ++this.#seq });
  }

  hangUp(code: number) {
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
