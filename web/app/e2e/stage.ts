/** What every test needs: a browser, a hub for the file, and that nothing is left of it after each test. */

import { type Browser, chromium, type Page, type WebSocketRoute } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { type Answer, ScriptedAgent } from "./agent.ts";
import { Hub } from "./hub.ts";
import { Chat } from "./page.ts";

/** A hub waits a while for those who have gone to come back. */
export const GONE = { timeout: 40_000 };
/** What happens within a moment, also on a machine that has much else to do. */
export const SOON = { timeout: 15_000 };

export interface Stage {
  readonly hub: Hub;
  /** Opens the page in a browser of its own, after what the test has to prepare. It is left when the test is over. */
  openChat(address?: string, prepare?: (page: Page) => Promise<void>): Promise<Chat>;
  /** A hub for this test only. */
  otherHub(...flags: string[]): Promise<Hub>;
}

/** With an answer, agents are played by it; without, they are real. */
export function setStage({ answer, flags = [] }: { answer?: Answer; flags?: string[] } = {}): Stage {
  let browser: Browser;
  let hub: Hub;
  let agent: ScriptedAgent | undefined;
  const open: Chat[] = [];
  const others: Hub[] = [];
  const played = () =>
    agent === undefined ? [] : ["--platform", "static", "--static-agents", agent.address];

  beforeAll(async () => {
    agent = answer === undefined ? undefined : await ScriptedAgent.start(answer);
    [browser, hub] = await Promise.all([launch(), Hub.start(...played(), ...flags)]);
  });

  afterEach(async () => {
    for (const chat of open.splice(0)) {
      expect(chat.complaints).toEqual([]);
      await chat.leave();
    }
    for (const other of others.splice(0)) {
      await other.stop();
    }
    await expect.poll(() => hub.agents(), GONE).toEqual([]);
  });

  afterAll(async () => {
    await hub?.stop();
    agent?.stop();
    await browser?.close();
  });

  return {
    get hub() {
      return hub;
    },
    openChat: async (address = hub.address, prepare) => {
      const chat = await Chat.open(browser, address, prepare);
      open.push(chat);
      return chat;
    },
    otherHub: async (...more) => {
      const other = await Hub.start(...played(), ...more);
      others.push(other);
      return other;
    },
  };
}

function launch(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
}

/** Puts the test between the page and the hub. */
export function routeSockets(page: Page, lines: WebSocketRoute[], isUp = () => true): Promise<void> {
  return page.routeWebSocket(/\/ws(\/|\?|$)/, (line) => {
    lines.push(line);
    if (isUp()) {
      line.connectToServer();
    } else {
      line.close({ code: 4002 });
    }
  });
}
