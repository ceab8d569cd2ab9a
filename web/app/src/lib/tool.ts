/** A tool's input and output as text, whatever they are. Pure. */

/** The input in a few words: its plain values, in order. */
export function inputSummary(input: unknown): string {
  if (typeof input !== "object" || input === null) {
    return input === undefined || input === null ? "" : String(input);
  }
  const values: unknown[] = Object.values(input);
  return values.filter((value) => typeof value === "string" || typeof value === "number").join(", ");
}

export function toJson(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
