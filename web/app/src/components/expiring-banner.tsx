/** The warning before a conversation ends, and how to stay in it. */

import type { Expiring } from "@mayfly/client/state";
import { Hourglass } from "lucide-react";
import { whyItEnds } from "../lib/announce.ts";
import { useSecondsLeft } from "../lib/seconds-left.ts";
import { Banner } from "./banner.tsx";
import { Button } from "./ui/button.tsx";

export function ExpiringBanner({ expiring, onExtend }: { expiring: Expiring; onExtend: () => void }) {
  const seconds = useSecondsLeft(expiring.endsAtMs) ?? 0;
  if (!expiring.canExtend) {
    return (
      <Banner label="Time" icon={Hourglass}>
        This conversation ends in {seconds} s: {whyItEnds(expiring)}.
      </Banner>
    );
  }
  const stay = (
    <Button variant="solid" onClick={onExtend}>
      Stay
      <kbd className="font-sans text-xs opacity-70 pointer-coarse:hidden">Enter</kbd>
    </Button>
  );
  return (
    <Banner label="Time" icon={Hourglass} action={stay}>
      Still there? This conversation ends in {seconds} s.
    </Banner>
  );
}
