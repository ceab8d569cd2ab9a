import type { ErrorCode } from "@mayfly/client/protocol";
import { INITIAL, type SessionState } from "@mayfly/client/state";
import { expect, test } from "vitest";
import { live, over } from "../../testing/session.ts";
import { describeConnectionProblem } from "./connection.ts";

const waiting: SessionState = { ...over(null, 1006), link: "reconnecting" };

function refused(code: ErrorCode, message: string): SessionState {
  return { ...waiting, end: { reason: null, failure: { code, message }, code: 4004 } };
}

test.each<[string | null, SessionState]>([
  [null, live],
  [null, { ...INITIAL, link: "connecting" }],
  [null, over(null, 1006)],
  ["The connection was lost.", waiting],
  ["The hub cannot be reached.", { ...waiting, link: "connecting", session: null }],
  ["All agents are in use.", refused("quota.sessions", "full")],
  ["The queue is full.", refused("quota.queue", "the queue is full.")],
])("the cause is described as %j", (cause, state) => {
  expect(describeConnectionProblem(state, true)?.cause ?? null).toBe(cause);
});

test("an offline browser is the cause unless the hub refused the connection", () => {
  expect(describeConnectionProblem(waiting, false)?.cause).toBe("You are offline.");
  expect(describeConnectionProblem(refused("quota.sessions", "full"), false)?.cause).toBe(
    "All agents are in use.",
  );
});

test("the agent waits until the end of the grace period", () => {
  expect(describeConnectionProblem({ ...waiting, graceEndsAtMs: 9_000 }, true)?.agentWaitsUntilMs).toBe(
    9_000,
  );
  expect(describeConnectionProblem({ ...waiting, session: null }, true)?.agentWaitsUntilMs).toBeNull();
});
