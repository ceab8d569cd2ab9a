import { expect, test } from "vitest";
import { BASE_MS, backoffMs, CAP_MS, Reconnect, STABLE_MS } from "./reconnect.ts";
import { FakePlatform } from "./testing/platform.ts";

function planned() {
  const platform = new FakePlatform();
  let attempts = 0;
  const reconnect = new Reconnect(platform, () => attempts++);
  const wait = (retryAfterMs = 0) => reconnect.plan(retryAfterMs) - platform.nowMs;
  return { platform, reconnect, wait, attempts: () => attempts };
}

test("the span doubles up to its cap, and chance takes any part of it", () => {
  expect([0, 1, 2, 3].map((failures) => backoffMs(failures, 0.999_999))).toEqual([500, 1000, 2000, 4000]);
  expect(backoffMs(6, 0.999_999_9)).toBe(CAP_MS);
  expect(backoffMs(5_000, 0.5)).toBe(CAP_MS / 2);
  expect(backoffMs(3, 0)).toBe(0);
});

test("an attempt is made when it is due, once", () => {
  const { platform, reconnect, attempts } = planned();
  expect(reconnect.plan(0)).toBe(platform.nowMs + BASE_MS / 2);
  platform.pass(BASE_MS / 2 - 1);
  expect(attempts()).toBe(0);
  platform.pass(1);
  expect(attempts()).toBe(1);
  platform.pass(CAP_MS);
  reconnect.wake();
  reconnect.now();
  expect(attempts()).toBe(1);
});

test("failures add up until a connection has lasted", () => {
  const { platform, reconnect, wait } = planned();
  expect([wait(), wait(), wait()]).toEqual([250, 500, 1000]);
  reconnect.opened();
  platform.pass(STABLE_MS - 1);
  expect(wait()).toBe(2000);
  reconnect.opened();
  platform.pass(STABLE_MS);
  expect([wait(), wait()]).toEqual([250, 500]);
});

test("a connection that stands, and one that is given up, take the plan back", () => {
  for (const end of ["opened", "cancel"] as const) {
    const { platform, reconnect, attempts } = planned();
    reconnect.plan(0);
    reconnect[end]();
    platform.pass(CAP_MS);
    expect(attempts()).toBe(0);
  }
});

test("waking makes the attempt at once, unless the hub asked for time", () => {
  const { platform, reconnect, wait, attempts } = planned();
  wait();
  reconnect.wake();
  expect(attempts()).toBe(1);
  expect(wait(4_000)).toBe(4_500);
  platform.pass(3_999);
  reconnect.wake();
  expect(attempts()).toBe(1);
  platform.pass(1);
  reconnect.wake();
  expect(attempts()).toBe(2);
});

test("a person need not wait for the hub's time", () => {
  const { reconnect, wait, attempts } = planned();
  wait(60_000);
  reconnect.now();
  expect(attempts()).toBe(1);
});
