/** How a session is doing, as a dot; never without the words beside it. */

import { cn } from "../lib/cn.ts";
import type { StatusWords } from "../lib/describe.ts";

const LOOKS: { readonly [tone in StatusWords["tone"]]: string } = {
  busy: "animate-breathe bg-warn",
  ready: "bg-accent",
  answering: "animate-breathe bg-accent",
  over: "border-[1.5px] border-subtle/70",
  bad: "bg-danger",
};

export function StatusDot({ tone, isUnread = false }: { tone: StatusWords["tone"]; isUnread?: boolean }) {
  return (
    <span
      className={cn("size-2 shrink-0 rounded-full", LOOKS[tone], isUnread && "ring-3 ring-accent/25")}
      aria-hidden="true"
    />
  );
}
