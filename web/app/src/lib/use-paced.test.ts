import { expect, test } from "vitest";
import { pauseMs } from "./use-paced.ts";

test("what is drawn quickly needs no pause, what is slow leaves most of the time, and none waits for long", () => {
  expect([0, 7.9, 8, 40, 1_000].map(pauseMs)).toEqual([0, 0, 56, 280, 500]);
});
