/** One turn: what the person said, the answer's parts as they come, and how it ended. */

import type { Part, Turn } from "@mayfly/client/state";
import { CircleAlert, CircleStop } from "lucide-react";
import { memo } from "react";
import { cn } from "../lib/cn.ts";
import { AnswerFooter } from "./answer-footer.tsx";
import { PartView } from "./part.tsx";
import { Said } from "./said.tsx";
import { Button } from "./ui/button.tsx";

interface Props {
  turn: Turn;
  isRunning: boolean;
  onSend: (text: string) => void;
  onStop: (turn: string) => void;
  /** Null where no other answer can be asked for in the place of this one. */
  onAgain: (() => void) | null;
}

export const TurnView = memo(
  function TurnView({ turn, isRunning, onSend, onStop, onAgain }: Props) {
    return (
      <article data-phase={turn.phase} className="space-y-5">
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
        <OutcomeNote turn={turn} onAgain={onAgain} />
        <AnswerFooter turn={turn} onAgain={turn.outcome === "error" ? null : onAgain} />
      </article>
    );
  },
  // The callbacks are new with each render and do the same.
  (before, after) =>
    before.turn === after.turn &&
    before.isRunning === after.isRunning &&
    (before.onAgain === null) === (after.onAgain === null),
);

/** Whether nothing on screen tells that the agent is at work. */
function isThinking(parts: readonly Part[]): boolean {
  const last = parts.at(-1);
  if (last === undefined || last.kind === "notice") {
    return true;
  }
  switch (last.kind) {
    case "tool":
      return last.state === "done" || last.state === "failed";
    case "reasoning":
      return !last.open;
    case "text":
      return last.text === "" || !last.open;
  }
}

function Thinking() {
  return (
    <p className="flex h-6 items-center gap-1.5">
      <span className="sr-only">The agent is at work</span>
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
function OutcomeNote({ turn, onAgain }: Pick<Props, "turn" | "onAgain">) {
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
      return (
        <Failed
          text={`This answer failed: ${turn.error?.message ?? "the agent gave no reason"}`}
          onAgain={onAgain}
        />
      );
  }
}

function Failed({ text, onAgain = null }: { text: string; onAgain?: Props["onAgain"] }) {
  return (
    <div className="flex items-center gap-2 rounded-xl bg-danger-soft py-2 ps-4 pe-2 text-sm text-danger">
      <CircleAlert className="size-4 shrink-0" aria-hidden="true" />
      <p className="min-w-0 flex-1 py-1 wrap-anywhere">{text}</p>
      {onAgain !== null && <Button onClick={onAgain}>Try again</Button>}
    </div>
  );
}
