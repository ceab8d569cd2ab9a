import { expect, test } from "vitest";
import { firstWordTime, usageWords } from "./answer.ts";

test("the first word's time", () => {
  expect([0, 99.6, 100, 340, 12_345].map(firstWordTime)).toEqual([
    "0 ms",
    "100 ms",
    "0.1 s",
    "0.3 s",
    "12.3 s",
  ]);
});

test("what it took, as far as it is known", () => {
  expect(usageWords({ inputTokens: 12, outputTokens: 5 })).toBe("12 tokens read, 5 tokens written");
  expect(usageWords({ outputTokens: 5 })).toBe("5 tokens written");
  expect(usageWords({})).toBeUndefined();
  expect(usageWords(null)).toBeUndefined();
});
