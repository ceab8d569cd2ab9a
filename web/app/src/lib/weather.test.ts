import { expect, test } from "vitest";
import { readWeather } from "./weather.ts";

const output = {
  place: "London, United Kingdom",
  source: "Open-Meteo",
  current: { temperature_c: 9.4, condition: "Light rain", wind_kmh: 14.2 },
  forecast: [{ date: "2025-11-24", condition: "Partly cloudy", min_c: 5.1, max_c: 11.2 }],
};

test("reads what the weather tool answers", () => {
  expect(readWeather(output)).toEqual({
    place: "London, United Kingdom",
    source: "Open-Meteo",
    celsius: 9.4,
    condition: "Light rain",
    windKmh: 14.2,
    days: [{ date: "2025-11-24", condition: "Partly cloudy", lowCelsius: 5.1, highCelsius: 11.2 }],
  });
});

test("does without wind, source, forecast and days that it cannot read", () => {
  const { place, current } = output;
  const bare = { place, current: { ...current, wind_kmh: undefined }, forecast: [{ date: 1 }, null] };
  expect(readWeather(bare)).toMatchObject({ windKmh: null, source: null, days: [] });
});

test.each([null, "sunny", [], {}, { place: "London" }, { ...output, current: { temperature_c: "9" } }])(
  "anything else is not weather: %j",
  (value) => {
    expect(readWeather(value)).toBeNull();
  },
);
