import { expect, test } from "vitest";
import readme from "../README.md?raw";
import { CLOSE_CODES, explainClose } from "./close.ts";

test.each([1001, 1006, 4001, 4002, 4004, 4005])("a client may reconnect after %i", (code) => {
  expect(explainClose(code).mayReconnect).toBe(true);
});

test.each([1000, 1002, 1007, 1009, 4500, 4501, 4502, 4503, 4505, 4506, 4507, 4508, 4509])(
  "a client must not reconnect after %i",
  (code) => {
    expect(explainClose(code).mayReconnect).toBe(false);
  },
);

test("unlisted codes are judged by their range", () => {
  expect(explainClose(4499)).toEqual({
    meaning: "The connection was closed (code 4499).",
    mayReconnect: true,
  });
  expect(explainClose(4599).mayReconnect).toBe(false);
});

test("the README lists all close codes", () => {
  const rows = [...CLOSE_CODES]
    .sort(([a], [b]) => a - b)
    .map(([code, { meaning, mayReconnect }]) => `| ${code} | ${meaning} | ${mayReconnect ? "yes" : "no"} |`);
  expect(readme).toContain(rows.join("\n"));
});
