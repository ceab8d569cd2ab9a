/** Says to a screen reader what begins and ends on the page, once and out of sight. The only one that does. */

import type { SessionState } from "@mayfly/client/state";
import { useEffect, useRef, useState } from "react";
import { announce } from "../lib/announce.ts";

export function Announcer({ state, isOnline }: { state: SessionState; isOnline: boolean }) {
  const before = useRef(state);
  const [words, setWords] = useState("");

  useEffect(() => {
    const said = announce(before.current, state, isOnline, Date.now());
    before.current = state;
    if (said !== null) {
      setWords(said);
    }
  }, [state, isOnline]);

  return (
    <p role="status" className="sr-only">
      {words}
    </p>
  );
}
