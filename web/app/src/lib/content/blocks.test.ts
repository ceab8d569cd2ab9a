import type { List } from "mdast";
import { expect, test } from "vitest";
import { type Blocks, isClosed, NO_BLOCKS, readBlocks } from "./blocks.ts";

const SAMPLE = `# Title

A paragraph with **bold** text
and a second line.

- one
- two

  still two

    indented code

\`\`\`rust
fn main() {}

// with a gap
\`\`\`

| a | b |
|---|---|
| 1 | 2 |

> quoted

Setext
======

1. first

2. second

10. last
- other [0, 1)
-

  late
- open
-x

The interval [0, 1) is half open

2024
====
`;

/** The nodes without their positions. */
function shape(blocks: Blocks): unknown {
  return JSON.parse(
    JSON.stringify(
      blocks.list.map(({ node }) => node),
      (key, value) => (key === "position" ? undefined : value),
    ),
  );
}

test("text parsed letter by letter equals text parsed at once", () => {
  let blocks = NO_BLOCKS;
  for (let length = 1; length <= SAMPLE.length; length++) {
    blocks = readBlocks(blocks, SAMPLE.slice(0, length), true);
  }
  const grown = readBlocks(blocks, SAMPLE, false);
  const whole = readBlocks(NO_BLOCKS, SAMPLE, false);
  expect(shape(grown)).toEqual(shape(whole));
  expect(grown.list.map(({ at }) => at)).toEqual(whole.list.map(({ at }) => at));
  expect(whole.list.length).toBe(13);
});

test.each([
  "  - indented\n  - as\n  - a whole\n  - list",
  "- one\n- two\n\n-30 degrees",
  "- of\r- another\r- system\r- too\r\r- here",
  "- of\r\n- two\r\n\r\n- letters",
  "- see [x]\n- [x]: https://example.com\n- more",
  "- [ ] 1\n- [x] 2\n\n  ```\n- 3\n  ```\n- 4",
])("a list parsed in steps equals a list parsed at once: %j", (text) => {
  for (const step of [1, 2, 5]) {
    let blocks = NO_BLOCKS;
    for (let length = step; length < text.length; length += step) {
      blocks = readBlocks(blocks, text.slice(0, length), true);
    }
    expect(shape(readBlocks(blocks, text, false))).toEqual(shape(readBlocks(NO_BLOCKS, text, false)));
  }
});

test("closing open marks changes neither the looseness of a list nor the offsets of blocks", () => {
  const [first, second] = ["- z one\n- a [one", "- z one\n- a [one\n\n- b"];
  const { list } = readBlocks(readBlocks(NO_BLOCKS, first, true), second, true);
  expect(list[0]?.node).toMatchObject({ type: "list", spread: true });
  expect(readBlocks(NO_BLOCKS, "para [x\n\n- li", true).list.map(({ at }) => at)).toEqual([0, 9]);
});

test("final blocks are not parsed again", () => {
  const before = readBlocks(NO_BLOCKS, "One\n\nTwo\n\nThr", true);
  expect(before.list.map(({ isFinal }) => isFinal)).toEqual([true, true, false]);
  const after = readBlocks(before, "One\n\nTwo\n\nThree\n\nFour", true);
  expect(after.list[0]).toBe(before.list[0]);
  expect(after.list[1]).toBe(before.list[1]);
  expect(after.list.map(({ at }) => at)).toEqual([0, 5, 10, 17]);
});

test("only the last items of a growing list are parsed again", () => {
  const before = readBlocks(NO_BLOCKS, "1. [one\n2. two\n3. thr", true);
  const after = readBlocks(before, "1. [one\n2. two\n3. three\n\n4. four", true);
  const [old, now] = [before, after].map(({ growing }) => (growing as List).children);
  expect(now?.map((item) => old?.includes(item))).toEqual([true, true, false, false]);
  const whole = readBlocks(NO_BLOCKS, after.text, false);
  expect(shape(readBlocks(after, after.text, false))).toEqual(shape(whole));
});

test("a list is not final while the next line may be an item", () => {
  const ends = (text: string) => readBlocks(NO_BLOCKS, text, true).list[0]?.isFinal;
  expect(["1. a\n\n2", "1. a\n\n2nd", "1. a\n\n2\n", "a\n<p", "a\n\n<p>"].map(ends)).toEqual([
    false,
    true,
    true,
    false,
    false,
  ]);
});

test("open marks are closed and incomplete links are shown as text", () => {
  expect(shape(readBlocks(NO_BLOCKS, "a **bold", true))).toEqual([
    {
      type: "paragraph",
      children: [{ type: "text", value: "a " }, expect.objectContaining({ type: "strong" })],
    },
  ]);
  expect(shape(readBlocks(NO_BLOCKS, "see [here](https://a.b", true))).toEqual([
    { type: "paragraph", children: [{ type: "text", value: "see here" }] },
  ]);
});

test("a code block is closed by its fence or by the text's end", () => {
  const last = (text: string, isOpen = true) => {
    const block = readBlocks(NO_BLOCKS, text, isOpen).list.at(-1);
    return block !== undefined && isClosed(block, text);
  };
  expect(last("```js\nlet a")).toBe(false);
  expect(last("```js\nlet a\n```")).toBe(true);
  expect(last("text\n\n```js\nlet a\n```\n")).toBe(true);
  expect(last("```js\nlet a", false)).toBe(true);
});

test("a reference link is resolved once the text is complete", () => {
  const text = "See [here].\n\nMore.\n\n[here]: https://example.com";
  const open = readBlocks(NO_BLOCKS, text, true);
  expect(JSON.stringify(shape(readBlocks(open, text, false)))).toContain("linkReference");
});
