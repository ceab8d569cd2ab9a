/** How long the conversation can still last, once that is not long. Not for screen readers: they hear the warning. */

import type { SessionState } from "@mayfly/client/state";
import { clockWords, useSecondsLeft } from "../lib/seconds-left.ts";

const SHOWN_FROM_SECONDS = 5 * 60;

export function TimeLeft({ state }: { state: SessionState }) {
  const endsAtMs = state.expiring?.endsAtMs ?? state.deadline?.maxAtMs ?? null;
  const seconds = useSecondsLeft(endsAtMs, SHOWN_FROM_SECONDS);
  if (endsAtMs === null || seconds === null) {
    return null;
  }
  const time = new Date(endsAtMs).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return (
    <span
      aria-hidden="true"
      title={`This conversation ends at ${time}`}
      className="text-sm text-subtle tabular-nums"
    >
      {clockWords(seconds)} left
    </span>
  );
}
