/**
 * The hub's REST calls, for programs and for pages that have no use for a socket. Each call is one request; a refusal
 * is thrown as a {@link HubError} with the hub's own code. Knows no session state.
 *
 * ```ts
 * const hub = new MayflyRest({ url: "http://127.0.0.1:8080" });
 * const { sessionId, token } = await hub.createSession();
 * const { response } = await hub.sendMessage({ sessionId, token }, "What is the weather in London?");
 * ```
 */

import type {
  CreatedSession,
  Deleted,
  MintedTicket,
  NewMessage,
  NewSession,
  NewTicket,
  Problem,
  Reply,
  SessionHealth,
  SessionList,
  SessionMetrics,
  SessionView,
} from "./protocol.ts";

export interface RestOptions {
  /** The hub's address, `http://HOST` or `https://HOST`; with a path, the calls are below it. */
  readonly url: string;
  /** The operator key, or a ticket: who may make sessions where not everybody may. */
  readonly key?: string;
  /** Makes the request; by default the platform's own `fetch`. */
  readonly fetch?: typeof fetch;
}

/** What every call may be given: it is given up when the signal is. */
interface Cancellable {
  readonly signal?: AbortSignal | undefined;
}

/** A session, and what lets its holder speak to it. Without a token the key is used. */
export interface SessionRef {
  readonly sessionId: string;
  readonly token?: string;
}

export type { CreatedSession, Deleted, Reply, SessionHealth, SessionMetrics, SessionView };

/** What the hub refused, or a failure on the way to it. */
export class HubError extends Error {
  override readonly name = "HubError";
  /** The hub's error code, `quota.sessions`; null when the answer is not the hub's. */
  readonly code: string | null;
  /** HTTP status. */
  readonly status: number;
  /** When the same may succeed; null when the hub does not say. */
  readonly retryAfterMs: number | null;

  constructor(message: string, code: string | null, status: number, retryAfterMs: number | null) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

const SECOND_MS = 1_000;

export class MayflyRest {
  readonly #url: string;
  readonly #key: string | undefined;
  readonly #fetch: typeof fetch;

  constructor({ url, key, fetch: fetchIt }: RestOptions) {
    this.#url = url.replace(/\/+$/, "");
    this.#key = key;
    // Called without its global, a browser's `fetch` throws.
    this.#fetch = fetchIt ?? ((...request) => fetch(...request));
  }

  /** Makes a session; its agent starts at once. With the operator key, `owner` may say whose it is. */
  createSession(options: NewSession & Cancellable = {}): Promise<CreatedSession> {
    const { signal, ...body } = options;
    return this.#call("POST", "/sessions", { body, signal });
  }

  /** All sessions that have not terminated, oldest first; for the operator. */
  async listSessions({ signal }: Cancellable = {}): Promise<readonly SessionView[]> {
    const list = await this.#call<SessionList>("GET", "/sessions", { signal });
    return list.sessions;
  }

  /** How a session is; of one that is over, how it ended. */
  getSession(session: SessionRef, { signal }: Cancellable = {}): Promise<SessionView> {
    return this.#call("GET", path(session), { session, signal });
  }

  /** Says something and waits for the whole answer. A call with the same idempotency key is answered, not run again. */
  sendMessage(
    session: SessionRef,
    message: string,
    { idempotencyKey, signal }: Cancellable & { readonly idempotencyKey?: string } = {},
  ): Promise<Reply> {
    const headers: Record<string, string> =
      idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey };
    const body: NewMessage = { message };
    return this.#call("POST", `${path(session)}/messages`, { session, body, headers, signal });
  }

  /** Asks for more time before a session ends for idleness. */
  extendSession(session: SessionRef, { signal }: Cancellable = {}): Promise<SessionView> {
    return this.#call("POST", `${path(session)}/extend`, { session, body: {}, signal });
  }

  /** Ends a session. Resolves once its agent is gone; calling it again changes nothing. */
  terminateSession(session: SessionRef, { signal }: Cancellable = {}): Promise<Deleted> {
    return this.#call("DELETE", path(session), { session, signal });
  }

  /** How a session's agent is, asked now. */
  health(session: SessionRef, { signal }: Cancellable = {}): Promise<SessionHealth> {
    return this.#call("GET", `${path(session)}/health`, { session, signal });
  }

  /** What a session did and uses. */
  metrics(session: SessionRef, { signal }: Cancellable = {}): Promise<SessionMetrics> {
    return this.#call("GET", `${path(session)}/metrics`, { session, signal });
  }

  /** A ticket, with which a browser makes one session; for a backend that has the operator key. */
  mintTicket(options: NewTicket & Cancellable = {}): Promise<MintedTicket> {
    const { signal, ...body } = options;
    return this.#call("POST", "/tickets", { body, signal });
  }

  async #call<T>(
    method: "DELETE" | "GET" | "POST",
    below: string,
    call: {
      readonly session?: SessionRef;
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<T> {
    const credential = call.session?.token ?? this.#key;
    const response = await this.#fetch(this.#url + below, {
      method,
      headers: {
        accept: "application/json",
        ...(call.body === undefined ? {} : { "content-type": "application/json" }),
        ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
        ...call.headers,
      },
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal: call.signal ?? null,
    });
    const answer: unknown = await response.json().catch(() => null);
    if (!response.ok || answer === null) {
      throw refusal(response, answer);
    }
    // The hub's own word, as its OpenAPI description has it.
    return answer as T;
  }
}

function path({ sessionId }: SessionRef): string {
  return `/sessions/${encodeURIComponent(sessionId)}`;
}

/** `application/problem+json` (RFC 9457) has the code, and the words for people. */
function refusal(response: Response, answer: unknown): HubError {
  const { code, detail, retry_after_ms, title } = (answer ?? {}) as { [key in keyof Problem]?: unknown };
  const text = [detail, title].find((words) => typeof words === "string");
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new HubError(
    typeof text === "string" ? text : `the hub answered with ${response.status}`,
    typeof code === "string" ? code : null,
    response.status,
    typeof retry_after_ms === "number"
      ? retry_after_ms
      : Number.isFinite(seconds)
        ? seconds * SECOND_MS
        : null,
  );
}
