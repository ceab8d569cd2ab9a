/**
 * One session with a Mayfly hub, over one WebSocket: sends what a person says, and keeps the state that the frames
 * amount to. The only file that knows sockets; how frames become state is the reducer's.
 *
 * ```ts
 * const client = new MayflyClient({ url: "ws://127.0.0.1:8080/ws" });
 * client.subscribe(() => render(client.state));
 * client.connect();
 * client.send("What is the weather in London?");
 * ```
 */

import { Batch, type Screen } from "./batch.ts";
import { decode } from "./decode.ts";
import { type ClientFrame, SUBPROTOCOL } from "./protocol.ts";
import { type Input, reduce } from "./reducer.ts";
import { canSend, INITIAL, type SessionState } from "./state.ts";

export interface Options {
  /** Where the hub listens: `ws://HOST/ws` or `wss://HOST/ws`. */
  readonly url: string;
  /** Makes the socket; by default the platform's own `WebSocket`. */
  readonly openSocket?: (url: string, protocol: string) => Socket;
  /** Paces commits; by default the browser's animation frames. */
  readonly screen?: Screen | null;
}

/** What of a `WebSocket` is used. */
export type Socket = Pick<WebSocket, "onopen" | "onmessage" | "onclose" | "send" | "close">;

const MESSAGE_ID_BYTES = 16;

export class MayflyClient {
  readonly #options: Options;
  readonly #batch: Batch<Input>;
  readonly #listeners = new Set<() => void>();
  #state = INITIAL;
  #socket: Socket | null = null;
  /** Frames that wait for the socket to open; null once it is. */
  #outbox: ClientFrame[] | null = null;

  constructor(options: Options) {
    this.#options = options;
    const commit = (inputs: readonly Input[]) => this.#commit(inputs);
    this.#batch = options.screen === undefined ? new Batch(commit) : new Batch(commit, options.screen);
  }

  /** The session as it is now; a new object whenever something changed. */
  get state(): SessionState {
    return this.#state;
  }

  /** Calls back after each change, until the returned function is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Begins a new session, unless there is one that can be talked to. The last one's state is dropped. */
  connect(): void {
    if (canSend(this.#state)) {
      return;
    }
    this.#drop();
    const open = this.#options.openSocket ?? openWebSocket;
    const socket = open(this.#options.url, SUBPROTOCOL);
    this.#socket = socket;
    this.#outbox = [];
    this.#batch.pushNow({ type: "local.connecting" });
    socket.onopen = () => {
      this.#batch.pushNow({ type: "local.open" });
      for (const frame of this.#outbox ?? []) {
        socket.send(JSON.stringify(frame));
      }
      this.#outbox = null;
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => {
      this.#socket = null;
      this.#batch.pushNow({ type: "local.closed", code });
    };
  }

  /** Says something. Returns the message's id, or null when there is no session that could take it. */
  send(text: string): string | null {
    if (!canSend(this.#state)) {
      return null;
    }
    const id = messageId();
    this.#batch.pushNow({ type: "local.sent", message: id, text });
    this.#transmit({ type: "message", id, text });
    return id;
  }

  /** Stops a turn that runs or waits. */
  stop(turn: string): void {
    this.#batch.pushNow({ type: "local.stopping", turn });
    this.#transmit({ type: "stop", turn });
  }

  /** Ends the session and its agent; the hub then closes the socket. */
  bye(): void {
    this.#transmit({ type: "bye" });
  }

  /** Forgets a socket that may still be on its way out: nothing of the last session reaches the next. */
  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  #transmit(frame: ClientFrame): void {
    if (this.#outbox !== null) {
      this.#outbox.push(frame);
    } else {
      this.#socket?.send(JSON.stringify(frame));
    }
  }

  #receive(data: unknown): void {
    const decoded = decode(data);
    if (typeof decoded === "string") {
      this.#batch.pushNow({ type: "local.fault", why: decoded });
    } else {
      this.#batch.push(decoded);
    }
  }

  #commit(inputs: readonly Input[]): void {
    const before = this.#state;
    this.#state = inputs.reduce(reduce, before);
    if (this.#state.fault !== null && before.fault === null) {
      this.#socket?.close();
    }
    if (this.#state !== before) {
      for (const listener of this.#listeners) {
        listener();
      }
    }
  }
}

function openWebSocket(url: string, protocol: string): Socket {
  return new WebSocket(url, protocol);
}

/** `crypto.randomUUID` is not there on pages served without TLS; these bytes are. */
function messageId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(MESSAGE_ID_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
