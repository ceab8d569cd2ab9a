/**
 * Holds the operator key of a hub that requires one, for this tab only, and exchanges it for a ticket when a
 * conversation starts. The key itself is never sent over a WebSocket.
 */

import { HubError, MayflyRest } from "@mayfly/client/rest";

const STORAGE_KEY = "mayfly.key";
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;

export class Keyring {
  readonly #storage: Storage | null;
  readonly #mint: (key: string) => Promise<string>;
  #key: string | null;
  #isRefused = false;

  constructor(storage: Storage | null, mint = ticketMinter()) {
    this.#storage = storage;
    this.#mint = mint;
    this.#key = storage?.getItem(STORAGE_KEY) ?? null;
  }

  /** Returns true if the hub refused the last key. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /** Stores a key; the next ticket uses it. */
  setKey(key: string): void {
    this.#key = key;
    this.#isRefused = false;
    try {
      this.#storage?.setItem(STORAGE_KEY, key);
    } catch {
      // Without storage the key lasts until the page is reloaded.
    }
  }

  /** Mints a ticket for a new session; null without a valid key. Rejects if the hub cannot be asked. */
  async ticket(): Promise<string | null> {
    const key = this.#key;
    if (key === null) {
      return null;
    }
    try {
      return await this.#mint(key);
    } catch (error) {
      if (!(error instanceof HubError) || (error.status !== UNAUTHORIZED && error.status !== FORBIDDEN)) {
        throw error;
      }
      // The person may have entered another key in the meantime.
      if (this.#key !== key) {
        return this.ticket();
      }
      this.#key = null;
      this.#isRefused = true;
      this.#storage?.removeItem(STORAGE_KEY);
      return null;
    }
  }
}

function ticketMinter() {
  return async (key: string) => {
    const { ticket } = await new MayflyRest({ url: location.origin, key }).mintTicket();
    return ticket;
  };
}
