/**
 * The conversations of this tab, each with a client and socket of its own. Owns the list, the shown conversation and
 * the unread marks. The state of a conversation belongs to its client.
 */

import { MayflyClient } from "@mayfly/client";
import type { SessionState } from "@mayfly/client/state";
import { canSend } from "@mayfly/client/state";
import { describeEnd } from "../wording/end.ts";
import { Keyring } from "./keyring.ts";
import { ConversationStorage, tabStorage } from "./storage.ts";

export interface Conversation {
  readonly id: string;
  readonly client: MayflyClient;
  /** Title given by the person; null for the default title. */
  readonly title: string | null;
  /** Unsent text in the composer. */
  readonly draft: string;
  /** True if an answer arrived or the session ended since the conversation was last shown. */
  readonly isUnread: boolean;
}

export interface ConversationsState {
  /** Newest first; never empty. */
  readonly list: readonly Conversation[];
  readonly shown: Conversation;
}

/** Limit of conversations in a tab; each may have an agent. */
export const CONVERSATIONS_MAX = 20;
/** Delay between a change and the save of the transcript. */
const SAVE_DELAY_MS = 400;

export class Conversations {
  readonly keyring: Keyring;
  readonly #storage: ConversationStorage;
  readonly #makeClient: (
    options: Pick<Conversation, "id"> & { storage: ConversationStorage },
  ) => MayflyClient;
  readonly #listeners = new Set<() => void>();
  readonly #unsaved = new Map<string, ReturnType<typeof setTimeout>>();
  #state: ConversationsState;

  constructor(
    url: string,
    storage = new ConversationStorage(),
    keyring = new Keyring(tabStorage()),
    makeClient = clientMaker(url, keyring),
  ) {
    this.keyring = keyring;
    this.#storage = storage;
    this.#makeClient = makeClient;
    const stored = storage.list();
    const list = (stored?.list ?? [{ id: freshId(), title: null }]).map(({ id, title }) =>
      this.#make(id, title),
    );
    const [first] = list;
    if (first === undefined) {
      throw new Error("the list of conversations is empty");
    }
    this.#state = { list, shown: list.find(({ id }) => id === stored?.shown) ?? first };
    for (const { client } of list) {
      // A conversation that has ended only shows its transcript.
      if (client.canResume || isEmpty(client.state)) {
        client.connect();
      }
    }
    this.#saveList();
  }

  get state(): ConversationsState {
    return this.#state;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Shows a conversation and marks it as read. */
  show(id: string): void {
    const list = this.#changed(id, { isUnread: false });
    const shown = list.find((each) => each.id === id);
    if (shown !== undefined) {
      this.#set({ list, shown });
    }
  }

  /** Shows an empty conversation, an existing one if possible. Returns false at the limit of conversations. */
  begin(): boolean {
    const { list } = this.#state;
    const empty = list.find(({ client }) => isEmpty(client.state) && canSend(client.state));
    if (empty !== undefined) {
      this.show(empty.id);
      return true;
    }
    if (list.length >= CONVERSATIONS_MAX) {
      return false;
    }
    const made = this.#make(freshId(), null);
    made.client.connect();
    this.#set({ list: [made, ...list], shown: made });
    return true;
  }

  /** Stores the hub's key and reconnects the conversations that need it. */
  setKey(key: string): void {
    this.keyring.setKey(key);
    for (const { client } of this.#state.list) {
      if (describeEnd(client.state)?.nextStep === "enter_key") {
        client.connect();
      }
    }
  }

  /** Sets the title; an empty title restores the default. */
  rename(id: string, title: string): void {
    this.#update(id, { title: title.trim() === "" ? null : title.trim() });
  }

  /** Stores the unsent text of a conversation. */
  setDraft(id: string, draft: string): void {
    this.#storage.saveDraft(id, draft);
    this.#update(id, { draft });
  }

  /**
   * Ends the session and removes the conversation. Shows its neighbour, or a new conversation if it was the last one.
   */
  remove(id: string): void {
    const index = this.#state.list.findIndex((each) => each.id === id);
    const removed = this.#state.list[index];
    if (removed === undefined) {
      return;
    }
    removed.client.bye();
    removed.client.dispose();
    clearTimeout(this.#unsaved.get(id));
    this.#unsaved.delete(id);
    this.#storage.forget(id);
    const list = this.#state.list.filter((each) => each !== removed);
    const next = list[Math.min(index, list.length - 1)];
    if (next === undefined) {
      const made = this.#make(freshId(), null);
      made.client.connect();
      this.#set({ list: [made], shown: made });
    } else {
      this.#set({
        list,
        shown: this.#state.shown === removed ? { ...next, isUnread: false } : this.#state.shown,
      });
    }
  }

  /** Saves all unsaved transcripts; call it before the page unloads. */
  saveAll(): void {
    for (const id of [...this.#unsaved.keys()]) {
      this.#saveTranscript(id);
    }
  }

  #make(id: string, title: string | null): Conversation {
    const client = this.#makeClient({ id, storage: this.#storage });
    let before = client.state;
    client.subscribe(() => {
      this.#onChange(id, before, client.state);
      before = client.state;
    });
    return { id, client, title, draft: this.#storage.draft(id), isUnread: false };
  }

  #onChange(id: string, before: SessionState, after: SessionState): void {
    if (before.turns !== after.turns || before.earlier !== after.earlier) {
      clearTimeout(this.#unsaved.get(id));
      this.#unsaved.set(
        id,
        setTimeout(() => this.#saveTranscript(id), SAVE_DELAY_MS),
      );
    }
    if (id !== this.#state.shown.id && isUnreadChange(before, after)) {
      this.#update(id, { isUnread: true });
    }
  }

  #saveTranscript(id: string): void {
    clearTimeout(this.#unsaved.get(id));
    this.#unsaved.delete(id);
    const found = this.#state.list.find((each) => each.id === id);
    if (found !== undefined) {
      this.#storage.saveTranscript(id, found.client.state);
    }
  }

  #update(id: string, change: Partial<Conversation>): void {
    const list = this.#changed(id, change);
    const shown = list.find((each) => each.id === this.#state.shown.id) ?? this.#state.shown;
    this.#set({ list, shown });
  }

  #changed(id: string, change: Partial<Conversation>): readonly Conversation[] {
    return this.#state.list.map((each) => (each.id === id ? { ...each, ...change } : each));
  }

  #set(state: ConversationsState): void {
    // `shown` and its entry in the list are the same object.
    const list = state.list.map((each) => (each.id === state.shown.id ? state.shown : each));
    this.#state = { ...state, list };
    this.#saveList();
    for (const listener of this.#listeners) {
      listener();
    }
  }

  #saveList(): void {
    const list = this.#state.list.map(({ id, title }) => ({ id, title }));
    this.#storage.saveList({ shown: this.#state.shown.id, list });
  }
}

