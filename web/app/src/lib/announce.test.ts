import { type Expiring, INITIAL, type SessionState } from "@mayfly/client/state";
import { expect, test } from "vitest";
import { announce } from "./announce.ts";

const live: SessionState = { ...INITIAL, link: "open", session: "s_1", status: "active" };
const away: SessionState = { ...live, link: "reconnecting" };
const idle: Expiring = { cause: "idle", endsAtMs: 28_000, canExtend: true };
const max: Expiring = { cause: "max", endsAtMs: 28_000, canExtend: false };

test("a warning is said once, with the time there is then", () => {
  const warned = { ...live, expiring: idle };
  expect(announce(live, warned, 1_000)).toBe(
    "Still there? This conversation ends in 27 seconds. Enter in the empty message field keeps it.",
  );
  expect(announce(warned, { ...warned, head: 9 }, 2_000)).toBeNull();
  expect(announce(live, { ...live, expiring: max }, 1_000)).toBe(
    "This conversation ends in 27 seconds: its time is up.",
  );
});

test("a connection that is back is said, one that was there is not", () => {
  expect(announce(away, live, 0)).toBe("Reconnected.");
  expect(announce({ ...INITIAL, link: "connecting" }, live, 0)).toBeNull();
  expect(announce(live, live, 0)).toBeNull();
});

test("trouble is said when it changes, not with each attempt", () => {
  const starting: SessionState = { ...INITIAL, link: "connecting" };
  const waiting: SessionState = { ...starting, retryAtMs: 500, end: { ...INITIAL.end, code: 1006 } };
  expect(announce(starting, waiting, 0)).toBe("The hub cannot be reached.");
  expect(announce(waiting, { ...waiting, retryAtMs: null }, 0)).toBeNull();
  expect(announce({ ...waiting, retryAtMs: null }, waiting, 0)).toBeNull();
});

test("that a connection is away is the status's to say", () => {
  expect(announce(live, { ...away, end: { ...INITIAL.end, code: 1006 } }, 0)).toBeNull();
});
