/** A conversation outlives what happens to its connection and its page, and tells when it is about to end. */

import { type Browser, chromium, type Page, type WebSocketRoute } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Hub } from "./hub.ts";
import { Chat } from "./page.ts";

const GONE = { timeout: 40_000 };
const BACK = { timeout: 10_000 };

let browser: Browser;
let hub: Hub;
const open: Chat[] = [];

beforeAll(async () => {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  [browser, hub] = await Promise.all([
    chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] }),
    Hub.start(),
  ]);
});

afterEach(async () => {
  for (const chat of open.splice(0)) {
    expect(chat.complaints).toEqual([]);
    await chat.leave();
  }
  await expect.poll(() => hub.agents(), GONE).toEqual([]);
});

afterAll(async () => {
  await hub?.stop();
  await browser?.close();
});

async function openChat(address = hub.address, prepare?: (page: Page) => Promise<void>): Promise<Chat> {
  const chat = await Chat.open(browser, address, prepare);
  open.push(chat);
  return chat;
}

/** Puts the test between the page and the hub. */
function routeSockets(page: Page, lines: WebSocketRoute[], isUp = () => true): Promise<void> {
  return page.routeWebSocket(/\/ws(\/|\?|$)/, (line) => {
    lines.push(line);
    if (isUp()) {
      line.connectToServer();
    } else {
      line.close({ code: 4002 });
    }
  });
}

function lastOf(lines: WebSocketRoute[]): WebSocketRoute {
  const last = lines.at(-1);
  if (last === undefined) {
    throw new Error("the page opened no WebSocket");
  }
  return last;
}

/** What the story is when nothing happens to it; told once, beside the first one that something happens to. */
let whole: Promise<string> | undefined;
function wholeStory(): Promise<string> {
  whole ??= (async () => {
    const chat = await openChat();
    await tellStory(chat);
    return finished(chat);
  })();
  return whole;
}

async function tellStory(chat: Chat): Promise<void> {
  await chat.say("Tell me a long story");
  await expect.poll(async () => (await chat.lengths()).length, BACK).toBeGreaterThan(5);
}

async function finished(chat: Chat): Promise<string> {
  await chat.isReady();
  expect(await chat.turns.count()).toBe(1);
  return (await chat.answer(0).textContent()) ?? "";
}

test("a connection that is cut in mid-answer comes back, and the answer is whole", async () => {
  const story = wholeStory();
  const lines: WebSocketRoute[] = [];
  const chat = await openChat(hub.address, (page) => routeSockets(page, lines));
  await tellStory(chat);
  for (const cut of [1, 2]) {
    const growth = (await chat.lengths()).length;
    await lastOf(lines).close({ code: 4002 });
    await expect.poll(() => lines.length, BACK).toBe(cut + 1);
    await expect.poll(async () => (await chat.lengths()).length, BACK).toBeGreaterThan(growth);
  }
  expect(lastOf(lines).url()).toMatch(/\/ws\/[\w-]+\?epoch=[^&]+&after=\d+$/);
  expect(await finished(chat)).toBe(await story);
});

test("what is said while the connection is away is said once", async () => {
  const lines: WebSocketRoute[] = [];
  let isUp = true;
  const chat = await openChat(hub.address, (page) => routeSockets(page, lines, () => isUp));
  await chat.isReady();
  isUp = false;
  await lastOf(lines).close({ code: 4002 });
  await chat.status("Reconnecting…").waitFor();
  await chat.say("Compare Oslo and Rome");
  expect(await chat.turns.count()).toBe(1);
  await chat.shoot("reconnecting");
  isUp = true;
  await chat.page.evaluate(() => dispatchEvent(new Event("online")));
  await chat.answer(0).waitFor();
  await chat.isReady();
  expect(await chat.turns.count()).toBe(1);
});

test("a page that is reloaded in mid-answer is in the same conversation", async () => {
  const story = wholeStory();
  const chat = await openChat();
  await tellStory(chat);
  const agents = hub.agents();
  await chat.page.reload();
  await chat.turns.first().getByText("Tell me a long story").waitFor();
  expect(hub.agents()).toEqual(agents);
  expect(await finished(chat)).toBe(await story);
  expect(chat.sockets.at(-1)).toMatch(/\/ws\/[\w-]+$/);
});

test("a tab that is duplicated takes the conversation over, and gives it back", async () => {
  const chat = await openChat();
  await chat.say("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  await chat.isReady();
  const twin = await chat.duplicate();
  await twin.turns.first().getByText("Compare Oslo and Rome").waitFor();
  const card = chat.end;
  await card.getByText("This conversation is open in another tab").waitFor();
  await chat.shoot("elsewhere");
  await card.getByRole("button", { name: "Use it here" }).click();
  await chat.isReady();
  await twin.end.getByText("This conversation is open in another tab").waitFor();
  expect(await chat.turns.count()).toBe(1);
  expect(twin.complaints).toEqual([]);
});

test("another answer takes the place of the last one", async () => {
  const chat = await openChat();
  await chat.say("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  await chat.isReady();
  await chat.turns.first().getByText("to the first word").waitFor();
  await chat.page.getByRole("button", { name: "Another answer" }).click();
  await chat.status("Answering").waitFor();
  await chat.isReady();
  expect(await chat.turns.count()).toBe(1);
});

test("a conversation that falls silent warns, stays when it is told to, and then ends", async () => {
  const brief = await Hub.start("--idle-ttl", "6s", "--warning", "5s", "--activity", "message");
  try {
    const chat = await openChat(brief.address);
    await chat.isReady();
    const warning = chat.page.getByRole("region", { name: "Time" });
    await warning.getByText(/Still there\? This conversation ends in [345] s\./).waitFor();
    await chat.shoot("expiring");
    await chat.input.press("Enter");
    await warning.waitFor({ state: "detached" });
    expect(await chat.turns.count()).toBe(0);
    await warning.waitFor();
    await chat.end.getByText("Ended after a long silence").waitFor();
    await chat.shoot("expired");
    await chat.page.getByRole("button", { name: "Start a new agent" }).click();
    await chat.isReady();
    await chat.leave();
  } finally {
    await brief.stop();
  }
});
