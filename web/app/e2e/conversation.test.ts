/** The first real conversation: a real hub, a real agent process, a real browser. */

import { type Browser, chromium } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Hub } from "./hub.ts";
import { Chat } from "./page.ts";

/** A hub waits a while for those who have gone to come back. */
const GONE = { timeout: 40_000 };

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

async function openChat(address = hub.address): Promise<Chat> {
  const chat = await Chat.open(browser, address);
  open.push(chat);
  return chat;
}

test("an agent starts, calls its tool, answers token by token, and remembers", async () => {
  const chat = await openChat();
  const steps = chat.page.getByRole("list", { name: "Start of the agent" }).getByRole("listitem");
  await chat.isReady();
  expect(await steps.allTextContents()).toEqual([
    expect.stringMatching(/^Agent started\s*\d+ ms$/),
    expect.stringMatching(/^Agent ready\s*\d+ ms$/),
  ]);
  await chat.shoot("welcome");

  await chat.say("What is the weather in London?");
  const card = chat.turns.first().getByRole("figure", { name: "Tool weather" });
  await card.getByText("London").first().waitFor();
  await card.getByText("Done").waitFor();
  await chat.isReady();
  const lengths = await chat.lengths();
  expect(lengths.length).toBeGreaterThan(5);
  expect(await chat.answer(0).textContent()).toContain("London");
  await chat.shoot("answer");

  await chat.say("and tomorrow?");
  await chat.answer(1).waitFor();
  await chat.isReady();
  expect(await chat.answer(1).textContent()).toContain("London");
  expect(await chat.turns.count()).toBe(2);
  expect(chat.sockets).toEqual([`${hub.address.replace("http", "ws")}/ws`]);
});

test("an answer stops when it is told to, and the conversation goes on", async () => {
  const chat = await openChat();
  await chat.say("Tell me a long story");
  await expect.poll(async () => (await chat.lengths()).length).toBeGreaterThan(5);
  await chat.shoot("answering");
  await chat.page.getByRole("button", { name: "Stop the answer" }).click();
  await chat.turns.first().getByText("Stopped", { exact: true }).waitFor();
  await chat.isReady();

  await chat.say("Tell me a long story");
  await chat.answer(1).waitFor();
  await chat.page.keyboard.press("Escape");
  await chat.turns.nth(1).getByText("Stopped", { exact: true }).waitFor();
  await chat.isReady();
  expect(await chat.input.evaluate((input) => input === document.activeElement)).toBe(true);
});

test("Shift and Enter make a new line; what is sent at once waits for the agent", async () => {
  const chat = await openChat();
  await chat.input.pressSequentially("One");
  await chat.input.press("Shift+Enter");
  await chat.input.pressSequentially("two");
  expect(await chat.turns.count()).toBe(0);
  await chat.input.press("Enter");
  expect(await chat.input.inputValue()).toBe("");
  await expect.poll(() => chat.turns.first().getByRole("paragraph").first().textContent()).toBe("One\ntwo");
  await chat.answer(0).waitFor();
  await chat.isReady();
  expect(chat.sockets).toHaveLength(1);
});

test("the end is told, and a new conversation is one click away", async () => {
  const chat = await openChat();
  await chat.isReady();
  await chat.page.getByRole("button", { name: "End", exact: true }).click();
  await chat.end.getByText("Conversation ended").waitFor();
  await expect.poll(() => hub.agents(), GONE).toEqual([]);
  await chat.shoot("ended");
  await chat.page.getByRole("button", { name: "Start a new agent" }).click();
  await chat.isReady();
  expect(chat.sockets).toHaveLength(2);
});

test("closing the tab ends the agent", async () => {
  const chat = await openChat();
  await chat.isReady();
  expect(hub.agents()).not.toEqual([]);
  await chat.close();
  await expect.poll(() => hub.agents(), GONE).toEqual([]);
});

test("a hub that has no room says so", async () => {
  const small = await Hub.start("--max-sessions", "1");
  try {
    const first = await openChat(small.address);
    await first.isReady();
    const second = await openChat(small.address);
    await second.page.getByRole("region", { name: "Connection" }).getByText("All agents are taken").waitFor();
    await second.shoot("full");
    await first.leave();
    await second.isReady();
    await second.leave();
  } finally {
    await small.stop();
  }
});
