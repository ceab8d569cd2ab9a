/** A long answer does not make the page slow, and the page itself is not heavy. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { longMarkdown } from "./samples.ts";
import { setStage } from "./stage.ts";

const TOKENS = 5_000;
/** Blocks of every kind, and single ones that grow. */
const ANSWERS = new Map([
  ["many blocks", longMarkdown(TOKENS)],
  ["one list", lines("- item with **bold** words in it", 8)],
  ["one program", `\`\`\`ts\n${lines("const some = some(other, value) + more;", 8)}`],
]);
const LONG_TASK_MS = 50;
const LONGEST_TASK_MS = 500;
/** Of all frames: several times what there are, since a processor is slower while others are busy. */
const LONG_TASKS_MAX = 0.1;
const FIRST_LOAD_MAX_BYTES = 200 * 1024;

function lines(line: string, tokens: number): string {
  return Array.from({ length: TOKENS / tokens }, () => line).join("\n");
}

const stage = setStage({
  answer: (turn) => turn.text(ANSWERS.get(turn.message) ?? "", { pieces: 12, everyMs: 8 }),
});

test.each([...ANSWERS.keys()])(
  `of ${TOKENS} tokens in %s, few frames take longer than ${LONG_TASK_MS} ms`,
  async (kind) => {
    const chat = await stage.openChat();
    await chat.isReady();
    let frames = 0;
    const busy = await tasksDuring(chat.page, async () => {
      await chat.page.evaluate(countFrames);
      await chat.say(kind);
      await chat.isReady();
      frames = await chat.page.evaluate(() => (globalThis as unknown as { frames: number }).frames);
    });
    const words = (await chat.answer(0).innerText()).split(/\s+/).length;
    expect(words).toBeGreaterThan(TOKENS * 0.7);
    expect(frames).toBeGreaterThan(20);
    expect(busy.length).toBeGreaterThan(frames);
    const long = busy.filter((ms) => ms > LONG_TASK_MS);
    const longest = Math.max(...busy);
    process.stdout.write(
      `${frames} frames, ${long.length} long tasks, the longest ${longest.toFixed(0)} ms\n`,
    );
    // Nothing at all would be a trace without processor times.
    expect(longest).toBeGreaterThan(1);
    expect(longest).toBeLessThan(LONGEST_TASK_MS);
    expect(long.length / frames).toBeLessThan(LONG_TASKS_MAX);
  },
);

/** Runs in the page. */
function countFrames() {
  const counted = globalThis as unknown as { frames: number };
  counted.frames = 0;
  const frame = () => {
    counted.frames += 1;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

/**
 * For how many milliseconds each task of a page's main thread had a processor meanwhile: what else the machine does is
 * no fault of the page.
 */
async function tasksDuring(page: Page, run: () => Promise<void>): Promise<number[]> {
  const browser = page.context().browser();
  if (browser === null) {
    throw new Error("the page has no browser");
  }
  await browser.startTracing(page, { categories: ["disabled-by-default-devtools.timeline"] });
  await run();
  const trace = (await browser.stopTracing()).toString();
  const { traceEvents: events }: { traceEvents: TraceEvent[] } = JSON.parse(trace);
  const thread = ({ pid, tid }: TraceEvent) => `${pid}.${tid}`;
  const named = events.filter(({ name }) => name === "thread_name");
  const mains = new Set(named.filter(({ args }) => args?.name === "CrRendererMain").map(thread));
  return events
    .filter((event) => event.name === "RunTask" && mains.has(thread(event)))
    .map(({ tdur = 0 }) => tdur / 1_000);
}

/** An event of Chromium's trace format: `tdur` is a thread's processor time in microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

test("the chat's first load is under 200 KB of script, gzipped", async () => {
  const chat = await stage.openChat();
  const scripts: string[] = [];
  chat.page.on("request", (request) => {
    if (request.resourceType() === "script") {
      scripts.push(new URL(request.url()).pathname);
    }
  });
  await chat.page.reload();
  await chat.isReady();
  expect(scripts.length).toBeGreaterThan(1);
  const dist = join(import.meta.dirname, "../dist");
  const bytes = scripts.reduce((sum, path) => sum + gzipSync(readFileSync(join(dist, path))).length, 0);
  process.stdout.write(`first load: ${scripts.length} scripts, ${(bytes / 1024).toFixed(0)} KB gzipped\n`);
  expect(bytes).toBeLessThan(FIRST_LOAD_MAX_BYTES);
  expect(readdirSync(join(dist, "assets")).length).toBeGreaterThan(scripts.length);
});
