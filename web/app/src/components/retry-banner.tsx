/** Shows why the connection is down, when the next attempt is, and how long the agent waits. */

import { CloudOff, Users } from "lucide-react";
import { useEffect, useState } from "react";
import { useSecondsLeft } from "../lib/browser/use-seconds-left.ts";
import type { ConnectionProblem } from "../lib/wording/connection.ts";
import { Banner } from "./banner.tsx";
import { Button } from "./ui/button.tsx";

/** Delay before the banner appears, so that a short interruption does not flash it. */
const SHOW_AFTER_MS = 1_500;

interface Props {
  problem: ConnectionProblem;
  /** Time of the next attempt in Unix milliseconds; null during an attempt. */
  retryAtMs: number | null;
  onRetry: () => void;
}

export function RetryBanner({ problem, retryAtMs, onRetry }: Props) {
  const [isShown, setShown] = useState(problem.isRefused);
  const seconds = useSecondsLeft(retryAtMs);

  useEffect(() => {
    const timer = setTimeout(() => setShown(true), problem.isRefused ? 0 : SHOW_AFTER_MS);
    return () => clearTimeout(timer);
  }, [problem.isRefused]);

  if (!isShown) {
    return null;
  }
  const retry = (
    <Button onClick={onRetry} disabled={retryAtMs === null}>
      Try now
    </Button>
  );
  return (
    <Banner label="Connection" icon={problem.isRefused ? Users : CloudOff} action={retry}>
      {problem.cause} {seconds === null ? "Trying now." : `Trying again in ${seconds} s.`}
      {problem.agentWaitsUntilMs !== null && <GraceLeft untilMs={problem.agentWaitsUntilMs} />}
    </Banner>
  );
}

function GraceLeft({ untilMs }: { untilMs: number }) {
  const seconds = useSecondsLeft(untilMs) ?? 0;
  return (
    <span className="block text-subtle">
      {seconds > 0
        ? `The agent waits for ${seconds} more seconds.`
        : "The agent may have stopped by now. The messages stay here."}
    </span>
  );
}
