/** One turn: the message, the parts of the answer, and the outcome. */

import type { Part, Turn } from "@mayfly/client/state";
import { CircleAlert, CircleStop } from "lucide-react";
import { memo } from "react";
import { AnswerFooter } from "./answer-footer.tsx";
import { MessageView } from "./message.tsx";
import { PartView } from "./part.tsx";
import { Button } from "./ui/button.tsx";
import { cn } from "./ui/cn.ts";

interface Props {
  turn: Turn;
  isRunning: boolean;
  onSend: (text: string) => void;
  onStop: (turn: string) => void;
  /** Null if this answer cannot be regenerated. */
  onRegenerate: (() => void) | null;
}

export const TurnView = memo(
  function TurnView({ turn, isRunning, onSend, onStop, onRegenerate }: Props) {
    return (
      <article data-phase={turn.phase} className="space-y-5">
        {turn.text !== "" && (
          <MessageView turn={turn} isRunning={isRunning} onSend={onSend} onStop={onStop} />
        )}
        {turn.parts.length > 0 && (
          <div className="space-y-4">
            {turn.parts.map((part, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: parts are only appended, and their ids may repeat
              <PartView key={index} part={part} />
            ))}
          </div>
        )}
        {isRunning && needsIndicator(turn.parts) && <WorkingIndicator />}
        <OutcomeNote turn={turn} onRegenerate={onRegenerate} />
        <AnswerFooter turn={turn} onRegenerate={turn.outcome === "error" ? null : onRegenerate} />
      </article>
    );
  },
  // The callbacks change with each render but always do the same.
  (before, after) =>
    before.turn === after.turn &&
    before.isRunning === after.isRunning &&
    (before.onRegenerate === null) === (after.onRegenerate === null),
);

/** Returns true if the answer itself does not show that the agent is working. */
function needsIndicator(parts: readonly Part[]): boolean {
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

function WorkingIndicator() {
  return (
    <p className="flex h-6 items-center gap-1.5">
      <span className="sr-only">The agent is working</span>
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

/** The turn's outcome, unless the answer itself shows it. */
function OutcomeNote({ turn, onRegenerate }: Pick<Props, "turn" | "onRegenerate">) {
  switch (turn.outcome) {
    case null:
    case "complete":
    case "refused":
      return null;
    case "stopped":
      return (
        <p className="flex items-center gap-1.5 text-sm text-subtle">
          <CircleStop className="size-4" aria-hidden="true" />
          {turn.parts.length === 0 ? "Stopped before it started" : "Stopped"}
        </p>
      );
    case "length":
      return <Failed text="The answer reached the model's length limit." />;
    case "expired":
      return <Failed text="The session ended before the answer was complete." />;
    case "lost":
      return <Failed text="The connection was lost before the answer was complete." />;
    case "error":
      return (
        <Failed
          text={`This answer failed: ${turn.error?.message ?? "the agent gave no reason"}`}
          onRegenerate={onRegenerate}
        />
      );
  }
}

function Failed({ text, onRegenerate = null }: { text: string; onRegenerate?: Props["onRegenerate"] }) {
  return (
    <div className="flex items-center gap-2 rounded-xl bg-danger-soft py-2 ps-4 pe-2 text-sm text-danger">
      <CircleAlert className="size-4 shrink-0" aria-hidden="true" />
      <p className="min-w-0 flex-1 py-1 wrap-anywhere">{text}</p>
      {onRegenerate !== null && <Button onClick={onRegenerate}>Try again</Button>}
    </div>
  );
}
