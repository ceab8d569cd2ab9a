/** An answer's figures in words. Pure. */

import type { Usage } from "@mayfly/client/protocol";

/** `80 ms`, `0.3 s`. */
export function firstWordTime(ms: number): string {
  return ms < 100 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** What the answer took of the model, as far as it is known. */
export function usageWords(usage: Usage | null): string | undefined {
  const words = [
    usage?.inputTokens === undefined ? [] : `${usage.inputTokens} tokens read`,
    usage?.outputTokens === undefined ? [] : `${usage.outputTokens} tokens written`,
  ].flat();
  return words.length === 0 ? undefined : words.join(", ");
}
