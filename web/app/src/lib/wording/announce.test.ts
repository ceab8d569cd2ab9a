import { type Expiring, INITIAL, type SessionState, type Turn } from "@mayfly/client/state";
import { expect, test } from "vitest";
import { announce } from "./announce.ts";

const live: SessionState = { ...INITIAL, link: "open", session: "s_1", status: "active" };
const away: SessionState = { ...live, link: "reconnecting" };
const idle: Expiring = { cause: "idle", endsAtMs: 28_000, canExtend: true };
const max: Expiring = { cause: "max", endsAtMs: 28_000, canExtend: false };

test("a warning is announced once with the remaining time", () => {
  const warned = { ...live, expiring: idle };
  expect(announce(live, warned, true, 1_000)).toBe(
    "Still there? This conversation ends in 27 seconds. Press Enter in the empty message field to continue it.",
  );
  expect(announce(warned, { ...warned, head: 9 }, true, 2_000)).toBeNull();
  expect(announce(live, { ...live, expiring: max }, true, 1_000)).toBe(
    "This conversation ends in 27 seconds: its time limit is reached.",
  );
  expect(announce(live, { ...live, expiring: { ...max, cause: "drain" } }, true, 1_000)).toBe(
    "This conversation ends in 27 seconds: the hub is shutting down.",
  );
});

test("a restored connection is announced and a first connection is not", () => {
  expect(announce(away, live, true, 0)).toBe("Reconnected.");
  expect(announce({ ...INITIAL, link: "connecting" }, live, true, 0)).toBeNull();
  expect(announce(live, live, true, 0)).toBeNull();
});

test("a connection problem is announced once, not with each attempt", () => {
  const starting: SessionState = { ...INITIAL, link: "connecting" };
  const waiting: SessionState = { ...starting, retryAtMs: 500, end: { ...INITIAL.end, code: 1006 } };
  expect(announce(starting, waiting, true, 0)).toBe("The hub cannot be reached.");
  expect(announce(waiting, { ...waiting, retryAtMs: null }, true, 0)).toBeNull();
  expect(announce({ ...waiting, retryAtMs: null }, waiting, true, 0)).toBeNull();
});

test("the start and outcome of an answer are announced, but not its content", () => {
  const turn = {
    key: "c1",
    turn: "t1",
    phase: "waiting",
    position: 0,
    parts: [],
    error: null,
  } as unknown as Turn;
  const answering = { ...live, turns: [turn] };
  expect(announce(live, answering, true, 0)).toBe("The agent is answering.");
  const part = { kind: "text", id: "p", text: "Hi", open: true } as const;
  expect(announce(answering, { ...live, turns: [{ ...turn, parts: [part] }] }, true, 0)).toBeNull();
  const ended = (outcome: Turn["outcome"], error: Turn["error"] = null): SessionState => ({
    ...live,
    turns: [{ ...turn, phase: "done", outcome, error }],
  });
  expect(announce(answering, ended("complete"), true, 0)).toBe("The answer is complete.");
  expect(announce(answering, ended("stopped"), true, 0)).toBe("The answer was stopped.");
  expect(announce(live, ended("complete"), true, 0)).toBe("The answer is complete.");
  expect(announce({ ...INITIAL, link: "connecting" }, ended("complete"), true, 0)).toBeNull();
  const failed = ended("error", { code: "agent.failed", message: "out of luck" });
  expect(announce(answering, failed, true, 0)).toBe("The answer is incomplete. out of luck");
});

test("an end is announced once with its explanation", () => {
  const over: SessionState = { ...live, link: "closed", end: { ...INITIAL.end, reason: "idle" } };
  expect(announce(live, over, true, 0)).toMatch(/^Conversation timed out\. Nobody wrote/);
  expect(announce(over, { ...over, end: { ...over.end, code: 4500 } }, true, 0)).toBeNull();
});
