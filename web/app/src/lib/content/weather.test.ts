import { expect, test } from "vitest";
import { readWeather } from "./weather.ts";

// The shapes that agent/src/tool/weather.rs writes.
const forecast = {
  source: "Open-Meteo",
  place: "London",
  country: "United Kingdom",
  time: "2026-11-23T16:00",
  temperature_c: 9.4,
  condition: "light rain",
  wind_kmh: 14.2,
  daily: [{ date: "2026-11-23", condition: "partly cloudy", high_c: 11.2, low_c: 5.1, rain_pct: 40 }],
};
const typical = {
  source: "climate normals",
  place: "London",
  country: "United Kingdom",
  month: "November",
  typical_high_c: 12,
  typical_low_c: 5,
  rain_days: 12,
  note: "Not a forecast",
};

test("reads a forecast", () => {
  expect(readWeather(forecast)).toEqual({
    kind: "forecast",
    place: "London, United Kingdom",
    source: "Open-Meteo",
    celsius: 9.4,
    condition: "light rain",
    windKmh: 14.2,
    days: [{ date: "2026-11-23", condition: "partly cloudy", lowCelsius: 5.1, highCelsius: 11.2 }],
  });
});

test("reads climate normals", () => {
  expect(readWeather(typical)).toEqual({
    kind: "typical",
    place: "London, United Kingdom",
    month: "November",
    lowCelsius: 5,
    highCelsius: 12,
    rainDays: 12,
    note: "Not a forecast",
  });
});

test("wind, country and days are optional", () => {
  const bare = { ...forecast, country: undefined, wind_kmh: undefined, daily: [{ date: 1 }, null] };
  expect(readWeather(bare)).toMatchObject({ place: "London", windKmh: null, days: [] });
});

test.each([
  null,
  "sunny",
  [],
  {},
  { place: "London" },
  { ...forecast, temperature_c: "9" },
  { ...typical, rain_days: null },
])("other output is not weather: %j", (value) => {
  expect(readWeather(value)).toBeNull();
});
