/**
 * The connection of a session with the hub. Opens sockets, detects dead ones, reconnects, and forwards frames to the
 * state store. Reads only the frames that control the connection. No other file handles socket events.
 */

import { explainClose, isGone, isOver } from "./close.ts";
import { decode } from "./decode.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { Platform } from "./platform.ts";
import type { ClientFrame } from "./protocol.ts";
import { Reconnect } from "./reconnect.ts";
import type { Input, Received } from "./reducer.ts";
import { type Socket, socketAddress } from "./socket.ts";
import type { SessionState } from "./state.ts";
import { type StoredSession, TabStorage } from "./tab-storage.ts";
import { VERSION } from "./version.ts";

/** Receives the connection's inputs and provides the current state. */
export interface StateStore {
  state(): SessionState;
  /** Applies the input with the next commit. */
  push(input: Input): void;
  /** Applies the inputs now, in one commit. */
  pushNow(...inputs: Input[]): void;
}

/** Time within which the hub must send `session.ready`. */
const ATTEMPT_LIMIT_MS = 10_000;
const CLIENT_NAME = `mayfly-web/${VERSION}`;
/** `left`: another socket may follow. Without this code the hub would take the close as the end of the session. */
const CODE = { ended: 1000, lost: 1006, left: 4000 };

/** The connection's part of the client's options. */
export interface ConnectionOptions {
  readonly url: string;
  readonly name: string;
  readonly session: StoredSession | null;
  readonly ticket: (() => Promise<string | null>) | null;
  readonly openSocket: (url: string, protocols: string[]) => Socket;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #platform: Platform;
  readonly #store: StateStore;
  readonly #storage: TabStorage;
  readonly #reconnect: Reconnect;
  readonly #heartbeat: Heartbeat;
  #socket: Socket | null = null;
  /** Counts attempts, so that a ticket that arrives late is not used by a later attempt. */
  #attempt = 0;
  /** True if the hub has sent `session.ready` on this socket, so that frames may be sent. */
  #isAdmitted = false;
  /** A `session.ready` whose snapshot has not arrived; both are applied in one commit. */
  #pendingReady: Extract<Received, { type: "session.ready" }> | null = null;
  #retryAfterMs = 0;
  /** True if the person has ended the session. */
  #isOver = false;
  #cancelLimit = () => {};
  readonly #removeWakeListener: () => void;

