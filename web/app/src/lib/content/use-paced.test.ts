import { expect, test } from "vitest";
import { pauseMs } from "./use-paced.ts";

test("the pause is zero for cheap renders, proportional for expensive ones and bounded", () => {
  expect([0, 7.9, 8, 40, 1_000].map(pauseMs)).toEqual([0, 0, 56, 280, 500]);
});
