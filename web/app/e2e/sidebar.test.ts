/** Several conversations in one tab, each with a socket and an agent of its own. */

import { expect, test } from "vitest";
import { Gate } from "./agent.ts";
import { setUpTestPage } from "./test-page.ts";

const gate = new Gate();

const testPage = setUpTestPage({
  answer: async (turn) => {
    await turn.text(turn.message === "slow" ? "The beginning. " : `You said: ${turn.message}`);
    if (turn.message === "slow") {
      await turn.until(gate.opened);
      await turn.text("The end.");
    }
  },
});

test("conversations run independently and mark unread answers", async () => {
  const chat = await testPage.openChat();
  await chat.send("slow");
  await chat.status("Answering").waitFor();
  await chat.input.fill("half a message");
  await chat.page.getByRole("button", { name: "New conversation", exact: true }).click();
  await chat.waitUntilReady();
  expect(await chat.turns.count()).toBe(0);
  expect(await chat.input.inputValue()).toBe("");
  await chat.send("other");
  await chat.turns.first().getByText("You said: other").waitFor();

  const slow = chat.conversation("slow");
  gate.open();
  await chat.page.getByRole("button", { name: /slow.*unread/ }).waitFor();
  expect(await chat.page.title()).toBe("• other · Mayfly");
  await chat.screenshot("unread");
  await slow.click();
  await chat.turns.first().getByText("The end.").waitFor();
  expect(await chat.turns.count()).toBe(1);
  expect(await chat.input.inputValue()).toBe("half a message");
  expect(await chat.page.title()).toBe("slow · Mayfly");
  expect(chat.sockets).toHaveLength(2);
});

test("a rename is saved when the field loses the focus", async () => {
  const chat = await testPage.openChat();
  await chat.send("hello");
  await chat.waitUntilReady();
  await chat.conversation("hello").dblclick();
  await chat.page.getByRole("textbox", { name: "Name of the conversation" }).fill("Greetings");
  await chat.input.click();
  await chat.conversation("Greetings").waitFor();
  expect(await chat.focused()).toBe("Message");
});

test("a conversation can be renamed, ended and removed with the keyboard alone", async () => {
  const chat = await testPage.openChat();
  await chat.send("hello");
  await chat.waitUntilReady();
  await chat.conversation("hello").focus();
  await chat.page.keyboard.press("F2");
  const field = chat.page.getByRole("textbox", { name: "Name of the conversation" });
  await field.fill("Greetings");
  await field.press("Enter");
  await chat.conversation("Greetings").waitFor();
  expect(await chat.focused()).toContain("Greetings");
  await chat.page.keyboard.press("Delete");
  await chat.endCard.getByText("Conversation ended").waitFor();
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
  await chat.waitUntilReady();
});

test("a reload restores live and ended conversations and drafts", async () => {
  const chat = await testPage.openChat();
  await chat.send("over");
  await chat.waitUntilReady();
  await chat.page.getByRole("button", { name: "End", exact: true }).click();
  await chat.endCard.waitFor();
  await chat.page.getByRole("button", { name: "New conversation", exact: true }).click();
  await chat.send("alive");
  await chat.waitUntilReady();
  await chat.input.fill("a draft");
  await chat.page.reload();

  await chat.turns.first().getByText("You said: alive").waitFor();
  await chat.waitUntilReady();
  expect(await chat.input.inputValue()).toBe("a draft");
  await chat.conversation("over").click();
  await chat.turns.first().getByText("You said: over").waitFor();
  await chat.endCard.getByText("This agent has stopped").waitFor();
  await chat.send("and on");
  await chat.turns.nth(1).getByText("You said: and on").waitFor();
  await chat.page.getByText("New agent, which does not know the messages above").waitFor();
  await chat.waitUntilReady();
});

test("on a narrow page the sidebar is a drawer", async () => {
  const chat = await testPage.openChat();
  await chat.send("hello");
  await chat.waitUntilReady();
  await chat.page.setViewportSize({ width: 390, height: 844 });
  await chat.page.getByRole("button", { name: "Conversations" }).click();
  const drawer = chat.page.getByRole("dialog", { name: "Conversations" });
  await drawer.getByRole("button", { name: "New conversation", exact: true }).waitFor();
  await chat.screenshot("drawer", ["narrow"]);
  await chat.page.keyboard.press("Escape");
  await drawer.waitFor({ state: "detached" });
  await chat.page.getByRole("button", { name: "Conversations" }).click();
  await drawer.getByRole("button", { name: "New conversation", exact: true }).click();
  await drawer.waitFor({ state: "detached" });
  expect(await chat.turns.count()).toBe(0);
  await chat.waitUntilReady();
});
