import type { MayflyClient } from "@mayfly/client";
import { INITIAL, type SessionState, type Turn } from "@mayfly/client/state";
import { expect, test } from "vitest";
import { turnOf } from "../testing/turn.ts";
import { CONVERSATIONS_MAX, Conversations, titleOf } from "./conversations.ts";
import { Keyring } from "./keyring.ts";
import { Vault } from "./vault.ts";

/** A client whose session is what the test says. */
class FakeClient {
  state: SessionState = INITIAL;
  canResume = false;
  calls: string[] = [];
  #listener = () => {};

  subscribe = (listener: () => void) => {
    this.#listener = listener;
    return () => {};
  };
  connect = () => {
    this.calls.push("connect");
    this.set({ link: "connecting" });
  };
  bye = () => void this.calls.push("bye");
  dispose = () => void this.calls.push("dispose");

  set(change: Partial<SessionState>) {
    this.state = { ...this.state, ...change };
    this.#listener();
  }
}

class FakeStorage implements Pick<Storage, "getItem" | "setItem" | "removeItem"> {
  readonly items = new Map<string, string>();
  getItem = (key: string) => this.items.get(key) ?? null;
  setItem = (key: string, value: string) => void this.items.set(key, value);
  removeItem = (key: string) => void this.items.delete(key);
}

const said = (text: string, phase: Turn["phase"] = "done") => turnOf(text, { phase });

/** A tab; with the storage of another one, it is that tab after a reload. */
function tab(storage = new FakeStorage()) {
  const clients = new Map<string, FakeClient>();
  const conversations = new Conversations(
    "ws://hub/ws",
    new Vault(storage as unknown as Storage),
    new Keyring(storage as unknown as Storage),
    ({ id, vault }) => {
      const client = new FakeClient();
      client.state = { ...INITIAL, ...vault.transcript(id) };
      clients.set(id, client);
      return client as unknown as MayflyClient;
    },
  );
  const shown = () => {
    const client = clients.get(conversations.state.shown.id);
    if (client === undefined) {
      throw new Error("nothing is shown");
    }
    return client;
  };
  return { conversations, clients, shown, storage };
}

test("a page begins with one conversation, and a new one is begun only when something was said in it", () => {
  const { conversations, shown } = tab();
  expect(shown().calls).toEqual(["connect"]);
  const first = conversations.state.shown.id;
  expect(conversations.begin()).toBe(true);
  expect(conversations.state.shown.id).toBe(first);
  shown().set({ turns: [said("a")] });
  conversations.begin();
  expect(conversations.state.list).toHaveLength(2);
  expect(conversations.state.shown.id).not.toBe(first);
});

test("there are only so many", () => {
  const { conversations, shown } = tab();
  for (let made = 1; made < CONVERSATIONS_MAX; made++) {
    shown().set({ turns: [said("a")] });
    expect(conversations.begin()).toBe(true);
  }
  shown().set({ turns: [said("a")] });
  expect(conversations.begin()).toBe(false);
  expect(conversations.state.list).toHaveLength(CONVERSATIONS_MAX);
});

test("an answer that is done or a session that ends unasked is unread until it is looked at", () => {
  const { conversations, shown } = tab();
  const client = shown();
  const { id } = conversations.state.shown;
  const isUnread = () => conversations.state.list.find((each) => each.id === id)?.isUnread;
  client.set({ turns: [said("a", "waiting")] });
  client.set({ turns: [said("a")] });
  expect(isUnread()).toBe(false);
  conversations.begin();
  client.set({ turns: [said("a"), said("b", "waiting")] });
  expect(isUnread()).toBe(false);
  client.set({ turns: [said("a"), said("b")] });
  expect(isUnread()).toBe(true);
  conversations.show(id);
  expect(isUnread()).toBe(false);
  expect(conversations.state.shown.isUnread).toBe(false);

  conversations.begin();
  client.set({ link: "closed", end: { ...INITIAL.end, reason: "bye" } });
  expect(isUnread()).toBe(false);
  client.set({ link: "open", end: INITIAL.end });
  client.set({ link: "closed", end: { ...INITIAL.end, reason: "idle" } });
  expect(isUnread()).toBe(true);
});

test("what is removed is ended and forgotten, and there is always one", () => {
  const { conversations, shown, storage } = tab();
  const client = shown();
  const { id } = conversations.state.shown;
  client.set({ turns: [said("a")] });
  conversations.setDraft(id, "half");
  conversations.keepAll();
  expect([...storage.items.keys()].filter((key) => key.includes(id))).toHaveLength(2);
  conversations.remove(id);
  expect(client.calls).toEqual(["connect", "bye", "dispose"]);
  expect([...storage.items.keys()].filter((key) => key.includes(id))).toEqual([]);
  expect(conversations.state.list).toHaveLength(1);
  expect(shown().calls).toEqual(["connect"]);
});

test("a reload brings back names, drafts and what was said; only what is over is not begun again", () => {
  const before = tab();
  before.shown().set({ turns: [said("a")] });
  before.conversations.rename(before.conversations.state.shown.id, " First ");
  before.conversations.begin();
  before.conversations.setDraft(before.conversations.state.shown.id, "half");
  before.conversations.keepAll();

  const after = tab(before.storage);
  const [second, first] = after.conversations.state.list;
  expect(first).toMatchObject({ title: "First", draft: "" });
  expect(second).toMatchObject({ title: null, draft: "half" });
  expect(after.conversations.state.shown).toBe(second);
  expect(after.clients.get(first?.id ?? "")?.state.turns).toEqual([said("a")]);
  expect(after.clients.get(first?.id ?? "")?.calls).toEqual([]);
  expect(after.clients.get(second?.id ?? "")?.calls).toEqual(["connect"]);
});

test("a conversation is called what was said first, unless it was given a name", () => {
  const state = { ...INITIAL, turns: [said("  What now?\nMore."), said("b")] };
  expect(titleOf({ title: null }, state)).toBe("What now?");
  expect(titleOf({ title: "Mine" }, state)).toBe("Mine");
  expect(titleOf({ title: null }, INITIAL)).toBe("New conversation");
  const earlier = [{ session: "s_1", turns: [said("before")] }];
  expect(titleOf({ title: null }, { ...state, earlier })).toBe("before");
});
