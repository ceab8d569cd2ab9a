/** A scripted agent: the test decides how it answers each message. It speaks the agent's side of the wire. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";

/** Answers a turn by writing chunks. Returning ends the turn with `finish`, throwing ends it with `error`. */
export type AnswerScript = (turn: Turn) => Promise<void> | void;

export interface Turn {
  readonly message: string;
  /** Writes one chunk. */
  send(chunk: Readonly<Record<string, unknown>> & { readonly type: string }): void;
  /** Writes a text as tokens of a few characters. With a pace, pauses for `everyMs` after each `pieces` tokens. */
  text(text: string, pace?: { readonly pieces: number; readonly everyMs: number }): Promise<void>;
  /** Resolves when the promise does, or as soon as the turn is stopped. */
  until(event: Promise<void>): Promise<void>;
  /** Resolves when the turn is stopped. */
  untilStopped(): Promise<void>;
  readonly isStopped: boolean;
}

/** A signal from the test to the scripted agent: `until(gate.opened)` waits for `open()`. */
export class Gate {
  readonly opened: Promise<void>;
  readonly open: () => void;

  constructor() {
    let open = () => {};
    this.opened = new Promise((resolve) => {
      open = resolve;
    });
    this.open = open;
  }
}

export class ScriptedAgent {
  readonly address: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(answer: AnswerScript): Promise<ScriptedAgent> {
    const stops = new Map<string, AbortController>();
    const server = createServer((request, response) => {
      void handle(request, response, answer, stops);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ScriptedAgent(server);
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  answer: AnswerScript,
  stops: Map<string, AbortController>,
): Promise<void> {
  const { method, url = "" } = request;
  const cancelled = /^\/turns\/(\w+)\/cancel$/.exec(url)?.[1];
  if (method === "POST" && url === "/chat") {
    const { sessionId, turn, message } = JSON.parse(await bodyOf(request));
    const stop = new AbortController();
    // A cancel names no session, so it applies to the latest turn with this id.
    stops.set(turn, stop);
    response.on("close", () => stop.abort());
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "x-vercel-ai-ui-message-stream": "v1",
    });
    await run(`${sessionId}.${turn}`, message, answer, response, stop.signal);
  } else if (method === "POST" && cancelled !== undefined) {
    stops.get(cancelled)?.abort();
    response.writeHead(202).end();
  } else if (method === "GET" && url === "/health") {
    response.writeHead(200, { "content-type": "application/json" }).end('{"status":"healthy"}');
  } else {
    response.writeHead(404).end();
  }
}

async function run(
  name: string,
  message: string,
  answer: AnswerScript,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  let event = 0;
  const send = (chunk: object) => {
    response.write(`id: ${event++}\ndata: ${JSON.stringify(chunk)}\n\n`);
  };
  const stopped = new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  const turn: Turn = {
    message,
    send,
    until: (event) => Promise.race([event, stopped]),
    untilStopped: () => stopped,
    get isStopped() {
      return signal.aborted;
    },
    text: async (text, pace) => {
      const id = `${name}.${event}`;
      send({ type: "text-start", id });
      const tokens = text.match(/\s*\S{1,6}\s?|\s+/g) ?? [];
      for (const [index, delta] of tokens.entries()) {
        if (signal.aborted) {
          break;
        }
        send({ type: "text-delta", id, delta });
        if (pace !== undefined && index % pace.pieces === pace.pieces - 1) {
          await Promise.race([setTimeout(pace.everyMs), stopped]);
        }
      }
      send({ type: "text-end", id });
    },
  };
  send({ type: "start" });
  try {
    await answer(turn);
    send(signal.aborted ? { type: "abort" } : { type: "finish", finishReason: "stop" });
  } catch (error) {
    send({ type: "error", errorText: error instanceof Error ? error.message : String(error) });
  }
  response.end("data: [DONE]\n\n");
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}
