/** Tests of resumed state: resumptions, snapshots, repeated acceptances and deadlines. */

import { describe, expect, test } from "vitest";
import type { SnapshotFrame } from "./protocol.ts";
import { reduce } from "./reducer.ts";
import { canSend, INITIAL } from "./state.ts";
import { accepted, active, delta, done, fold, only, open, ready, sent } from "./testing/frames.ts";

const waiting = { type: "local.retry_scheduled", retryAtMs: 700, code: 1006, nowMs: 500 } as const;
const { token: _, ...known } = ready;
const resumed = { ...known, resumed: true, status: "active", head: 9 } as const;
const attached = { ...known, status: "active", epoch: "e2", head: 9 } as const;
const running = [...open, active, sent("c1", "a"), accepted("t1", "c1"), delta("Hal")] as const;
const snapshot = (truncated: boolean, ...frames: SnapshotFrame["frames"]) =>
  ({ type: "session.snapshot", why: "gap", truncated, frames }) as const;

describe("resumption", () => {
  test("the link is connecting while there is no session", () => {
    const state = fold({ type: "local.attaching" }, waiting);
    expect(state).toMatchObject({ link: "connecting", retryAtMs: 700, end: { code: 1006 } });
    expect(canSend(state)).toBe(true);
  });

  test("the turns stay while the connection is lost", () => {
    const away = fold(...running, waiting);
    expect(away).toMatchObject({ link: "reconnecting", retryAtMs: 700, head: 3 });
    expect(only(away)).toMatchObject({ phase: "waiting", parts: [{ text: "Hal", open: true }] });
    expect(canSend(away)).toBe(true);
    expect(reduce(away, { type: "local.attempt" })).toMatchObject({ link: "reconnecting", retryAtMs: null });
  });

  test("a resumption continues after the client's head", () => {
    const state = fold(...running, waiting, resumed, delta("lo"), done("t1"));
    expect(state).toMatchObject({ link: "open", head: 5, end: INITIAL.end, fault: null });
    expect(only(state)).toMatchObject({ phase: "done", parts: [{ text: "Hallo" }] });
  });

  test("a merged frame must start right after head", () => {
    const merged = fold(...running, { ...delta("lo you"), from: 4, seq: 8 });
    expect(merged).toMatchObject({ head: 8, turns: [{ parts: [{ text: "Hallo you" }] }] });
    expect(reduce(merged, { ...delta("lo"), from: 4, seq: 6 })).toBe(merged);
    expect(reduce(merged, { ...delta("?"), from: 10, seq: 12 }).fault).toBe("frame 10 came after frame 8");
    expect(reduce(merged, { type: "unknown", from: 9, seq: 12 }).head).toBe(12);
  });

  test("a replaced connection leaves running turns open", () => {
    const state = fold(...running, sent("c2", "b"), { type: "local.closed", code: 4507 });
    expect(state.turns).toMatchObject([{ phase: "waiting" }, { outcome: "lost" }]);
  });

  test("a refusal stays until the next loss or resumption", () => {
    const refusal = {
      type: "error",
      code: "quota.sockets",
      scope: "hub",
      retryable: true,
      message: "full",
    } as const;
    const refused = fold(...running, waiting, refusal, { ...waiting, code: 4004 });
    expect(refused.end.failure?.code).toBe("quota.sockets");
    expect(reduce(refused, waiting).end.failure).toBeNull();
    expect(reduce(refused, resumed).end.failure).toBeNull();
  });
});

