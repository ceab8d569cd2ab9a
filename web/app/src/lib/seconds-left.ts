/** A countdown in whole seconds, for what is shown of it. */

import { useEffect, useState } from "react";

const SECOND_MS = 1_000;
/** The longest that a browser's timer takes. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** How many seconds are left until then, from so many on; null before, and while there is no such time. */
export function useSecondsLeft(
  endsAtMs: number | null,
  within: number = Number.POSITIVE_INFINITY,
): number | null {
  const [nowMs, setNowMs] = useState(() => Date.now());

  useEffect(() => {
    if (endsAtMs === null) {
      return;
    }
    let timer: ReturnType<typeof setTimeout>;
    const tick = () => {
      const now = Date.now();
      setNowMs(now);
      timer = setTimeout(tick, untilChange(endsAtMs - now, within));
    };
    tick();
    return () => clearTimeout(timer);
  }, [endsAtMs, within]);

  const seconds = endsAtMs === null ? null : secondsIn(endsAtMs - nowMs);
  return seconds !== null && seconds <= within ? seconds : null;
}

/** The second that has begun counts. */
export function secondsIn(ms: number): number {
  return Math.max(0, Math.ceil(ms / SECOND_MS));
}

/** Milliseconds until what is shown is something else. */
export function untilChange(leftMs: number, within: number): number {
  const beforeMs = leftMs - within * SECOND_MS;
  return beforeMs > 0 ? Math.min(beforeMs, TIMER_MAX_MS) : Math.max(0, leftMs) % SECOND_MS || SECOND_MS;
}

const MINUTE = 60;
/** From here on the seconds are shown too. */
const CLOCK_FROM = 5 * MINUTE;

/** `2 h`, `1 h 59 min`, `12 min`, `4:09`. */
export function timeWords(seconds: number): string {
  if (seconds <= CLOCK_FROM) {
    return `${Math.floor(seconds / MINUTE)}:${String(seconds % MINUTE).padStart(2, "0")}`;
  }
  const minutes = Math.ceil(seconds / MINUTE);
  const hours = Math.floor(minutes / 60);
  const left = minutes % 60 === 0 ? [] : [`${minutes % 60} min`];
  return (hours === 0 ? left : [`${hours} h`, ...left]).join(" ");
}
