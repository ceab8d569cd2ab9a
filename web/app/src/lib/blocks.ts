/**
 * Markdown that grows, as top-level blocks. A block is final once it is certain that another has begun after it, and is
 * not read again; nor are the items of a list before its last. So an answer of many blocks or items costs no more for each
 * token than a short one; for a single one that is long, see `usePaced`. Pure; knows markdown's outline, not its looks.
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
  /** Where it begins in the text: fit for a list's key. */
  readonly at: number;
  readonly node: RootContent;
  /** Whether more text can no longer change it. */
  readonly isFinal: boolean;
}

export interface Blocks {
  readonly text: string;
  readonly list: readonly Block[];
  /** The first block that is not final, as it is written: its open marks are not taken as closed. */
  readonly growing: RootContent | undefined;
}

export const NO_BLOCKS: Blocks = { text: "", list: [], growing: undefined };

/** Links by name may be defined anywhere, so a text that has one is read whole once it is complete. */
const DEFINITION = /^[ \t>*+\-\d.)]*\[[^\]\n]+\]:/m;

/** A line that is whole, or has a letter outside of what only its end makes a fence, a tag, or neither. */
const CERTAIN = /^[^\n<`~]*\p{L}|\n/u;

/** A line ends as in a text file of any system. */
const EMPTY_LINE = /\n\s*\n|\r[^\S\n]*\r/;

/** The blocks of a text; what is final in a shorter one of before is taken from there. */
export function readBlocks(before: Blocks, text: string, isOpen: boolean): Blocks {
  const isNew = !text.startsWith(before.text) || (!isOpen && DEFINITION.test(text));
  const { list: known, growing } = isNew ? NO_BLOCKS : before;
  const final = known.filter((block) => block.isFinal);
  const settled = settledItems(growing, before.text);
  const from = settled === undefined ? endOf(final.at(-1)?.node) : lineStart(text, settled.next);
  const rest = text.slice(from);
  const read = (markdown: string) => {
    const nodes = parse(markdown).children.map((node) => shifted(node, from));
    return settled === undefined ? nodes : continued(settled.list, nodes, text);
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

/** Whether a code block has its closing fence, though more may come after it. */
export function isClosed(block: Block, text: string): boolean {
  return block.isFinal || /\n {0,3}(?:`{3,}|~{3,})\s*$/.test(text.slice(block.at));
}

/** Whether it is certain that something new begins there, and not what is before it goes on. */
function hasBegun(node: RootContent | undefined, text: string): boolean {
  return node !== undefined && CERTAIN.test(text.slice(startOf(node)));
}

/** A list without the items that more text may change, and where the first of those begins. */
function settledItems(node: RootContent | undefined, text: string): { list: List; next: number } | undefined {
  const items = node?.type === "list" ? node.children : [];
  const last = items.findLastIndex((item) => hasBegun(item, text));
  return node?.type === "list" && last > 0
    ? { list: withItems(node, items.slice(0, last)), next: startOf(items[last]) }
    : undefined;
}

/** The blocks that begin with a list's next item, and the items before it. */
function continued(list: List, nodes: RootContent[], text: string): RootContent[] {
  const [first, ...others] = nodes;
  if (first?.type !== "list") {
    return [list, ...nodes];
  }
  const isLoose = [...list.children, ...first.children.slice(0, 1)].some((item, at) => {
    const above = list.children[at - 1];
    return above !== undefined && EMPTY_LINE.test(text.slice(endOf(above), startOf(item)));
  });
  const joined = withItems(list, [...list.children, ...first.children]);
  return [{ ...joined, spread: isLoose || first.spread === true }, ...others];
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

/** Only places of top-level blocks, and of the items of a list, are looked at again. */
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
