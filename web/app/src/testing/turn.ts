/** A completed turn for tests, with the given fields replaced. */

import type { Turn } from "@mayfly/client/state";

export function turnOf(text: string, more: Partial<Turn> = {}): Turn {
  return {
    key: text,
    turn: "t1",
    text,
    phase: "done",
    position: 0,
    stopping: false,
    parts: [],
    outcome: "complete",
    error: null,
    ttftMs: null,
    tookMs: null,
    usage: null,
    ...more,
  };
}
