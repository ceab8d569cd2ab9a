/**
 * A session's connection with the hub, over as many sockets as it takes: asks for the session, tells a dead socket,
 * comes back, and gives a frame no meaning beyond that. The only file that hears sockets.
 */

import { explainClose, isGone, isOver } from "./close.ts";
import { decode } from "./decode.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Keep, type KeptSession } from "./keep.ts";
import type { Platform } from "./platform.ts";
import type { ClientFrame } from "./protocol.ts";
import { Reconnect } from "./reconnect.ts";
import type { Input, Received } from "./reducer.ts";
import { type Socket, socketAddress } from "./socket.ts";
import type { SessionState } from "./state.ts";
import { VERSION } from "./version.ts";

/** Whom the connection tells what happens, and whom it asks how the session stands. */
export interface Owner {
  state(): SessionState;
  /** Folds these in, soon. */
  push(input: Input): void;
  /** Folds these in now, together. */
  pushNow(...inputs: Input[]): void;
}

/** How long an attempt to connect may take until the hub says that it is ready, or that one waits. */
const ATTEMPT_LIMIT_MS = 10_000;
/** How often the hub is asked for a sign before it has said how often itself. */
const LINE_PING_MS = 15_000;
const NAME = `mayfly-web/${VERSION}`;
/** `left`: another socket comes in its place. Without such a code the hub takes it that the person is done. */
const CODE = { ended: 1000, lost: 1006, left: 4000 };

/** How to reach the hub; the fields are as in the client's options. */
export interface Way {
  readonly url: string;
  readonly name: string;
  readonly session: KeptSession | null;
  readonly ticket: (() => Promise<string | null>) | null;
  readonly openSocket: (url: string, protocols: string[]) => Socket;
}

export class Connection {
  readonly #way: Way;
  readonly #platform: Platform;
  readonly #owner: Owner;
  readonly #keep: Keep;
  readonly #reconnect: Reconnect;
  readonly #heartbeat: Heartbeat;
  #socket: Socket | null = null;
  /** Counts the attempts: what was asked for during one is nothing to the next. */
  #attempt = 0;
  /** Whether the hub is ready on this socket, so that frames may be sent. */
  #isAdmitted = false;
  /** A `session.ready` whose snapshot has not come yet: without it, it would be half of the truth. */
  #held: Extract<Received, { type: "session.ready" }> | null = null;
  #retryAfterMs = 0;
  /** Whether the person has ended the session. */
  #isOver = false;
  #cancelLimit = () => {};
  readonly #unhook: () => void;

