import { expect, test } from "vitest";
import { HubError, MayflyRest } from "./rest.ts";

/** A hub that gives the same answer to every call and records the calls. */
function hub(status: number, body: unknown, headers: Record<string, string> = {}) {
  const calls: { url: string; init: RequestInit }[] = [];
  const rest = new MayflyRest({
    url: "http://hub/api/",
    key: "operator",
    fetch: async (url, init = {}) => {
      calls.push({ url: String(url), init });
      return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
    },
  });
  return { rest, calls };
}

const session = { sessionId: "s_1", token: "k-1" };

test("the key creates a session and the token is used for its calls", async () => {
  const { rest, calls } = hub(201, { ok: true });
  await rest.createSession();
  await rest.sendMessage(session, "Hello", { idempotencyKey: "m1" });
  await rest.health(session);
  await rest.terminateSession({ sessionId: "s_1" });
  expect(calls.map(({ url, init }) => [init.method, url, init.body ?? null])).toEqual([
    ["POST", "http://hub/api/sessions", "{}"],
    ["POST", "http://hub/api/sessions/s_1/messages", '{"message":"Hello"}'],
    ["GET", "http://hub/api/sessions/s_1/health", null],
    ["DELETE", "http://hub/api/sessions/s_1", null],
  ]);
  const headers = calls.map(({ init }) => new Headers(init.headers));
  expect(headers.map((each) => each.get("authorization"))).toEqual([
    "Bearer operator",
    "Bearer k-1",
    "Bearer k-1",
    "Bearer operator",
  ]);
  expect(headers[1]?.get("idempotency-key")).toBe("m1");
  expect(headers.map((each) => each.get("content-type"))).toEqual([
    "application/json",
    "application/json",
    null,
    null,
  ]);
});

test("a refusal has the hub's code, message and delay", async () => {
  const problem = { title: "Service Unavailable", code: "quota.sessions", detail: "no room" };
  const { rest } = hub(503, problem, { "retry-after": "2" });
  const error = await rest.createSession().catch((error: unknown) => error);
  expect(error).toBeInstanceOf(HubError);
  expect(error).toMatchObject({
    message: "no room",
    code: "quota.sessions",
    status: 503,
    retryAfterMs: 2_000,
  });
});

test("an answer that is not JSON is an error", async () => {
  for (const status of [200, 502]) {
    const error = await hub(status, "<html>")
      .rest.health(session)
      .catch((error: unknown) => error);
    expect(error).toMatchObject({
      message: `the hub answered with ${status}`,
      code: null,
      status,
      retryAfterMs: null,
    });
  }
});
