/** The page without a mouse, in other colours, and without motion. Axe looks at every state that is pictured anywhere. */

import { expect, test } from "vitest";
import { setStage } from "./stage.ts";

const stage = setStage({
  answer: async (turn) => {
    await turn.text(`You said: ${turn.message}`);
    if (turn.message === "slow") {
      await turn.pause(30_000);
    }
  },
});

test("a whole conversation needs nothing but the keyboard, and the focus is always seen", async () => {
  const chat = await stage.openChat();
  const { keyboard } = chat.page;
  await chat.isReady();
  // The page begins in the message field; from its start, the list comes first.
  expect(await chat.focused()).toBe("Message");
  await chat.page.mouse.click(640, 600);
  expect(await chat.focused()).not.toBe("Message");
  await chat.page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await keyboard.type("hello");
  expect(await chat.input.inputValue()).toBe("hello");
  await keyboard.press("Enter");
  await chat.turns.first().getByText("You said: hello").waitFor();
  await chat.announced("The answer is complete.");
  await keyboard.type("slow");
  await keyboard.press("Enter");
  await chat.status("Answering").waitFor();
  await chat.page.getByRole("log").and(chat.page.locator("[aria-busy=true]")).waitFor();
  await keyboard.press("Escape");
  await chat.turns.nth(1).getByText("Stopped").waitFor();
  await chat.announced("The answer was stopped.");

  await keyboard.press("Control+Shift+O");
  await chat.isReady();
  expect(await chat.turns.count()).toBe(0);
  expect(await chat.focused()).toBe("Message");

  const visited: string[] = [];
  for (let step = 0; step < 40; step++) {
    await keyboard.press("Tab");
    const { name, isSeen } = await chat.focusLook();
    if (visited[0] === name) {
      break;
    }
    expect(isSeen, `the focus on ${name} is seen`).toBe(true);
    visited.push(name);
  }
  expect(visited).toEqual(
    expect.arrayContaining([
      "New conversation (Ctrl + Shift + O)",
      expect.stringContaining("hello"),
      "End hello",
      "As the system",
      expect.stringContaining("Session: Ready"),
      "End the conversation and its agent",
      "What is the weather in London?",
      "Message",
    ]),
  );
});

test("light, dark and the system's colours are a person's choice, kept and applied before the page is drawn", async () => {
  const chat = await stage.openChat();
  await chat.isReady();
  const background = () => chat.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await chat.page.emulateMedia({ colorScheme: "light" });
  const light = await background();
  await chat.page.getByRole("radio", { name: "Dark" }).check();
  const dark = await background();
  expect(dark).not.toBe(light);
  await chat.page.reload();
  expect(await chat.page.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
  expect(await background()).toBe(dark);
  await chat.page.getByRole("radio", { name: "As the system" }).check();
  expect(await background()).toBe(light);
  await chat.page.emulateMedia({ colorScheme: "dark" });
  expect(await background()).toBe(dark);
  await chat.isReady();
});

test("who wants no motion gets none", async () => {
  const chat = await stage.openChat();
  await chat.page.emulateMedia({ reducedMotion: "reduce" });
  await chat.say("slow");
  await chat.status("Answering").waitFor();
  // What began before may end; nothing goes on, or begins with the answer.
  await chat.page.waitForFunction(() => document.getAnimations().length === 0);
  await chat.page.keyboard.press("Escape");
  await chat.isReady();
});
