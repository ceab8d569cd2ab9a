/**
 * Markdown that grows, as top-level blocks. A block is final once another has begun after it, and is not read again: a
 * long answer costs no more for each token than a short one. Pure; knows markdown's outline, not its looks.
 */

import type { Root, RootContent } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmAutolinkLiteralFromMarkdown } from "mdast-util-gfm-autolink-literal";
import { gfmStrikethroughFromMarkdown } from "mdast-util-gfm-strikethrough";
import { gfmTableFromMarkdown } from "mdast-util-gfm-table";
import { gfmTaskListItemFromMarkdown } from "mdast-util-gfm-task-list-item";
import { gfmAutolinkLiteral } from "micromark-extension-gfm-autolink-literal";
import { gfmStrikethrough } from "micromark-extension-gfm-strikethrough";
import { gfmTable } from "micromark-extension-gfm-table";
import { gfmTaskListItem } from "micromark-extension-gfm-task-list-item";
import remend from "remend";

export interface Block {
  /** Where it begins in the text: fit for a list's key. */
  readonly at: number;
  readonly node: RootContent;
  /** Whether more text can no longer change it. */
  readonly isFinal: boolean;
}

export interface Blocks {
  readonly text: string;
  readonly list: readonly Block[];
}

export const NO_BLOCKS: Blocks = { text: "", list: [] };

/** Links by name may be defined anywhere, so a text that has one is read whole once it is complete. */
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:/m;

/** The blocks of a text; what is final in a shorter one of before is taken from there. */
export function readBlocks(before: Blocks, text: string, isOpen: boolean): Blocks {
  const isWhole = !isOpen && DEFINITION.test(text);
  const final = !isWhole && text.startsWith(before.text) ? before.list.filter((block) => block.isFinal) : [];
  const from = endOf(final.at(-1));
  const rest = text.slice(from);
  const nodes = parse(isOpen ? closeOpenMarks(rest) : rest).children;
  const list = nodes.map((node, index) => ({
    at: from + (node.position?.start.offset ?? 0),
    node: shifted(node, from),
    isFinal: !isOpen || index < nodes.length - 1,
  }));
  return { text, list: [...final, ...list] };
}

/** Whether a code block has its closing fence, though more may come after it. */
export function isClosed(block: Block, text: string): boolean {
  return block.isFinal || /\n {0,3}(?:`{3,}|~{3,})\s*$/.test(text.slice(block.at));
}

function endOf(block: Block | undefined): number {
  return block?.node.position?.end.offset ?? 0;
}

/** Only a top-level block's own place is looked at again. */
function shifted(node: RootContent, by: number): RootContent {
  const { position } = node;
  if (position === undefined || by === 0) {
    return node;
  }
  const move = (point: typeof position.start) => ({ ...point, offset: (point.offset ?? 0) + by });
  return { ...node, position: { start: move(position.start), end: move(position.end) } };
}

/** What is bold or code will be closed sooner or later; a link that is not complete yet is shown as its text. */
function closeOpenMarks(text: string): string {
  return remend(text, { linkMode: "text-only" });
}

function parse(text: string): Root {
  return fromMarkdown(text, {
    extensions: [gfmAutolinkLiteral(), gfmStrikethrough(), gfmTable(), gfmTaskListItem()],
    mdastExtensions: [
      gfmAutolinkLiteralFromMarkdown(),
      gfmStrikethroughFromMarkdown(),
      gfmTableFromMarkdown(),
      gfmTaskListItemFromMarkdown(),
    ],
  });
}
