/** One turn: what the person said, and the answer's parts as they come. */

import type { Part, Turn } from "@mayfly/client/state";
import { CircleAlert, CircleStop } from "lucide-react";
import { lazy, memo, Suspense } from "react";
import { cn } from "../lib/cn.ts";
import { AnswerFooter } from "./answer-footer.tsx";
import { ToolCard } from "./tool-card.tsx";
import { Button } from "./ui/button.tsx";

/** More than half of the page's script, so it comes after the page; it is asked for at once, to be there in time. */
const markdown = import("./markdown.tsx");
const Markdown = lazy(async () => ({ default: (await markdown).Markdown }));

/** Mounts the markdown renderer before there is any text, so that the first answer need not wait for it. */
export function MarkdownAhead() {
  return (
    <Suspense>
      <Markdown text="" isOpen={false} />
    </Suspense>
  );
}

interface Props {
  turn: Turn;
  isRunning: boolean;
  onSend: (text: string) => void;
  onStop: (turn: string) => void;
  /** Whether another answer can be asked for in the place of this one. */
  canAgain: boolean;
  onAgain: () => void;
}

export const TurnView = memo(
  function TurnView({ turn, isRunning, onSend, onStop, canAgain, onAgain }: Props) {
    return (
      <article className="space-y-5">
        {turn.text !== "" && <Said turn={turn} isRunning={isRunning} onSend={onSend} onStop={onStop} />}
        {turn.parts.length > 0 && (
          <div className="space-y-4">
            {turn.parts.map((part, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: parts are only ever appended, and their names may repeat
              <PartView key={index} part={part} />
            ))}
          </div>
        )}
        {isRunning && isThinking(turn.parts) && <Thinking />}
        <OutcomeNote turn={turn} />
        <AnswerFooter turn={turn} onAgain={canAgain ? onAgain : null} />
      </article>
    );
  },
  // The callbacks are new with each render and do the same.
  (before, after) =>
    before.turn === after.turn && before.isRunning === after.isRunning && before.canAgain === after.canAgain,
);

function Said({ turn, isRunning, onSend, onStop }: Omit<Props, "canAgain" | "onAgain">) {
  const isQueued = turn.phase === "waiting" && !isRunning && turn.position > 0;
  return (
    <div className="flex animate-arrive flex-col items-end gap-1.5 ps-10 sm:ps-16">
      <h2 className="sr-only">You said</h2>
      <p
        className={cn(
          "max-w-full whitespace-pre-wrap rounded-2xl rounded-ee-md bg-muted px-4 py-2.5 leading-relaxed wrap-anywhere transition-opacity",
          (turn.phase === "sending" || isQueued) && "opacity-75",
        )}
      >
        {turn.text}
      </p>
      {isQueued && turn.turn !== null && (
        <p className="flex gap-2 text-xs text-subtle">
          {turn.position === 1 ? "Next in line" : `${turn.position} before it`}
          <Button variant="link" size="inline" onClick={() => turn.turn !== null && onStop(turn.turn)}>
            Cancel
          </Button>
        </p>
      )}
      {turn.outcome === "refused" && (
        <p className="flex gap-2 text-xs text-danger">
          Not sent: {turn.error?.message}
          <Button variant="link" size="inline" onClick={() => onSend(turn.text)}>
            Send again
          </Button>
        </p>
      )}
    </div>
  );
}

function PartView({ part }: { part: Part }) {
  if (part.kind === "tool") {
    return <ToolCard part={part} />;
  }
  if (part.kind === "notice") {
    return <p className="text-sm text-subtle wrap-anywhere">{part.message}</p>;
  }
  return (
    <Suspense fallback={<p className="whitespace-pre-wrap leading-relaxed">{part.text}</p>}>
      <Markdown text={part.text} isOpen={part.open} />
    </Suspense>
  );
}

/** Whether nothing on screen tells that the agent is at work. */
function isThinking(parts: readonly Part[]): boolean {
  const last = parts.at(-1);
  if (last === undefined || last.kind === "notice") {
    return true;
  }
  return last.kind === "text"
    ? last.text === "" || !last.open
    : last.state === "done" || last.state === "failed";
}

function Thinking() {
  return (
    <p className="flex h-6 items-center gap-1.5">
      <span className="sr-only">The agent is thinking</span>
      {["", "[animation-delay:0.2s]", "[animation-delay:0.4s]"].map((delay) => (
        <span
          key={delay}
          className={cn("size-1.5 animate-breathe rounded-full bg-subtle", delay)}
          aria-hidden="true"
        />
      ))}
    </p>
  );
}

/** How the turn ended, where the answer itself does not show it. */
function OutcomeNote({ turn }: { turn: Turn }) {
  switch (turn.outcome) {
    case null:
    case "complete":
    case "refused":
      return null;
    case "stopped":
      return (
        <p className="flex items-center gap-1.5 text-sm text-subtle">
          <CircleStop className="size-4" aria-hidden="true" />
          {turn.parts.length === 0 ? "Stopped before it began" : "Stopped"}
        </p>
      );
    case "length":
      return <Failed text="The answer reached the model's length limit, and ends here." />;
    case "expired":
      return <Failed text="The session ended before the answer was complete." />;
    case "lost":
      return <Failed text="The connection was lost before the answer was complete." />;
    case "error":
      return <Failed text={`This answer failed: ${turn.error?.message ?? "the agent gave no reason"}`} />;
  }
}

function Failed({ text }: { text: string }) {
  return (
    <p className="flex items-start gap-2 rounded-xl bg-danger-soft px-4 py-3 text-sm text-danger wrap-anywhere">
      <CircleAlert className="mt-0.5 size-4 shrink-0" aria-hidden="true" />
      {text}
    </p>
  );
}
