/** A session's status as a coloured dot, shown beside the status label. */

import type { StatusDescription } from "../lib/wording/status.ts";
import { cn } from "./ui/cn.ts";

const LOOKS: { readonly [tone in StatusDescription["tone"]]: string } = {
  busy: "animate-breathe bg-warn",
  ready: "bg-accent",
  answering: "animate-breathe bg-accent",
  over: "border-[1.5px] border-subtle/70",
  bad: "bg-danger",
};

export function StatusDot({
  tone,
  isUnread = false,
}: {
  tone: StatusDescription["tone"];
  isUnread?: boolean;
}) {
  return (
    <span
      className={cn("size-2 shrink-0 rounded-full", LOOKS[tone], isUnread && "ring-3 ring-accent/25")}
      aria-hidden="true"
    />
  );
}
