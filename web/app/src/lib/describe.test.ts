import type { EndReason, ErrorCode } from "@mayfly/client/protocol";
import { INITIAL, type SessionState } from "@mayfly/client/state";
import { describe, expect, test } from "vitest";
import { turnOf } from "../testing/turn.ts";
import { describeEnd, describeStatus, describeTrouble, unanswered } from "./describe.ts";

const live: SessionState = { ...INITIAL, link: "open", session: "s_1", status: "active" };

const running = turnOf("Hello", { phase: "waiting", outcome: null });

function over(reason: EndReason | null, code: number | null, error?: ErrorCode): SessionState {
  const failure = error === undefined ? null : { code: error, message: "exit status 3" };
  return { ...live, link: "closed", end: { reason, failure, code } };
}

describe("status", () => {
  test.each<[string, SessionState]>([
    ["Connecting…", { ...INITIAL, link: "connecting" }],
    ["Starting an agent…", { ...live, status: "creating" }],
    ["Next in line", { ...INITIAL, link: "connecting", line: { position: 1, sinceMs: 0 } }],
    ["Number 3 in line", { ...INITIAL, link: "connecting", line: { position: 3, sinceMs: 0 } }],
    ["Ready", live],
    ["Ready", { ...live, status: "idle" }],
    ["Reconnecting…", { ...live, link: "reconnecting", turns: [running] }],
    ["Answering", { ...live, turns: [running] }],
    ["Ending", { ...live, status: "terminating" }],
    ["Ended", over("bye", 1000)],
    ["Ended", over(null, 4506)],
    ["In another tab", over(null, 4507)],
    ["Disconnected", over(null, 1006)],
    ["Not connected", { ...over(null, 1006), session: null }],
  ])("%s", (words, state) => {
    expect(describeStatus(state).words).toBe(words);
  });
});

describe("trouble", () => {
  const waiting: SessionState = { ...over(null, 1006), link: "reconnecting" };
  const refused = (code: ErrorCode, message: string): SessionState => ({
    ...waiting,
    end: { reason: null, failure: { code, message }, code: 4004 },
  });

  test.each<[string | null, SessionState]>([
    [null, live],
    [null, { ...INITIAL, link: "connecting" }],
    [null, over(null, 1006)],
    ["The connection was lost.", waiting],
    ["The hub cannot be reached.", { ...waiting, link: "connecting", session: null }],
    ["All agents are taken.", refused("quota.sessions", "full")],
    ["The queue is full.", refused("quota.queue", "the queue is full.")],
  ])("%s", (words, state) => {
    expect(describeTrouble(state, true)?.what ?? null).toBe(words);
  });

  test("a browser without a network says so, but not when the hub itself refused", () => {
    expect(describeTrouble(waiting, false)?.what).toBe("You are offline.");
    expect(describeTrouble(refused("quota.sessions", "full"), false)?.what).toBe("All agents are taken.");
  });

  test("the session waits for this page as long as the hub said", () => {
    expect(describeTrouble({ ...waiting, graceEndsAtMs: 9_000 }, true)?.waitsUntilMs).toBe(9_000);
    expect(describeTrouble({ ...waiting, session: null }, true)?.waitsUntilMs).toBeNull();
  });
});

describe("end", () => {
  test("is nothing while the session lives", () => {
    expect(describeEnd(live)).toBeNull();
    expect(describeEnd({ ...INITIAL, link: "connecting" })).toBeNull();
  });

  test.each<[string, SessionState]>([
    ["Conversation ended", over("bye", 1000)],
    ["Conversation ended", over(null, 1000)],
    ["Ended after a long silence", over("idle", 4500)],
    ["Time is up", over("max", 4500)],
    ["This agent's time is over", over(null, 4500)],
    ["This agent is gone", over(null, 4506, "session.gone")],
    ["This agent is gone", over(null, 4501)],
    ["This conversation cannot be opened here", over(null, 4502, "auth.denied")],
    ["This hub asks for a key", { ...over(null, 4502, "auth.denied"), session: null }],
    ["This conversation is open in another tab", over(null, 4507)],
    ["The agent was lost", over("agent_lost", 4509, "agent.crashed")],
    ["The agent could not be started", over("spawn_failed", 4508, "spawn.failed")],
    ["The conversation was ended", over("deleted", 4501)],
    ["The hub is shutting down", over("drained", 4501)],
    ["The hub is shutting down", over(null, 4004, "hub.draining")],
    ["All agents are taken", over(null, 4004, "quota.sessions")],
    ["All agents are taken", over(null, 4004)],
    ["Too many messages at once", over(null, 4005, "quota.rate")],
    ["This page may not use the hub", over(null, 4503, "auth.origin")],
    ["The hub cannot be reached", { ...over(null, 1006), session: null }],
    ["Connection lost", over(null, 1006)],
    ["Connection lost", over(null, 4001)],
    ["The page and the hub do not understand each other", { ...live, fault: "frame 9 came after frame 3" }],
  ])("%s", (title, state) => {
    expect(describeEnd(state)?.title).toBe(title);
  });

  test("says what the hub said of the agent", () => {
    const words = describeEnd(over("agent_lost", 4509, "agent.crashed"));
    expect(words?.text).toBe("Exit status 3.");
  });

  test("leads on: to another agent, with what got no answer, or back to the session in another tab", () => {
    expect(describeEnd(over(null, 4507))?.way).toBe("here");
    expect(describeEnd(over("idle", 4500))?.way).toBe("anew");
    const lost = over("agent_lost", 4509);
    const asked = { ...lost, turns: [{ ...running, phase: "done", outcome: "error" } as const] };
    expect(describeEnd(asked)?.way).toBe("again");
    expect(unanswered(asked)).toBe("Hello");
    const answered = { ...lost, turns: [{ ...running, phase: "done", outcome: "complete" } as const] };
    expect(describeEnd(answered)?.way).toBe("anew");
  });

  test("is told of a conversation that was over when the page was loaded", () => {
    const turns = [{ ...running, phase: "done", outcome: "complete" } as const];
    expect(describeEnd({ ...INITIAL, turns })?.title).toBe("This agent is gone");
    expect(describeEnd({ ...INITIAL, turns })?.text).toMatch(
      /What was said stays here; a new agent does not know it\.$/,
    );
    expect(describeEnd(INITIAL)).toBeNull();
  });

  test("is none while the connection is away", () => {
    expect(describeEnd({ ...over(null, 1006), link: "reconnecting" })).toBeNull();
  });

  test("is told at once, not only when the socket is closed", () => {
    const state = { ...live, end: { reason: "bye", failure: null, code: null } } as const;
    expect(describeEnd(state)?.title).toBe("Conversation ended");
  });
});