describe("a snapshot", () => {
  test("replaces all turns except unaccepted messages", () => {
    const state = fold(
      ...running,
      sent("c2", "b"),
      sent("c3", "c"),
      waiting,
      attached,
      snapshot(
        false,
        { ...active, seq: 1 },
        { ...accepted("t1", "c1"), seq: 2 },
        { ...delta("Hallo"), from: 3, seq: 5 },
        { ...done("t1"), seq: 6 },
        { ...accepted("t2", "c2"), seq: 7 },
      ),
    );
    expect(state).toMatchObject({ head: 9, epoch: "e2", truncated: false, fault: null });
    expect(state.turns).toMatchObject([
      { key: "c1", phase: "done", parts: [{ text: "Hallo" }] },
      { key: "c2", phase: "waiting" },
      { key: "c3", phase: "sending" },
    ]);
  });

  test("of another hub makes accepted but unanswered messages unsent again", () => {
    const queued = [
      ...running,
      sent("c2", "b"),
      accepted("t2", "c2", 1),
      sent("c3", "c"),
      accepted("t3", "c3", 2),
      { type: "local.stopping", turn: "t3" },
      attached,
    ] as const;
    const repeated = [{ ...accepted("t1", "c1"), seq: 1 }, active] as const;
    const epoch = (truncated: boolean, ...frames: SnapshotFrame["frames"]) =>
      ({ ...snapshot(truncated, ...frames), why: "epoch" }) as const;
    const known = [{ ...repeated[0] }, { ...repeated[1], seq: 2 }] as const;
    expect(fold(...queued, epoch(false, ...known)).turns).toMatchObject([
      { key: "c1", turn: "t1", phase: "waiting", parts: [] },
      { key: "c2", turn: null, phase: "sending", text: "text of c2" },
      { key: "c3", phase: "done", outcome: "stopped" },
    ]);
    expect(fold(...queued, epoch(true)).turns).toMatchObject([
      { key: "c1", phase: "done", outcome: "lost" },
      { key: "c2", phase: "sending" },
      { key: "c3", outcome: "stopped" },
    ]);
    expect(fold(...queued, epoch(false)).turns[0]).toMatchObject({ key: "c1", phase: "sending" });
    expect(fold(...queued, snapshot(false, ...known)).turns).toMatchObject([{ key: "c1" }]);
  });

  test("keeps a requested stop", () => {
    const stopping = [...running, { type: "local.stopping", turn: "t1" }, attached] as const;
    const state = fold(...stopping, snapshot(false, { ...accepted("t1", "c1"), seq: 2 }));
    expect(only(state).stopping).toBe(true);
  });

  test("may lack the beginning of a turn", () => {
    const state = fold(
      ...open,
      attached,
      snapshot(
        true,
        { ...delta("…end of it."), from: 3, seq: 5 },
        { ...accepted("t2", "c2", 1), seq: 6 },
        { ...done("t1"), seq: 7 },
      ),
    );
    expect(state).toMatchObject({ truncated: true, fault: null });
    expect(state.turns).toMatchObject([
      { turn: "t1", text: "", phase: "done", parts: [{ text: "…end of it." }] },
      { turn: "t2", phase: "waiting", position: 0 },
    ]);
  });

  test("may lack a turn that is still running", () => {
    const queued = { ...accepted("t2", "c2", 1), seq: 8 } as const;
    const before = fold(...open, attached, snapshot(true, queued));
    const going = reduce(before, { ...delta("late"), seq: 10 });
    expect(going.turns).toMatchObject([{ turn: "t1", parts: [{ text: "late" }] }, { turn: "t2" }]);
    const over = reduce(before, { ...done("t1"), seq: 10 });
    expect(over).toMatchObject({ fault: null, turns: [{ turn: "t2", position: 0 }] });
    const whole = fold(...open, attached, snapshot(false, queued));
    expect(reduce(whole, { ...delta("late"), seq: 10 }).fault).toMatch(/text-delta frame of t1/);
  });
});

describe("a repeated acceptance", () => {
  test("changes nothing", () => {
    const state = fold(...running);
    expect(reduce(state, { ...accepted("t1", "c1"), seq: 2 })).toBe(state);
  });

  test("completes a turn whose beginning the snapshot lacks", () => {
    const state = fold(...open, sent("c1", "a"), attached, snapshot(true, { ...delta("of it"), seq: 5 }));
    expect(state.turns).toMatchObject([{ turn: "t1" }, { phase: "sending" }]);
    const repeated = reduce(state, { ...accepted("t1", "c1"), seq: 2 });
    expect(only(repeated)).toMatchObject({ turn: "t1", text: "text of c1", phase: "waiting" });
  });

  test("marks a turn that the snapshot lacks as lost", () => {
    const state = fold(...open, sent("c1", "a"), attached, snapshot(true));
    const repeated = reduce(state, { ...accepted("t1", "c1"), seq: 2 });
    expect(only(repeated)).toMatchObject({ turn: "t1", phase: "done", outcome: "lost" });
  });
});

describe("deadlines", () => {
  const idle = {
    type: "session.expiring",
    cause: "idle",
    remaining_ms: 30_000,
    can_extend: true,
    receivedMs: 1_000,
  } as const;
  const max = { ...idle, cause: "max", can_extend: false } as const;

  test("relative deadlines become local times", () => {
    const deadline = { idle_ms: 300_000, max_ms: 3_600_000 };
    const state = fold({ ...ready, deadline, receivedMs: 5_000 });
    expect(state.deadline).toEqual({ idleAtMs: 305_000, maxAtMs: 3_605_000 });
  });

  test("an idle warning ends when the session is extended or active", () => {
    const warned = fold(...open, active, { type: "session.status", status: "idle", elapsed_ms: 900 }, idle);
    expect(warned).toMatchObject({
      status: "idle",
      expiring: { cause: "idle", endsAtMs: 31_000, canExtend: true },
    });
    const extended = { type: "session.extended", deadline: { max_ms: 50_000 }, receivedMs: 2_000 } as const;
    expect(reduce(warned, extended)).toMatchObject({
      expiring: null,
      deadline: { idleAtMs: null, maxAtMs: 52_000 },
    });
    expect(reduce(warned, { ...active, seq: 3 }).expiring).toBeNull();
  });

  test("a max warning is not cleared by activity", () => {
    const warned = fold(...open, max);
    const extended = { type: "session.extended", deadline: { max_ms: 50_000 } } as const;
    expect(reduce(warned, extended).expiring).toEqual(warned.expiring);
    expect(reduce(warned, { ...active, seq: 1 }).expiring).toEqual(warned.expiring);
    expect(reduce(warned, { type: "session.ended", reason: "max" }).expiring).toBeNull();
  });

  test("a resumption keeps the warning if the deadline is unchanged", () => {
    const warned = fold(...open, idle);
    const back = (idle_ms: number) =>
      reduce(warned, { ...resumed, deadline: { idle_ms, max_ms: 90_000 }, receivedMs: 11_000 });
    expect(back(20_000).expiring).toEqual(warned.expiring);
    expect(back(300_000).expiring).toBeNull();
  });
});
