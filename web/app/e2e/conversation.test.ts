/** Conversations with the built-in agent as a real process. */

import { expect, test } from "vitest";
import { setUpTestPage } from "./test-page.ts";

const testPage = setUpTestPage();

test("the agent starts, calls its tool, streams an answer and remembers the place", async () => {
  const chat = await testPage.openChat();
  const steps = chat.page.getByRole("list", { name: "Start of the agent" }).getByRole("listitem");
  await chat.waitUntilReady();
  expect(await steps.allTextContents()).toEqual([
    expect.stringMatching(/^Agent started\s*[\d.]+ m?s$/),
    expect.stringMatching(/^Agent ready\s*[\d.]+ m?s$/),
  ]);
  await chat.screenshot("welcome");

  await chat.send("What is the weather in London?");
  const card = chat.turns.first().getByRole("figure", { name: "Tool weather" });
  await card.getByText("London").first().waitFor();
  await card.getByText("Done").waitFor();
  await chat.waitUntilReady();
  expect(chat.deltas).toBeGreaterThan(5);
  expect(await chat.answer(0).textContent()).toContain("London");
  await chat.screenshot("answer");

  await chat.send("and tomorrow?");
  await chat.answer(1).waitFor();
  await chat.waitUntilReady();
  expect(await chat.answer(1).textContent()).toContain("London");
  expect(await chat.turns.count()).toBe(2);
  expect(chat.sockets).toEqual([`${testPage.hub.address.replace("http", "ws")}/ws`]);
});

test("Shift + Enter inserts a line break and an early message waits for the agent", async () => {
  const chat = await testPage.openChat();
  await chat.input.pressSequentially("One");
  await chat.input.press("Shift+Enter");
  await chat.input.pressSequentially("two");
  expect(await chat.turns.count()).toBe(0);
  await chat.input.press("Enter");
  expect(await chat.input.inputValue()).toBe("");
  await expect.poll(() => chat.turns.first().getByRole("paragraph").first().textContent()).toBe("One\ntwo");
  await chat.answer(0).waitFor();
  await chat.waitUntilReady();
  expect(chat.sockets).toHaveLength(1);
});

test("an ended conversation can be continued with a new agent", async () => {
  const chat = await testPage.openChat();
  await chat.waitUntilReady();
  await chat.page.getByRole("button", { name: "End", exact: true }).click();
  await chat.endCard.getByText("Conversation ended").waitFor();
  await expect.poll(() => testPage.hub.agents()).toEqual([]);
  await chat.screenshot("ended");
  await chat.page.getByRole("button", { name: "Start a new agent" }).click();
  await chat.waitUntilReady();
  expect(chat.sockets).toHaveLength(2);
});

test("closing the tab ends the agent after the grace period", async () => {
  const brief = await testPage.startHub("--grace", "1s");
  const chat = await testPage.openChat(brief.address);
  await chat.waitUntilReady();
  expect(brief.agents()).not.toEqual([]);
  await chat.close();
  await expect.poll(() => brief.agents()).toEqual([]);
});

/** Takes the pictures of the README: `chat-readme-light.png` and `several-readme-dark.png` become web/chat-*.png. */
test("several conversations run at once", async () => {
  const chat = await testPage.openChat();
  const begin = async (text: string) => {
    await chat.page.getByRole("button", { name: "New conversation", exact: true }).click();
    await chat.send(text);
  };
  await chat.send("Compare Oslo and Rome");
  await chat.waitUntilReady();
  await begin("What is the weather in London?");
  await begin("Tell me a long story");
  await begin("Show me markdown");
  await chat.waitUntilReady();
  await chat.page.mouse.move(640, 5);
  await chat.screenshot("several", ["wide", "narrow", "readme"]);
  await chat.conversation("Compare Oslo and Rome").click();
  await chat.turns.first().waitFor();
  await chat.page.mouse.move(640, 5);
  await chat.screenshot("chat", ["wide", "narrow", "readme"]);
});
