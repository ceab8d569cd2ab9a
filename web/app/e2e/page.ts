/** Drives the chat page in a browser context of its own and records the page's errors. */

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type axe from "axe-core";
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { expect } from "vitest";

const SCREENSHOTS = join(import.meta.dirname, "../screenshots");
const SIZES = {
  wide: { width: 1280, height: 800 },
  narrow: { width: 390, height: 844 },
  readme: { width: 1280, height: 860 },
};

/** Limit for a state to appear. It ends a hung test; no test measures time. */
export const TIMEOUT_MS = 60_000;

const AXE = readFileSync(join(import.meta.dirname, "../../node_modules/axe-core/axe.min.js"), "utf8");

export class ChatPage {
  readonly page: Page;
  /** Console errors (including Content-Security-Policy violations), uncaught errors, and requests to other origins. */
  readonly problems: string[] = [];
  /** Addresses of all opened WebSockets. */
  readonly sockets: string[] = [];
  /** Number of `text-delta` frames that the page has received. */
  deltas = 0;
  readonly #context: BrowserContext;

  private constructor(context: BrowserContext, page: Page, address: string) {
    this.#context = context;
    this.page = page;
    page.on("websocket", (socket) => {
      this.sockets.push(socket.url());
      socket.on("framereceived", ({ payload }) => {
        if (String(payload).includes('"type":"text-delta"')) {
          this.deltas += 1;
        }
      });
    });
    page.on("pageerror", (error) => this.problems.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") {
        this.problems.push(message.text());
      }
    });
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== address) {
        this.problems.push(`request to ${request.url()}`);
      }
    });
  }

  /** Opens the page after `prepare` has run on it. */
  static async open(
    browser: Browser,
    address: string,
    prepare: (page: Page) => Promise<void> = async () => {},
  ): Promise<ChatPage> {
    const context = await browser.newContext({ viewport: SIZES.wide });
    context.setDefaultTimeout(TIMEOUT_MS);
    const chat = new ChatPage(context, await context.newPage(), address);
    await chat.page.addInitScript(recordAnswerLengths);
    await prepare(chat.page);
    await chat.page.goto(address);
    return chat;
  }

  get input(): Locator {
    return this.page.getByRole("textbox", { name: "Message" });
  }

  /** The turns, oldest first. */
  get turns(): Locator {
    return this.page.getByRole("article");
  }

  /** The last text part in the answer of this turn. */
  answer(turn: number): Locator {
    return this.turns.nth(turn).locator(".prose").last();
  }

  async send(text: string): Promise<void> {
    await this.input.fill(text);
    await this.input.press("Enter");
  }

  /** The status button in the header with this label. */
  status(label: string): Locator {
    return this.page.getByRole("button", { name: `Session: ${label}`, exact: true });
  }

  /** The card above the composer after the session has ended. */
  get endCard(): Locator {
    return this.page.getByRole("region", { name: "End of the conversation" });
  }

  /** Waits until the agent is ready and all turns are done. */
  async waitUntilReady(): Promise<void> {
    await this.status("Ready").waitFor();
    const open = this.page.locator("article:not([data-phase=done])");
    await expect.poll(() => open.count()).toBe(0);
  }

  /** The total length of all answers after each change of the page, without repetitions. */
  answerLengths(): Promise<number[]> {
    return this.page.evaluate(() => (globalThis as unknown as { answerLengths: number[] }).answerLengths);
  }

  /** Takes screenshots in both sizes and themes, and checks accessibility with axe in each size and each theme. */
  async screenshot(name: string, sizes: readonly (keyof typeof SIZES)[] = ["wide", "narrow"]): Promise<void> {
    mkdirSync(SCREENSHOTS, { recursive: true });
    const before = this.page.viewportSize() ?? SIZES.wide;
    for (const size of sizes) {
      await this.page.setViewportSize(SIZES[size]);
      for (const colorScheme of ["light", "dark"] as const) {
        await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        const path = join(SCREENSHOTS, `${name}-${size}-${colorScheme}.png`);
        await this.page.screenshot({ path, animations: "disabled" });
        if ((size === "wide") === (colorScheme === "light") || sizes.length === 1) {
          expect(await this.#violations(), `${name}, ${size}, ${colorScheme}`).toEqual([]);
        }
      }
    }
    await this.page.emulateMedia({ colorScheme: null, reducedMotion: null });
    await this.page.setViewportSize(before);
  }

  /** Serious and critical violations found by axe. */
  async #violations(): Promise<string[]> {
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate(() =>
      (globalThis as unknown as { axe: typeof axe }).axe.run(document, { resultTypes: ["violations"] }),
    );
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(", ")}`);
  }

  /** A conversation in the sidebar. */
  conversation(title: string): Locator {
    return this.page.getByRole("navigation").locator("[data-conversation]", { hasText: title });
  }

  /** Waits until the live region contains this text. */
  async waitForAnnouncement(text: string): Promise<void> {
    await this.page.getByRole("status").getByText(text).waitFor({ state: "attached" });
  }

  /** The name of the focused element. */
  async focused(): Promise<string> {
    return (await this.focusState()).name;
  }

  /** The name of the focused element, and whether its focus is visible. */
  async focusState(): Promise<{ name: string; isVisible: boolean }> {
    return this.page.evaluate(() => {
      const { activeElement: focused } = document;
      if (focused === document.body) {
        return { name: "", isVisible: true };
      }
      const around = focused?.closest("label, form > div") ?? focused;
      const styles = [focused, around].flatMap((each) => (each === null ? [] : [getComputedStyle(each)]));
      const isVisible =
        styles.some(({ outlineStyle, outlineWidth }) => outlineStyle !== "none" && outlineWidth !== "0px") ||
        around?.matches("form > div:focus-within") === true;
      const name =
        focused?.getAttribute("aria-label") ?? focused?.getAttribute("title") ?? focused?.textContent;
      return { name: name?.trim() ?? "", isVisible };
    });
  }

  /** Grants the page access to the clipboard. */
  async allowClipboard(): Promise<void> {
    await this.#context.grantPermissions(["clipboard-read", "clipboard-write"]);
  }

  clipboard(): Promise<string> {
    return this.page.evaluate(() => navigator.clipboard.readText());
  }

  async setOffline(isOffline: boolean): Promise<void> {
    await this.#context.setOffline(isOffline);
  }

  /** Opens another tab with a copy of this tab's session storage. */
  async duplicate(): Promise<ChatPage> {
    const stored = await this.page.evaluate(() => Object.entries(sessionStorage));
    const page = await this.#context.newPage();
    const address = new URL(this.page.url()).origin;
    await page.addInitScript((entries) => {
      if (sessionStorage.length === 0) {
        for (const [key, value] of entries) {
          sessionStorage.setItem(key, value);
        }
      }
    }, stored);
    const twin = new ChatPage(this.#context, page, address);
    await page.goto(address);
    return twin;
  }

  /** Ends all conversations and closes the tab. */
  async leave(): Promise<void> {
    if (!this.page.isClosed()) {
      await this.page.setViewportSize(SIZES.wide);
      const end = this.page.getByRole("button", { name: "End", exact: true });
      for (const each of await this.page.locator("[data-conversation]").all()) {
        await each.click();
        if (await end.isVisible()) {
          await end.click();
          await this.endCard.waitFor();
        }
      }
    }
    await this.close();
  }

  /** Closes the tab. */
  async close(): Promise<void> {
    await this.#context.close();
  }
}

/** Runs in the page before its own scripts. */
function recordAnswerLengths() {
  const lengths: number[] = [];
  (globalThis as unknown as { answerLengths: number[] }).answerLengths = lengths;
  new MutationObserver(() => {
    const answers = [...document.querySelectorAll(".prose")];
    const length = answers.reduce((sum, answer) => sum + (answer.textContent?.length ?? 0), 0);
    if (length !== (lengths.at(-1) ?? 0)) {
      lengths.push(length);
    }
  }).observe(document, { subtree: true, childList: true, characterData: true });
}
