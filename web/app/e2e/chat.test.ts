/** Messages and answers: rendering, actions, queueing and scrolling, with a scripted agent. */

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { Gate, type Turn } from "./agent.ts";
import { HOSTILE_MARKDOWN, MARKDOWN } from "./samples.ts";
import { setUpTestPage } from "./test-page.ts";

/** Slow enough for scrolling between tokens. */
const SLOW_PACE = { pieces: 10, everyMs: 20 };

const testPage = setUpTestPage({ answer });

let hasFailed = false;
let gate = new Gate();

async function answer(turn: Turn): Promise<void> {
  const { message, send } = turn;
  switch (message) {
    case "markdown":
      return turn.text(MARKDOWN);
    case "two parts":
      await turn.text("The first part.");
      await turn.until(gate.opened);
      return turn.text("The second part.");
    case "hostile":
      return turn.text(HOSTILE_MARKDOWN);
    case "think":
      send({ type: "reasoning-start", id: "r" });
      send({ type: "reasoning-delta", id: "r", delta: "The question is simple. " });
      send({ type: "reasoning-delta", id: "r", delta: "The answer needs **one** sentence." });
      send({ type: "reasoning-end", id: "r" });
      return turn.text("This is the sentence.");
    case "tools":
      return callTools(turn);
    case "fail":
      await turn.text("The beginning, ");
      if (!hasFailed) {
        hasFailed = true;
        throw new Error("the model is overloaded");
      }
      return turn.text("and this time the end.");
    case "endless":
      while (!turn.isStopped) {
        await turn.text("One more paragraph of an answer that ends only when it is stopped.\n\n", SLOW_PACE);
      }
      return;
    case "open":
      await turn.text("This answer stays open.");
      return turn.untilStopped();
    default:
      return turn.text(`You said: ${message}`);
  }
}

async function callTools({ send, text }: Turn): Promise<void> {
  await text("Searching.");
  send({ type: "tool-input-start", toolCallId: "a", toolName: "search" });
  for (const inputTextDelta of ['{"query":', '"mayflies",', '"limit":3}']) {
    send({ type: "tool-input-delta", toolCallId: "a", inputTextDelta });
  }
  const input = { query: "mayflies", limit: 3 };
  send({ type: "tool-input-available", toolCallId: "a", toolName: "search", input });
  send({ type: "tool-output-available", toolCallId: "a", output: ["Ephemera danica", "Baetis rhodani"] });
  send({
    type: "tool-input-available",
    toolCallId: "b",
    toolName: "fetch",
    input: { url: "https://a.example" },
  });
  send({ type: "tool-output-error", toolCallId: "b", errorText: "the page cannot be reached" });
  await text("The search found two species; one page could not be read.");
}

test("markdown is rendered and complete code is highlighted", async () => {
  const chat = await testPage.openChat();
  await chat.send("markdown");
  await chat.waitUntilReady();
  const prose = chat.answer(0);
  expect(await prose.locator("h2").textContent()).toBe("How it works");
  expect(await prose.locator("ol").count()).toBe(1);
  expect(await prose.locator("ol > li").count()).toBe(3);
  expect(await prose.locator("ol ul > li").count()).toBe(2);
  expect(await prose.locator("table tbody tr").count()).toBe(3);
  expect(await prose.locator("input[type=checkbox]").count()).toBe(2);
  expect(await prose.locator("del").textContent()).toBe("deleted text");
  expect(await prose.locator(":scope > p").last().textContent()).toContain(" [0, 1) ");
  await prose.locator("pre .hljs-keyword").first().waitFor();
  expect(await prose.locator("pre").textContent()).toContain("value * factor");
  await chat.screenshot("markdown");
});

test("an answer is shown while it grows", async () => {
  gate = new Gate();
  const chat = await testPage.openChat();
  await chat.send("two parts");
  await chat.turns.first().getByText("The first part.").waitFor();
  await chat.status("Answering").waitFor();
  expect(await chat.turns.first().textContent()).not.toContain("The second part.");
  gate.open();
  await chat.turns.first().getByText("The second part.").waitFor();
  await chat.waitUntilReady();
});

