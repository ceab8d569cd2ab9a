import { expect, test } from "vitest";
import { inputSummary, toJson } from "./tool.ts";

test("an input's plain values are its summary", () => {
  expect(inputSummary({ place: "London", days: 3, options: { units: "metric" } })).toBe("London, 3");
  expect(inputSummary("London")).toBe("London");
  expect(inputSummary(undefined)).toBe("");
});

test("text stays text, all else is indented", () => {
  expect(toJson("plain")).toBe("plain");
  expect(toJson({ a: [1] })).toBe('{\n  "a": [\n    1\n  ]\n}');
});