  constructor(options: ConnectionOptions, platform: Platform, store: StateStore) {
    this.#options = options;
    this.#platform = platform;
    this.#store = store;
    this.#storage = new TabStorage(platform.storage, options.name);
    if (options.session !== null && this.#storage.session === null) {
      this.#storage.save(options.session);
    }
    this.#reconnect = new Reconnect(platform, () => this.open());
    this.#heartbeat = new Heartbeat(platform, {
      sendPing: (t) => this.#write({ type: "ping", t }),
      onDead: () => {
        this.#closed(CODE.lost);
        this.retryNow();
      },
    });
    this.#removeWakeListener = platform.onWake(() => {
      this.#heartbeat.probe();
      this.#reconnect.wake();
    });
  }

  /** Id of the stored session; null if there is none. */
  get storedSession(): string | null {
    return this.#storage.session?.session ?? null;
  }

  /** Deletes the stored session. */
  forget(): void {
    this.#storage.forget();
  }

  /** Opens a socket that replaces the current one. */
  open(): void {
    this.#drop(CODE.left);
    this.#isOver = false;
    this.#store.pushNow({ type: "local.attempt" });
    this.#cancelLimit = this.#platform.after(ATTEMPT_LIMIT_MS, () => this.#closed(CODE.lost));
    const { ticket } = this.#options;
    if (this.#storage.session !== null || ticket === null) {
      this.#openWith(null);
      return;
    }
    const attempt = this.#attempt;
    const ifCurrent = (run: () => void) => (attempt === this.#attempt ? run() : undefined);
    ticket().then(
      (minted) => ifCurrent(() => this.#openWith(minted)),
      () => ifCurrent(() => this.#closed(CODE.lost)),
    );
  }

  #openWith(ticket: string | null): void {
    const { url, openSocket } = this.#options;
    const { address, protocols } = socketAddress(url, this.#storage.session, ticket, this.#store.state());
    const socket = openSocket(address, protocols);
    this.#socket = socket;
    socket.onopen = () =>
      this.#write({ type: "hello", client: CLIENT_NAME, client_id: this.#storage.clientId });
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#closed(code);
  }

  /** Makes the scheduled attempt now. */
  retryNow(): void {
    this.#reconnect.runNow();
  }

  /**
   * Sends a frame if the hub is ready. Otherwise the frame is dropped, and `#admit` sends what the state still needs.
   */
  transmit(frame: ClientFrame): void {
    if (this.#isAdmitted) {
      this.#write(frame);
    }
  }

  /** Ends the session for good. Without a connection the hub ends it after the grace period. */
  bye(): void {
    this.#storage.forget();
    this.#isOver = true;
    if (this.#isAdmitted) {
      this.#write({ type: "bye" });
    } else {
      this.#closed(CODE.ended);
    }
  }

  /** Closes the socket; its close event is handled like any other. */
  closeSocket(): void {
    this.#socket?.close();
  }

  /** Closes the socket and stops reconnecting. The session stays alive for its grace period. */
  dispose(): void {
    this.#removeWakeListener();
    this.#drop(CODE.left);
  }

  /** Detaches and closes the current socket. Later events of that socket are ignored. */
  #drop(code: number): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#attempt += 1;
    this.#isAdmitted = false;
    this.#pendingReady = null;
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
      this.#store.pushNow({ type: "local.fault", why: decoded });
      return;
    }
    const frame: Received = { ...decoded, receivedMs: this.#platform.now() };
    this.#heartbeat.record(frame.type === "pong" ? frame.t : null);
    switch (frame.type) {
      case "session.ready":
        if (frame.token !== undefined) {
          this.#storage.save({ session: frame.session, token: frame.token });
        }
        if (frame.resumed || frame.token !== undefined) {
          this.#admit(frame.ping_ms, frame);
        } else {
          this.#pendingReady = frame;
        }
        break;
      case "session.snapshot":
        if (this.#pendingReady !== null) {
          this.#admit(this.#pendingReady.ping_ms, this.#pendingReady, frame);
        } else {
          this.#store.pushNow(frame);
        }
        break;
      case "session.ended":
        this.#storage.forget();
        this.#store.pushNow(frame);
        break;
      case "error":
        this.#retryAfterMs =
          frame.scope === "hub" || frame.scope === "session" ? (frame.retry_after_ms ?? 0) : 0;
        this.#store.push(frame);
        break;
      default:
        this.#store.push(frame);
    }
  }

  /** Applies the session's state, then sends again what the hub may not have received. The hub ignores duplicates. */
  #admit(pingMs: number, ...frames: readonly Received[]): void {
    this.#pendingReady = null;
    this.#isAdmitted = true;
    this.#cancelLimit();
    this.#store.pushNow(...frames);
    this.#reconnect.opened();
    this.#heartbeat.start(pingMs);
    const { turns, regenerating } = this.#store.state();
    for (const { key, turn, text, phase, stopping } of turns) {
      if (phase === "sending") {
        this.transmit({ type: "message", id: key, text });
      } else if (stopping && turn !== null) {
        this.transmit({ type: "stop", turn });
      }
    }
    if (regenerating !== null) {
      this.transmit({ type: "regenerate", turn: regenerating });
    }
  }

  /** Handles a closed connection: schedules a reconnect if the close code and the state allow one. */
  #closed(lostCode: number): void {
    const code = this.#isOver ? CODE.ended : lostCode;
    const retryAfterMs = this.#retryAfterMs;
    this.#drop(code === CODE.ended ? code : CODE.left);
    if (this.#store.state().line !== null && explainClose(code).mayReconnect) {
      // The place in line is lost with the connection, so the next attempt creates a new session.
      this.#storage.forget();
      this.#store.pushNow({ type: "local.place_lost" });
    }
    const { session, fault, end } = this.#store.state();
    const isStored = this.#storage.session !== null;
    if (isOver(code)) {
      this.#storage.forget();
    }
    if (isGone(code) && isStored && session === null) {
      // The stored session no longer exists and the person has seen nothing of it, so a new one starts.
      this.#store.pushNow({ type: "local.new_session" });
      this.open();
    } else if (
      explainClose(code).mayReconnect &&
      fault === null &&
      end.reason === null &&
      (isStored || session === null)
    ) {
      const retryAtMs = this.#reconnect.schedule(retryAfterMs);
      this.#store.pushNow({ type: "local.retry_scheduled", retryAtMs, code, nowMs: this.#platform.now() });
    } else {
      this.#store.pushNow({ type: "local.closed", code });
    }
  }

  #write(frame: ClientFrame): void {
    this.#socket?.send(JSON.stringify(frame));
  }
}
