/** Says why there is no connection, when the next attempt is, and how long the agent waits for it. */

import { CloudOff, Users } from "lucide-react";
import { useEffect, useState } from "react";
import type { TroubleWords } from "../lib/describe.ts";
import { useSecondsLeft } from "../lib/seconds-left.ts";
import { Banner } from "./banner.tsx";
import { Button } from "./ui/button.tsx";

/** A shorter absence is over before anybody has read of it. */
const NOTABLE_MS = 1_500;

interface Props {
  trouble: TroubleWords;
  /** Null while an attempt is under way. */
  retryAtMs: number | null;
  onRetry: () => void;
}

export function RetryBanner({ trouble, retryAtMs, onRetry }: Props) {
  const [isNotable, setNotable] = useState(trouble.isRefused);
  const seconds = useSecondsLeft(retryAtMs);

  useEffect(() => {
    const timer = setTimeout(() => setNotable(true), trouble.isRefused ? 0 : NOTABLE_MS);
    return () => clearTimeout(timer);
  }, [trouble.isRefused]);

  if (!isNotable) {
    return null;
  }
  const retry = (
    <Button onClick={onRetry} disabled={retryAtMs === null}>
      Try now
    </Button>
  );
  return (
    <Banner label="Connection" icon={trouble.isRefused ? Users : CloudOff} action={retry}>
      {trouble.what} {seconds === null ? "Trying now." : `Trying again in ${seconds} s.`}
      {trouble.waitsUntilMs !== null && <Waits untilMs={trouble.waitsUntilMs} />}
    </Banner>
  );
}

function Waits({ untilMs }: { untilMs: number }) {
  const seconds = useSecondsLeft(untilMs) ?? 0;
  return (
    <span className="block text-subtle">
      {seconds > 0
        ? `The agent waits for you: ${seconds} s more.`
        : "The agent may be gone by now. What was said stays here."}
    </span>
  );
}
