/** The session's status with the time left; a button opens a panel with details. */

import { canSend, type SessionState } from "@mayfly/client/state";
import { ChevronDown } from "lucide-react";
import { type ReactNode, useId } from "react";
import { useSecondsLeft } from "../lib/browser/use-seconds-left.ts";
import { timeLeft } from "../lib/wording/figures.ts";
import { describeStatus } from "../lib/wording/status.ts";
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
          {status.label}
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

/**
 * Hidden from screen readers, which would repeat it each second; the warning is announced, and the panel is readable.
 */
function TimeLeft({ state }: { state: SessionState }) {
  const seconds = useSecondsLeft(endOf(state));
  return seconds === null ? null : (
    <span aria-hidden="true" className="tabular-nums">
      {" "}
      · {timeLeft(seconds)} left
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
      <Fact name="State">{describeStatus(state).label}</Fact>
      {boot.length > 0 && (
        <Fact name="Start">
          <BootSteps steps={boot} isOver={!isLive} />
        </Fact>
      )}
      {isLive && deadline !== null && (
        <Fact name="Time">
          Ends at {clock(deadline.maxAtMs)} at the latest
          {deadline.idleAtMs !== null && ", or earlier if nobody writes"}
        </Fact>
      )}
      {isLive && graceMs !== null && (
        <Fact name="If the connection is lost">
          {graceMs > 0 ? `The agent waits ${durationText(graceMs)} for you` : "The agent stops immediately"}
        </Fact>
      )}
      {session !== null && (
        <Fact name="Session">
          <span className="flex items-center gap-1">
            <code className="min-w-0 truncate font-mono text-xs">{session}</code>
            <CopyButton text={session} what="session id" />
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

function durationText(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