  constructor(way: Way, platform: Platform, owner: Owner) {
    this.#way = way;
    this.#platform = platform;
    this.#owner = owner;
    this.#keep = new Keep(platform.storage, way.name);
    if (way.session !== null && this.#keep.session === null) {
      this.#keep.keep(way.session);
    }
    this.#reconnect = new Reconnect(platform, () => this.open());
    this.#heartbeat = new Heartbeat(platform, {
      ping: (t) => this.#write({ type: "ping", t }),
      dead: () => {
        this.#closed(CODE.lost);
        this.retryNow();
      },
    });
    this.#unhook = platform.onWake(() => {
      this.#heartbeat.check();
      this.#reconnect.wake();
    });
  }

  /** The session that this tab can come back to. */
  get kept(): string | null {
    return this.#keep.session?.session ?? null;
  }

  /** Nobody comes back to the session that was kept. */
  forget(): void {
    this.#keep.forget();
  }

  /** Opens a socket in the place of the one there was. */
  open(): void {
    this.#drop(CODE.left);
    this.#isOver = false;
    this.#owner.pushNow({ type: "local.attempt" });
    this.#cancelLimit = this.#platform.after(ATTEMPT_LIMIT_MS, () => this.#closed(CODE.lost));
    const { ticket } = this.#way;
    if (this.#keep.session !== null || ticket === null) {
      this.#openWith(null);
      return;
    }
    const attempt = this.#attempt;
    const ifCurrent = (run: () => void) => (attempt === this.#attempt ? run() : undefined);
    ticket().then(
      (good) => ifCurrent(() => this.#openWith(good)),
      () => ifCurrent(() => this.#closed(CODE.lost)),
    );
  }

  #openWith(ticket: string | null): void {
    const { url, openSocket } = this.#way;
    const { address, protocols } = socketAddress(url, this.#keep.session, ticket, this.#owner.state());
    const socket = openSocket(address, protocols);
    this.#socket = socket;
    socket.onopen = () => this.#write({ type: "hello", client: NAME, client_id: this.#keep.tab });
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#closed(code);
  }

  /** Makes the attempt now that is planned for later. */
  retryNow(): void {
    this.#reconnect.now();
  }

  /** Before the hub is ready nothing is sent: messages and stops are told to it then, from the state. */
  transmit(frame: ClientFrame): void {
    if (this.#isAdmitted) {
      this.#write(frame);
    }
  }

  /** Ends the session: nobody comes back to it. Without a connection the hub finds out by itself. */
  bye(): void {
    this.#keep.forget();
    this.#isOver = true;
    if (this.#isAdmitted) {
      this.#write({ type: "bye" });
    } else {
      this.#closed(CODE.ended);
    }
  }

  /** Asks the socket to close; how it did is heard as of any other. */
  hangUp(): void {
    this.#socket?.close();
  }

  /** Leaves for good; the session waits for others as long as it may. */
  dispose(): void {
    this.#unhook();
    this.#drop(CODE.left);
  }

  /** Forgets a socket that may still be on its way out: nothing of it reaches the next. */
  #drop(code: number): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#attempt += 1;
    this.#isAdmitted = false;
    this.#held = null;
    this.#retryAfterMs = 0;
    this.#cancelLimit();
    this.#heartbeat.stop();
    this.#reconnect.cancel();
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(code);
    }
  }

  #receive(data: unknown): void {
    const decoded = decode(data);
    if (typeof decoded === "string") {
      this.#owner.pushNow({ type: "local.fault", why: decoded });
      return;
    }
    const frame: Received = { ...decoded, receivedMs: this.#platform.now() };
    this.#heartbeat.heard(frame.type === "pong" ? frame.t : null);
    switch (frame.type) {
      case "session.ready":
        if (frame.token !== undefined) {
          this.#keep.keep({ session: frame.session, token: frame.token });
        }
        if (frame.resumed || frame.token !== undefined) {
          this.#admit(frame.ping_ms, frame);
        } else {
          this.#held = frame;
        }
        break;
      case "session.snapshot":
        if (this.#held !== null) {
          this.#admit(this.#held.ping_ms, this.#held, frame);
        } else {
          this.#owner.pushNow(frame);
        }
        break;
      case "session.status":
        if (frame.position !== undefined && this.#owner.state().line === null) {
          this.#cancelLimit();
          this.#heartbeat.start(LINE_PING_MS);
        }
        this.#owner.push(frame);
        break;
      case "session.ended":
        this.#keep.forget();
        this.#owner.pushNow(frame);
        break;
      case "error":
        this.#retryAfterMs =
          frame.scope === "hub" || frame.scope === "session" ? (frame.retry_after_ms ?? 0) : 0;
        this.#owner.push(frame);
        break;
      default:
        this.#owner.push(frame);
    }
  }

  /** Folds in where the session stands, then says what the hub may not have heard; what it has, it takes once. */
  #admit(pingMs: number, ...frames: readonly Received[]): void {
    this.#held = null;
    this.#isAdmitted = true;
    this.#cancelLimit();
    this.#owner.pushNow(...frames);
    this.#reconnect.opened();
    this.#heartbeat.start(pingMs);
    const { turns, again } = this.#owner.state();
    for (const { key, turn, text, phase, stopping } of turns) {
      if (phase === "sending") {
        this.transmit({ type: "message", id: key, text });
      } else if (stopping && turn !== null) {
        this.transmit({ type: "stop", turn });
      }
    }
    if (again !== null) {
      this.transmit({ type: "regenerate", turn: again });
    }
  }

  /** The connection is over: tries again where that can help. */
  #closed(lostCode: number): void {
    const code = this.#isOver ? CODE.ended : lostCode;
    const retryAfterMs = this.#retryAfterMs;
    this.#drop(code === CODE.ended ? code : CODE.left);
    const { session, fault, end } = this.#owner.state();
    const isKept = this.#keep.session !== null;
    if (isOver(code)) {
      this.#keep.forget();
    }
    if (isGone(code) && isKept && session === null) {
      // The session of before the reload is gone, and nobody has seen anything of it.
      this.#owner.pushNow({ type: "local.anew" });
      this.open();
    } else if (
      explainClose(code).mayReconnect &&
      fault === null &&
      end.reason === null &&
      (isKept || session === null)
    ) {
      const retryAtMs = this.#reconnect.plan(retryAfterMs);
      this.#owner.pushNow({ type: "local.waiting", retryAtMs, code, nowMs: this.#platform.now() });
    } else {
      this.#owner.pushNow({ type: "local.closed", code });
    }
  }

  #write(frame: ClientFrame): void {
    this.#socket?.send(JSON.stringify(frame));
  }
}
