/**
 * The key of a hub that asks for one: kept for this tab, and given to the hub for a ticket whenever a conversation begins.
 * The key itself never goes over a socket.
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

  /** Whether the hub did not take the last key that it was given. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  give(key: string): void {
    this.#key = key;
    this.#isRefused = false;
    try {
      this.#storage?.setItem(STORAGE_KEY, key);
    } catch {
      // It lasts until the reload.
    }
  }

  /** A ticket for a new conversation; null without a key that is good. */
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
      // Another may have been given since.
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
