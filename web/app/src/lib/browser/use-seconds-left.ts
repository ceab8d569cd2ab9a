/** A countdown as a React hook. It renders once per displayed second. */

import { useEffect, useState } from "react";
import { secondsIn, untilChange } from "./countdown.ts";

/** Seconds left until `endsAtMs`; null while more than `within` seconds are left or there is no end time. */
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