test("model output cannot run scripts, load resources or link to unsafe addresses", async () => {
  const chat = await testPage.openChat();
  const requests: string[] = [];
  chat.page.on("request", (request) => requests.push(request.url()));
  await chat.send("hostile");
  await chat.waitUntilReady();
  const prose = chat.answer(0);
  await prose.getByText("After.").waitFor();
  expect(await chat.page.evaluate(() => (globalThis as { harmed?: unknown }).harmed)).toBeUndefined();
  expect(await prose.locator("script, img, iframe, style, svg[onload], object, embed").count()).toBe(0);
  const targets = await prose
    .locator("a")
    .evaluateAll((links) => links.map((link) => link.getAttribute("href")));
  expect(targets).toEqual(["https://evil.example/pixel.png", "https://fine.example/page"]);
  for (const link of await prose.locator("a").all()) {
    expect(await link.getAttribute("rel")).toContain("noopener");
    expect(await link.getAttribute("target")).toBe("_blank");
  }
  expect(await prose.textContent()).toContain('<script>window.harmed = "script"</script>');
  expect(requests.filter((url) => url.includes("evil"))).toEqual([]);
});

test("a tool card shows input, output and state, and reasoning is collapsed", async () => {
  const chat = await testPage.openChat();
  await chat.send("tools");
  await chat.waitUntilReady();
  const search = chat.page.getByRole("figure", { name: "Tool search" });
  await search.getByText("Done").waitFor();
  await search.getByText("search", { exact: true }).click();
  expect(await search.locator("pre").allTextContents()).toEqual([
    '{\n  "query": "mayflies",\n  "limit": 3\n}',
    '[\n  "Ephemera danica",\n  "Baetis rhodani"\n]',
  ]);
  const failed = chat.page.getByRole("figure", { name: "Tool fetch" });
  await failed.getByText("the page cannot be reached").waitFor();
  await chat.send("think");
  await chat.waitUntilReady();
  const reasoning = chat.turns.nth(1).getByRole("group");
  expect(await reasoning.locator(".prose").isVisible()).toBe(false);
  await reasoning.getByText("Reasoning").click();
  expect(await reasoning.locator(".prose strong").textContent()).toBe("one");
  await chat.screenshot("tools");
});

test("a failed answer shows its error and can be retried", async () => {
  const chat = await testPage.openChat();
  await chat.send("fail");
  await chat.turns.first().getByText("This answer failed").waitFor();
  await chat.turns.first().getByText("the model is overloaded").waitFor();
  await chat.screenshot("failed");
  await chat.page.getByRole("button", { name: "Try again" }).click();
  await chat.turns.first().getByText("and this time the end.").waitFor();
  await chat.waitUntilReady();
  expect(await chat.turns.count()).toBe(1);
});

test("answers and code can be copied and a conversation saved as markdown", async () => {
  const chat = await testPage.openChat();
  await chat.allowClipboard();
  await chat.send("markdown");
  await chat.waitUntilReady();
  await chat.page.getByRole("button", { name: "Copy answer" }).click();
  await chat.page.getByRole("button", { name: "Copied" }).waitFor();
  expect(await chat.clipboard()).toBe(MARKDOWN.trim());
  await chat.page.getByRole("button", { name: "Copy code" }).click();
  await expect.poll(() => chat.clipboard()).toMatch(/^\/\/\/ Returns the value times two\.\nfn double/);

  const saved = chat.page.waitForEvent("download");
  await chat.page.getByRole("button", { name: "Save as markdown" }).click();
  const file = await saved;
  expect(file.suggestedFilename()).toBe("markdown.md");
  const text = await readFile(await file.path(), "utf8");
  expect(text).toContain("# markdown\n\n## You\n\nmarkdown\n\n## Agent\n\n## How it works");
});

