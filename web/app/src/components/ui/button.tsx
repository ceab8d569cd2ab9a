/** The page's buttons, after shadcn/ui. */

import { cva, type VariantProps } from "class-variance-authority";
import type { ComponentProps } from "react";
import { cn } from "../../lib/cn.ts";

const button = cva(
  "inline-flex shrink-0 cursor-pointer select-none items-center justify-center gap-1.5 whitespace-nowrap font-medium transition-colors disabled:pointer-events-none disabled:opacity-40 [&_svg]:shrink-0",
  {
    variants: {
      variant: {
        solid: "bg-strong text-on-strong hover:bg-strong/85",
        outline: "border border-line bg-surface hover:bg-muted",
        ghost: "text-subtle hover:bg-muted hover:text-foreground",
        link: "text-accent underline-offset-4 hover:underline",
      },
      size: {
        small: "h-8 rounded-lg px-3 text-sm",
        medium: "h-10 rounded-xl px-4 text-sm",
        round: "size-9 rounded-full",
        inline: "h-auto rounded-sm text-xs",
      },
    },
    defaultVariants: { variant: "outline", size: "small" },
  },
);

export function Button({
  className,
  variant,
  size,
  ...props
}: ComponentProps<"button"> & VariantProps<typeof button>) {
  return <button type="button" className={cn(button({ variant, size }), className)} {...props} />;
}
