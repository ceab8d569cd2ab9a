/**
 * A code block with its language and a copy button. It is highlighted once it is complete and the highlighter has
 * loaded.
 */

import type { RootContent } from "hast";
import { type ReactNode, useEffect, useState } from "react";
import { CopyButton } from "./copy-button.tsx";

interface Props {
  code: string;
  language: string | null;
  isClosed: boolean;
}

export function CodeBlock({ code, language, isClosed }: Props) {
  const highlighted = useHighlight(code, language, isClosed);
  return (
    <figure className="code-block">
      <figcaption>
        <span>{language ?? "text"}</span>
        <CopyButton text={code} what="code" size="mini" />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <pre tabIndex={0}>
        <code>{highlighted ?? code}</code>
      </pre>
    </figure>
  );
}

/** Longer code is not highlighted, because highlighting it would delay the page noticeably. */
const HIGHLIGHT_MAX_CHARS = 20_000;

/** The highlighted code; null until it is available. */
function useHighlight(code: string, language: string | null, isClosed: boolean): ReactNode {
  const [result, setResult] = useState<{ code: string; tree: ReactNode } | null>(null);
  const isWanted = isClosed && language !== null && code.length <= HIGHLIGHT_MAX_CHARS;

  useEffect(() => {
    if (!isWanted) {
      return;
    }
    let isCurrent = true;
    import("../lib/content/highlight.ts")
      .then(({ highlight }) => highlight(code, language))
      .then((nodes) => {
        if (isCurrent && nodes !== null) {
          setResult({ code, tree: nodes.map(toReact) });
        }
      })
      // The code stays readable without highlighting.
      .catch(() => {});
    return () => {
      isCurrent = false;
    };
  }, [isWanted, code, language]);

  return result?.code === code ? result.tree : null;
}

function toReact(node: RootContent, index: number): ReactNode {
  if (node.type === "text") {
    return node.value;
  }
  if (node.type !== "element") {
    return null;
  }
  const names = Array.isArray(node.properties.className) ? node.properties.className.join(" ") : "";
  return (
    <span key={index} className={names}>
      {node.children.map(toReact)}
    </span>
  );
}
