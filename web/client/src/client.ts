/**
 * One session with a Mayfly hub, over as many WebSockets as it takes: sends what a person says, comes back when the
 * connection is lost, and keeps the state that the frames amount to. How frames become state is the reducer's, how
 * the connection is kept the connection's.
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
import { freshId, type KeptSession } from "./keep.ts";
import { browserPlatform, type Platform } from "./platform.ts";
import { type Input, reduce } from "./reducer.ts";
import { openWebSocket, type Socket } from "./socket.ts";
import { canSend, INITIAL, lastTurn, type SessionState, type Transcript } from "./state.ts";

export type { Socket } from "./socket.ts";

export interface Options {
  /** Where the hub listens: `ws://HOST/ws` or `wss://HOST/ws`. */
  readonly url: string;
  /** Tells the conversations of a tab apart, each of which is taken up again after a reload; fit for a storage key. */
  readonly name?: string;
  /** A session that was made elsewhere, by a REST call perhaps: taken up unless this tab has one already. */
  readonly session?: KeptSession;
  /**
   * A ticket for each new session, where not everybody may make one: asked for whenever one is about to begin. Null to
   * go without; a promise that is broken is asked for again later.
   */
  readonly ticket?: () => Promise<string | null>;
  /** What was said before, as far as the page kept it: shown until the hub tells it better. */
  readonly transcript?: Transcript | null;
  /** Makes the socket; by default the platform's own `WebSocket`. */
  readonly openSocket?: (url: string, protocols: string[]) => Socket;
  /** Paces commits; by default the browser's animation frames. */
  readonly screen?: Screen | null;
  /** Clock, chance, storage and window; by default the browser's. */
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

  /** The session as it is now; a new object whenever something changed. */
  get state(): SessionState {
    return this.#state;
  }

  /** Whether `connect` comes back to a session, rather than begin one. */
  get canResume(): boolean {
    return this.#connection.kept !== null;
  }

  /** Calls back after each change, until the returned function is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes up the session that this tab had, else begins a new one; unless there is one that can be talked to. */
  connect(): void {
    if (canSend(this.#state)) {
      return;
    }
    const isBack = this.#state.session !== null && this.#state.session === this.#connection.kept;
    if (!isBack || this.#state.fault !== null) {
      const isNew = this.#connection.kept === null;
      this.#batch.pushNow({ type: isNew ? "local.anew" : "local.connecting" });
    }
    this.#connection.open();
  }

  /** Begins a new session, unless there is one that can be talked to. What was said before is set aside. */
  begin(): void {
    if (!canSend(this.#state)) {
      this.#connection.forget();
      this.connect();
    }
  }

  /** Tries now what `retryAtMs` says is tried later. */
  retryNow(): void {
    this.#connection.retryNow();
  }

  /** Says something. Returns the message's id, or null when there is no session that could take it. */
  send(text: string): string | null {
    if (!canSend(this.#state)) {
      return null;
    }
    const id = freshId();
    this.#batch.pushNow({ type: "local.sent", message: id, text });
    this.#connection.transmit({ type: "message", id, text });
    return id;
  }

  /** Stops a turn that runs or waits. */
  stop(turn: string): void {
    this.#batch.pushNow({ type: "local.stopping", turn });
    this.#connection.transmit({ type: "stop", turn });
  }

  /** Asks for another answer in the place of the last one. */
  regenerate(): void {
    const turn = lastTurn(this.#state);
    if (turn !== null) {
      this.#batch.pushNow({ type: "local.again", turn });
      this.#connection.transmit({ type: "regenerate", turn });
    }
  }

  /** Puts the session's end off, where the hub allows it. */
  extend(): void {
    this.#connection.transmit({ type: "extend" });
  }

  /** Ends the session and its agent; the hub then closes the socket. */
  bye(): void {
    this.#connection.bye();
  }

  /** Lets go of socket and page, without ending the session. */
  dispose(): void {
    this.#connection.dispose();
    this.#batch.dispose();
    this.#listeners.clear();
  }

  #commit(inputs: readonly Input[]): void {
    const before = this.#state;
    this.#state = inputs.reduce(reduce, before);
    if (this.#state.fault !== null && before.fault === null) {
      this.#connection.hangUp();
    }
    if (this.#state !== before) {
      for (const listener of this.#listeners) {
        listener();
      }
    }
  }
}
