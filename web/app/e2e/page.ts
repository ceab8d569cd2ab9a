/** The chat page as a person sees it, in a browser of its own context. Keeps what no page may do: complain. */

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type axe from "axe-core";
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { expect } from "vitest";

const SCREENSHOTS = join(import.meta.dirname, "../screenshots");
const SIZES = { wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } };

const AXE = readFileSync(join(import.meta.dirname, "../../node_modules/axe-core/axe.min.js"), "utf8");

export class Chat {
  readonly page: Page;
  /** Errors in the console (broken Content-Security-Policy among them), uncaught ones, and requests to elsewhere. */
  readonly complaints: string[] = [];
  /** Addresses of the WebSockets that were opened. */
  readonly sockets: string[] = [];
  readonly #context: BrowserContext;

  private constructor(context: BrowserContext, page: Page, address: string) {
    this.#context = context;
    this.page = page;
    page.on("websocket", (socket) => this.sockets.push(socket.url()));
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") {
        this.complaints.push(message.text());
      }
    });
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== address) {
        this.complaints.push(`asked for ${request.url()}`);
      }
    });
  }

  /** Opens the page, once what the test has to prepare on it is. */
  static async open(
    browser: Browser,
    address: string,
    prepare: (page: Page) => Promise<void> = async () => {},
  ): Promise<Chat> {
    const context = await browser.newContext({ viewport: SIZES.wide });
    const chat = new Chat(context, await context.newPage(), address);
    await chat.page.addInitScript(recordGrowth);
    await prepare(chat.page);
    await chat.page.goto(address);
    return chat;
  }

  get input(): Locator {
    return this.page.getByRole("textbox", { name: "Message" });
  }

  /** The turns on screen, oldest first. */
  get turns(): Locator {
    return this.page.getByRole("article");
  }

  /** The last piece of text in the answer of the turn at this place. */
  answer(turn: number): Locator {
    return this.turns.nth(turn).locator(".prose").last();
  }

  async say(text: string): Promise<void> {
    await this.input.fill(text);
    await this.input.press("Enter");
  }

  /** How the session is doing, as its head says. */
  status(words: string): Locator {
    return this.page.getByRole("button", { name: `Session: ${words}`, exact: true });
  }

  /** What stands above the composer when the session is over. */
  get end(): Locator {
    return this.page.getByRole("region", { name: "End of the conversation" });
  }

  /** Waits until the agent is there and has answered all that was said. */
  async isReady(): Promise<void> {
    await this.status("Ready").waitFor();
    const open = this.page.locator("article:not([data-phase=done])");
    await expect.poll(() => open.count(), { timeout: 30_000 }).toBe(0);
  }

  /** How long the answers were at each change of the page, each length once. */
  lengths(): Promise<number[]> {
    return this.page.evaluate(() => (globalThis as unknown as { answerLengths: number[] }).answerLengths);
  }

  /** Pictures of the page as it is now, light and dark, wide and narrow; axe looks at it in each size and each colour. */
  async shoot(name: string, sizes: readonly (keyof typeof SIZES)[] = ["wide", "narrow"]): Promise<void> {
    mkdirSync(SCREENSHOTS, { recursive: true });
    const before = this.page.viewportSize() ?? SIZES.wide;
    for (const size of sizes) {
      await this.page.setViewportSize(SIZES[size]);
      for (const colorScheme of ["light", "dark"] as const) {
        await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        const path = join(SCREENSHOTS, `${name}-${size}-${colorScheme}.png`);
        await this.page.screenshot({ path, animations: "disabled" });
        if ((size === "wide") === (colorScheme === "light") || sizes.length === 1) {
          expect(await this.#faults(), `${name}, ${size}, ${colorScheme}`).toEqual([]);
        }
      }
    }
    await this.page.emulateMedia({ colorScheme: null, reducedMotion: null });
    await this.page.setViewportSize(before);
  }

  /** What axe finds serious. */
  async #faults(): Promise<string[]> {
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate(() =>
      (globalThis as unknown as { axe: typeof axe }).axe.run(document, { resultTypes: ["violations"] }),
    );
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(", ")}`);
  }

  /** A conversation in the list. */
  conversation(title: string): Locator {
    return this.page.getByRole("navigation").locator("[data-conversation]", { hasText: title });
  }

  /** Waits until a screen reader is told what begins like this. */
  async announced(words: string): Promise<void> {
    await this.page.getByRole("status").getByText(words).waitFor({ state: "attached" });
  }

  /** What has the focus is called so. */
  async focused(): Promise<string> {
    return (await this.focusLook()).name;
  }

  /** What has the focus, and whether one sees that it has. */
  async focusLook(): Promise<{ name: string; isSeen: boolean }> {
    return this.page.evaluate(() => {
      const { activeElement: focused } = document;
      if (focused === document.body) {
        return { name: "", isSeen: true };
      }
      const around = focused?.closest("label, form > div") ?? focused;
      const looks = [focused, around].flatMap((each) => (each === null ? [] : [getComputedStyle(each)]));
      const isSeen =
        looks.some(({ outlineStyle, outlineWidth }) => outlineStyle !== "none" && outlineWidth !== "0px") ||
        around?.matches("form > div:focus-within") === true;
      const name =
        focused?.getAttribute("aria-label") ?? focused?.getAttribute("title") ?? focused?.textContent;
      return { name: name?.trim() ?? "", isSeen };
    });
  }

  /** Lets the page use the clipboard, as a press of a person does. */
  async mayCopy(): Promise<void> {
    await this.#context.grantPermissions(["clipboard-read", "clipboard-write"]);
  }

  clipboard(): Promise<string> {
    return this.page.evaluate(() => navigator.clipboard.readText());
  }

  async offline(isOffline: boolean): Promise<void> {
    await this.#context.setOffline(isOffline);
  }

  /** Another tab with the same page, and with all that this one keeps. */
  async duplicate(): Promise<Chat> {
    const kept = await this.page.evaluate(() => Object.entries(sessionStorage));
    const page = await this.#context.newPage();
    const address = new URL(this.page.url()).origin;
    await page.addInitScript((entries) => {
      if (sessionStorage.length === 0) {
        for (const [key, value] of entries) {
          sessionStorage.setItem(key, value);
        }
      }
    }, kept);
    const twin = new Chat(this.#context, page, address);
    await page.goto(address);
    return twin;
  }

  /** Ends the conversations there are, and closes the tab. */
  async leave(): Promise<void> {
    if (!this.page.isClosed()) {
      await this.page.setViewportSize(SIZES.wide);
      const end = this.page.getByRole("button", { name: "End", exact: true });
      for (const each of await this.page.locator("[data-conversation]").all()) {
        await each.click();
        if (await end.isVisible()) {
          await end.click();
          await this.end.waitFor();
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

/** Runs in the page, before its own script. */
function recordGrowth() {
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
