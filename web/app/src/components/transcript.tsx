/** The messages and answers, newest at the bottom, with a button to jump to the end. */

import { canRegenerate, canSend, runningTurn, type SessionState } from "@mayfly/client/state";
import { ArrowDown } from "lucide-react";
import { useEffect } from "react";
import { useFollow } from "../lib/browser/use-follow.ts";
import { isEmpty } from "../lib/conversations/conversations.ts";
import { BootSteps } from "./boot-steps.tsx";
import { MarkdownPreload } from "./part.tsx";
import { TurnView } from "./turn.tsx";
import { Button } from "./ui/button.tsx";
import { cn } from "./ui/cn.ts";
import { Welcome } from "./welcome.tsx";

interface Props {
  state: SessionState;
  onSend: (text: string) => void;
  onStop: (turn: string) => void;
  onRegenerate: () => void;
}

/** Fades text out at the edges of the scroll area. */
const FADE = "pointer-events-none absolute inset-x-0 z-10 h-4 from-background to-transparent";

export function Transcript({ state, onSend, onStop, onRegenerate }: Props) {
  const { box, content, isAway, toEnd } = useFollow();
  const running = runningTurn(state);
  const newest = state.turns.at(-1)?.key;

  // A new message scrolls to the end, wherever the person had scrolled to.
  useEffect(() => {
    if (newest !== undefined) {
      toEnd();
    }
  }, [newest, toEnd]);

  return (
    <main className="relative min-h-0 flex-1">
      <div className={cn(FADE, "top-0 bg-linear-to-b")} aria-hidden="true" />
      <div
        ref={box}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        tabIndex={0}
        className="h-full overflow-x-hidden overflow-y-auto -outline-offset-2"
      >
        <div ref={content} className="mx-auto min-h-full w-full max-w-column px-4 pt-4 pb-8">
          <MarkdownPreload />
          {isEmpty(state) && <Welcome state={state} onSend={onSend} />}
          {state.truncated && (
            <p className="mb-8 text-center text-xs text-subtle">
              The beginning of this conversation is no longer available.
            </p>
          )}
          <div role="log" aria-label="Conversation" aria-busy={running !== null} className="space-y-8">
            {state.earlier.map(({ turns }, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: sessions are only appended, or removed together
              <section key={index} aria-label="Earlier agent" className="space-y-8">
                {turns.map((turn) => (
                  <TurnView
                    key={turn.key}
                    turn={turn}
                    isRunning={false}
                    onSend={onSend}
                    onStop={onStop}
                    onRegenerate={null}
                  />
                ))}
                <NewAgent />
              </section>
            ))}
            {state.turns.map((turn) => (
              <TurnView
                key={turn.key}
                turn={turn}
                isRunning={turn === running}
                onSend={onSend}
                onStop={onStop}
                onRegenerate={turn.key === newest && canRegenerate(state) ? onRegenerate : null}
              />
            ))}
          </div>
          {!isEmpty(state) && state.status === "creating" && (
            <div className="mt-8">
              <BootSteps steps={state.boot} isOver={!canSend(state)} />
            </div>
          )}
        </div>
      </div>
      <div className={cn(FADE, "bottom-0 bg-linear-to-t")} aria-hidden="true" />
      {isAway && (
        <Button
          size="round"
          className="absolute bottom-3 left-1/2 z-20 -translate-x-1/2 animate-arrive shadow-md"
          aria-label="Jump to the latest"
          title="Jump to the latest"
          onClick={toEnd}
        >
          <ArrowDown className="size-4" aria-hidden="true" />
        </Button>
      )}
    </main>
  );
}

function NewAgent() {
  return (
    <p className="flex items-center gap-4 py-2 text-xs text-subtle before:h-px before:flex-1 before:bg-line after:h-px after:flex-1 after:bg-line">
      New agent, which does not know the messages above
    </p>
  );
}
