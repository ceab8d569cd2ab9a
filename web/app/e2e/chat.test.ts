/** What can be done with messages and answers, and what an answer looks like. The agent is played. */

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import type { Turn } from "./agent.ts";
import { HOSTILE, MARKDOWN } from "./samples.ts";
import { SOON, setStage } from "./stage.ts";

const stage = setStage({ answer });

let hasFailed = false;

async function answer(turn: Turn): Promise<void> {
  const { message, say } = turn;
  switch (message) {
    case "markdown":
      return turn.text(MARKDOWN, { pieces: 4, everyMs: 5 });
    case "hostile":
      return turn.text(HOSTILE);
    case "think":
      say({ type: "reasoning-start", id: "r" });
      say({ type: "reasoning-delta", id: "r", delta: "Somebody asks for a thought. " });
      await turn.pause(300);
      say({ type: "reasoning-delta", id: "r", delta: "So here is **one**." });
      say({ type: "reasoning-end", id: "r" });
      return turn.text("I thought about it.");
    case "tools":
      return callTools(turn);
    case "fail":
      await turn.text("I begin, and ");
      if (!hasFailed) {
        hasFailed = true;
        throw new Error("the model is overloaded");
      }
      return turn.text("this time I end.");
    case "endless":
      while (!turn.isStopped) {
        await turn.text("One more paragraph of an answer that does not come to its end by itself.\n\n");
        await turn.pause(20);
      }
      return;
    default:
      return turn.text(`You said: ${message}`);
  }
}

async function callTools({ say, pause, text }: Turn): Promise<void> {
  await text("Let me look.");
  say({ type: "tool-input-start", toolCallId: "a", toolName: "search" });
  for (const inputTextDelta of ['{"query":', '"mayflies",', '"limit":3}']) {
    say({ type: "tool-input-delta", toolCallId: "a", inputTextDelta });
  }
  await pause(200);
  const input = { query: "mayflies", limit: 3 };
  say({ type: "tool-input-available", toolCallId: "a", toolName: "search", input });
  say({ type: "tool-output-available", toolCallId: "a", output: ["Ephemera danica", "Baetis rhodani"] });
  say({
    type: "tool-input-available",
    toolCallId: "b",
    toolName: "fetch",
    input: { url: "https://a.example" },
  });
  say({ type: "tool-output-error", toolCallId: "b", errorText: "the page cannot be reached" });
  await text("Two kinds were found, and one page could not be read.");
}

test("markdown is set as it comes, and a block of code gets its colours once it is complete", async () => {
  const chat = await stage.openChat();
  await chat.say("markdown");
  await chat.isReady();
  const prose = chat.answer(0);
  expect(await prose.locator("h2").textContent()).toBe("How it works");
  expect(await prose.locator("ol").count()).toBe(1);
  expect(await prose.locator("ol > li").count()).toBe(3);
  expect(await prose.locator("ol ul > li").count()).toBe(2);
  expect(await prose.locator("table tbody tr").count()).toBe(3);
  expect(await prose.locator("input[type=checkbox]").count()).toBe(2);
  expect(await prose.locator("del").textContent()).toBe("what was wrong");
  expect(await prose.locator(":scope > p").last().textContent()).toContain(" [0, 1) ");
  await prose.locator("pre .hljs-keyword").first().waitFor();
  expect(await prose.locator("pre").textContent()).toContain("value * factor");
  // Piece by piece, in as many frames as a busy machine draws.
  expect((await chat.lengths()).length).toBeGreaterThan(2);
  await chat.shoot("markdown");
});

test("nothing that a model writes runs, loads or leads astray", async () => {
  const chat = await stage.openChat();
  const asked: string[] = [];
  chat.page.on("request", (request) => asked.push(request.url()));
  await chat.say("hostile");
  await chat.isReady();
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
  expect(asked.filter((url) => url.includes("evil"))).toEqual([]);
});

test("a tool tells its input, its output and how it went; thoughts are folded", async () => {
  const chat = await stage.openChat();
  await chat.say("tools");
  await chat.isReady();
  const search = chat.page.getByRole("figure", { name: "Tool search" });
  await search.getByText("Done").waitFor();
  await search.getByText("search", { exact: true }).click();
  expect(await search.locator("pre").allTextContents()).toEqual([
    '{\n  "query": "mayflies",\n  "limit": 3\n}',
    '[\n  "Ephemera danica",\n  "Baetis rhodani"\n]',
  ]);
  const failed = chat.page.getByRole("figure", { name: "Tool fetch" });
  await failed.getByText("the page cannot be reached").waitFor();
  await chat.say("think");
  await chat.isReady();
  const thoughts = chat.turns.nth(1).getByRole("group");
  expect(await thoughts.locator(".prose").isVisible()).toBe(false);
  await thoughts.getByText("Thoughts").click();
  expect(await thoughts.locator(".prose strong").textContent()).toBe("one");
  await chat.shoot("tools");
});

