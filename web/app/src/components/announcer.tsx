/** Says to a screen reader what comes and goes on the page, once and out of sight. */

import type { SessionState } from "@mayfly/client/state";
import { useEffect, useRef, useState } from "react";
import { announce } from "../lib/announce.ts";

export function Announcer({ state }: { state: SessionState }) {
  const before = useRef(state);
  const [words, setWords] = useState("");

  useEffect(() => {
    const said = announce(before.current, state, Date.now());
    before.current = state;
    if (said !== null) {
      setWords(said);
    }
  }, [state]);

  return (
    <p role="status" className="sr-only">
      {words}
    </p>
  );
}
