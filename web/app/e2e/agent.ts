/** An agent that a test plays: what it answers to which message is the test's to say. Speaks the agent's side of the wire. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What the test does with a turn: writes its chunks. Returning ends it well, throwing with an `error`. */
export type Answer = (turn: Turn) => Promise<void> | void;

export interface Turn {
  readonly message: string;
  /** Writes one chunk. */
  say(chunk: Readonly<Record<string, unknown>> & { readonly type: string }): void;
  /** Writes a text in pieces of a few characters each, so many each time, with a pause between. */
  text(text: string, pace?: { readonly pieces: number; readonly everyMs: number }): Promise<void>;
  /** Resolves after so long, or as soon as the turn is stopped. */
  pause(ms: number): Promise<void>;
  readonly isStopped: boolean;
}

export class ScriptedAgent {
  readonly address: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(answer: Answer): Promise<ScriptedAgent> {
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
  answer: Answer,
  stops: Map<string, AbortController>,
): Promise<void> {
  const { method, url = "" } = request;
  const cancelled = /^\/turns\/(\w+)\/cancel$/.exec(url)?.[1];
  if (method === "POST" && url === "/chat") {
    const { sessionId, turn, message } = JSON.parse(await bodyOf(request));
    const stop = new AbortController();
    // A cancel names no session; the last turn of a name is the one that is meant.
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
  answer: Answer,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  let event = 0;
  const say = (chunk: object) => {
    response.write(`id: ${event++}\ndata: ${JSON.stringify(chunk)}\n\n`);
  };
  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
    });
  const turn: Turn = {
    message,
    say,
    pause,
    get isStopped() {
      return signal.aborted;
    },
    text: async (text, pace) => {
      const id = `${name}.${event}`;
      say({ type: "text-start", id });
      const tokens = text.match(/\s*\S{1,6}\s?|\s+/g) ?? [];
      for (const [index, delta] of tokens.entries()) {
        if (signal.aborted) {
          break;
        }
        say({ type: "text-delta", id, delta });
        if (pace !== undefined && index % pace.pieces === pace.pieces - 1) {
          await pause(pace.everyMs);
        }
      }
      say({ type: "text-end", id });
    },
  };
  say({ type: "start" });
  try {
    await answer(turn);
    say(signal.aborted ? { type: "abort" } : { type: "finish", finishReason: "stop" });
  } catch (error) {
    say({ type: "error", errorText: error instanceof Error ? error.message : String(error) });
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
