/**
 * What a tab keeps over a reload besides its sessions: which conversations there are, what was said in them, and what
 * was about to be. As long as the tab, no longer: conversations here are not meant to last.
 */

import type { Transcript } from "@mayfly/client/state";
import { readTranscript } from "@mayfly/client/transcript";

export interface KeptList {
  readonly shown: string;
  /** Newest first. `title` is what the person called it. */
  readonly list: readonly { readonly id: string; readonly title: string | null }[];
}

const LIST_KEY = "mayfly.list";
const TRANSCRIPT_KEY = "mayfly.transcript.";
const DRAFT_KEY = "mayfly.draft.";

export class Vault {
  readonly #storage: Storage | null;

  constructor(storage: Storage | null = tabStorage()) {
    this.#storage = storage;
  }

  list(): KeptList | null {
    try {
      const kept: unknown = JSON.parse(this.#storage?.getItem(LIST_KEY) ?? "null");
      return isList(kept) && kept.list.length > 0 ? kept : null;
    } catch {
      return null;
    }
  }

  keepList(list: KeptList): void {
    this.#write(LIST_KEY, JSON.stringify(list));
  }

  transcript(id: string): Transcript | null {
    return readTranscript(this.#storage?.getItem(TRANSCRIPT_KEY + id) ?? null);
  }

  keepTranscript(id: string, { earlier, turns }: Transcript): void {
    this.#write(TRANSCRIPT_KEY + id, JSON.stringify({ earlier, turns }));
  }

  draft(id: string): string {
    return this.#storage?.getItem(DRAFT_KEY + id) ?? "";
  }

  keepDraft(id: string, draft: string): void {
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

  /** What a full storage does not take lasts until the reload. */
  #write(key: string, value: string): void {
    try {
      this.#storage?.setItem(key, value);
    } catch {}
  }
}

/** A browser that is told to keep nothing throws when it is asked for its storage. */
export function tabStorage(): Storage | null {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

function isList(value: unknown): value is KeptList {
  const { shown, list } = (value ?? {}) as Partial<KeptList>;
  return (
    typeof shown === "string" &&
    Array.isArray(list) &&
    list.every(({ id, title }) => typeof id === "string" && (title === null || typeof title === "string"))
  );
}
