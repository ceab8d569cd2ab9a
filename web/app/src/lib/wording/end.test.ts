import { INITIAL, type SessionState } from "@mayfly/client/state";
import { expect, test } from "vitest";
import { live, over, running } from "../../testing/session.ts";
import { describeEnd, unansweredMessage } from "./end.ts";

test("a live session has no end", () => {
  expect(describeEnd(live)).toBeNull();
  expect(describeEnd({ ...INITIAL, link: "connecting" })).toBeNull();
});

test.each<[string, SessionState]>([
  ["Conversation ended", over("bye", 1000)],
  ["Conversation ended", over(null, 1000)],
  ["Conversation timed out", over("idle", 4500)],
  ["Time limit reached", over("max", 4500)],
  ["This agent's time has expired", over(null, 4500)],
  ["This agent has stopped", over(null, 4506, "session.gone")],
  ["This agent has stopped", over(null, 4501)],
  ["This conversation cannot be opened here", over(null, 4502, "auth.denied")],
  ["This hub requires a key", { ...over(null, 4502, "auth.denied"), session: null }],
  ["This conversation is open in another tab", over(null, 4507)],
  ["The agent stopped unexpectedly", over("agent_lost", 4509, "agent.crashed")],
  ["The agent could not be started", over("spawn_failed", 4508, "spawn.failed")],
  ["The conversation was ended", over("deleted", 4501)],
  ["The hub is shutting down", over("drained", 4501)],
  ["The hub is shutting down", over(null, 4004, "hub.draining")],
  ["All agents are in use", over(null, 4004, "quota.sessions")],
  ["All agents are in use", over(null, 4004)],
  ["You have reached the limit of agents per person", over(null, 4004, "quota.owner")],
  ["Your network has reached its limit of agents", over(null, 4004, "quota.address")],
  ["Too many messages at once", over(null, 4005, "quota.rate")],
  ["This page is not allowed to use the hub", over(null, 4503, "auth.origin")],
  ["The hub cannot be reached", { ...over(null, 1006), session: null }],
  ["Connection lost", over(null, 1006)],
  ["Connection lost", over(null, 4001)],
  ["The page cannot understand the hub", { ...live, fault: "frame 9 came after frame 3" }],
])("the end card is titled %j", (title, state) => {
  expect(describeEnd(state)?.title).toBe(title);
});

test("a lost agent is described in the hub's words", () => {
  expect(describeEnd(over("agent_lost", 4509, "agent.crashed"))?.text).toBe("Exit status 3.");
});

test("a session in another tab can be taken over", () => {
  expect(describeEnd(over(null, 4507))?.nextStep).toBe("take_over");
});

test("a timed-out session is followed by a new agent", () => {
  expect(describeEnd(over("idle", 4500))?.nextStep).toBe("new_agent");
});

test("only an unanswered message is offered to be sent again", () => {
  const lost = over("agent_lost", 4509);
  const unanswered = { ...lost, turns: [{ ...running, phase: "done", outcome: "error" } as const] };
  expect(describeEnd(unanswered)?.nextStep).toBe("resend");
  expect(unansweredMessage(unanswered)).toBe("Hello");
  const answered = { ...lost, turns: [{ ...running, phase: "done", outcome: "complete" } as const] };
  expect(describeEnd(answered)?.nextStep).toBe("new_agent");
});

test("a conversation that ended before the page loaded has an end", () => {
  const turns = [{ ...running, phase: "done", outcome: "complete" } as const];
  expect(describeEnd({ ...INITIAL, turns })?.title).toBe("This agent has stopped");
  expect(describeEnd({ ...INITIAL, turns })?.text).toMatch(
    /The messages stay here, but a new agent does not know them\.$/,
  );
  expect(describeEnd(INITIAL)).toBeNull();
});

test("a session that reconnects has no end", () => {
  expect(describeEnd({ ...over(null, 1006), link: "reconnecting" })).toBeNull();
});

test("the end is described before the socket closes", () => {
  const state = { ...live, end: { reason: "bye", failure: null, code: null } } as const;
  expect(describeEnd(state)?.title).toBe("Conversation ended");
});
