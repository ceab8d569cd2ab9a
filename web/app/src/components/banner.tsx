/** A notice above the composer with an optional action. */

import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

interface Props {
  label: string;
  icon: LucideIcon;
  children: ReactNode;
  /** A button on the notice's right. */
  action?: ReactNode;
}

export function Banner({ label, icon: Icon, children, action }: Props) {
  return (
    <section
      aria-label={label}
      className="mb-2 flex min-h-12 animate-arrive items-center gap-3 rounded-2xl border border-line bg-surface py-2 ps-4 pe-2 text-sm shadow-sm"
    >
      <Icon className="size-4 shrink-0 text-warn" aria-hidden="true" />
      <p className="min-w-0 flex-1 text-pretty tabular-nums wrap-anywhere">{children}</p>
      {action}
    </section>
  );
}
