/** The first real conversation: a real hub, a real agent process, a real browser. */

import { expect, test } from "vitest";
import { GONE, setStage } from "./stage.ts";

const stage = setStage();

test("an agent starts, calls its tool, answers token by token, and remembers", async () => {
  const chat = await stage.openChat();
  const steps = chat.page.getByRole("list", { name: "Start of the agent" }).getByRole("listitem");
  await chat.isReady();
  expect(await steps.allTextContents()).toEqual([
    expect.stringMatching(/^Agent started\s*[\d.]+ m?s$/),
    expect.stringMatching(/^Agent ready\s*[\d.]+ m?s$/),
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
  expect(chat.sockets).toEqual([`${stage.hub.address.replace("http", "ws")}/ws`]);
});

test("an answer stops when it is told to, and the conversation goes on", async () => {
  const chat = await stage.openChat();
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
  const chat = await stage.openChat();
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
  const chat = await stage.openChat();
  await chat.isReady();
  await chat.page.getByRole("button", { name: "End", exact: true }).click();
  await chat.end.getByText("Conversation ended").waitFor();
  await expect.poll(() => stage.hub.agents(), GONE).toEqual([]);
  await chat.shoot("ended");
  await chat.page.getByRole("button", { name: "Start a new agent" }).click();
  await chat.isReady();
  expect(chat.sockets).toHaveLength(2);
});

test("closing the tab ends the agent", async () => {
  const chat = await stage.openChat();
  await chat.isReady();
  expect(stage.hub.agents()).not.toEqual([]);
  await chat.close();
  await expect.poll(() => stage.hub.agents(), GONE).toEqual([]);
});

test("several conversations at once, as the README shows them", async () => {
  const chat = await stage.openChat();
  const begin = async (text: string) => {
    await chat.page.getByRole("button", { name: "New conversation", exact: true }).click();
    await chat.say(text);
  };
  await chat.say("What is the weather in London?");
  await chat.isReady();
  await chat.say("and in Reykjavik tomorrow?");
  await chat.isReady();
  await begin("Compare Oslo and Rome");
  await begin("Tell me a long story");
  await begin("Show me markdown");
  await chat.isReady();
  await chat.page.mouse.move(640, 5);
  await chat.shoot("several");
  await chat.conversation("What is the weather in London?").click();
  await chat.turns.nth(1).waitFor();
  await chat.page.mouse.move(640, 5);
  await chat.shoot("several-weather");
});
