/** The fixture of all page tests: a browser and a hub for each file, and checks that each test leaves no agents. */

import { type Browser, chromium, type Page, type WebSocketRoute } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { type AnswerScript, ScriptedAgent } from "./agent.ts";
import { Hub } from "./hub.ts";
import { ChatPage } from "./page.ts";
import { WeatherService } from "./weather-service.ts";

export interface TestPage {
  readonly hub: Hub;
  /** Opens the page in a browser context of its own after `prepare` has run. The fixture closes it after the test. */
  openChat(address?: string, prepare?: (page: Page) => Promise<void>): Promise<ChatPage>;
  /** Starts a hub for this test only. */
  startHub(...flags: string[]): Promise<Hub>;
}

/**
 * Sets up the fixture. With `answer`, a scripted agent serves all sessions. Otherwise agents are real processes, whose
 * weather tool uses the local {@link WeatherService}.
 */
export function setUpTestPage({
  answer,
  flags = [],
}: {
  answer?: AnswerScript;
  flags?: string[];
} = {}): TestPage {
  let browser: Browser;
  let hub: Hub;
  let agent: ScriptedAgent | undefined;
  let weather: WeatherService | undefined;
  const open: ChatPage[] = [];
  const others: Hub[] = [];
  const agentFlags = () =>
    agent === undefined
      ? (weather?.hubArgs ?? [])
      : ["--platform", "static", "--static-agents", agent.address];

  beforeAll(async () => {
    if (answer === undefined) {
      weather = await WeatherService.start();
    } else {
      agent = await ScriptedAgent.start(answer);
    }
    [browser, hub] = await Promise.all([launchBrowser(), Hub.start(...agentFlags(), ...flags)]);
  });

  afterEach(async () => {
    for (const chat of open.splice(0)) {
      expect(chat.problems).toEqual([]);
      await chat.leave();
    }
    for (const other of others.splice(0)) {
      await other.stop();
    }
    await expect.poll(() => hub.agents()).toEqual([]);
  });

  afterAll(async () => {
    await hub?.stop();
    agent?.stop();
    weather?.stop();
    await browser?.close();
  });

  return {
    get hub() {
      return hub;
    },
    openChat: async (address = hub.address, prepare) => {
      const chat = await ChatPage.open(browser, address, prepare);
      open.push(chat);
      return chat;
    },
    startHub: async (...args) => {
      const other = await Hub.start(...agentFlags(), ...args);
      others.push(other);
      return other;
    },
  };
}

/** Starts Chromium from the path in `CHROMIUM`, or `/usr/bin/chromium`. */
export function launchBrowser(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}

/** Routes the page's WebSockets through the test, which can close them; `isUp` decides whether a new one connects. */
export function routeSockets(page: Page, routes: WebSocketRoute[], isUp = () => true): Promise<void> {
  return page.routeWebSocket(/\/ws(\/|\?|$)/, (route) => {
    routes.push(route);
    if (isUp()) {
      route.connectToServer();
    } else {
      route.close({ code: 4002 });
    }
  });
}
