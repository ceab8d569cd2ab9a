/** Below an answer that is over: how soon it began, and the way to another one. */

import type { Turn } from "@mayfly/client/state";
import { RotateCcw } from "lucide-react";
import { firstWordTime, usageWords } from "../lib/answer.ts";
import { Button } from "./ui/button.tsx";

/** Without `onAgain` there is no other answer to be had now. */
export function AnswerFooter({ turn, onAgain }: { turn: Turn; onAgain: (() => void) | null }) {
  if (turn.ttftMs === null && onAgain === null) {
    return null;
  }
  return (
    <footer className="-mt-2 flex min-h-8 items-center gap-3 text-xs text-subtle">
      {turn.ttftMs !== null && (
        <span className="tabular-nums" title={usageWords(turn.usage)}>
          {firstWordTime(turn.ttftMs)} to the first word
        </span>
      )}
      {onAgain !== null && (
        <Button variant="ghost" className="px-2 text-xs" onClick={onAgain} title="Ask for another answer">
          <RotateCcw className="size-3.5" aria-hidden="true" />
          Again
        </Button>
      )}
    </footer>
  );
}
