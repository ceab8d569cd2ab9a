/** The cost of incremental parsing, as the number of characters that the markdown parser reads. */

import { expect, test, vi } from "vitest";
import { NO_BLOCKS, readBlocks } from "./blocks.ts";

const parser = vi.hoisted(() => ({ chars: 0 }));

vi.mock("mdast-util-from-markdown", async (importOriginal) => {
  const original = await importOriginal<typeof import("mdast-util-from-markdown")>();
  const fromMarkdown = (text: string, options: Parameters<typeof original.fromMarkdown>[1]) => {
    parser.chars += text.length;
    return original.fromMarkdown(text, options);
  };
  return { ...original, fromMarkdown };
});

const SECTION = `## A title

A paragraph with **bold** text and \`code\`.

- one item
- another item

\`\`\`ts
const value = 1;
\`\`\`

`;

const TOKEN_CHARS = 7;

/**
 * Parses a growing text token by token. Returns the parsed characters in the first and the second half of the text.
 */
function costOf(text: string): [firstHalf: number, secondHalf: number] {
  parser.chars = 0;
  let blocks = NO_BLOCKS;
  let firstHalf = 0;
  for (let length = TOKEN_CHARS; length < text.length; length += TOKEN_CHARS) {
    blocks = readBlocks(blocks, text.slice(0, length), true);
    firstHalf = length <= text.length / 2 ? parser.chars : firstHalf;
  }
  return [firstHalf, parser.chars - firstHalf];
}

test.each([
  ["blocks", SECTION.repeat(10)],
  ["list items", "- an item with **bold** words\n".repeat(30)],
])("the cost of a token does not grow with the number of %s before it", (_, text) => {
  const [firstHalf, secondHalf] = costOf(text);
  expect(firstHalf).toBeGreaterThan(text.length / 2);
  expect(secondHalf).toBeLessThan(firstHalf * 1.2);
});
