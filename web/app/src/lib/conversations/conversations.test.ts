import type { MayflyClient } from "@mayfly/client";
import { INITIAL, type SessionState, type Turn } from "@mayfly/client/state";
import { expect, test } from "vitest";
import { turnOf } from "../../testing/turn.ts";
import { CONVERSATIONS_MAX, Conversations, titleOf } from "./conversations.ts";
import { Keyring } from "./keyring.ts";
import { ConversationStorage } from "./storage.ts";

/** A client whose state the test sets. */
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

const message = (text: string, phase: Turn["phase"] = "done") => turnOf(text, { phase });

/** A tab. The storage of an earlier tab makes it that tab after a reload. */
function tab(storage = new FakeStorage()) {
  const clients = new Map<string, FakeClient>();
  const conversations = new Conversations(
    "ws://hub/ws",
    new ConversationStorage(storage as unknown as Storage),
    new Keyring(storage as unknown as Storage),
    ({ id, storage }) => {
      const client = new FakeClient();
      client.state = { ...INITIAL, ...storage.transcript(id) };
      clients.set(id, client);
      return client as unknown as MayflyClient;
    },
  );
  const shown = () => {
    const client = clients.get(conversations.state.shown.id);
    if (client === undefined) {
      throw new Error("no conversation is shown");
    }
    return client;
  };
  return { conversations, clients, shown, storage };
}

test("begin reuses an empty conversation and otherwise adds one", () => {
  const { conversations, shown } = tab();
  expect(shown().calls).toEqual(["connect"]);
  const first = conversations.state.shown.id;
  expect(conversations.begin()).toBe(true);
  expect(conversations.state.shown.id).toBe(first);
  shown().set({ turns: [message("a")] });
  conversations.begin();
  expect(conversations.state.list).toHaveLength(2);
  expect(conversations.state.shown.id).not.toBe(first);
});

test("the number of conversations is limited", () => {
  const { conversations, shown } = tab();
  for (let made = 1; made < CONVERSATIONS_MAX; made++) {
    shown().set({ turns: [message("a")] });
    expect(conversations.begin()).toBe(true);
  }
  shown().set({ turns: [message("a")] });
  expect(conversations.begin()).toBe(false);
  expect(conversations.state.list).toHaveLength(CONVERSATIONS_MAX);
});

test("a complete answer or an unexpected end marks a hidden conversation as unread", () => {
  const { conversations, shown } = tab();
  const client = shown();
  const { id } = conversations.state.shown;
  const isUnread = () => conversations.state.list.find((each) => each.id === id)?.isUnread;
  client.set({ turns: [message("a", "waiting")] });
  client.set({ turns: [message("a")] });
  expect(isUnread()).toBe(false);
  conversations.begin();
  client.set({ turns: [message("a"), message("b", "waiting")] });
  expect(isUnread()).toBe(false);
  client.set({ turns: [message("a"), message("b")] });
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

test("remove ends the session, deletes its data and leaves one conversation", () => {
  const { conversations, shown, storage } = tab();
  const client = shown();
  const { id } = conversations.state.shown;
  client.set({ turns: [message("a")] });
  conversations.setDraft(id, "half");
  conversations.saveAll();
  expect([...storage.items.keys()].filter((key) => key.includes(id))).toHaveLength(2);
  conversations.remove(id);
  expect(client.calls).toEqual(["connect", "bye", "dispose"]);
  expect([...storage.items.keys()].filter((key) => key.includes(id))).toEqual([]);
  expect(conversations.state.list).toHaveLength(1);
  expect(shown().calls).toEqual(["connect"]);
});

test("a reload restores titles, drafts and transcripts and reconnects only live conversations", () => {
  const before = tab();
  before.shown().set({ turns: [message("a")] });
  before.conversations.rename(before.conversations.state.shown.id, " First ");
  before.conversations.begin();
  before.conversations.setDraft(before.conversations.state.shown.id, "half");
  before.conversations.saveAll();

  const after = tab(before.storage);
  const [second, first] = after.conversations.state.list;
  expect(first).toMatchObject({ title: "First", draft: "" });
  expect(second).toMatchObject({ title: null, draft: "half" });
  expect(after.conversations.state.shown).toBe(second);
  expect(after.clients.get(first?.id ?? "")?.state.turns).toEqual([message("a")]);
  expect(after.clients.get(first?.id ?? "")?.calls).toEqual([]);
  expect(after.clients.get(second?.id ?? "")?.calls).toEqual(["connect"]);
});

test("the title is the first message unless the person set one", () => {
  const state = { ...INITIAL, turns: [message("  What now?\nMore."), message("b")] };
  expect(titleOf({ title: null }, state)).toBe("What now?");
  expect(titleOf({ title: "Mine" }, state)).toBe("Mine");
  expect(titleOf({ title: null }, INITIAL)).toBe("New conversation");
  const earlier = [{ session: "s_1", turns: [message("before")] }];
  expect(titleOf({ title: null }, { ...state, earlier })).toBe("before");
});
