/** What a tab keeps over a reload: the way back to its session, and the name by which the hub knows the tab. */

import type { Platform } from "./platform.ts";

export interface KeptSession {
  readonly session: string;
  /** Lets its holder attach. */
  readonly token: string;
}

const SESSION_KEY = "mayfly.session";
const TAB_KEY = "mayfly.tab";
const ID_BYTES = 16;

export class Keep {
  /** The same in all sessions of a tab; a tab that is duplicated brings it along. */
  readonly tab: string;
  readonly #storage: Platform["storage"];
  readonly #key: string;
  #session: KeptSession | null;

  /** `name` tells a tab's conversations apart. */
  constructor(storage: Platform["storage"], name: string) {
    this.#storage = storage;
    this.#key = name === "" ? SESSION_KEY : `${SESSION_KEY}.${name}`;
    this.#session = readSession(storage?.getItem(this.#key) ?? null);
    this.tab = storage?.getItem(TAB_KEY) ?? freshId();
    this.#write(TAB_KEY, this.tab);
  }

  get session(): KeptSession | null {
    return this.#session;
  }

  keep(session: KeptSession): void {
    this.#session = session;
    this.#write(this.#key, JSON.stringify(session));
  }

  forget(): void {
    this.#session = null;
    this.#storage?.removeItem(this.#key);
  }

  /** What a full storage does not take lasts until the reload. */
  #write(key: string, value: string): void {
    try {
      this.#storage?.setItem(key, value);
    } catch {}
  }
}

/** `crypto.randomUUID` is not there on pages served without TLS; these bytes are. */
export function freshId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function readSession(text: string | null): KeptSession | null {
  try {
    const { session, token } = JSON.parse(text ?? "null") ?? {};
    return isName(session) && isName(token) ? { session, token } : null;
  } catch {
    return null;
  }
}

/** Whether it is fit for an address and a subprotocol. */
function isName(value: unknown): value is string {
  return typeof value === "string" && /^[\w-]+$/.test(value);
}
