import { describe, expect, test } from "vitest";
import type { Frame } from "./protocol.ts";
import { type Input, reduce } from "./reducer.ts";
import { canRegenerate, canSend, INITIAL, runningTurn } from "./state.ts";
import {
  accepted,
  active,
  delta,
  done,
  fold,
  only,
  open,
  ready,
  sent,
  type WithoutSeq,
} from "./testing/frames.ts";

describe("session", () => {
  test("a boot step ends when the next one starts", () => {
    const state = fold(
      ...open,
      { type: "session.status", status: "creating", step: "starting", elapsed_ms: 12 },
      { type: "session.status", status: "creating", step: "probing", elapsed_ms: 112 },
      active,
    );
    expect(state.boot).toEqual([
      { step: "starting", startedMs: 12, tookMs: 100 },
      { step: "probing", startedMs: 112, tookMs: 288 },
    ]);
    expect(state).toMatchObject({ status: "active", session: "s_1", head: 3 });
  });

  test("the place in line becomes a boot step with its duration", () => {
    const queued = (position: number, elapsed_ms: number) =>
      ({ type: "session.status", status: "creating", step: "queued", position, elapsed_ms }) as const;
    const refused = { type: "error", code: "quota.sessions", scope: "hub", retryable: true } as const;
    const inputs: Input[] = [
      { type: "local.attaching" },
      { ...refused, message: "full" },
      { type: "local.retry_scheduled", retryAtMs: 900, code: 4004, nowMs: 800 },
      { type: "local.attempt" },
      { ...ready, receivedMs: 1_000 },
      { ...queued(3, 0), receivedMs: 1_000 },
      { ...queued(2, 700), receivedMs: 1_700 },
    ];
    const inLine = inputs.reduce(reduce, INITIAL);
    expect(inLine).toMatchObject({ link: "open", status: "creating", head: 0, end: INITIAL.end });
    expect(inLine.line).toEqual({ position: 2, sinceMs: 1_000 });
    expect(inLine.boot).toEqual([{ step: "queued", startedMs: 0, tookMs: null }]);
    expect(canSend(inLine)).toBe(true);
    const status = { type: "session.status", status: "creating", step: "starting" } as const;
    const admitted = reduce(inLine, { ...status, elapsed_ms: 5, seq: 1, receivedMs: 4_000 });
    expect(admitted).toMatchObject({ link: "open", line: null, head: 1 });
    expect(admitted.boot).toEqual([
      { step: "queued", startedMs: 0, tookMs: 3_000 },
      { step: "starting", startedMs: 5, tookMs: null },
    ]);
    for (const lost of [
      { type: "local.retry_scheduled", retryAtMs: 9, code: 1006, nowMs: 8 },
      { type: "local.closed", code: 1000 },
    ] as const) {
      expect(reduce(inLine, lost)).toMatchObject({ line: null, boot: [] });
    }
  });

  test("a queued session has a place in line until its first status without one", () => {
    const queued = (position: number, elapsed_ms: number) =>
      ({ type: "session.status", status: "creating", step: "queued", position, elapsed_ms }) as const;
    const inLine = fold(...open, queued(2, 0), queued(1, 700));
    expect(inLine).toMatchObject({ link: "open", status: "creating", line: { position: 1 } });
    expect(canSend(inLine)).toBe(true);
    const starting = fold(...open, queued(1, 0), {
      type: "session.status",
      status: "creating",
      step: "starting",
      elapsed_ms: 5,
      receivedMs: 900,
    });
    expect(starting.line).toBeNull();
    expect(starting.boot).toEqual([
      { step: "queued", startedMs: 0, tookMs: 900 },
      { step: "starting", startedMs: 5, tookMs: null },
    ]);
  });

  test("the end has a reason, a failure and a close code", () => {
    const state = fold(
      ...open,
      { type: "error", code: "spawn.failed", scope: "session", retryable: false, message: "no such program" },
      { type: "session.ended", reason: "spawn_failed" },
      { type: "local.closed", code: 4508 },
    );
    expect(state.end).toEqual({
      reason: "spawn_failed",
      failure: { code: "spawn.failed", message: "no such program" },
      code: 4508,
    });
    expect(canSend(state)).toBe(false);
  });

  test("a refusal without a session is its end", () => {
    const state = fold(
      { type: "local.attaching" },
      { type: "error", code: "quota.sessions", scope: "hub", retryable: true, message: "full" },
      { type: "local.closed", code: 4004 },
    );
    expect(state.end).toEqual({
      reason: null,
      failure: { code: "quota.sessions", message: "full" },
      code: 4004,
    });
  });

  test("a lost connection ends open turns", () => {
    const state = fold(...open, active, sent("c1", "a"), accepted("t1", "c1"), delta("Hal"), {
      type: "local.closed",
      code: 1006,
    });
    expect(only(state)).toMatchObject({
      phase: "done",
      outcome: "lost",
      parts: [{ text: "Hal", open: false }],
    });
    expect(runningTurn(state)).toBeNull();
  });

  test("a new session moves the turns to earlier", () => {
    const state = fold(
      ...open,
      sent("c1", "a"),
      { type: "local.closed", code: 1006 },
      { type: "local.new_session" },
    );
    const [earlier, ...others] = state.earlier;
    expect(others).toEqual([]);
    expect(earlier).toMatchObject({ session: "s_1", turns: [{ key: "c1", outcome: "lost" }] });
    expect({ ...state, earlier: [] }).toEqual({ ...INITIAL, link: "connecting" });
  });

  test("unaccepted messages belong to the next session", () => {
    const state = fold({ type: "local.attaching" }, sent("c1", "a"), { type: "local.new_session" });
    expect(only(state)).toMatchObject({ key: "c1", phase: "sending" });
  });
});

