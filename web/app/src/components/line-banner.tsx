/** Says how many come first where all agents are taken, and that nothing need be done. */

import { Users } from "lucide-react";
import { Banner } from "./banner.tsx";

export function LineBanner({ words }: { words: string }) {
  return (
    <Banner label="Line" icon={Users}>
      {words}
      <span className="block text-subtle">
        It moves by itself. What you write now is answered when it is your turn.
      </span>
    </Banner>
  );
}
