/** Stores a tab's session and client id across reloads. */

import type { Platform } from "./platform.ts";

/** The access to a session. */
export interface StoredSession {
  /** The session's id. */
  readonly session: string;
  /** The session token, with which a client may attach. */
  readonly token: string;
}

const SESSION_KEY = "mayfly.session";
const CLIENT_ID_KEY = "mayfly.tab";
const ID_BYTES = 16;

export class TabStorage {
  /** Identifies the tab to the hub, the same for all its sessions. A duplicated tab has the same id. */
  readonly clientId: string;
  readonly #storage: Platform["storage"];
  readonly #key: string;
  #session: StoredSession | null;

  /** `name` distinguishes the conversations of a tab. */
  constructor(storage: Platform["storage"], name: string) {
    this.#storage = storage;
    this.#key = name === "" ? SESSION_KEY : `${SESSION_KEY}.${name}`;
    this.#session = readSession(storage?.getItem(this.#key) ?? null);
    this.clientId = storage?.getItem(CLIENT_ID_KEY) ?? freshId();
    this.#write(CLIENT_ID_KEY, this.clientId);
  }

  get session(): StoredSession | null {
    return this.#session;
  }

  save(session: StoredSession): void {
    this.#session = session;
    this.#write(this.#key, JSON.stringify(session));
  }

  forget(): void {
    this.#session = null;
    this.#storage?.removeItem(this.#key);
  }

  /** Writes a value; if the storage is full, the value is lost with the next reload. */
  #write(key: string, value: string): void {
    try {
      this.#storage?.setItem(key, value);
    } catch {}
  }
}

/** Returns a random id. `crypto.randomUUID` would not be available on pages served without TLS. */
export function freshId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function readSession(text: string | null): StoredSession | null {
  try {
    const { session, token } = JSON.parse(text ?? "null") ?? {};
    return isToken(session) && isToken(token) ? { session, token } : null;
  } catch {
    return null;
  }
}

/** Returns true if the value is safe in a URL path and a subprotocol. */
function isToken(value: unknown): value is string {
  return typeof value === "string" && /^[\w-]+$/.test(value);
}
