/** The buttons of the page in all variants and sizes. */

import type { LucideIcon } from "lucide-react";
import type { ComponentProps } from "react";
import { cn } from "./cn.ts";

const BASE =
  "inline-flex shrink-0 cursor-pointer select-none items-center justify-center whitespace-nowrap font-medium transition-colors disabled:pointer-events-none disabled:opacity-40 [&_svg]:shrink-0";

const VARIANTS = {
  solid: "bg-strong text-on-strong hover:bg-strong/85",
  outline: "border border-line bg-surface text-foreground hover:bg-muted",
  ghost: "text-subtle hover:bg-muted hover:text-foreground",
  danger: "bg-danger-soft text-danger hover:bg-danger-soft/70",
  link: "text-accent underline-offset-4 hover:underline",
};

const SIZES = {
  tiny: "h-7 gap-1.5 rounded-lg px-2 text-xs",
  small: "h-8 gap-1.5 rounded-lg px-3 text-sm",
  medium: "h-10 gap-2 rounded-xl px-4 text-sm",
  round: "size-9 rounded-full",
  icon: "size-8 rounded-lg",
  mini: "size-7 rounded-md",
  inline: "h-auto rounded-sm text-xs",
};

type Props = ComponentProps<"button"> & {
  variant?: keyof typeof VARIANTS;
  size?: keyof typeof SIZES;
};

export function Button({ className, variant = "outline", size = "small", ...props }: Props) {
  return <button type="button" className={cn(BASE, VARIANTS[variant], SIZES[size], className)} {...props} />;
}

/** A button with an icon and no visible text; its label is the accessible name and the tooltip. */
export function IconButton({
  label,
  icon: Icon,
  ...props
}: Omit<Props, "aria-label" | "title" | "children"> & { label: string; icon: LucideIcon }) {
  return (
    <Button variant="ghost" size="icon" aria-label={label} title={label} {...props}>
      <Icon className="size-4" aria-hidden="true" />
    </Button>
  );
}
