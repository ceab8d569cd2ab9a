import { expect, test } from "vitest";
import { BASE_MS, backoffMs, CAP_MS, Reconnect, STABLE_MS } from "./reconnect.ts";
import { FakePlatform } from "./testing/platform.ts";

function setUp() {
  const platform = new FakePlatform();
  let attempts = 0;
  const reconnect = new Reconnect(platform, () => attempts++);
  const wait = (retryAfterMs = 0) => reconnect.schedule(retryAfterMs) - platform.nowMs;
  return { platform, reconnect, wait, attempts: () => attempts };
}

test("the backoff doubles up to its cap with full jitter", () => {
  expect([0, 1, 2, 3].map((failures) => backoffMs(failures, 0.999_999))).toEqual([500, 1000, 2000, 4000]);
  expect(backoffMs(6, 0.999_999_9)).toBe(CAP_MS);
  expect(backoffMs(5_000, 0.5)).toBe(CAP_MS / 2);
  expect(backoffMs(3, 0)).toBe(0);
});

test("a scheduled attempt runs once when it is due", () => {
  const { platform, reconnect, attempts } = setUp();
  expect(reconnect.schedule(0)).toBe(platform.nowMs + BASE_MS / 2);
  platform.advance(BASE_MS / 2 - 1);
  expect(attempts()).toBe(0);
  platform.advance(1);
  expect(attempts()).toBe(1);
  platform.advance(CAP_MS);
  reconnect.wake();
  reconnect.runNow();
  expect(attempts()).toBe(1);
});

test("a stable connection resets the number of failures", () => {
  const { platform, reconnect, wait } = setUp();
  expect([wait(), wait(), wait()]).toEqual([250, 500, 1000]);
  reconnect.opened();
  platform.advance(STABLE_MS - 1);
  expect(wait()).toBe(2000);
  reconnect.opened();
  platform.advance(STABLE_MS);
  expect([wait(), wait()]).toEqual([250, 500]);
});

test("opened and cancel cancel the scheduled attempt", () => {
  for (const end of ["opened", "cancel"] as const) {
    const { platform, reconnect, attempts } = setUp();
    reconnect.schedule(0);
    reconnect[end]();
    platform.advance(CAP_MS);
    expect(attempts()).toBe(0);
  }
});

test("wake runs the attempt immediately unless the hub asked for time", () => {
  const { platform, reconnect, wait, attempts } = setUp();
  wait();
  reconnect.wake();
  expect(attempts()).toBe(1);
  expect(wait(4_000)).toBe(4_500);
  platform.advance(3_999);
  reconnect.wake();
  expect(attempts()).toBe(1);
  platform.advance(1);
  reconnect.wake();
  expect(attempts()).toBe(2);
});

test("runNow ignores the hub's delay", () => {
  const { reconnect, wait, attempts } = setUp();
  wait(60_000);
  reconnect.runNow();
  expect(attempts()).toBe(1);
});
