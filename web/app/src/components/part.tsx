/** One part of an answer: text, reasoning, a notice or a tool call. */

import type { Part, TextPart } from "@mayfly/client/state";
import { ChevronRight } from "lucide-react";
import { lazy, Suspense } from "react";
import { ToolCard } from "./tool-card.tsx";
import { cn } from "./ui/cn.ts";

/**
 * Loaded as a chunk of its own because of its size, and requested immediately so that it is ready for the first
 * answer.
 */
const markdown = import("./markdown.tsx");
const Markdown = lazy(async () => ({ default: (await markdown).Markdown }));

/** Mounts the markdown renderer before there is any text, so that the first answer does not wait for it. */
export function MarkdownPreload() {
  return (
    <Suspense>
      <div hidden>
        <Markdown text="" isOpen={false} />
      </div>
    </Suspense>
  );
}

export function PartView({ part }: { part: Part }) {
  switch (part.kind) {
    case "tool":
      return <ToolCard part={part} />;
    case "reasoning":
      return <Reasoning part={part} />;
    case "notice":
      return <p className="text-sm text-subtle wrap-anywhere">{part.message}</p>;
    case "text":
      return <Text part={part} />;
  }
}

function Text({ part }: { part: TextPart }) {
  return (
    <Suspense fallback={<p className="whitespace-pre-wrap leading-relaxed">{part.text}</p>}>
      <Markdown text={part.text} isOpen={part.open} />
    </Suspense>
  );
}

function Reasoning({ part }: { part: TextPart }) {
  return (
    <details className="group text-sm text-subtle">
      <summary className="-ms-1.5 flex w-fit cursor-pointer list-none items-center gap-1 rounded-md px-1.5 py-0.5 transition-colors hover:text-foreground [&::-webkit-details-marker]:hidden">
        <ChevronRight className="size-3.5 transition-transform group-open:rotate-90" aria-hidden="true" />
        <span className={cn(part.open && "animate-breathe")}>{part.open ? "Thinking…" : "Reasoning"}</span>
      </summary>
      <div className="ms-1.5 mt-2 border-s-2 border-line ps-4">
        <Text part={part} />
      </div>
    </details>
  );
}
