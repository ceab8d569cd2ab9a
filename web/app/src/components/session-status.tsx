/** How the session is doing, in a word and with the time that is left; more of it at a press. */

import { canSend, type SessionState } from "@mayfly/client/state";
import { ChevronDown } from "lucide-react";
import { type ReactNode, useId } from "react";
import { describeStatus } from "../lib/describe.ts";
import { timeWords, useSecondsLeft } from "../lib/seconds-left.ts";
import { BootSteps } from "./boot-steps.tsx";
import { CopyButton } from "./copy-button.tsx";
import { StatusDot } from "./status-dot.tsx";

export function SessionStatus({ state }: { state: SessionState }) {
  const panel = useId();
  const status = describeStatus(state);
  return (
    <>
      <button
        type="button"
        popoverTarget={panel}
        className="flex h-5 max-w-full cursor-pointer items-center gap-1.5 rounded-md px-2 text-xs text-subtle transition-colors hover:text-foreground"
      >
        <StatusDot tone={status.tone} />
        <span className="truncate">
          <span className="sr-only">Session: </span>
          {status.words}
          <TimeLeft state={state} />
        </span>
        <ChevronDown className="size-3" aria-hidden="true" />
      </button>
      <section
        id={panel}
        popover="auto"
        aria-label="Session"
        className="fixed inset-auto top-13 left-13 md:left-72 m-0 w-[min(22rem,calc(100vw-4.5rem))] rounded-2xl border border-line bg-surface p-4 text-sm text-foreground shadow-lg"
      >
        <Details state={state} />
      </section>
    </>
  );
}

/** Not for screen readers, to whom a clock is noise: they hear the warning, and can read the panel. */
function TimeLeft({ state }: { state: SessionState }) {
  const seconds = useSecondsLeft(endOf(state));
  return seconds === null ? null : (
    <span aria-hidden="true" className="tabular-nums">
      {" "}
      · {timeWords(seconds)} left
    </span>
  );
}

function endOf(state: SessionState): number | null {
  return state.link === "open" && canSend(state)
    ? (state.expiring?.endsAtMs ?? state.deadline?.maxAtMs ?? null)
    : null;
}

function Details({ state }: { state: SessionState }) {
  const { boot, deadline, graceMs, session } = state;
  const isLive = canSend(state);
  return (
    <dl className="space-y-3.5">
      <Fact name="State">{describeStatus(state).words}</Fact>
      {boot.length > 0 && (
        <Fact name="Start">
          <BootSteps steps={boot} isOver={!isLive} />
        </Fact>
      )}
      {isLive && deadline !== null && (
        <Fact name="Time">
          Ends at {clock(deadline.maxAtMs)} at the latest
          {deadline.idleAtMs !== null && ", or sooner if nothing is said"}
        </Fact>
      )}
      {isLive && graceMs !== null && (
        <Fact name="If the connection is lost">
          {graceMs > 0 ? `The agent waits ${timeInWords(graceMs)} for you` : "The agent ends at once"}
        </Fact>
      )}
      {session !== null && (
        <Fact name="Session">
          <span className="flex items-center gap-1">
            <code className="min-w-0 truncate font-mono text-xs">{session}</code>
            <CopyButton text={session} what="the session's id" />
          </span>
        </Fact>
      )}
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt className="mb-0.5 text-xs text-subtle">{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function timeInWords(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
