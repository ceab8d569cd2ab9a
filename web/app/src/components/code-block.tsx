/** A block of code: its language, a way to copy it, and colours once it is complete and they have been fetched. */

import type { RootContent } from "hast";
import { type ReactNode, useEffect, useState } from "react";
import { CopyButton } from "./copy-button.tsx";

interface Props {
  code: string;
  language: string | null;
  isClosed: boolean;
}

export function CodeBlock({ code, language, isClosed }: Props) {
  const coloured = useHighlight(code, language, isClosed);
  return (
    <figure className="code-block">
      <figcaption>
        <span>{language ?? "text"}</span>
        <CopyButton text={code} what="code" size="mini" />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <pre tabIndex={0}>
        <code>{coloured ?? code}</code>
      </pre>
    </figure>
  );
}

/** Longer code stays plain: colouring it would be felt. */
const HIGHLIGHT_MAX_CHARS = 20_000;

/** The code with its colours; null while there are none. */
function useHighlight(code: string, language: string | null, isClosed: boolean): ReactNode {
  const [done, setDone] = useState<{ code: string; tree: ReactNode } | null>(null);
  const isWanted = isClosed && language !== null && code.length <= HIGHLIGHT_MAX_CHARS;

  useEffect(() => {
    if (!isWanted) {
      return;
    }
    let isCurrent = true;
    import("../lib/highlight.ts")
      .then(({ highlight }) => highlight(code, language))
      .then((nodes) => {
        if (isCurrent && nodes !== null) {
          setDone({ code, tree: nodes.map(toReact) });
        }
      })
      // Without the colours the code is still there.
      .catch(() => {});
    return () => {
      isCurrent = false;
    };
  }, [isWanted, code, language]);

  return done?.code === code ? done.tree : null;
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
