import { expect, test } from "vitest";
import { FakePlatform } from "./testing/platform.ts";
import { tab } from "./testing/tab.ts";

/** Waits until pending promises have settled. */
const settle = () => new Promise((resolve) => setTimeout(resolve));

test("each new session uses a fresh ticket and a resumption uses none", async () => {
  let tickets = 0;
  const it = tab({ ticket: async () => `k${++tickets}` });
  expect(it.sockets).toHaveLength(0);
  await settle();
  expect(it.socket().protocols).toEqual(["mayfly.v1", "mayfly.token.k1"]);
  it.socket().open();
  it.socket().disconnect(1006);
  it.client.retryNow();
  expect(it.socket(1).protocols).toEqual(["mayfly.v1", "mayfly.token.k-1"]);
  it.socket(1).disconnect(4506);
  it.client.begin();
  await settle();
  expect(it.socket(2).protocols).toEqual(["mayfly.v1", "mayfly.token.k2"]);
});

test("a failed ticket is requested again and a late one is not used", async () => {
  const answers: { resolve: (ticket: string) => void; reject: (error: Error) => void }[] = [];
  const ticket = () => new Promise<string>((resolve, reject) => void answers.push({ resolve, reject }));
  const it = tab({ ticket });
  answers[0]?.reject(new Error("no"));
  await settle();
  expect(it.client.state.retryAtMs).not.toBeNull();
  it.client.retryNow();
  it.platform.advance(10_000);
  it.client.retryNow();
  answers[1]?.resolve("late");
  await settle();
  expect(it.sockets).toHaveLength(0);
  answers[2]?.resolve("good");
  await settle();
  expect(it.socket().protocols).toEqual(["mayfly.v1", "mayfly.token.good"]);
});

test("a given session is used unless the tab has a stored one", () => {
  const platform = new FakePlatform();
  const session = { session: "s_9", token: "k-9" };
  const first = tab({ platform, session });
  expect(first.socket().address).toBe("ws://hub/ws/s_9");
  expect(first.socket().protocols).toEqual(["mayfly.v1", "mayfly.token.k-9"]);
  const again = tab({ platform, session: { session: "s_10", token: "k-10" } });
  expect(again.socket().address).toBe("ws://hub/ws/s_9");
});

test("the name separates the conversations of a tab", () => {
  const platform = new FakePlatform();
  const session = { session: "s_1", token: "k-1" };
  tab({ platform, name: "a", session });
  expect(tab({ platform, name: "a" }).socket().address).toBe("ws://hub/ws/s_1");
  expect(tab({ platform, name: "b" }).socket().address).toBe("ws://hub/ws");
});
