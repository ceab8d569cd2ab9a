import { expect, test } from "vitest";
import { version } from "../package.json" with { type: "json" };
import { VERSION } from "./version.ts";

test("VERSION is the package's version", () => {
  expect(VERSION).toBe(version);
});
