import { expect, test } from "vitest";
import { secondsIn, untilChange } from "./countdown.ts";

test("seconds are rounded up and never negative", () => {
  expect([-5, 0, 1, 1_000, 1_001].map(secondsIn)).toEqual([0, 0, 1, 1, 2]);
});

test("the countdown changes when it appears and then each second", () => {
  expect(untilChange(3_600_000, 300)).toBe(3_300_000);
  expect(untilChange(2 ** 40, 300)).toBe(2 ** 31 - 1);
  expect(untilChange(299_400, 300)).toBe(400);
  expect(untilChange(299_000, 300)).toBe(1_000);
  expect(untilChange(-400, 300)).toBe(1_000);
});