test("an edited message is sent as a new one", async () => {
  const chat = await testPage.openChat();
  await chat.send("first");
  await chat.waitUntilReady();
  await chat.send("second");
  await chat.waitUntilReady();
  await chat.turns.first().hover();
  await chat.turns.first().getByRole("button", { name: "Edit and send again" }).click();
  const field = chat.page.getByRole("textbox", { name: "Edited message" });
  expect(await field.inputValue()).toBe("first");
  await chat.page.getByText("Sent as a new message at the end").waitFor();
  await chat.screenshot("edit");
  await field.press("Escape");
  expect(await field.count()).toBe(0);
  await chat.turns.first().getByRole("button", { name: "Edit and send again" }).click();
  await field.fill("third");
  await field.press("Enter");
  await chat.turns.nth(2).getByText("You said: third").waitFor();
  expect(await chat.turns.nth(0).textContent()).toContain("You said: first");
  await chat.waitUntilReady();
});

test("an answer can be stopped with the button and with Escape", async () => {
  const chat = await testPage.openChat();
  await chat.send("open");
  await chat.answer(0).waitFor();
  await chat.screenshot("answering");
  await chat.page.getByRole("button", { name: "Stop the answer" }).click();
  await chat.turns.first().getByText("Stopped", { exact: true }).waitFor();
  await chat.waitUntilReady();

  await chat.send("open");
  await chat.answer(1).waitFor();
  await chat.page.keyboard.press("Escape");
  await chat.turns.nth(1).getByText("Stopped", { exact: true }).waitFor();
  await chat.waitUntilReady();
  expect(await chat.focused()).toBe("Message");
});

test("a queued message shows its position and can be cancelled", async () => {
  const chat = await testPage.openChat();
  await chat.send("open");
  await chat.status("Answering").waitFor();
  await chat.send("one");
  await chat.send("two");
  await chat.turns.nth(1).getByText("Next in line").waitFor();
  await chat.turns.nth(2).getByText("2 messages before it").waitFor();
  await chat.screenshot("queued");
  await chat.turns.nth(1).getByRole("button", { name: "Cancel" }).click();
  await chat.turns.nth(1).getByText("Stopped before it started").waitFor();
  await chat.turns.nth(2).getByText("Next in line").waitFor();
  await chat.page.keyboard.press("Escape");
  await chat.turns.nth(2).getByText("You said: two").waitFor();
  await chat.waitUntilReady();
});

test("the page follows the answer until the person scrolls up and after they jump to the end", async () => {
  const chat = await testPage.openChat();
  await chat.send("endless");
  const box = chat.page.locator("main > div.overflow-y-auto");
  const fromBottom = () =>
    box.evaluate(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight);
  const height = () => box.evaluate(({ scrollHeight }) => scrollHeight);
  const position = () => box.evaluate(({ scrollTop }) => scrollTop);
  /** Lets the answer grow by some lines. */
  const grow = async () => {
    const before = await height();
    await expect.poll(height).toBeGreaterThan(before + 200);
  };
  await expect.poll(height).toBeGreaterThan(1_600);
  await expect.poll(fromBottom).toBeLessThan(100);

  await chat.page.mouse.move(760, 300);
  await chat.page.mouse.wheel(0, -400);
  await chat.page.getByRole("button", { name: "Jump to the latest" }).waitFor();
  // The wheel scrolls smoothly, so the first growth may overlap with it.
  await expect
    .poll(async () => {
      const before = await position();
      await grow();
      return (await position()) - before;
    })
    .toBe(0);
  expect(await fromBottom()).toBeGreaterThan(200);

  await chat.page.getByRole("button", { name: "Jump to the latest" }).click();
  await expect.poll(fromBottom).toBeLessThan(100);
  await grow();
  await expect.poll(fromBottom).toBeLessThan(100);
  await chat.page.keyboard.press("Escape");
  await chat.waitUntilReady();
});
