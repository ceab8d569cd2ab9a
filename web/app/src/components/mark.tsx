/** The logo, a mayfly. The favicon `mayfly.svg` has the same paths. */

import { cn } from "./ui/cn.ts";

export function Mark({ className }: { className?: string }) {
  return (
    <svg
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.2"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      className={cn("text-accent", className)}
    >
      <path d="M8 11.2C6.4 7 8.2 3 13.2 1.4c1.8 4.2-.2 8.4-5.2 9.8Z" fill="currentColor" fillOpacity="0.3" />
      <path
        d="M10.2 12.4c2-2.9 5-3.9 8.6-2.8-1.2 3.4-4.6 4.5-8.6 2.8Z"
        fill="currentColor"
        fillOpacity="0.14"
      />
      <path d="M4.6 8.8C8 11 12.4 13.4 15.2 17M15.2 17C17 19 19.2 20 22 20.2M15.2 17c1 2 2.2 3.8 4 5.2M6.8 10.4 4 13.6M9.4 12.2 7.6 16" />
      <circle cx="4.6" cy="8.8" r="1" fill="currentColor" />
    </svg>
  );
}
