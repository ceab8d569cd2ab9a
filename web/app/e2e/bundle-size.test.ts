/** The size of the scripts that the page loads first. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { setUpTestPage } from "./test-page.ts";

const FIRST_LOAD_MAX_BYTES = 200 * 1024;

const testPage = setUpTestPage({ answer: (turn) => turn.text("Hello.") });

test("the first load has less than 200 KB of gzipped script", async () => {
  const chat = await testPage.openChat();
  const scripts: string[] = [];
  chat.page.on("request", (request) => {
    if (request.resourceType() === "script") {
      scripts.push(new URL(request.url()).pathname);
    }
  });
  await chat.page.reload();
  await chat.waitUntilReady();
  expect(scripts.length).toBeGreaterThan(1);
  const dist = join(import.meta.dirname, "../dist");
  const bytes = scripts.reduce((sum, path) => sum + gzipSync(readFileSync(join(dist, path))).length, 0);
  process.stdout.write(`first load: ${scripts.length} scripts, ${(bytes / 1024).toFixed(0)} KB gzipped\n`);
  expect(bytes).toBeLessThan(FIRST_LOAD_MAX_BYTES);
  expect(readdirSync(join(dist, "assets")).length).toBeGreaterThan(scripts.length);
});
