/**
 * Stores the conversations of a tab across reloads: their list, transcripts and drafts. The data is in
 * `sessionStorage`, so it ends with the tab. The access to sessions is stored by the client package.
 */

import type { Transcript } from "@mayfly/client/state";
import { readTranscript } from "@mayfly/client/transcript";

export interface StoredList {
  readonly shown: string;
  /** Newest first. `title` is null for the default title. */
  readonly list: readonly { readonly id: string; readonly title: string | null }[];
}

const LIST_KEY = "mayfly.list";
const TRANSCRIPT_KEY = "mayfly.transcript.";
const DRAFT_KEY = "mayfly.draft.";

export class ConversationStorage {
  readonly #storage: Storage | null;

  constructor(storage: Storage | null = tabStorage()) {
    this.#storage = storage;
  }

  /** The stored list of conversations; null if there is none. */
  list(): StoredList | null {
    try {
      const stored: unknown = JSON.parse(this.#storage?.getItem(LIST_KEY) ?? "null");
      return isList(stored) && stored.list.length > 0 ? stored : null;
    } catch {
      return null;
    }
  }

  saveList(list: StoredList): void {
    this.#write(LIST_KEY, JSON.stringify(list));
  }

  transcript(id: string): Transcript | null {
    return readTranscript(this.#storage?.getItem(TRANSCRIPT_KEY + id) ?? null);
  }

  saveTranscript(id: string, { earlier, turns }: Transcript): void {
    this.#write(TRANSCRIPT_KEY + id, JSON.stringify({ earlier, turns }));
  }

  draft(id: string): string {
    return this.#storage?.getItem(DRAFT_KEY + id) ?? "";
  }

  saveDraft(id: string, draft: string): void {
    if (draft === "") {
      this.#storage?.removeItem(DRAFT_KEY + id);
    } else {
      this.#write(DRAFT_KEY + id, draft);
    }
  }

  forget(id: string): void {
    this.#storage?.removeItem(TRANSCRIPT_KEY + id);
    this.#storage?.removeItem(DRAFT_KEY + id);
  }

  /** Writes a value; if the storage is full, the value is lost with the next reload. */
  #write(key: string, value: string): void {
    try {
      this.#storage?.setItem(key, value);
    } catch {}
  }
}

/** The tab's storage; null if the browser blocks it, in which case the property throws. */
export function tabStorage(): Storage | null {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

function isList(value: unknown): value is StoredList {
  const { shown, list } = (value ?? {}) as Partial<StoredList>;
  return (
    typeof shown === "string" &&
    Array.isArray(list) &&
    list.every(({ id, title }) => typeof id === "string" && (title === null || typeof title === "string"))
  );
}
