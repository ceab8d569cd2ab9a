/** An answer's figures in words. Pure. */

import type { Usage } from "@mayfly/client/protocol";

/** `80 ms`, `0.3 s`, `1 min 5 s`. */
export function duration(ms: number): string {
  if (ms < 100) {
    return `${Math.round(ms)} ms`;
  }
  if (ms < 60_000) {
    return `${(ms / 1000).toFixed(1)} s`;
  }
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** How soon it began and how long it took, as far as that is known; null when nothing is. */
export function timing(ttftMs: number | null, tookMs: number | null): string | null {
  const words = [
    ttftMs === null ? [] : `${duration(ttftMs)} to the first word`,
    tookMs === null ? [] : `${duration(tookMs)} in all`,
  ].flat();
  return words.length === 0 ? null : words.join(" · ");
}

/** What the answer took of the model, as far as it is known. */
export function usageWords(usage: Usage | null): string | undefined {
  const words = [
    usage?.inputTokens === undefined ? [] : `${usage.inputTokens} tokens read`,
    usage?.outputTokens === undefined ? [] : `${usage.outputTokens} tokens written`,
  ].flat();
  return words.length === 0 ? undefined : words.join(", ");
}
