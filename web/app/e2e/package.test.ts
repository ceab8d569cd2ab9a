/** The packed npm package: its examples compile, run in a browser against a hub, and all its entries load. */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Hub } from "./hub.ts";
import { launchBrowser } from "./test-page.ts";

const CLIENT = join(import.meta.dirname, "../../client");
const MODULES = join(import.meta.dirname, "../../node_modules");

let browser: Browser;
let hub: Hub;
let project: string;

beforeAll(async () => {
  [browser, hub] = await Promise.all([launchBrowser(), Hub.start()]);
  project = unpack();
});

afterAll(async () => {
  await hub?.stop();
  await browser?.close();
  rmSync(project, { recursive: true, force: true });
});

/** Creates a project with only the packed client, React and its types. */
function unpack(): string {
  const folder = mkdtempSync(join(tmpdir(), "mayfly-package-"));
  const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], {
    cwd: CLIENT,
    encoding: "utf8",
  });
  const installed = join(folder, "node_modules/@mayfly/client");
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", join(folder, packed.trim()), "-C", installed, "--strip-components=1"]);
  mkdirSync(join(folder, "node_modules/@types"));
  symlinkSync(join(MODULES, "react"), join(folder, "node_modules/react"));
  symlinkSync(join(MODULES, "@types/react"), join(folder, "node_modules/@types/react"));
  return folder;
}

/** The README's code blocks in this language. */
function examples(language: string): string[] {
  const readme = readFileSync(join(project, "node_modules/@mayfly/client/README.md"), "utf8");
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(
    ([, code]) => code ?? "",
  );
}

test("the README's examples compile against the package", () => {
  const [example] = examples("ts");
  expect(example?.trim().split("\n").length).toBeLessThanOrEqual(15);
  const files = [...examples("ts"), ...examples("tsx")].map((code, index) => {
    writeFileSync(join(project, `example-${index}.tsx`), code);
    return `example-${index}.tsx`;
  });
  expect(files).toHaveLength(2);
  const options = { strict: true, noEmit: true, target: "ES2023", jsx: "react-jsx", types: [] };
  for (const module of ["nodenext", "preserve"]) {
    const compilerOptions = { ...options, module };
    writeFileSync(join(project, "package.json"), '{"type":"module"}');
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    execFileSync(join(MODULES, ".bin/tsc"), ["-p", project], { stdio: "inherit" });
  }
});

test("the README's example runs against a hub", async () => {
  const address = hub.address.replace("http", "ws");
  const source = examples("ts")[0]?.replace("ws://127.0.0.1:8080", address) ?? "";
  expect(source).toContain(address);
  writeFileSync(join(project, "run.ts"), source);
  await build({
    root: project,
    logLevel: "error",
    build: {
      lib: { entry: "run.ts", formats: ["iife"], name: "example", fileName: "run" },
      outDir: "built",
      minify: false,
    },
  });
  const page = await browser.newPage();
  // A resource of the hub's origin, so that the example runs without the page.
  await page.goto(`${hub.address}/theme.js`);
  const logged = page.waitForEvent("console", (message) => message.type() === "log");
  await page.evaluate(readFileSync(join(project, "built/run.iife.js"), "utf8"));
  expect((await logged).text()).toContain("London");
  await page.close();
  await expect.poll(() => hub.agents()).toEqual([]);
});

test("every entry of the package loads", async () => {
  const { exports } = JSON.parse(
    readFileSync(join(project, "node_modules/@mayfly/client/package.json"), "utf8"),
  );
  const imports = Object.keys(exports).map((entry) => `await import("@mayfly/client${entry.slice(1)}");`);
  writeFileSync(join(project, "load.mjs"), imports.join("\n"));
  execFileSync(process.execPath, [join(project, "load.mjs")], { stdio: "inherit" });
});
