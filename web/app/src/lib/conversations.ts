/**
 * The conversations of this tab, each with a client and so a socket of its own: which there are, which is shown, what is
 * unread. What a conversation's state is, its client knows.
 */

import { MayflyClient } from "@mayfly/client";
import type { SessionState } from "@mayfly/client/state";
import { canSend } from "@mayfly/client/state";
import { describeEnd } from "./describe.ts";
import { Keyring } from "./keyring.ts";
import { tabStorage, Vault } from "./vault.ts";

export interface Conversation {
  readonly id: string;
  readonly client: MayflyClient;
  /** What the person called it; null for the name that it gives itself. */
  readonly title: string | null;
  /** What is in its composer. */
  readonly draft: string;
  /** Whether an answer came, or it ended, since it was last shown. */
  readonly isUnread: boolean;
}

export interface ConversationsState {
  /** Newest first; never empty. */
  readonly list: readonly Conversation[];
  readonly shown: Conversation;
}

/** So many at once; each may have an agent. */
export const CONVERSATIONS_MAX = 20;
/** How long after a change a transcript is kept. */
const KEEP_AFTER_MS = 400;

export class Conversations {
  readonly keyring: Keyring;
  readonly #vault: Vault;
  readonly #makeClient: (options: Pick<Conversation, "id"> & { vault: Vault }) => MayflyClient;
  readonly #listeners = new Set<() => void>();
  readonly #unkept = new Map<string, ReturnType<typeof setTimeout>>();
  #state: ConversationsState;

  constructor(
    url: string,
    vault = new Vault(),
    keyring = new Keyring(tabStorage()),
    makeClient = clientMaker(url, keyring),
  ) {
    this.keyring = keyring;
    this.#vault = vault;
    this.#makeClient = makeClient;
    const kept = vault.list();
    const list = (kept?.list ?? [{ id: freshId(), title: null }]).map(({ id, title }) =>
      this.#make(id, title),
    );
    const [first] = list;
    if (first === undefined) {
      throw new Error("there is always a conversation");
    }
    this.#state = { list, shown: list.find(({ id }) => id === kept?.shown) ?? first };
    for (const { client } of list) {
      // One that is over stays as it was read last.
      if (client.canResume || isEmpty(client.state)) {
        client.connect();
      }
    }
    this.#keepList();
  }

  get state(): ConversationsState {
    return this.#state;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Shows another one. */
  show(id: string): void {
    const list = this.#changed(id, { isUnread: false });
    const shown = list.find((each) => each.id === id);
    if (shown !== undefined) {
      this.#set({ list, shown });
    }
  }

  /** Shows a conversation in which nothing was said yet: one that there is, or a new one. False when there are too many. */
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

  /** Takes the hub's key, and tries again where it was asked for. */
  giveKey(key: string): void {
    this.keyring.give(key);
    for (const { client } of this.#state.list) {
      if (describeEnd(client.state)?.way === "key") {
        client.connect();
      }
    }
  }

  /** An empty name is none. */
  rename(id: string, title: string): void {
    this.#update(id, { title: title.trim() === "" ? null : title.trim() });
  }

  setDraft(id: string, draft: string): void {
    this.#vault.keepDraft(id, draft);
    this.#update(id, { draft });
  }

  /** Ends it if it goes on, and takes it off the list. Another is shown, a new one if there is none. */
  remove(id: string): void {
    const index = this.#state.list.findIndex((each) => each.id === id);
    const gone = this.#state.list[index];
    if (gone === undefined) {
      return;
    }
    gone.client.bye();
    gone.client.dispose();
    clearTimeout(this.#unkept.get(id));
    this.#unkept.delete(id);
    this.#vault.forget(id);
    const list = this.#state.list.filter((each) => each !== gone);
    const next = list[Math.min(index, list.length - 1)];
    if (next === undefined) {
      const made = this.#make(freshId(), null);
      made.client.connect();
      this.#set({ list: [made], shown: made });
    } else {
      this.#set({
        list,
        shown: this.#state.shown === gone ? { ...next, isUnread: false } : this.#state.shown,
      });
    }
  }

  /** Keeps what is not kept yet, before the page goes. */
  keepAll(): void {
    for (const id of [...this.#unkept.keys()]) {
      this.#keepTranscript(id);
    }
  }

  #make(id: string, title: string | null): Conversation {
    const client = this.#makeClient({ id, vault: this.#vault });
    let before = client.state;
    client.subscribe(() => {
      this.#heard(id, before, client.state);
      before = client.state;
    });
    return { id, client, title, draft: this.#vault.draft(id), isUnread: false };
  }

  #heard(id: string, before: SessionState, after: SessionState): void {
    if (before.turns !== after.turns || before.earlier !== after.earlier) {
      clearTimeout(this.#unkept.get(id));
      this.#unkept.set(
        id,
        setTimeout(() => this.#keepTranscript(id), KEEP_AFTER_MS),
      );
    }
    if (id !== this.#state.shown.id && isNews(before, after)) {
      this.#update(id, { isUnread: true });
    }
  }

  #keepTranscript(id: string): void {
    clearTimeout(this.#unkept.get(id));
    this.#unkept.delete(id);
    const found = this.#state.list.find((each) => each.id === id);
    if (found !== undefined) {
      this.#vault.keepTranscript(id, found.client.state);
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
    // The one that is shown is the one in the list.
    const list = state.list.map((each) => (each.id === state.shown.id ? state.shown : each));
    this.#state = { ...state, list };
    this.#keepList();
    for (const listener of this.#listeners) {
      listener();
    }
  }

  #keepList(): void {
    const list = this.#state.list.map(({ id, title }) => ({ id, title }));
    this.#vault.keepList({ shown: this.#state.shown.id, list });
  }
}

/** Whether nothing was said in it. */
export function isEmpty({ turns, earlier }: SessionState): boolean {
  return turns.length === 0 && earlier.length === 0;
}

/** What it is called: what the person called it, else what was said first. */
export function titleOf({ title }: Pick<Conversation, "title">, { turns, earlier }: SessionState): string {
  const first = (earlier[0]?.turns ?? turns).find(({ text }) => text !== "")?.text ?? turns[0]?.text;
  return title ?? first?.split("\n", 1)[0]?.trim() ?? "New conversation";
}

/** Whether somebody who looked elsewhere missed something. */
function isNews(before: SessionState, after: SessionState): boolean {
  const done = ({ turns }: SessionState) => turns.filter(({ phase }) => phase === "done").length;
  const isOver = ({ link, end }: SessionState) => link === "closed" && end.reason !== "bye";
  return done(after) > done(before) || (isOver(after) && !isOver(before));
}

function clientMaker(url: string, keyring: Keyring) {
  const ticket = () => keyring.ticket();
  return ({ id, vault }: { id: string; vault: Vault }) =>
    new MayflyClient({ url, name: id, ticket, transcript: vault.transcript(id) });
}

const ID_BYTES = 6;

function freshId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
