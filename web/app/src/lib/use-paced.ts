/**
 * Text that grows, shown as often as it can be afforded: at once while drawing it takes next to nothing, else only part
 * of the time, so that the page stays quick however long a single block becomes.
 */

import { useLayoutEffect, useReducer, useRef } from "react";

/** Drawing that is quicker than this needs no pause. */
const CHEAP_MS = 8;
/** After a slow one, so many times as long belongs to everything else. */
const PAUSE_FACTOR = 7;
const PAUSE_MAX_MS = 500;

/** The text to draw now; all of it once it is complete. */
export function usePaced(text: string, isOpen: boolean): string {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const shown = useRef(text);
  const notBeforeMs = useRef(0);
  const beganMs = performance.now();
  const now = isOpen && beganMs < notBeforeMs.current ? shown.current : text;

  useLayoutEffect(() => {
    if (now !== shown.current) {
      shown.current = now;
      const endedMs = performance.now();
      notBeforeMs.current = endedMs + pauseMs(endedMs - beganMs);
    }
    if (now !== text) {
      const timer = setTimeout(redraw, notBeforeMs.current - performance.now());
      return () => clearTimeout(timer);
    }
  });

  return now;
}

/** How long after a drawing that took so long the next one has to wait. */
export function pauseMs(tookMs: number): number {
  return tookMs < CHEAP_MS ? 0 : Math.min(tookMs * PAUSE_FACTOR, PAUSE_MAX_MS);
}
