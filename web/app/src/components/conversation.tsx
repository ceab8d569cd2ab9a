/** What was said, newest at the bottom, and the way back down when a person has scrolled up. */

import { canRegenerate, canSend, runningTurn, type SessionState } from "@mayfly/client/state";
import { ArrowDown } from "lucide-react";
import { useEffect } from "react";
import { useStickToBottom } from "use-stick-to-bottom";
import { cn } from "../lib/cn.ts";
import { BootSteps } from "./boot-steps.tsx";
import { MarkdownAhead, TurnView } from "./turn.tsx";
import { Button } from "./ui/button.tsx";
import { Welcome } from "./welcome.tsx";

interface Props {
  state: SessionState;
  onSend: (text: string) => void;
  onStop: (turn: string) => void;
  onAgain: () => void;
}

/** Where the text passes out of sight. */
const FADE = "pointer-events-none absolute inset-x-0 z-10 h-4 from-background to-transparent";

export function Conversation({ state, onSend, onStop, onAgain }: Props) {
  const { scrollRef, contentRef, isAtBottom, scrollToBottom } = useStickToBottom({
    initial: "instant",
    resize: "instant",
  });
  const running = runningTurn(state);
  const isEmpty = state.turns.length === 0;
  const newest = state.turns.at(-1)?.key;

  // Whoever says something wants to see it, wherever the page was scrolled to.
  useEffect(() => {
    if (newest !== undefined) {
      scrollToBottom("instant");
    }
  }, [newest, scrollToBottom]);

  // Whoever reads the last lines goes on seeing them when something appears below.
  useEffect(() => {
    const box = scrollRef.current;
    if (box === null || !isAtBottom) {
      return;
    }
    const observer = new ResizeObserver(() => void scrollToBottom("instant"));
    observer.observe(box);
    return () => observer.disconnect();
  }, [scrollRef, isAtBottom, scrollToBottom]);

  return (
    <main className="relative min-h-0 flex-1">
      <div className={cn(FADE, "top-0 bg-linear-to-b")} aria-hidden="true" />
      <div
        ref={scrollRef}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        tabIndex={0}
        className="h-full overflow-y-auto overflow-x-hidden -outline-offset-2"
      >
        <div ref={contentRef} className="mx-auto min-h-full w-full max-w-column px-4 pt-4 pb-10">
          <MarkdownAhead />
          {isEmpty && <Welcome state={state} onSend={onSend} />}
          {state.truncated && (
            <p className="mb-8 text-center text-xs text-subtle">
              The beginning of this conversation is no longer kept.
            </p>
          )}
          <div role="log" aria-label="Conversation" aria-busy={running !== null} className="space-y-8">
            {state.turns.map((turn) => (
              <TurnView
                key={turn.key}
                turn={turn}
                isRunning={turn === running}
                onSend={onSend}
                onStop={onStop}
                canAgain={turn.key === newest && canRegenerate(state)}
                onAgain={onAgain}
              />
            ))}
          </div>
          {!isEmpty && state.status === "creating" && (
            <div className="mt-8">
              <BootSteps steps={state.boot} isOver={!canSend(state)} />
            </div>
          )}
        </div>
      </div>
      <div className={cn(FADE, "bottom-0 bg-linear-to-t")} aria-hidden="true" />
      {!isAtBottom && (
        <Button
          size="round"
          className="absolute bottom-3 z-20 left-1/2 -translate-x-1/2 animate-arrive shadow-md"
          aria-label="Jump to the latest"
          title="Jump to the latest"
          onClick={() => scrollToBottom()}
        >
          <ArrowDown className="size-4" aria-hidden="true" />
        </Button>
      )}
    </main>
  );
}
