import { expect, test } from "vitest";
import { duration, timing, usageWords } from "./answer.ts";

test("durations", () => {
  expect([0, 99.6, 100, 340, 12_345, 65_400].map(duration)).toEqual([
    "0 ms",
    "100 ms",
    "0.1 s",
    "0.3 s",
    "12.3 s",
    "1 min 5 s",
  ]);
});

test("an answer's times, as far as they are known", () => {
  expect(timing(340, 4_200)).toBe("0.3 s to the first word · 4.2 s in all");
  expect(timing(null, 4_200)).toBe("4.2 s in all");
  expect(timing(null, null)).toBeNull();
});

test("what it took, as far as it is known", () => {
  expect(usageWords({ inputTokens: 12, outputTokens: 5 })).toBe("12 tokens read, 5 tokens written");
  expect(usageWords({ outputTokens: 5 })).toBe("5 tokens written");
  expect(usageWords({})).toBeUndefined();
  expect(usageWords(null)).toBeUndefined();
});
