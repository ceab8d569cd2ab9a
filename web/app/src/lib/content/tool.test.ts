import { expect, test } from "vitest";
import { inputSummary, toJson } from "./tool.ts";

test("the summary has the input's strings and numbers", () => {
  expect(inputSummary({ place: "London", days: 3, options: { units: "metric" } })).toBe("London, 3");
  expect(inputSummary("London")).toBe("London");
  expect(inputSummary(undefined)).toBe("");
});

test("strings stay as they are and other values are indented", () => {
  expect(toJson("plain")).toBe("plain");
  expect(toJson({ a: [1] })).toBe('{\n  "a": [\n    1\n  ]\n}');
});
