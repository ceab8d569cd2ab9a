/** Reads the output of the agent's `weather` tool. Pure; anything else than that shape is null, and shown as JSON. */

export interface Weather {
  readonly place: string;
  readonly condition: string;
  readonly celsius: number;
  readonly windKmh: number | null;
  readonly source: string | null;
  readonly days: readonly Day[];
}

export interface Day {
  /** `YYYY-MM-DD`. */
  readonly date: string;
  readonly condition: string;
  readonly lowCelsius: number;
  readonly highCelsius: number;
}

export function readWeather(output: unknown): Weather | null {
  const current = field(output, "current");
  const place = field(output, "place");
  const celsius = field(current, "temperature_c");
  const condition = field(current, "condition");
  const windKmh = field(current, "wind_kmh");
  const source = field(output, "source");
  const days = field(output, "forecast");
  if (typeof place !== "string" || typeof celsius !== "number" || typeof condition !== "string") {
    return null;
  }
  return {
    place,
    celsius,
    condition,
    windKmh: typeof windKmh === "number" ? windKmh : null,
    source: typeof source === "string" ? source : null,
    days: Array.isArray(days) ? days.map(readDay).filter((day) => day !== null) : [],
  };
}

function readDay(value: unknown): Day | null {
  const date = field(value, "date");
  const condition = field(value, "condition");
  const lowCelsius = field(value, "min_c");
  const highCelsius = field(value, "max_c");
  if (
    typeof date !== "string" ||
    typeof condition !== "string" ||
    typeof lowCelsius !== "number" ||
    typeof highCelsius !== "number"
  ) {
    return null;
  }
  return { date, condition, lowCelsius, highCelsius };
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