describe("messages", () => {
  test("a message is shown before it is accepted", () => {
    expect(only(fold(...open, sent("c1", "Hello")))).toMatchObject({
      text: "Hello",
      phase: "sending",
      turn: null,
    });
  });

  test("the acceptance updates the turn with the message's id", () => {
    const before = fold(...open, sent("c1", "Hello"));
    const after = fold(...open, sent("c1", "Hello"), accepted("t1", "c1"));
    expect(only(after)).toMatchObject({ key: only(before).key, turn: "t1", phase: "waiting" });
  });

  test("another client's message precedes unaccepted ones", () => {
    const state = fold(...open, sent("c1", "mine"), { ...accepted("t1", "other"), text: "theirs" });
    expect(state.turns.map((turn) => turn.text)).toEqual(["theirs", "mine"]);
  });

  test("the first turn runs once the agent is ready", () => {
    const waiting = fold(...open, sent("c1", "a"), accepted("t1", "c1"));
    expect(runningTurn(waiting)).toBeNull();
    expect(runningTurn(reduce(waiting, { ...active, seq: 2 }))?.turn).toBe("t1");
  });

  test("queued turns move up when a turn ends", () => {
    const three = [accepted("t1", "c1"), accepted("t2", "c2", 1), accepted("t3", "c3", 2)];
    const first = fold(...open, active, ...three, done("t1"));
    expect(first.turns.map((turn) => turn.position)).toEqual([0, 0, 1]);
    expect(runningTurn(first)?.turn).toBe("t2");
    const middle = fold(...open, active, ...three, done("t2", "stopped"));
    expect(middle.turns.map((turn) => turn.position)).toEqual([0, 1, 1]);
    expect(runningTurn(middle)?.turn).toBe("t1");
  });

  const refusal = { type: "error", id: "c1", scope: "frame", retryable: true, message: "no" } as const;

  test("a refusal ends the message that it names", () => {
    const state = fold(...open, sent("c1", "a"), sent("c2", "b"), { ...refusal, code: "quota.queue" });
    expect(state.turns.map((turn) => turn.phase)).toEqual(["done", "sending"]);
    expect(state.turns[0]).toMatchObject({ outcome: "refused", error: { code: "quota.queue" } });
  });

  test("a message refused by a draining hub stays unsent", () => {
    const state = fold(...open, sent("c1", "a"), { ...refusal, code: "hub.draining" });
    expect(state.turns.map((turn) => turn.phase)).toEqual(["sending"]);
  });

  test("regenerating ends with the acceptance or a refusal", () => {
    const asked = fold(...open, active, sent("c1", "a"), accepted("t1", "c1"), done("t1"), {
      type: "local.regenerating",
      turn: "t1",
    });
    expect(asked.regenerating).toBe("t1");
    expect(canRegenerate(asked)).toBe(false);
    expect(
      reduce(asked, { ...accepted("t2", "c1"), replaces: "t1", seq: asked.head + 1 }).regenerating,
    ).toBeNull();
    expect(
      reduce(asked, { type: "error", code: "turn.conflict", scope: "frame", retryable: false, message: "no" })
        .regenerating,
    ).toBeNull();
  });

  test("other refusals are a notice until the next message", () => {
    const error = {
      type: "error",
      code: "turn.not_found",
      scope: "frame",
      retryable: false,
      message: "no",
    } as const;
    expect(fold(...open, error).notice).toEqual({ code: "turn.not_found", message: "no" });
    expect(fold(...open, error, sent("c1", "a")).notice).toBeNull();
  });
});

