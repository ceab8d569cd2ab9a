/** Reads the output of the agent's `weather` tool. Pure. Output of any other shape is null and is shown as JSON. */

export type Weather = Forecast | Typical;

/** Current weather with a forecast. */
export interface Forecast {
  readonly kind: "forecast";
  readonly place: string;
  readonly source: string;
  readonly condition: string;
  readonly celsius: number;
  readonly windKmh: number | null;
  readonly days: readonly Day[];
}

/** Climate normals of the month, used when no forecast is available. */
export interface Typical {
  readonly kind: "typical";
  readonly place: string;
  readonly month: string;
  readonly lowCelsius: number;
  readonly highCelsius: number;
  readonly rainDays: number;
  readonly note: string;
}

export interface Day {
  /** `YYYY-MM-DD`. */
  readonly date: string;
  readonly condition: string;
  readonly lowCelsius: number;
  readonly highCelsius: number;
}

export function readWeather(output: unknown): Weather | null {
  return field(output, "source") === "climate normals" ? readTypical(output) : readForecast(output);
}

function readForecast(output: unknown): Forecast | null {
  const place = placeOf(output);
  const source = field(output, "source");
  const celsius = field(output, "temperature_c");
  const condition = field(output, "condition");
  const windKmh = field(output, "wind_kmh");
  const days = field(output, "daily");
  if (
    place === null ||
    typeof source !== "string" ||
    typeof celsius !== "number" ||
    typeof condition !== "string"
  ) {
    return null;
  }
  return {
    kind: "forecast",
    place,
    source,
    celsius,
    condition,
    windKmh: typeof windKmh === "number" ? windKmh : null,
    days: Array.isArray(days) ? days.map(readDay).filter((day) => day !== null) : [],
  };
}

function readTypical(output: unknown): Typical | null {
  const place = placeOf(output);
  const month = field(output, "month");
  const lowCelsius = field(output, "typical_low_c");
  const highCelsius = field(output, "typical_high_c");
  const rainDays = field(output, "rain_days");
  const note = field(output, "note");
  if (
    place === null ||
    typeof month !== "string" ||
    typeof lowCelsius !== "number" ||
    typeof highCelsius !== "number" ||
    typeof rainDays !== "number" ||
    typeof note !== "string"
  ) {
    return null;
  }
  return { kind: "typical", place, month, lowCelsius, highCelsius, rainDays, note };
}

function readDay(value: unknown): Day | null {
  const date = field(value, "date");
  const condition = field(value, "condition");
  const lowCelsius = field(value, "low_c");
  const highCelsius = field(value, "high_c");
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

function placeOf(output: unknown): string | null {
  const place = field(output, "place");
  const country = field(output, "country");
  if (typeof place !== "string") {
    return null;
  }
  return typeof country === "string" ? `${place}, ${country}` : place;
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
