/** Calls back when a key is pressed anywhere on the page, unless it ends the input of a character or something else took it. */

import { useEffect, useRef } from "react";

export function useKey(
  key: string,
  { ctrl = false, shift = false }: { ctrl?: boolean; shift?: boolean },
  run: ((event: KeyboardEvent) => void) | null,
): void {
  const latest = useRef(run);
  latest.current = run;
  const isWanted = run !== null;

  useEffect(() => {
    if (!isWanted) {
      return;
    }
    const onKey = (event: KeyboardEvent) => {
      const isPressed =
        event.key === key && (event.ctrlKey || event.metaKey) === ctrl && event.shiftKey === shift;
      if (isPressed && !event.isComposing && !event.defaultPrevented && !isCovered()) {
        latest.current?.(event);
        if (ctrl) {
          event.preventDefault();
        }
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [key, ctrl, shift, isWanted]);
}

/** Whether something lies over the page that keys are for. */
function isCovered(): boolean {
  return document.querySelector("dialog[open], :popover-open") !== null;
}
