import { expect, test } from "vitest";
import { secondsIn, timeWords, untilChange } from "./seconds-left.ts";

test("the second that has begun counts", () => {
  expect([-5, 0, 1, 1_000, 1_001].map(secondsIn)).toEqual([0, 0, 1, 1, 2]);
});

test("nothing changes before the countdown is shown, then it does each second", () => {
  expect(untilChange(3_600_000, 300)).toBe(3_300_000);
  expect(untilChange(2 ** 40, 300)).toBe(2 ** 31 - 1);
  expect(untilChange(299_400, 300)).toBe(400);
  expect(untilChange(299_000, 300)).toBe(1_000);
  expect(untilChange(-400, 300)).toBe(1_000);
});

test("hours and minutes while there is time, then minutes and seconds", () => {
  expect([7_200, 7_141, 3_601, 3_600, 301].map(timeWords)).toEqual([
    "2 h",
    "2 h",
    "1 h 1 min",
    "1 h",
    "6 min",
  ]);
  expect([300, 69, 5].map(timeWords)).toEqual(["5:00", "1:09", "0:05"]);
});
