/**
 * Parses growing markdown incrementally into top-level blocks. A block is final once another block has certainly begun
 * after it; final blocks, and the settled items of a list, are not parsed again. So the cost of a token does not
 * depend on the number of blocks or items before it; `usePaced` limits the cost of a single long block. Pure; does not
 * render.
 */

import type { List, ListItem, Root, RootContent } from "mdast";
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
  /** Offset in the text. Unique and stable, so it serves as a list key. */
  readonly at: number;
  readonly node: RootContent;
  /** True if later text can no longer change the block. */
  readonly isFinal: boolean;
}

export interface Blocks {
  readonly text: string;
  readonly list: readonly Block[];
  /** The first block that is not final, parsed as written: open marks such as `**` are not closed. */
  readonly growing: RootContent | undefined;
}

export const NO_BLOCKS: Blocks = { text: "", list: [], growing: undefined };

/** Matches a link definition. Definitions may follow their use, so a complete text with one is parsed as a whole. */
const DEFINITION = /^[ \t>*+\-\d.)]*\[[^\]\n]+\]:/m;

/** Matches a line whose kind is certain: it is complete, or has a letter before any `<`, backtick or tilde. */
const CERTAIN = /^[^\n<`~]*\p{L}|\n/u;

/** Matches an empty line; line endings may be LF, CRLF or CR. */
const EMPTY_LINE = /\n\s*\n|\r[^\S\n]*\r/;

/**
 * Parses a text into blocks. Final blocks are taken from `before` if that is the result for a prefix of the text.
 * `isOpen` says that the text may still grow.
 */
export function readBlocks(before: Blocks, text: string, isOpen: boolean): Blocks {
  const isNew = !text.startsWith(before.text) || (!isOpen && DEFINITION.test(text));
  const { list: known, growing } = isNew ? NO_BLOCKS : before;
  const final = known.filter((block) => block.isFinal);
  const settled = settledItems(growing, before.text);
  const from = settled === undefined ? endOf(final.at(-1)?.node) : lineStart(text, settled.next);
  const rest = text.slice(from);
  const read = (markdown: string) => {
    const nodes = parse(markdown).children.map((node) => shifted(node, from));
    return settled === undefined ? nodes : joined(settled.list, nodes, text);
  };
  const written = read(rest);
  const closed = isOpen ? closeOpenMarks(rest) : rest;
  const shown = closed.trimEnd() === rest.trimEnd() ? written : read(closed);
  const grows = isOpen ? written.findIndex((_, at) => !hasBegun(written[at + 1], text)) : written.length;
  const ended = written.slice(0, grows).map((node) => ({ at: startOf(node), node, isFinal: true }));
  const open = shown.slice(grows).map((node, index) => ({
    at: startOf(written[grows + index] ?? node),
    node,
    isFinal: false,
  }));
  return {
    text,
    list: [...final, ...ended, ...open],
    growing: written[grows],
  };
}

/** Returns true if a code block has its closing fence; more text may follow it. */
export function isClosed(block: Block, text: string): boolean {
  return block.isFinal || /\n {0,3}(?:`{3,}|~{3,})\s*$/.test(text.slice(block.at));
}

/** Returns true if the node certainly begins a new block or item instead of continuing the one before it. */
function hasBegun(node: RootContent | undefined, text: string): boolean {
  return node !== undefined && CERTAIN.test(text.slice(startOf(node)));
}

/** The items of a list that later text cannot change, and the offset of the first item that it can. */
function settledItems(node: RootContent | undefined, text: string): { list: List; next: number } | undefined {
  const items = node?.type === "list" ? node.children : [];
  const last = items.findLastIndex((item) => hasBegun(item, text));
  return node?.type === "list" && last > 0
    ? { list: withItems(node, items.slice(0, last)), next: startOf(items[last]) }
    : undefined;
}

/** Joins the settled items of a list with the blocks parsed after them. */
function joined(list: List, nodes: RootContent[], text: string): RootContent[] {
  const [first, ...others] = nodes;
  if (first?.type !== "list") {
    return [list, ...nodes];
  }
  const isLoose = [...list.children, ...first.children.slice(0, 1)].some((item, at) => {
    const above = list.children[at - 1];
    return above !== undefined && EMPTY_LINE.test(text.slice(endOf(above), startOf(item)));
  });
  const whole = withItems(list, [...list.children, ...first.children]);
  return [{ ...whole, spread: isLoose || first.spread === true }, ...others];
}

function withItems(list: List, children: ListItem[]): List {
  const end = children.at(-1)?.position?.end;
  return list.position === undefined || end === undefined
    ? list
    : { ...list, children, position: { ...list.position, end } };
}

function lineStart(text: string, offset: number): number {
  return Math.max(text.lastIndexOf("\n", offset), text.lastIndexOf("\r", offset)) + 1;
}

function startOf(node: RootContent | undefined): number {
  return node?.position?.start.offset ?? 0;
}

function endOf(node: RootContent | undefined): number {
  return node?.position?.end.offset ?? 0;
}

/** Moves a node's offsets. Deeper nodes keep theirs, because only offsets of blocks and list items are read. */
function shifted<Node extends RootContent>(node: Node, by: number): Node {
  const { position } = node;
  if (position === undefined || by === 0) {
    return node;
  }
  const move = (point: typeof position.start) => ({ ...point, offset: (point.offset ?? 0) + by });
  const moved = { ...node, position: { start: move(position.start), end: move(position.end) } };
  return moved.type === "list"
    ? { ...moved, children: moved.children.map((item) => shifted(item, by)) }
    : moved;
}

/** Closes open marks such as bold and code, and shows an incomplete link as its text. */
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
