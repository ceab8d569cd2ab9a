import { expect, test } from "vitest";
import readme from "../README.md?raw";
import { CLOSES, explainClose } from "./close.ts";

test.each([1001, 1006, 4001, 4002, 4004, 4005])("after %i a client may connect again", (code) => {
  expect(explainClose(code).mayReconnect).toBe(true);
});

test.each([1000, 1002, 1007, 1009, 4500, 4501, 4502, 4503, 4505, 4506, 4507, 4508, 4509])(
  "after %i it may not",
  (code) => {
    expect(explainClose(code).mayReconnect).toBe(false);
  },
);

test("codes that are not listed are judged by their range", () => {
  expect(explainClose(4499)).toEqual({ what: "The connection was closed (code 4499).", mayReconnect: true });
  expect(explainClose(4599).mayReconnect).toBe(false);
});

test("the README has the table", () => {
  const rows = [...CLOSES]
    .sort(([a], [b]) => a - b)
    .map(([code, { what, mayReconnect }]) => `| ${code} | ${what} | ${mayReconnect ? "yes" : "no"} |`);
  expect(readme).toContain(rows.join("\n"));
});
