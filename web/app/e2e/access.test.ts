/** Keyboard use, themes and reduced motion. Axe checks every state for which a test takes a screenshot. */

import { expect, test } from "vitest";
import { setUpTestPage } from "./test-page.ts";

const testPage = setUpTestPage({
  answer: async (turn) => {
    await turn.text(`You said: ${turn.message}`);
    if (turn.message === "slow") {
      await turn.untilStopped();
    }
  },
});

test("a conversation works with the keyboard alone and the focus is always visible", async () => {
  const chat = await testPage.openChat();
  const { keyboard } = chat.page;
  await chat.waitUntilReady();
  // The message field has the focus at first. After a click on the background, typing goes to the field again.
  expect(await chat.focused()).toBe("Message");
  await chat.page.mouse.click(640, 600);
  expect(await chat.focused()).not.toBe("Message");
  await chat.page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await keyboard.type("hello");
  expect(await chat.input.inputValue()).toBe("hello");
  await keyboard.press("Enter");
  await chat.turns.first().getByText("You said: hello").waitFor();
  await chat.waitForAnnouncement("The answer is complete.");
  await keyboard.type("slow");
  await keyboard.press("Enter");
  await chat.status("Answering").waitFor();
  await chat.page.getByRole("log").and(chat.page.locator("[aria-busy=true]")).waitFor();
  await keyboard.press("Escape");
  await chat.turns.nth(1).getByText("Stopped").waitFor();
  await chat.waitForAnnouncement("The answer was stopped.");

  await keyboard.press("Control+Shift+O");
  await chat.waitUntilReady();
  expect(await chat.turns.count()).toBe(0);
  expect(await chat.focused()).toBe("Message");

  const visited: string[] = [];
  for (let step = 0; step < 40; step++) {
    await keyboard.press("Tab");
    const { name, isVisible } = await chat.focusState();
    if (visited[0] === name) {
      break;
    }
    expect(isVisible, `the focus on ${name} is visible`).toBe(true);
    visited.push(name);
  }
  expect(visited).toEqual(
    expect.arrayContaining([
      "New conversation (Ctrl + Shift + O)",
      expect.stringContaining("hello"),
      "End hello",
      "System theme",
      expect.stringContaining("Session: Ready"),
      "End the conversation and its agent",
      "What is the weather in London?",
      "Message",
    ]),
  );
});

test("the selected theme is stored and applied before the first paint", async () => {
  const chat = await testPage.openChat();
  await chat.waitUntilReady();
  const background = () => chat.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await chat.page.emulateMedia({ colorScheme: "light" });
  const light = await background();
  await chat.page.getByRole("radio", { name: "Dark" }).check();
  const dark = await background();
  expect(dark).not.toBe(light);
  await chat.page.reload();
  expect(await chat.page.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
  expect(await background()).toBe(dark);
  await chat.page.getByRole("radio", { name: "System theme" }).check();
  expect(await background()).toBe(light);
  await chat.page.emulateMedia({ colorScheme: "dark" });
  expect(await background()).toBe(dark);
  await chat.waitUntilReady();
});

test("reduced motion disables all animations", async () => {
  const chat = await testPage.openChat();
  await chat.page.emulateMedia({ reducedMotion: "reduce" });
  await chat.send("slow");
  await chat.status("Answering").waitFor();
  // Animations that already run may end; none may continue.
  await chat.page.waitForFunction(() => document.getAnimations().length === 0);
  await chat.page.keyboard.press("Escape");
  await chat.waitUntilReady();
});
