/** Lost connections, reloads and duplicated tabs, with a scripted agent. */

import type { WebSocketRoute } from "playwright-core";
import { expect, test } from "vitest";
import { Gate } from "./agent.ts";
import type { ChatPage } from "./page.ts";
import { longMarkdown } from "./samples.ts";
import { routeSockets, setUpTestPage } from "./test-page.ts";

const STORY = longMarkdown(600);
const PACE = { pieces: 2, everyMs: 5 };
/** The length of the story that the agent sends before it waits for each of the two gates. */
const [FIRST, SECOND] = [STORY.length / 3, (STORY.length / 3) * 2];

let gates: [Gate, Gate] = [new Gate(), new Gate()];

/** Tells the story in three parts of one text part each; the test opens the gates between them. */
const testPage = setUpTestPage({
  answer: async (turn) => {
    const [first, second] = gates;
    await turn.text(STORY.slice(0, FIRST), PACE);
    await turn.until(first.opened);
    await turn.text(STORY.slice(FIRST, SECOND), PACE);
    await turn.until(second.opened);
    await turn.text(STORY.slice(SECOND), PACE);
  },
});

function lastOf(routes: WebSocketRoute[]): WebSocketRoute {
  const last = routes.at(-1);
  if (last === undefined) {
    throw new Error("the page opened no WebSocket");
  }
  return last;
}

function openGates(): void {
  for (const gate of gates) {
    gate.open();
  }
}

/** The text of the story on a page without interruptions; computed once. */
let reference: string | undefined;
async function referenceStory(): Promise<string> {
  if (reference === undefined) {
    const chat = await testPage.openChat();
    await startStory(chat);
    openGates();
    reference = await completeStory(chat);
  }
  return reference;
}

/** Asks for the story and waits until its beginning is shown. The agent waits before the second third. */
async function startStory(chat: ChatPage): Promise<void> {
  gates = [new Gate(), new Gate()];
  await chat.send("Tell me a long story");
  await chat.answer(0).waitFor();
}

async function completeStory(chat: ChatPage): Promise<string> {
  await chat.waitUntilReady();
  expect(await chat.turns.count()).toBe(1);
  return storyOn(chat);
}

async function storyOn(chat: ChatPage): Promise<string> {
  return (await chat.turns.first().locator(".prose").allTextContents()).join("");
}

test("an answer is complete although the connection is cut twice", async () => {
  const story = await referenceStory();
  const routes: WebSocketRoute[] = [];
  const chat = await testPage.openChat(undefined, (page) => routeSockets(page, routes));
  await startStory(chat);
  for (const [cut, gate] of gates.entries()) {
    const before = (await storyOn(chat)).length;
    await lastOf(routes).close({ code: 4002 });
    await expect.poll(() => routes.length).toBe(cut + 2);
    gate.open();
    await expect.poll(async () => (await storyOn(chat)).length).toBeGreaterThan(before);
  }
  expect(lastOf(routes).url()).toMatch(/\/ws\/[\w-]+\?epoch=[^&]+&after=\d+$/);
  expect(await completeStory(chat)).toBe(story);
});

test("a message written while disconnected is sent once", async () => {
  const routes: WebSocketRoute[] = [];
  let isUp = true;
  const chat = await testPage.openChat(undefined, (page) => routeSockets(page, routes, () => isUp));
  await chat.waitUntilReady();
  isUp = false;
  await lastOf(routes).close({ code: 4002 });
  await chat.status("Reconnecting…").waitFor();
  openGates();
  await chat.send("Compare Oslo and Rome");
  expect(await chat.turns.count()).toBe(1);
  await chat.screenshot("reconnecting");
  isUp = true;
  await chat.page.evaluate(() => dispatchEvent(new Event("online")));
  await chat.answer(0).waitFor();
  await chat.waitUntilReady();
  expect(await chat.turns.count()).toBe(1);
});

test("a reload during an answer resumes the conversation", async () => {
  const story = await referenceStory();
  const chat = await testPage.openChat();
  await startStory(chat);
  await chat.page.reload();
  await chat.turns.first().getByText("Tell me a long story").waitFor();
  openGates();
  expect(await completeStory(chat)).toBe(story);
  expect(chat.sockets.at(-1)).toMatch(/\/ws\/[\w-]+$/);
});

test("a duplicated tab takes the conversation over and gives it back", async () => {
  const chat = await testPage.openChat();
  openGates();
  await chat.send("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  await chat.waitUntilReady();
  const twin = await chat.duplicate();
  await twin.turns.first().getByText("Compare Oslo and Rome").waitFor();
  const card = chat.endCard;
  await card.getByText("This conversation is open in another tab").waitFor();
  await chat.screenshot("elsewhere");
  await card.getByRole("button", { name: "Use it here" }).click();
  await chat.waitUntilReady();
  await twin.endCard.getByText("This conversation is open in another tab").waitFor();
  expect(await chat.turns.count()).toBe(1);
  expect(twin.problems).toEqual([]);
});

test("a regenerated answer replaces the last one", async () => {
  const chat = await testPage.openChat();
  openGates();
  await chat.send("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  await chat.waitUntilReady();
  await chat.turns.first().getByText("to the first word").waitFor();
  await chat.page.getByRole("button", { name: "Regenerate the answer" }).click();
  await chat.status("Answering").waitFor();
  await chat.waitUntilReady();
  expect(await chat.turns.count()).toBe(1);
});
