/** Shows a person their place in line while all agents are in use. */

import { Users } from "lucide-react";
import { Banner } from "./banner.tsx";

export function LineBanner({ text }: { text: string }) {
  return (
    <Banner label="Line" icon={Users}>
      {text}
      <span className="block text-subtle">
        Your place updates automatically. Messages you write now are answered when it is your turn.
      </span>
    </Banner>
  );
}
