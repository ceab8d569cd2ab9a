/** Below an answer that is over: ways to take it along or to get another one, and how long it took. */

import { textOf } from "@mayfly/client/parts";
import type { Turn } from "@mayfly/client/state";
import { RotateCcw } from "lucide-react";
import { timing, usageWords } from "../lib/answer.ts";
import { CopyButton } from "./copy-button.tsx";
import { IconButton } from "./ui/button.tsx";

interface Props {
  turn: Turn;
  /** Null where there is no other answer to be had. */
  onAgain: (() => void) | null;
}

export function AnswerFooter({ turn, onAgain }: Props) {
  const text = textOf(turn.parts);
  const times = timing(turn.ttftMs, turn.tookMs);
  if (turn.phase !== "done" || (text === "" && onAgain === null)) {
    return null;
  }
  return (
    <footer className="-ms-2 -mt-3 flex min-h-8 items-center text-xs text-subtle">
      {text !== "" && <CopyButton text={text} what="answer" />}
      {onAgain !== null && <IconButton label="Another answer" icon={RotateCcw} onClick={onAgain} />}
      {times !== null && (
        <span className="ms-2 tabular-nums" title={usageWords(turn.usage)}>
          {times}
        </span>
      )}
    </footer>
  );
}
