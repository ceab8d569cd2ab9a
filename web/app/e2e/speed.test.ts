/** A long answer does not make the page slow, and the page itself is not heavy. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { longMarkdown } from "./samples.ts";
import { setStage } from "./stage.ts";

const TOKENS = 5_000;
/** Blocks of every kind, and the worst there is: a single one that grows. */
const ANSWERS = new Map([
  ["many blocks", longMarkdown(TOKENS)],
  [
    "one list",
    Array.from({ length: TOKENS / 8 }, (_, at) => `- item ${at} with **bold** words in it`).join("\n"),
  ],
]);
const LONG_TASK_MS = 50;
const FIRST_LOAD_MAX_BYTES = 200 * 1024;

const stage = setStage({
  answer: (turn) => turn.text(ANSWERS.get(turn.message) ?? "", { pieces: 12, everyMs: 8 }),
});

test.each([...ANSWERS.keys()])(
  `of ${TOKENS} tokens in %s, no twentieth frame takes longer than ${LONG_TASK_MS} ms`,
  async (kind) => {
    const chat = await stage.openChat();
    await chat.isReady();
    await chat.page.evaluate(watch);
    await chat.say(kind);
    await chat.isReady();
    const { frames, long } = await chat.page.evaluate(
      () => (globalThis as unknown as { watched: { frames: number; long: number[] } }).watched,
    );
    const words = (await chat.answer(0).textContent())?.split(/\s+/).length ?? 0;
    expect(words).toBeGreaterThan(TOKENS * 0.7);
    expect(frames).toBeGreaterThan(60);
    const share = long.length / frames;
    process.stdout.write(
      `${frames} frames, ${long.length} long tasks, the longest ${Math.max(0, ...long)} ms\n`,
    );
    expect(share).toBeLessThan(0.05);
  },
);

/** Runs in the page: counts frames, and tasks that took too long. */
function watch() {
  const watched = { frames: 0, long: [] as number[] };
  (globalThis as unknown as { watched: typeof watched }).watched = watched;
  const frame = () => {
    watched.frames += 1;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => {
    watched.long.push(...list.getEntries().map((entry) => entry.duration));
  }).observe({ type: "longtask" });
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
