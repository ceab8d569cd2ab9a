/** Keyboard shortcuts of the page. */

import { useEffect, useRef } from "react";

/**
 * Calls `run` when the key is pressed anywhere on the page. Ignored during input method composition, for events that
 * are already handled, and while a dialog or popover is open. Null disables the shortcut.
 */
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

/** Returns true if a dialog or popover covers the page. */
function isCovered(): boolean {
  return document.querySelector("dialog[open], :popover-open") !== null;
}
