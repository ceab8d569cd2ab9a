/** The page's head: its name, how the session is doing, and the way out of it. */

import { canSend, type SessionState } from "@mayfly/client/state";
import { cn } from "../lib/cn.ts";
import { describeStatus, type StatusWords } from "../lib/describe.ts";
import { Mark } from "./mark.tsx";
import { TimeLeft } from "./time-left.tsx";
import { Button } from "./ui/button.tsx";

interface Props {
  state: SessionState;
  onEnd: () => void;
}

export function Header({ state, onEnd }: Props) {
  return (
    <header className="flex h-14 shrink-0 items-center gap-3 px-4 sm:px-5">
      <h1 className="flex items-center gap-2 font-semibold tracking-tight">
        <Mark className="size-6" />
        Mayfly
      </h1>
      <SessionStatus status={describeStatus(state)} />
      {canSend(state) && (
        <div className="ms-auto flex items-center gap-2">
          <TimeLeft state={state} />
          <Button variant="ghost" onClick={onEnd} title="End the conversation and its agent">
            End
          </Button>
        </div>
      )}
    </header>
  );
}

const DOT: { readonly [tone in StatusWords["tone"]]: string } = {
  busy: "animate-pulse bg-warn",
  ready: "bg-accent",
  over: "bg-subtle",
  bad: "bg-danger",
};

function SessionStatus({ status }: { status: StatusWords }) {
  return (
    <p role="status" className="flex items-center gap-2 text-sm text-subtle">
      <span className={cn("size-2 rounded-full", DOT[status.tone])} aria-hidden="true" />
      {status.words}
    </p>
  );
}
