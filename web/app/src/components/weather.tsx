/** The output of the weather tool: a forecast, or the climate normals of the month. */

import {
  CalendarDays,
  Cloud,
  CloudDrizzle,
  CloudFog,
  CloudLightning,
  CloudRain,
  CloudSun,
  type LucideIcon,
  Snowflake,
  Sun,
} from "lucide-react";
import type { Day, Forecast, Weather as Report, Typical } from "../lib/content/weather.ts";

/** Icons by condition; the first pattern that matches decides. */
const ICONS: readonly [RegExp, LucideIcon][] = [
  [/thunder/i, CloudLightning],
  [/snow|sleet|ice/i, Snowflake],
  [/drizzle/i, CloudDrizzle],
  [/rain|shower/i, CloudRain],
  [/fog|mist/i, CloudFog],
  [/part|mainly/i, CloudSun],
  [/clear|sun/i, Sun],
];

function iconOf(condition: string): LucideIcon {
  return ICONS.find(([pattern]) => pattern.test(condition))?.[1] ?? Cloud;
}

export function Weather({ weather }: { weather: Report }) {
  return weather.kind === "forecast" ? <ForecastView weather={weather} /> : <TypicalView weather={weather} />;
}

function ForecastView({ weather }: { weather: Forecast }) {
  const Icon = iconOf(weather.condition);
  return (
    <div className="flex flex-wrap items-center gap-x-8 gap-y-3 px-4 pt-1 pb-4">
      <div className="flex items-center gap-3">
        <Icon className="size-9 text-accent" strokeWidth={1.5} aria-hidden="true" />
        <p className="text-3xl font-light tracking-tight whitespace-nowrap tabular-nums">
          {degrees(weather.celsius)}C
        </p>
        <p className="leading-snug">
          <span className="first-letter:uppercase inline-block">{weather.condition}</span>
          <span className="block text-subtle">
            {weather.place}
            {weather.windKmh !== null && `, wind ${Math.round(weather.windKmh)} km/h`}
          </span>
        </p>
      </div>
      {weather.days.length > 0 && (
        <ol aria-label="Forecast" className="flex gap-5 sm:ms-auto">
          {weather.days.map((day) => (
            <DayView key={day.date} day={day} />
          ))}
        </ol>
      )}
      <p className="w-full text-xs text-subtle">{weather.source}</p>
    </div>
  );
}

function TypicalView({ weather }: { weather: Typical }) {
  return (
    <div className="space-y-2 px-4 pt-1 pb-4">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <CalendarDays className="size-9 shrink-0 text-subtle" strokeWidth={1.5} aria-hidden="true" />
        <p className="text-3xl font-light tracking-tight whitespace-nowrap tabular-nums">
          {degrees(weather.lowCelsius)} to {degrees(weather.highCelsius)}C
        </p>
        <p className="leading-snug">
          Typical for {weather.month}
          <span className="block text-subtle">
            {weather.place}, {weather.rainDays} days with rain or snow
          </span>
        </p>
      </div>
      <p className="text-xs text-subtle">{weather.note}</p>
    </div>
  );
}

function DayView({ day }: { day: Day }) {
  const Icon = iconOf(day.condition);
  return (
    <li className="flex flex-col items-center gap-1 text-xs">
      <span className="text-subtle">{weekday(day.date)}</span>
      <Icon className="size-4 text-subtle" role="img" aria-label={day.condition} />
      <span className="tabular-nums">
        {degrees(day.highCelsius)} <span className="text-subtle">{degrees(day.lowCelsius)}</span>
      </span>
    </li>
  );
}

function degrees(celsius: number): string {
  // Uses a minus sign instead of a hyphen, and never shows minus zero.
  return `${Math.round(celsius) || 0}°`.replace("-", "\u2212");
}

/** The weekday of a calendar date. UTC on both sides keeps the date from shifting with the reader's time zone. */
function weekday(date: string): string {
  const day = new Date(`${date}T00:00:00Z`);
  return Number.isNaN(day.getTime())
    ? date
    : day.toLocaleDateString("en", { weekday: "short", timeZone: "UTC" });
}
