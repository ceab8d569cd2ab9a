/** Below a complete answer: its actions (copy, regenerate) and its timing. */

import { textOf } from "@mayfly/client/parts";
import type { Turn } from "@mayfly/client/state";
import { RotateCcw } from "lucide-react";
import { timing, usageText } from "../lib/wording/figures.ts";
import { CopyButton } from "./copy-button.tsx";
import { IconButton } from "./ui/button.tsx";

interface Props {
  turn: Turn;
  /** Null if the answer cannot be regenerated. */
  onRegenerate: (() => void) | null;
}

export function AnswerFooter({ turn, onRegenerate }: Props) {
  const text = textOf(turn.parts);
  const times = timing(turn.ttftMs, turn.tookMs);
  if (turn.phase !== "done" || (text === "" && onRegenerate === null)) {
    return null;
  }
  return (
    <footer className="-ms-2 -mt-3 flex min-h-8 items-center text-xs text-subtle">
      {text !== "" && <CopyButton text={text} what="answer" />}
      {onRegenerate !== null && (
        <IconButton label="Regenerate the answer" icon={RotateCcw} onClick={onRegenerate} />
      )}
      {times !== null && (
        <span className="ms-2 tabular-nums" title={usageText(turn.usage)}>
          {times}
        </span>
      )}
    </footer>
  );
}
