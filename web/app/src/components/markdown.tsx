/**
 * What a model wrote, as markdown that may still be growing. Nothing of it can run or reach out: HTML is shown as
 * text, images are links and not loaded, links lead only to the web or a mail address and open elsewhere.
 */

import { Image } from "lucide-react";
import { createElement, type JSX, memo, type ReactNode } from "react";
import { type Components, defaultRehypePlugins, Streamdown, type StreamdownProps } from "streamdown";

const { sanitize } = defaultRehypePlugins;
const REHYPE_PLUGINS: NonNullable<StreamdownProps["rehypePlugins"]> =
  sanitize === undefined ? [] : [sanitize];

/** The tag itself, for `.prose` to style. */
function plain(tag: keyof JSX.IntrinsicElements) {
  return function Plain({ node: _node, ...props }: Record<string, unknown>) {
    return createElement(tag, props);
  };
}

const PLAIN_TAGS = [
  ...([
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "p",
    "ul",
    "ol",
    "li",
    "blockquote",
    "hr",
    "strong",
    "em",
  ] as const),
  ...(["code", "thead", "tbody", "tr", "th", "td", "sup", "sub"] as const),
];

const COMPONENTS: Components = {
  ...Object.fromEntries(PLAIN_TAGS.map((tag) => [tag, plain(tag)])),
  a: ({ href, children }) => <OutwardLink href={href}>{children}</OutwardLink>,
  img: ({ src, alt }) => (
    <OutwardLink href={src}>
      <Image className="me-1 inline size-[1em] align-[-0.125em]" aria-hidden="true" />
      {alt || "image"}
    </OutwardLink>
  ),
  // Of the inputs only a task list's boxes are left by the sanitizer.
  input: ({ checked }) => (
    <input
      type="checkbox"
      disabled
      checked={checked === true}
      aria-label={checked === true ? "Done" : "Open"}
    />
  ),
  pre: ({ node, children }) => (
    <figure className="code-block">
      <Language of={node} />
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <pre tabIndex={0}>{children}</pre>
    </figure>
  ),
  table: ({ node: _node, ...props }) => (
    <div className="table-scroll">
      <table {...props} />
    </div>
  ),
};

type Node = Parameters<Extract<Components["pre"], (...args: never) => unknown>>[0]["node"];

/** The language that a fence names, if any. */
function Language({ of }: { of: Node }) {
  const code = of?.children[0];
  const classes = code?.type === "element" ? code.properties.className : undefined;
  const name = Array.isArray(classes) ? /^language-(\S+)/.exec(String(classes[0]))?.[1] : undefined;
  return name === undefined ? null : <figcaption>{name}</figcaption>;
}

const OUTWARD = /^(?:https?:\/\/|mailto:)/i;

/** A link, when it leads where links may; else its text. */
function OutwardLink({ href, children }: { href: unknown; children: ReactNode }) {
  if (typeof href !== "string" || !OUTWARD.test(href)) {
    return children;
  }
  return (
    <a href={href} title={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

export const Markdown = memo(function Markdown({ text, isOpen }: { text: string; isOpen: boolean }) {
  return (
    <Streamdown
      className="prose"
      components={COMPONENTS}
      rehypePlugins={REHYPE_PLUGINS}
      isAnimating={isOpen}
      remend={{ linkMode: "text-only" }}
    >
      {text}
    </Streamdown>
  );
});
