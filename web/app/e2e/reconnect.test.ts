/** A conversation outlives what happens to its connection and its page, and tells when it is about to end. */

import type { WebSocketRoute } from "playwright-core";
import { expect, test } from "vitest";
import type { Chat } from "./page.ts";
import { longMarkdown } from "./samples.ts";
import { routeSockets, SOON, setStage } from "./stage.ts";

const STORY = longMarkdown(600);

const stage = setStage({ answer: (turn) => turn.text(STORY, { pieces: 2, everyMs: 8 }) });

function lastOf(lines: WebSocketRoute[]): WebSocketRoute {
  const last = lines.at(-1);
  if (last === undefined) {
    throw new Error("the page opened no WebSocket");
  }
  return last;
}

/** What the story is when nothing happens to it; told once. */
let whole: string | undefined;
async function wholeStory(): Promise<string> {
  if (whole === undefined) {
    const chat = await stage.openChat();
    await tellStory(chat);
    whole = await finished(chat);
  }
  return whole;
}

async function tellStory(chat: Chat): Promise<void> {
  await chat.say("Tell me a long story");
  await expect.poll(async () => (await chat.lengths()).length, SOON).toBeGreaterThan(5);
}

async function finished(chat: Chat): Promise<string> {
  await chat.isReady();
  expect(await chat.turns.count()).toBe(1);
  return (await chat.answer(0).textContent()) ?? "";
}

test("a connection that is cut in mid-answer comes back, and the answer is whole", async () => {
  const story = await wholeStory();
  const lines: WebSocketRoute[] = [];
  const chat = await stage.openChat(undefined, (page) => routeSockets(page, lines));
  await tellStory(chat);
  for (const cut of [1, 2]) {
    const growth = (await chat.lengths()).length;
    await lastOf(lines).close({ code: 4002 });
    await expect.poll(() => lines.length, SOON).toBe(cut + 1);
    await expect.poll(async () => (await chat.lengths()).length, SOON).toBeGreaterThan(growth);
  }
  expect(lastOf(lines).url()).toMatch(/\/ws\/[\w-]+\?epoch=[^&]+&after=\d+$/);
  expect(await finished(chat)).toBe(story);
});

test("what is said while the connection is away is said once", async () => {
  const lines: WebSocketRoute[] = [];
  let isUp = true;
  const chat = await stage.openChat(undefined, (page) => routeSockets(page, lines, () => isUp));
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
  const story = await wholeStory();
  const chat = await stage.openChat();
  await tellStory(chat);
  await chat.page.reload();
  await chat.turns.first().getByText("Tell me a long story").waitFor();
  expect(await finished(chat)).toBe(story);
  expect(chat.sockets.at(-1)).toMatch(/\/ws\/[\w-]+$/);
});

test("a tab that is duplicated takes the conversation over, and gives it back", async () => {
  const chat = await stage.openChat();
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
  const chat = await stage.openChat();
  await chat.say("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  await chat.isReady();
  await chat.turns.first().getByText("to the first word").waitFor();
  await chat.page.getByRole("button", { name: "Another answer" }).click();
  await chat.status("Answering").waitFor();
  await chat.isReady();
  expect(await chat.turns.count()).toBe(1);
});
