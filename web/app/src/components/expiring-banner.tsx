/** The warning before a conversation ends, with a button to extend it. */

import type { Expiring } from "@mayfly/client/state";
import { Hourglass } from "lucide-react";
import { useSecondsLeft } from "../lib/browser/use-seconds-left.ts";
import { expiryReason } from "../lib/wording/announce.ts";
import { Banner } from "./banner.tsx";
import { Button } from "./ui/button.tsx";

export function ExpiringBanner({ expiring, onExtend }: { expiring: Expiring; onExtend: () => void }) {
  const seconds = useSecondsLeft(expiring.endsAtMs) ?? 0;
  if (!expiring.canExtend) {
    return (
      <Banner label="Time" icon={Hourglass}>
        This conversation ends in {seconds} s: {expiryReason(expiring)}.
      </Banner>
    );
  }
  const extend = (
    <Button variant="solid" onClick={onExtend}>
      Continue
      <kbd className="font-sans text-xs opacity-70 pointer-coarse:hidden">Enter</kbd>
    </Button>
  );
  return (
    <Banner label="Time" icon={Hourglass} action={extend}>
      Still there? This conversation ends in {seconds} s.
    </Banner>
  );
}