/** Returns true if the conversation has no messages. */
export function isEmpty({ turns, earlier }: SessionState): boolean {
  return turns.length === 0 && earlier.length === 0;
}

/** The conversation's title: the person's own, or the first line of the first message. */
export function titleOf({ title }: Pick<Conversation, "title">, { turns, earlier }: SessionState): string {
  const first = (earlier[0]?.turns ?? turns).find(({ text }) => text !== "")?.text ?? turns[0]?.text;
  return title ?? first?.split("\n", 1)[0]?.trim() ?? "New conversation";
}

/** Returns true if the change marks a hidden conversation as unread: an answer ended, or the session did. */
function isUnreadChange(before: SessionState, after: SessionState): boolean {
  const done = ({ turns }: SessionState) => turns.filter(({ phase }) => phase === "done").length;
  const isOver = ({ link, end }: SessionState) => link === "closed" && end.reason !== "bye";
  return done(after) > done(before) || (isOver(after) && !isOver(before));
}

function clientMaker(url: string, keyring: Keyring) {
  const ticket = () => keyring.ticket();
  return ({ id, storage }: { id: string; storage: ConversationStorage }) =>
    new MayflyClient({ url, name: id, ticket, transcript: storage.transcript(id) });
}

const ID_BYTES = 6;

function freshId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
