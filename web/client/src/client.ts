/**
 * The client of one session with a Mayfly hub. It sends messages, reconnects after a lost connection, and keeps the
 * state that the hub's frames describe. The reducer turns frames into state; `Connection` owns the sockets.
 *
 * ```ts
 * const client = new MayflyClient({ url: "ws://127.0.0.1:8080/ws" });
 * client.subscribe(() => render(client.state));
 * client.connect();
 * client.send("What is the weather in London?");
 * ```
 */

import { Batch, type Screen } from "./batch.ts";
import { Connection } from "./connection.ts";
import { browserPlatform, type Platform } from "./platform.ts";
import { type Input, reduce } from "./reducer.ts";
import { openWebSocket, type Socket } from "./socket.ts";
import { canSend, INITIAL, lastTurn, type SessionState, type Transcript } from "./state.ts";
import { freshId, type StoredSession } from "./tab-storage.ts";

export type { Socket } from "./socket.ts";

export interface Options {
  /** Address of the hub's WebSocket endpoint: `ws://HOST/ws` or `wss://HOST/ws`. */
  readonly url: string;
  /** Distinguishes the conversations of a tab, so that each is resumed after a reload. Part of a storage key. */
  readonly name?: string;
  /** A session created elsewhere, such as by a REST call. Ignored if this tab already has a session under `name`. */
  readonly session?: StoredSession;
  /**
   * Returns a ticket for a hub that requires one; called before each new session. Null connects without a ticket.
   * After a rejected promise the client tries again later.
   */
  readonly ticket?: () => Promise<string | null>;
  /** A stored transcript, shown until the hub sends the session's own. */
  readonly transcript?: Transcript | null;
  /** Opens a socket; by default with the platform's `WebSocket`. */
  readonly openSocket?: (url: string, protocols: string[]) => Socket;
  /**
   * Source of animation frames for batching commits; by default the browser's. Null commits each input immediately.
   */
  readonly screen?: Screen | null;
  /** Clock, randomness, storage and page events; by default the browser's. */
  readonly platform?: Platform;
}

export class MayflyClient {
  readonly #batch: Batch<Input>;
  readonly #connection: Connection;
  readonly #listeners = new Set<() => void>();
  #state: SessionState;

  constructor(options: Options) {
    this.#state = { ...INITIAL, ...options.transcript };
    const commit = (inputs: readonly Input[]) => this.#commit(inputs);
    this.#batch = options.screen === undefined ? new Batch(commit) : new Batch(commit, options.screen);
    const platform = options.platform ?? browserPlatform();
    this.#connection = new Connection(
      {
        url: options.url,
        name: options.name ?? "",
        session: options.session ?? null,
        ticket: options.ticket ?? null,
        openSocket: options.openSocket ?? openWebSocket,
      },
      platform,
      {
        state: () => {
          this.#batch.flush();
          return this.#state;
        },
        push: (input) => this.#batch.push(input),
        pushNow: (...inputs) => this.#batch.pushNow(...inputs),
      },
    );
  }

  /** The current state; a new object after each change. */
  get state(): SessionState {
    return this.#state;
  }

  /** Returns true if `connect` resumes a stored session instead of starting a new one. */
  get canResume(): boolean {
    return this.#connection.storedSession !== null;
  }

  /** Calls the listener after each change, until the returned function is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resumes the tab's stored session, or starts a new one. Does nothing while messages can be sent. */
  connect(): void {
    if (canSend(this.#state)) {
      return;
    }
    const isSameSession =
      this.#state.session !== null && this.#state.session === this.#connection.storedSession;
    if (!isSameSession || this.#state.fault !== null) {
      const isNew = this.#connection.storedSession === null;
      this.#batch.pushNow({ type: isNew ? "local.new_session" : "local.attaching" });
    }
    this.#connection.open();
  }

  /** Starts a new session and moves the turns of the old one to `earlier`. Does nothing while messages can be sent. */
  begin(): void {
    if (!canSend(this.#state)) {
      this.#connection.forget();
      this.connect();
    }
  }

  /** Makes the attempt now that is scheduled for `retryAtMs`. */
  retryNow(): void {
    this.#connection.retryNow();
  }

  /** Sends a message. Returns its id, or null if no session can accept it. */
  send(text: string): string | null {
    if (!canSend(this.#state)) {
      return null;
    }
    const id = freshId();
    this.#batch.pushNow({ type: "local.sent", message: id, text });
    this.#connection.transmit({ type: "message", id, text });
    return id;
  }

  /** Stops a running or queued turn. */
  stop(turn: string): void {
    this.#batch.pushNow({ type: "local.stopping", turn });
    this.#connection.transmit({ type: "stop", turn });
  }

  /** Requests another answer that replaces the last one. */
  regenerate(): void {
    const turn = lastTurn(this.#state);
    if (turn !== null) {
      this.#batch.pushNow({ type: "local.regenerating", turn });
      this.#connection.transmit({ type: "regenerate", turn });
    }
  }

  /** Extends the session, if the hub allows it. */
  extend(): void {
    this.#connection.transmit({ type: "extend" });
  }

  /** Ends the session and its agent; the hub then closes the socket. */
  bye(): void {
    this.#connection.bye();
  }

  /** Closes the socket and removes all listeners without ending the session. */
  dispose(): void {
    this.#connection.dispose();
    this.#batch.dispose();
    this.#listeners.clear();
  }

  #commit(inputs: readonly Input[]): void {
    const before = this.#state;
    this.#state = inputs.reduce(reduce, before);
    if (this.#state.fault !== null && before.fault === null) {
      this.#connection.closeSocket();
    }
    if (this.#state !== before) {
      for (const listener of this.#listeners) {
        listener();
      }
    }
  }
}
