/** A tool's input and output as text, for any JSON value. Pure. */

/** Summarizes the input: its strings and numbers, in order. */
export function inputSummary(input: unknown): string {
  if (typeof input !== "object" || input === null) {
    return input === undefined || input === null ? "" : String(input);
  }
  const values: unknown[] = Object.values(input);
  return values.filter((value) => typeof value === "string" || typeof value === "number").join(", ");
}

/** Formats a value as indented JSON; a string stays as it is. */
export function toJson(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
