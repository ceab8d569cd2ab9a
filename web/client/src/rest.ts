/**
 * The hub's REST API, for programs and pages that need no socket. Each call is one request. A refusal is thrown as a
 * {@link HubError} with the hub's error code.
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
  /** The hub's base address: `http://HOST` or `https://HOST`, optionally with a path. */
  readonly url: string;
  /** The operator key or a ticket, for a hub that requires one. */
  readonly key?: string;
  /** Sends requests; by default the platform's `fetch`. */
  readonly fetch?: typeof fetch;
}

/** Options of every call: aborting the signal aborts the request. */
interface Cancellable {
  readonly signal?: AbortSignal | undefined;
}

/** A session with its token. Without a token the key is used. */
export interface SessionRef {
  readonly sessionId: string;
  readonly token?: string;
}

export type { CreatedSession, Deleted, Reply, SessionHealth, SessionMetrics, SessionView };

/** Error thrown when the hub refuses a call or its answer cannot be read. */
export class HubError extends Error {
  override readonly name = "HubError";
  /** The hub's error code, such as `quota.sessions`; null if the answer did not come from the hub. */
  readonly code: string | null;
  /** HTTP status. */
  readonly status: number;
  /** Delay after which the call may succeed; null if the hub gave none. */
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

  constructor({ url, key, fetch: customFetch }: RestOptions) {
    this.#url = url.replace(/\/+$/, "");
    this.#key = key;
    // A browser's `fetch` throws if it is called as a method of another object.
    this.#fetch = customFetch ?? ((...request) => fetch(...request));
  }

  /** Creates a session and starts its agent. `owner` needs the operator key. */
  createSession(options: NewSession & Cancellable = {}): Promise<CreatedSession> {
    const { signal, ...body } = options;
    return this.#call("POST", "/sessions", { body, signal });
  }

  /** Lists the sessions that have not terminated, oldest first. Needs the operator key. */
  async listSessions({ signal }: Cancellable = {}): Promise<readonly SessionView[]> {
    const list = await this.#call<SessionList>("GET", "/sessions", { signal });
    return list.sessions;
  }

  /** Returns a session's state, and the end reason of a terminated one. */
  getSession(session: SessionRef, { signal }: Cancellable = {}): Promise<SessionView> {
    return this.#call("GET", sessionPath(session), { session, signal });
  }

  /** Sends a message and waits for the whole answer. A repeated idempotency key returns the first answer. */
  sendMessage(
    session: SessionRef,
    message: string,
    { idempotencyKey, signal }: Cancellable & { readonly idempotencyKey?: string } = {},
  ): Promise<Reply> {
    const headers: Record<string, string> =
      idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey };
    const body: NewMessage = { message };
    return this.#call("POST", `${sessionPath(session)}/messages`, { session, body, headers, signal });
  }

  /** Extends a session's idle deadline. */
  extendSession(session: SessionRef, { signal }: Cancellable = {}): Promise<SessionView> {
    return this.#call("POST", `${sessionPath(session)}/extend`, { session, body: {}, signal });
  }

  /** Ends a session. Resolves when its agent has stopped. Idempotent. */
  terminateSession(session: SessionRef, { signal }: Cancellable = {}): Promise<Deleted> {
    return this.#call("DELETE", sessionPath(session), { session, signal });
  }

  /** Checks the health of a session's agent. */
  health(session: SessionRef, { signal }: Cancellable = {}): Promise<SessionHealth> {
    return this.#call("GET", `${sessionPath(session)}/health`, { session, signal });
  }

  /** Returns a session's counters and resource usage. */
  metrics(session: SessionRef, { signal }: Cancellable = {}): Promise<SessionMetrics> {
    return this.#call("GET", `${sessionPath(session)}/metrics`, { session, signal });
  }

  /** Mints a ticket with which a browser can create one session. Needs the operator key. */
  mintTicket(options: NewTicket & Cancellable = {}): Promise<MintedTicket> {
    const { signal, ...body } = options;
    return this.#call("POST", "/tickets", { body, signal });
  }

  async #call<T>(
    method: "DELETE" | "GET" | "POST",
    path: string,
    call: {
      readonly session?: SessionRef;
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<T> {
    const credential = call.session?.token ?? this.#key;
    const response = await this.#fetch(this.#url + path, {
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
    // The shape is guaranteed by the hub's OpenAPI description and not checked here.
    return answer as T;
  }
}

function sessionPath({ sessionId }: SessionRef): string {
  return `/sessions/${encodeURIComponent(sessionId)}`;
}

/** Reads a refusal from `application/problem+json` (RFC 9457). */
function refusal(response: Response, answer: unknown): HubError {
  const { code, detail, retry_after_ms, title } = (answer ?? {}) as { [key in keyof Problem]?: unknown };
  const text = [detail, title].find((value) => typeof value === "string");
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
