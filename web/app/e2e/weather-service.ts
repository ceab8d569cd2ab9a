/**
 * A local weather service with the API of Open-Meteo, so that the weather tool works without a network and always
 * gives the same weather. The fields are those that agent/src/tool/weather/open_meteo.rs requests.
 */

import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

interface Place {
  readonly country: string;
  readonly country_code: string;
  readonly latitude: number;
  readonly longitude: number;
  readonly now: { readonly celsius: number; readonly code: number; readonly windKmh: number };
  /** Today and the next two days: WMO weather code, low, high and probability of rain in percent. */
  readonly days: readonly (readonly [code: number, low: number, high: number, rainPct: number])[];
}

const PLACES: ReadonlyMap<string, Place> = new Map([
  [
    "London",
    {
      country: "United Kingdom",
      country_code: "GB",
      latitude: 51.51,
      longitude: -0.13,
      now: { celsius: 9.4, code: 2, windKmh: 14.2 },
      days: [
        [2, 5.1, 11.2, 20],
        [61, 7.3, 12.4, 80],
        [3, 6, 10.1, 30],
      ],
    },
  ],
  [
    "Oslo",
    {
      country: "Norway",
      country_code: "NO",
      latitude: 59.91,
      longitude: 10.75,
      now: { celsius: -3.2, code: 73, windKmh: 9.7 },
      days: [
        [73, -6.4, -1.8, 70],
        [3, -8.1, -3, 10],
        [0, -10.2, -4.4, 0],
      ],
    },
  ],
  [
    "Rome",
    {
      country: "Italy",
      country_code: "IT",
      latitude: 41.89,
      longitude: 12.48,
      now: { celsius: 15.8, code: 0, windKmh: 7.1 },
      days: [
        [0, 8.2, 17.3, 0],
        [1, 9, 16.9, 5],
        [2, 10.1, 16.2, 15],
      ],
    },
  ],
]);

export class WeatherService {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<WeatherService> {
    const server = createServer((request, response) => {
      const answer = answerTo(new URL(request.url ?? "/", "http://localhost"));
      response.writeHead(answer === null ? 404 : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(answer ?? { error: true }));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new WeatherService(server);
  }

  /** Arguments for {@link Hub.start} with which the hub's agents use this service. */
  get hubArgs(): string[] {
    const host = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return [`MAYFLY_WEATHER_URL=http://${host}`, "--agent-env", "MAYFLY_WEATHER_URL", "--egress-allow", host];
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

function answerTo({ pathname, searchParams }: URL): object | null {
  if (pathname === "/v1/search") {
    const name = searchParams.get("name") ?? "";
    const place = PLACES.get(name);
    return place === undefined ? {} : { results: [{ ...place, name }] };
  }
  const latitude = Number(searchParams.get("latitude"));
  const place = [...PLACES.values()].find((each) => each.latitude === latitude);
  return pathname === "/v1/forecast" && place !== undefined ? forecastOf(place) : null;
}

function forecastOf({ now, days }: Place): object {
  const today = Date.now();
  return {
    current: {
      time: new Date(today).toISOString().slice(0, 16),
      temperature_2m: now.celsius,
      weather_code: now.code,
      wind_speed_10m: now.windKmh,
    },
    daily: {
      time: days.map((_, index) => new Date(today + index * DAY_MS).toISOString().slice(0, 10)),
      weather_code: days.map(([code]) => code),
      temperature_2m_min: days.map(([, low]) => low),
      temperature_2m_max: days.map(([, , high]) => high),
      precipitation_probability_max: days.map(([, , , rainPct]) => rainPct),
    },
  };
}

const DAY_MS = 86_400_000;
