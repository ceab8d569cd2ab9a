/**
 * Renders a model's markdown, complete or still growing. Model output is untrusted and can neither run nor load
 * anything: HTML is shown as text, images become links, and links open in a new tab and allow only `http`, `https` and
 * `mailto`.
 */

import type { Root as Tree } from "hast";
import { type Components, toJsxRuntime } from "hast-util-to-jsx-runtime";
import { Image } from "lucide-react";
import type { Html, List, ListItem, Root, RootContent } from "mdast";
import { type State, toHast } from "mdast-util-to-hast";
import { memo, type ReactNode, useMemo, useRef } from "react";
import { Fragment, jsx, jsxs } from "react/jsx-runtime";
import { isClosed, NO_BLOCKS, readBlocks } from "../lib/content/blocks.ts";
import { usePaced } from "../lib/content/use-paced.ts";
import { CodeBlock } from "./code-block.tsx";

export const Markdown = memo(function Markdown({ text, isOpen }: { text: string; isOpen: boolean }) {
  const shown = usePaced(text, isOpen);
  const before = useRef(NO_BLOCKS);
  const blocks = useMemo(() => readBlocks(before.current, shown, isOpen), [shown, isOpen]);
  before.current = blocks;
  const definitions = blocks.list.map(({ node }) => node).filter(({ type }) => type === "definition");
  return (
    <div className="prose">
      {blocks.list.map((block) => (
        <BlockView
          key={block.at}
          node={block.node}
          definitions={definitions}
          isClosed={block.node.type !== "code" ? block.isFinal : isClosed(block, shown)}
        />
      ))}
    </div>
  );
});

interface BlockProps {
  node: RootContent;
  definitions: readonly RootContent[];
  /** True if the block's code is complete. */
  isClosed: boolean;
  /** True if the list is loose (CommonMark, section 5.3). */
  isLoose?: boolean;
}

const BlockView = memo(function BlockView({ node, ...props }: BlockProps) {
  return node.type === "list" ? (
    <ListView list={node} {...props} />
  ) : (
    render(treeOf(node, props.definitions), props.isClosed)
  );
}, isUnchanged);

/** Final blocks and complete list items keep their node object from token to token. */
function isUnchanged(before: BlockProps, after: BlockProps): boolean {
  return (
    before.node === after.node &&
    before.isClosed === after.isClosed &&
    before.isLoose === after.isLoose &&
    before.definitions.length === after.definitions.length
  );
}

function ListView({ list, definitions, isClosed }: Omit<BlockProps, "node"> & { list: List }) {
  const { children: items, ordered, start } = list;
  const Tag = ordered ? "ol" : "ul";
  const isLoose = [list, ...items].some(({ spread }) => spread);
  const itemDefinitions = items.flatMap(({ children }) =>
    children.filter(({ type }) => type === "definition"),
  );
  return (
    <Tag start={start === 1 ? undefined : (start ?? undefined)}>
      {items.map((item, at) => (
        <ItemView
          // biome-ignore lint/suspicious/noArrayIndexKey: a list only grows at its end
          key={at}
          node={item}
          definitions={itemDefinitions.length > 0 ? [...definitions, ...itemDefinitions] : definitions}
          isClosed={isClosed || at < items.length - 1}
          isLoose={isLoose}
        />
      ))}
    </Tag>
  );
}

const ItemView = memo(function ItemView({ node, definitions, isClosed, isLoose = false }: BlockProps) {
  const list: List = { type: "list", spread: isLoose, children: [node as ListItem] };
  const { children } = treeOf(list, definitions);
  return render(
    { type: "root", children: children.flatMap((each) => ("children" in each ? each.children : [])) },
    isClosed,
  );
}, isUnchanged);

function treeOf(node: RootContent, definitions: readonly RootContent[]): Tree {
  const root: Root = { type: "root", children: [node, ...definitions.filter((each) => each !== node)] };
  return toHast(root, { handlers: { html: htmlAsText } }) as Tree;
}

function render(tree: Tree, isClosed: boolean): ReactNode {
  const components = isClosed ? CLOSED_COMPONENTS : OPEN_COMPONENTS;
  return toJsxRuntime(tree, { Fragment, jsx, jsxs, components, passNode: true, ignoreInvalidStyle: true });
}

function htmlAsText(_: State, node: Html) {
  return { type: "text" as const, value: node.value };
}

const COMMON: Partial<Components> = {
  a: ({ href, children }) => <ExternalLink href={href}>{children}</ExternalLink>,
  img: ({ src, alt }) => (
    <ExternalLink href={src}>
      <Image className="me-1 inline size-[1em] align-[-0.125em]" aria-hidden="true" />
      {alt || "image"}
    </ExternalLink>
  ),
  input: ({ checked }) => (
    <input
      type="checkbox"
      disabled
      checked={checked === true}
      aria-label={checked === true ? "Done" : "Open"}
    />
  ),
  table: ({ node: _node, ...props }) => (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <div className="table-scroll" tabIndex={0}>
      <table {...props} />
    </div>
  ),
  code: ({ node: _node, ...props }) => <code {...props} />,
};

const OPEN_COMPONENTS: Partial<Components> = { ...COMMON, pre: ({ node }) => codeBlock(node, false) };
const CLOSED_COMPONENTS: Partial<Components> = { ...COMMON, pre: ({ node }) => codeBlock(node, true) };

type PreNode = Parameters<Extract<NonNullable<Components["pre"]>, (...args: never) => unknown>>[0]["node"];

function codeBlock(pre: PreNode, isClosed: boolean): ReactNode {
  const code = pre?.children[0];
  if (code?.type !== "element") {
    return null;
  }
  const [text] = code.children;
  const { className } = code.properties;
  const classes: readonly unknown[] = Array.isArray(className) ? className : [];
  const language =
    classes
      .map(String)
      .find((name) => name.startsWith("language-"))
      ?.slice("language-".length) ?? null;
  return (
    <CodeBlock
      code={text?.type === "text" ? text.value.replace(/\n$/, "") : ""}
      language={language}
      isClosed={isClosed}
    />
  );
}

const ALLOWED_ADDRESS = /^(?:https?:\/\/|mailto:)/i;

/** A link in a new tab; only its text if the address is not allowed. */
function ExternalLink({ href, children }: { href: unknown; children: ReactNode }) {
  if (typeof href !== "string" || !ALLOWED_ADDRESS.test(href)) {
    return children;
  }
  return (
    <a href={href} title={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}
