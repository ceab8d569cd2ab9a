// @vitest-environment happy-dom

/** The rendering cost of growing markdown, as the number of blocks and list items that are rendered. */

import { createElement } from "react";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { expect, test, vi } from "vitest";
import { Markdown } from "./markdown.tsx";

const renderer = vi.hoisted(() => ({ calls: 0 }));

vi.mock("hast-util-to-jsx-runtime", async (importOriginal) => {
  const original = await importOriginal<typeof import("hast-util-to-jsx-runtime")>();
  const toJsxRuntime: typeof original.toJsxRuntime = (...args) => {
    renderer.calls += 1;
    return original.toJsxRuntime(...args);
  };
  return { ...original, toJsxRuntime };
});

// Pacing depends on measured time, so the test renders each text.
vi.mock("../lib/content/use-paced.ts", () => ({ usePaced: (text: string) => text }));

const PARTS = 20;
/** The growing block or item, the one before it, and a new one. */
const RENDERED_MAX = 3;

test.each([
  ["blocks", "A paragraph with **bold** words.\n\n"],
  ["list items", "- an item with **bold** words\n"],
])("a token renders only the last %s", (_, part) => {
  const container = document.createElement("div");
  const root = createRoot(container);
  const text = part.repeat(PARTS);
  for (let length = 1; length <= text.length; length += 5) {
    renderer.calls = 0;
    flushSync(() => root.render(createElement(Markdown, { text: text.slice(0, length), isOpen: true })));
    expect(renderer.calls).toBeLessThanOrEqual(RENDERED_MAX);
  }
  expect(container.querySelectorAll(".prose > p, .prose > ul > li")).toHaveLength(PARTS);
  root.unmount();
});
