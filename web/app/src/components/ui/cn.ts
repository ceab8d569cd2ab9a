/**
 * Joins class names. Conflicting Tailwind classes are not merged: the order in the stylesheet decides which one
 * applies.
 */

import { type ClassValue, clsx } from "clsx";

export function cn(...inputs: ClassValue[]): string {
  return clsx(inputs);
}
