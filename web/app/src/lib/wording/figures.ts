/** Durations, countdowns and token counts as text. Pure. */

import type { Usage } from "@mayfly/client/protocol";

/** Formats a measured duration: `80 ms`, `0.3 s`, `1 min 5 s`. */
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

/** An answer's time to the first token and total time; null if neither is known. */
export function timing(ttftMs: number | null, tookMs: number | null): string | null {
  const items = [
    ttftMs === null ? [] : `${duration(ttftMs)} to the first word`,
    tookMs === null ? [] : `${duration(tookMs)} in total`,
  ].flat();
  return items.length === 0 ? null : items.join(" · ");
}

/** The answer's token counts; undefined if neither is known. */
export function usageText(usage: Usage | null): string | undefined {
  const items = [
    usage?.inputTokens === undefined ? [] : `${usage.inputTokens} input tokens`,
    usage?.outputTokens === undefined ? [] : `${usage.outputTokens} output tokens`,
  ].flat();
  return items.length === 0 ? undefined : items.join(", ");
}

const MINUTE = 60;
/** At or below this, a countdown shows minutes and seconds. */
const CLOCK_FROM = 5 * MINUTE;

/** Formats a countdown in seconds: `2 h`, `1 h 59 min`, `12 min`, `4:09`. */
export function timeLeft(seconds: number): string {
  if (seconds <= CLOCK_FROM) {
    return `${Math.floor(seconds / MINUTE)}:${String(seconds % MINUTE).padStart(2, "0")}`;
  }
  const minutes = Math.ceil(seconds / MINUTE);
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60 === 0 ? [] : [`${minutes % 60} min`];
  return (hours === 0 ? rest : [`${hours} h`, ...rest]).join(" ");
}
