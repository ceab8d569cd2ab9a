/**
 * Throttles the rendering of growing text by its own cost: cheap renders happen at once, and after an expensive one
 * there is a pause, so that the page stays responsive however long a single block becomes.
 */

import { useLayoutEffect, useReducer, useRef } from "react";

/** Renders below this duration need no pause. */
const CHEAP_MS = 8;
/** Length of the pause as a multiple of the render before it. */
const PAUSE_FACTOR = 7;
const PAUSE_MAX_MS = 500;

/** Returns the text to render now; the whole text once it is complete. */
export function usePaced(text: string, isOpen: boolean): string {
  const [, rerender] = useReducer((count: number) => count + 1, 0);
  const shown = useRef(text);
  const notBeforeMs = useRef(0);
  const startedMs = performance.now();
  const now = isOpen && startedMs < notBeforeMs.current ? shown.current : text;

  useLayoutEffect(() => {
    if (now !== shown.current) {
      shown.current = now;
      const endedMs = performance.now();
      notBeforeMs.current = endedMs + pauseMs(endedMs - startedMs);
    }
    if (now !== text) {
      const timer = setTimeout(rerender, notBeforeMs.current - performance.now());
      return () => clearTimeout(timer);
    }
  });

  return now;
}

/** Pause in milliseconds after a render that took `tookMs`. */
export function pauseMs(tookMs: number): number {
  return tookMs < CHEAP_MS ? 0 : Math.min(tookMs * PAUSE_FACTOR, PAUSE_MAX_MS);
}
