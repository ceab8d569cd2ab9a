/** The client's REST calls against a real hub. */

import { HubError, MayflyRest } from "@mayfly/client/rest";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Hub } from "./hub.ts";

const KEY = "operator-key-of-this-test";

let hub: Hub;
let rest: MayflyRest;

beforeAll(async () => {
  hub = await Hub.start(`MAYFLY_OPERATOR_KEY=${KEY}`);
  rest = new MayflyRest({ url: `${hub.address}/api`, key: KEY });
});

afterAll(async () => {
  await hub?.stop();
});

test("a session can be created, used and terminated", async () => {
  const made = await rest.createSession({ owner: "ada" });
  expect(made).toMatchObject({ status: "creating", endpoint: `/ws/${made.sessionId}` });
  const mine = new MayflyRest({ url: hub.address });

  const message = "What is the weather in London?";
  const reply = await mine.sendMessage(made, message, { idempotencyKey: "m1" });
  expect(reply).toMatchObject({ sessionId: made.sessionId, turn: "t1", reason: "complete" });
  expect(reply.response).toContain("London");
  expect(await mine.sendMessage(made, message, { idempotencyKey: "m1" })).toEqual(reply);

  expect(await mine.health(made)).toMatchObject({ status: "healthy" });
  expect(await mine.metrics(made)).toMatchObject({ messagesProcessed: 1 });
  expect(await mine.getSession(made)).toMatchObject({ status: "active", owner: "ada", sockets: 0 });
  expect((await mine.extendSession(made)).deadline?.idle_ms).toBeGreaterThan(0);
  expect((await rest.listSessions()).map((session) => session.sessionId)).toEqual([made.sessionId]);

  expect(hub.agents()).not.toEqual([]);
  for (const _ of ["once", "twice"]) {
    expect(await mine.terminateSession(made)).toEqual({ sessionId: made.sessionId, status: "terminated" });
    expect(hub.agents()).toEqual([]);
  }
  expect(await mine.health(made)).toMatchObject({ status: "terminated" });
  expect(await mine.getSession(made)).toMatchObject({ status: "terminated", reason: "deleted" });
  await expect(mine.sendMessage(made, "Hello")).rejects.toMatchObject({ status: 410, code: "session.ended" });
});

test("a ticket creates exactly one session", async () => {
  const { ticket } = await rest.mintTicket({ owner: "bob" });
  const browser = new MayflyRest({ url: hub.address, key: ticket });
  const made = await browser.createSession();
  expect(await browser.getSession(made)).toMatchObject({ owner: "bob" });
  const error = await browser.createSession().catch((error: unknown) => error);
  expect(error).toBeInstanceOf(HubError);
  expect(error).toMatchObject({ status: 403, code: "auth.denied" });
  await browser.terminateSession(made);
});

test("an aborted call does not end the session", async () => {
  const made = await rest.createSession();
  const controller = new AbortController();
  const call = rest.sendMessage(made, "Tell me a long story", { signal: controller.signal });
  const aborted = expect(call).rejects.toThrow();
  await expect.poll(async () => (await rest.getSession(made)).turn).toBe("t1");
  controller.abort();
  await aborted;
  expect((await rest.getSession(made)).status).not.toMatch("termin");
  await rest.terminateSession(made);
});
