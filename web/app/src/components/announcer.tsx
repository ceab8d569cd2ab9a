/** The live region for screen readers, visually hidden. No other component announces changes. */

import type { SessionState } from "@mayfly/client/state";
import { useEffect, useRef, useState } from "react";
import { announce } from "../lib/wording/announce.ts";

export function Announcer({ state, isOnline }: { state: SessionState; isOnline: boolean }) {
  const before = useRef(state);
  const [text, setText] = useState("");

  useEffect(() => {
    const announcement = announce(before.current, state, isOnline, Date.now());
    before.current = state;
    if (announcement !== null) {
      setText(announcement);
    }
  }, [state, isOnline]);

  return (
    <p role="status" className="sr-only">
      {text}
    </p>
  );
}
