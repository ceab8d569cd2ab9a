/** Says why there is no connection and when the next attempt is, where that is not at once. */

import { CloudOff } from "lucide-react";
import { useEffect, useState } from "react";
import { useSecondsLeft } from "../lib/seconds-left.ts";
import { Banner } from "./banner.tsx";
import { Button } from "./ui/button.tsx";

/** A shorter wait is over before anybody has read of it. */
const NOTABLE_MS = 2_000;

interface Props {
  trouble: string;
  /** Null while an attempt is under way. */
  retryAtMs: number | null;
  /** Whether the hub itself had said no, and not just nothing. */
  isRefused: boolean;
  onRetry: () => void;
}

export function RetryBanner({ trouble, retryAtMs, isRefused, onRetry }: Props) {
  const [isNotable, setNotable] = useState(isRefused);
  const seconds = useSecondsLeft(retryAtMs);

  // Once shown it stays, until there is a connection.
  useEffect(() => {
    if (isRefused || (retryAtMs !== null && retryAtMs - Date.now() >= NOTABLE_MS)) {
      setNotable(true);
    }
  }, [isRefused, retryAtMs]);

  if (!isNotable) {
    return null;
  }
  const retry = (
    <Button onClick={onRetry} disabled={retryAtMs === null}>
      Try now
    </Button>
  );
  return (
    <Banner label="Connection" icon={CloudOff} action={retry}>
      {trouble} {seconds === null ? "Trying now." : `Trying again in ${seconds} s.`}
    </Banner>
  );
}
