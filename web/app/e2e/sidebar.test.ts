/** Several conversations in one tab, each with a socket and an agent of its own. */

import { expect, test } from "vitest";
import { SOON, setStage } from "./stage.ts";

const stage = setStage({
  answer: async (turn) => {
    await turn.text(turn.message === "slow" ? "Wait for it. " : `You said: ${turn.message}`);
    if (turn.message === "slow") {
      await turn.pause(1_500);
      await turn.text("There.");
    }
  },
});

test("each conversation goes on by itself, and says when there is something new in it", async () => {
  const chat = await stage.openChat();
  await chat.say("slow");
  await chat.status("Answering").waitFor();
  await chat.input.fill("half a thought");
  await chat.page.getByRole("button", { name: "New conversation", exact: true }).click();
  await chat.isReady();
  expect(await chat.turns.count()).toBe(0);
  expect(await chat.input.inputValue()).toBe("");
  await chat.say("other");
  await chat.turns.first().getByText("You said: other").waitFor();

  const slow = chat.conversation("slow");
  await chat.page.getByRole("button", { name: /slow.*unread/ }).waitFor(SOON);
  expect(await chat.page.title()).toBe("• other · Mayfly");
  await chat.shoot("unread");
  await slow.click();
  await chat.turns.first().getByText("There.").waitFor();
  expect(await chat.turns.count()).toBe(1);
  expect(await chat.input.inputValue()).toBe("half a thought");
  expect(await chat.page.title()).toBe("slow · Mayfly");
  expect(chat.sockets).toHaveLength(2);
});

test("a new name is kept when a person goes elsewhere, and they stay there", async () => {
  const chat = await stage.openChat();
  await chat.say("hello");
  await chat.isReady();
  await chat.conversation("hello").dblclick();
  await chat.page.getByRole("textbox", { name: "Name of the conversation" }).fill("Greetings");
  await chat.input.click();
  await chat.conversation("Greetings").waitFor();
  expect(await chat.focused()).toBe("Message");
});

test("a conversation is renamed, ended and removed from the list, with the keyboard alone", async () => {
  const chat = await stage.openChat();
  await chat.say("hello");
  await chat.isReady();
  await chat.conversation("hello").focus();
  await chat.page.keyboard.press("F2");
  const field = chat.page.getByRole("textbox", { name: "Name of the conversation" });
  await field.fill("Greetings");
  await field.press("Enter");
  await chat.conversation("Greetings").waitFor();
  expect(await chat.focused()).toContain("Greetings");
  await chat.page.keyboard.press("Delete");
  await chat.end.getByText("Conversation ended").waitFor();
  await chat.conversation("Greetings").focus();
  await chat.page.keyboard.press("Delete");
  await chat.page.getByRole("button", { name: "Remove?" }).waitFor();
  await chat.page.keyboard.press("Escape");
  expect(await chat.turns.count()).toBe(1);
  await chat.conversation("Greetings").focus();
  await chat.page.keyboard.press("Delete");
  await chat.page.keyboard.press("Enter");
  await chat.conversation("New conversation").waitFor();
  expect(await chat.conversation("Greetings").count()).toBe(0);
  expect(await chat.turns.count()).toBe(0);
  await chat.isReady();
});

test("a reload brings all of them back: those that live, those that are over, and what was being written", async () => {
  const chat = await stage.openChat();
  await chat.say("over");
  await chat.isReady();
  await chat.page.getByRole("button", { name: "End", exact: true }).click();
  await chat.end.waitFor();
  await chat.page.getByRole("button", { name: "New conversation", exact: true }).click();
  await chat.say("alive");
  await chat.isReady();
  await chat.input.fill("a draft");
  await chat.page.reload();

  await chat.turns.first().getByText("You said: alive").waitFor();
  await chat.isReady();
  expect(await chat.input.inputValue()).toBe("a draft");
  await chat.conversation("over").click();
  await chat.turns.first().getByText("You said: over").waitFor();
  await chat.end.getByText("This agent is gone").waitFor();
  await chat.say("and on");
  await chat.turns.nth(1).getByText("You said: and on").waitFor();
  await chat.page.getByText("A new agent from here on").waitFor();
  await chat.isReady();
});

test("on a narrow page the list is a drawer", async () => {
  const chat = await stage.openChat();
  await chat.say("hello");
  await chat.isReady();
  await chat.page.setViewportSize({ width: 390, height: 844 });
  await chat.page.getByRole("button", { name: "Conversations" }).click();
  const drawer = chat.page.getByRole("dialog", { name: "Conversations" });
  await drawer.getByRole("button", { name: "New conversation", exact: true }).waitFor();
  await chat.shoot("drawer", ["narrow"]);
  await chat.page.keyboard.press("Escape");
  await drawer.waitFor({ state: "detached" });
  await chat.page.getByRole("button", { name: "Conversations" }).click();
  await drawer.getByRole("button", { name: "New conversation", exact: true }).click();
  await drawer.waitFor({ state: "detached" });
  expect(await chat.turns.count()).toBe(0);
  await chat.isReady();
});
