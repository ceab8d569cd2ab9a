/** Joins class names. They must not contradict each other: which one wins is then the stylesheet's order. */

import { type ClassValue, clsx } from "clsx";

export function cn(...inputs: ClassValue[]): string {
  return clsx(inputs);
}
