/**
 * Measures how long the page's main thread is busy with long answers, and prints the figures. `npm run bench` runs it.
 * It asserts no times, because they depend on the machine and its load.
 */

import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { longMarkdown, repeatLine } from "./samples.ts";
import { setUpTestPage } from "./test-page.ts";

const TOKENS = 5_000;
/** Blocks of every kind, and single blocks that grow. */
const ANSWERS = new Map([
  ["many blocks", longMarkdown(TOKENS)],
  ["one list", repeatLine("- item with **bold** words in it", TOKENS, 8)],
  ["one program", `\`\`\`ts\n${repeatLine("const some = some(other, value) + more;", TOKENS, 8)}`],
]);
const LONG_TASK_MS = 50;

const testPage = setUpTestPage({
  answer: (turn) => turn.text(ANSWERS.get(turn.message) ?? "", { pieces: 12, everyMs: 8 }),
});

test.each([...ANSWERS.keys()])(`an answer of ${TOKENS} tokens with %s`, async (kind) => {
  const chat = await testPage.openChat();
  await chat.waitUntilReady();
  let frames = 0;
  const tasks = await tasksDuring(chat.page, async () => {
    await chat.page.evaluate(countFrames);
    await chat.send(kind);
    await chat.waitUntilReady();
    frames = await chat.page.evaluate(() => (globalThis as unknown as { frames: number }).frames);
  });
  const words = (await chat.answer(0).innerText()).split(/\s+/).length;
  expect(words).toBeGreaterThan(TOKENS * 0.7);
  const long = tasks.filter((ms) => ms > LONG_TASK_MS).length;
  const total = tasks.reduce((sum, ms) => sum + ms, 0);
  process.stdout.write(
    `${kind}: ${frames} frames, ${total.toFixed(0)} ms of processor time, ` +
      `${long} tasks over ${LONG_TASK_MS} ms, the longest ${Math.max(...tasks).toFixed(0)} ms\n`,
  );
});

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

/** The processor time in milliseconds of each main-thread task during `run`. */
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

/** An event of Chromium's trace format. `tdur` is a thread's processor time in microseconds. */
interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}