describe("answers", () => {
  const running = [...open, active, sent("c1", "Weather?"), accepted("t1", "c1")] as const;
  const call = { type: "tool-input-start", turn: "t1", toolCallId: "w1", toolName: "weather" } as const;
  const input = { ...call, type: "tool-input-available", input: { place: "London" } } as const;

  test("deltas extend their part", () => {
    const state = fold(
      ...running,
      { type: "text-start", turn: "t1", id: "x0" },
      delta("It is "),
      delta("mild."),
    );
    expect(only(state).parts).toEqual([{ kind: "text", id: "x0", text: "It is mild.", open: true }]);
  });

  test("an id reused after its part was closed is a new part", () => {
    const state = fold(
      ...running,
      { type: "text-start", turn: "t1", id: "x0" },
      delta("One."),
      { type: "text-end", turn: "t1", id: "x0" },
      { type: "text-start", turn: "t1", id: "x0" },
      delta("Two."),
    );
    expect(only(state).parts).toMatchObject([
      { text: "One.", open: false },
      { text: "Two.", open: true },
    ]);
  });

  test("a tool call has a name, then input, then output", () => {
    const part = (...frames: WithoutSeq<Frame>[]) => only(fold(...running, ...frames)).parts[0];
    expect(part(call)).toMatchObject({ name: "weather", state: "input" });
    expect(part(call, input)).toMatchObject({ state: "running", input: { place: "London" } });
    expect(part(input)).toMatchObject({ name: "weather", state: "running" });
    const output = {
      type: "tool-output-available",
      turn: "t1",
      toolCallId: "w1",
      output: { celsius: 9 },
    } as const;
    expect(part(call, input, output)).toMatchObject({ state: "done", output: { celsius: 9 } });
    const error = {
      type: "tool-output-error",
      turn: "t1",
      toolCallId: "w1",
      errorText: "unreachable",
    } as const;
    expect(part(call, input, error)).toMatchObject({ state: "failed", error: "unreachable" });
  });

  test("a stop shows immediately and cuts open tool calls", () => {
    const stopping = fold(...running, call, { type: "local.stopping", turn: "t1" });
    expect(only(stopping)).toMatchObject({ phase: "waiting", stopping: true });
    const stopped = fold(...running, call, { type: "local.stopping", turn: "t1" }, done("t1", "stopped"));
    expect(only(stopped)).toMatchObject({
      phase: "done",
      stopping: false,
      outcome: "stopped",
      parts: [{ state: "cut" }],
    });
  });

  test("a failed turn has its error and leaves the session open", () => {
    const error = { code: "agent.failed", message: "the model is away" } as const;
    const state = fold(...running, { type: "turn.done", turn: "t1", reason: "error", error });
    expect(only(state)).toMatchObject({ outcome: "error", error });
    expect(canSend(state)).toBe(true);
  });

  test("a complete turn has ttftMs and usage", () => {
    const usage = { inputTokens: 12, outputTokens: 5 };
    const state = fold(...running, { ...done("t1"), ttft_ms: 340, usage });
    expect(only(state)).toMatchObject({ ttftMs: 340, usage });
    expect(only(fold(...running, done("t1")))).toMatchObject({ ttftMs: null, usage: null });
  });

  test("the last answer can be regenerated when no turn is open", () => {
    const answered = [...running, delta("No."), done("t1")] as const;
    expect(canRegenerate(fold(...running))).toBe(false);
    expect(canRegenerate(fold(...answered))).toBe(true);
    expect(canRegenerate(fold(...answered, sent("c2", "b")))).toBe(false);
    const again = fold(...answered, { ...accepted("t2", "c1"), replaces: "t1" });
    expect(only(again)).toMatchObject({ turn: "t2", phase: "waiting", parts: [] });
  });

  test("a frame of an unknown type only advances head", () => {
    const before = fold(...running, delta("a"));
    const after = fold(...running, delta("a"), { type: "unknown", seq: before.head + 1 });
    expect(after).toEqual({ ...before, head: before.head + 1 });
  });
});

describe("sequence", () => {
  const running = [...open, active, accepted("t1", "c1")] as const;

  test("a known frame is dropped", () => {
    const state = fold(...running, delta("once"));
    expect(reduce(state, { ...delta("once"), seq: state.head })).toBe(state);
  });

  test("a gap is a fault and stops the reducer", () => {
    const state = fold(...running, delta("a"));
    const broken = reduce(state, { ...delta("c"), seq: state.head + 2 });
    expect(broken.fault).toBe("frame 5 came after frame 3");
    expect(broken.turns).toBe(state.turns);
    expect(canSend(broken)).toBe(false);
    expect(reduce(broken, { ...delta("b"), seq: state.head + 1 })).toBe(broken);
  });

  test("content and ends of closed turns are faults", () => {
    expect(fold(...running, done("t1"), delta("late")).fault).toMatch(/text-delta frame of t1/);
    expect(fold(...running, done("t2")).fault).toMatch(/end of t2/);
    expect(fold(...running, done("t1"), done("t1")).fault).toMatch(/end of t1/);
  });
});
