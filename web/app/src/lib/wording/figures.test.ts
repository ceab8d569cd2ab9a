import { expect, test } from "vitest";
import { duration, timeLeft, timing, usageText } from "./figures.ts";

test("durations have one unit or minutes with seconds", () => {
  expect([0, 99.6, 100, 340, 12_345, 65_400].map(duration)).toEqual([
    "0 ms",
    "100 ms",
    "0.1 s",
    "0.3 s",
    "12.3 s",
    "1 min 5 s",
  ]);
});

test("timing lists the known times", () => {
  expect(timing(340, 4_200)).toBe("0.3 s to the first word · 4.2 s in total");
  expect(timing(null, 4_200)).toBe("4.2 s in total");
  expect(timing(null, null)).toBeNull();
});

test("usage lists the known token counts", () => {
  expect(usageText({ inputTokens: 12, outputTokens: 5 })).toBe("12 input tokens, 5 output tokens");
  expect(usageText({ outputTokens: 5 })).toBe("5 output tokens");
  expect(usageText({})).toBeUndefined();
  expect(usageText(null)).toBeUndefined();
});

test("a countdown shows hours and minutes, and seconds in the last five minutes", () => {
  expect([7_200, 7_141, 3_601, 3_600, 301].map(timeLeft)).toEqual([
    "2 h",
    "2 h",
    "1 h 1 min",
    "1 h",
    "6 min",
  ]);
  expect([300, 69, 5].map(timeLeft)).toEqual(["5:00", "1:09", "0:05"]);
});
