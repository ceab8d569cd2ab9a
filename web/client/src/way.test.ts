import { expect, test } from "vitest";
import { FakePlatform } from "./testing/platform.ts";
import { tab } from "./testing/tab.ts";

/** Lets what was promised happen. */
const settle = () => new Promise((resolve) => setTimeout(resolve));

test("each new session has a ticket of its own, and one that is taken up again needs none", async () => {
  let tickets = 0;
  const it = tab({ ticket: async () => `k${++tickets}` });
  expect(it.sockets).toHaveLength(0);
  await settle();
  expect(it.socket().protocols).toEqual(["mayfly.v1", "mayfly.token.k1"]);
  it.socket().open();
  it.socket().hangUp(1006);
  it.client.retryNow();
  expect(it.socket(1).protocols).toEqual(["mayfly.v1", "mayfly.token.k-1"]);
  it.socket(1).hangUp(4506);
  it.client.begin();
  await settle();
  expect(it.socket(2).protocols).toEqual(["mayfly.v1", "mayfly.token.k2"]);
});

test("a ticket that is not to be had is tried for again, and one that comes too late is not used", async () => {
  const answers: { give: (ticket: string) => void; refuse: (error: Error) => void }[] = [];
  const ticket = () => new Promise<string>((give, refuse) => void answers.push({ give, refuse }));
  const it = tab({ ticket });
  answers[0]?.refuse(new Error("no"));
  await settle();
  expect(it.client.state.retryAtMs).not.toBeNull();
  it.client.retryNow();
  it.platform.pass(10_000);
  it.client.retryNow();
  answers[1]?.give("late");
  await settle();
  expect(it.sockets).toHaveLength(0);
  answers[2]?.give("good");
  await settle();
  expect(it.socket().protocols).toEqual(["mayfly.v1", "mayfly.token.good"]);
});

test("a session that was made elsewhere is taken up, unless the tab has one", () => {
  const platform = new FakePlatform();
  const session = { session: "s_9", token: "k-9" };
  const first = tab({ platform, session });
  expect(first.socket().address).toBe("ws://hub/ws/s_9");
  expect(first.socket().protocols).toEqual(["mayfly.v1", "mayfly.token.k-9"]);
  const again = tab({ platform, session: { session: "s_10", token: "k-10" } });
  expect(again.socket().address).toBe("ws://hub/ws/s_9");
});

test("conversations of one tab are told apart by their names", () => {
  const platform = new FakePlatform();
  const session = { session: "s_1", token: "k-1" };
  tab({ platform, name: "a", session });
  expect(tab({ platform, name: "a" }).socket().address).toBe("ws://hub/ws/s_1");
  expect(tab({ platform, name: "b" }).socket().address).toBe("ws://hub/ws");
});