test("an answer that fails says why, and another one can be had", async () => {
  const chat = await stage.openChat();
  await chat.say("fail");
  await chat.turns.first().getByText("This answer failed").waitFor();
  await chat.turns.first().getByText("the model is overloaded").waitFor();
  await chat.shoot("failed");
  await chat.page.getByRole("button", { name: "Try again" }).click();
  await chat.turns.first().getByText("this time I end.").waitFor();
  await chat.isReady();
  expect(await chat.turns.count()).toBe(1);
});

test("answers and code are copied, a conversation is saved as markdown", async () => {
  const chat = await stage.openChat();
  await chat.mayCopy();
  await chat.say("markdown");
  await chat.isReady();
  await chat.page.getByRole("button", { name: "Copy answer" }).click();
  await chat.page.getByRole("button", { name: "Copied" }).waitFor();
  expect(await chat.clipboard()).toBe(MARKDOWN.trim());
  await chat.page.getByRole("button", { name: "Copy code" }).click();
  await expect.poll(() => chat.clipboard()).toMatch(/^\/\/\/ Doubles what it is given\.\nfn double/);

  const saved = chat.page.waitForEvent("download");
  await chat.page.getByRole("button", { name: "Save as markdown" }).click();
  const file = await saved;
  expect(file.suggestedFilename()).toBe("markdown.md");
  const text = await readFile(await file.path(), "utf8");
  expect(text).toContain("# markdown\n\n## You\n\nmarkdown\n\n## Agent\n\n## How it works");
});

test("a message is edited and goes out as a new one", async () => {
  const chat = await stage.openChat();
  await chat.say("first");
  await chat.isReady();
  await chat.say("second");
  await chat.isReady();
  await chat.turns.first().hover();
  await chat.turns.first().getByRole("button", { name: "Edit and send again" }).click();
  const field = chat.page.getByRole("textbox", { name: "Edited message" });
  expect(await field.inputValue()).toBe("first");
  await chat.page.getByText("Goes out as a new message at the end").waitFor();
  await chat.shoot("edit");
  await field.press("Escape");
  expect(await field.count()).toBe(0);
  await chat.turns.first().getByRole("button", { name: "Edit and send again" }).click();
  await field.fill("third");
  await field.press("Enter");
  await chat.turns.nth(2).getByText("You said: third").waitFor();
  expect(await chat.turns.nth(0).textContent()).toContain("You said: first");
  await chat.isReady();
});

test("what waits says its place and can be taken back", async () => {
  const chat = await stage.openChat();
  await chat.say("endless");
  await chat.status("Answering").waitFor();
  await chat.say("one");
  await chat.say("two");
  await chat.turns.nth(1).getByText("Next in line").waitFor();
  await chat.turns.nth(2).getByText("2 before it").waitFor();
  await chat.shoot("queued");
  await chat.turns.nth(1).getByRole("button", { name: "Cancel" }).click();
  await chat.turns.nth(1).getByText("Stopped before it began").waitFor();
  await chat.turns.nth(2).getByText("Next in line").waitFor();
  await chat.page.keyboard.press("Escape");
  await chat.turns.nth(2).getByText("You said: two").waitFor();
  await chat.isReady();
});

test("the page follows the answer until a person scrolls, and again when they ask for it", async () => {
  const chat = await stage.openChat();
  await chat.say("endless");
  const fromBottom = () =>
    chat.page
      .locator("main > div.overflow-y-auto")
      .evaluate((box) => Math.round(box.scrollHeight - box.scrollTop - box.clientHeight));
  const height = () => chat.page.locator("main > div.overflow-y-auto").evaluate((box) => box.scrollHeight);
  await expect.poll(height, SOON).toBeGreaterThan(1_600);
  expect(await fromBottom()).toBeLessThan(100);

  await chat.page.mouse.move(760, 300);
  await chat.page.mouse.wheel(0, -400);
  await expect.poll(fromBottom, SOON).toBeGreaterThan(200);
  const place = () => chat.page.locator("main > div.overflow-y-auto").evaluate((box) => box.scrollTop);
  const before = { place: await place(), height: await height() };
  await expect.poll(height, SOON).toBeGreaterThan(before.height + 200);
  expect(await place()).toBe(before.place);

  await chat.page.getByRole("button", { name: "Jump to the latest" }).click();
  await expect.poll(fromBottom, SOON).toBeLessThan(100);
  const after = await height();
  await expect.poll(height, SOON).toBeGreaterThan(after + 100);
  expect(await fromBottom()).toBeLessThan(100);
  await chat.page.keyboard.press("Escape");
  await chat.isReady();
});
