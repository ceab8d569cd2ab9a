/**
 * Rendering of long answers: finished blocks and list items are not rendered again. `speed.bench.ts` measures times.
 */

import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { longMarkdown, repeatLine } from "./samples.ts";
import { setUpTestPage } from "./test-page.ts";

const TOKENS = 5_000;
const ANSWERS = new Map([
  ["many blocks", longMarkdown(TOKENS)],
  ["one list", repeatLine("- item with **bold** words in it", TOKENS, 8)],
]);
/** The elements that grow: the blocks of an answer and the items of a list. */
const GROWING = ".prose, .prose > ul, .prose > ol";
/** The last block may grow, and the one before it may be unfinished while the last one's kind is uncertain. */
const UNFINISHED_MAX = 2;

const testPage = setUpTestPage({
  answer: (turn) => turn.text(ANSWERS.get(turn.message) ?? "", { pieces: 12, everyMs: 1 }),
});

test.each([...ANSWERS.keys()])("finished parts of an answer with %s are not rendered again", async (kind) => {
  const chat = await testPage.openChat();
  await chat.waitUntilReady();
  await countChanges(chat.page);
  await chat.send(kind);
  await chat.waitUntilReady();
  const words = (await chat.answer(0).innerText()).split(/\s+/).length;
  expect(words).toBeGreaterThan(TOKENS * 0.7);
  const { finished, unfinished } = await chat.page.evaluate(
    () => (globalThis as unknown as { changes: Changes }).changes,
  );
  // How many frames a machine draws meanwhile is its own affair; without any change the test would prove nothing.
  expect(unfinished).toBeGreaterThan(0);
  expect(finished).toEqual([]);
});

interface Changes {
  /** The text of finished blocks and items that changed; should stay empty. */
  readonly finished: string[];
  /** Number of changes in unfinished blocks and items. */
  unfinished: number;
}

/**
 * Records all changes in answers from now on. A block or item counts as finished if more than {@link UNFINISHED_MAX}
 * blocks or items followed it before the change. Highlighting changes code blocks later and is left out.
 */
function countChanges(page: Page): Promise<void> {
  return page.evaluate(
    ([growing, unfinishedMax]) => {
      const changes: Changes = { finished: [], unfinished: 0 };
      Object.assign(globalThis, { changes });
      const counts = new Map<Element, number>();
      const update = () => {
        for (const list of document.querySelectorAll(growing)) {
          counts.set(list, list.childElementCount);
        }
      };
      new MutationObserver((records) => {
        for (const { target } of records) {
          const element = target instanceof Element ? target : target.parentElement;
          for (let child = element; child !== null && child.closest(".code-block") === null; ) {
            const parent: Element | null = child.parentElement;
            const count = parent === null ? undefined : counts.get(parent);
            if (parent !== null && count !== undefined) {
              if ([...parent.children].indexOf(child) < count - unfinishedMax) {
                changes.finished.push(child.textContent ?? "");
              } else {
                changes.unfinished += 1;
              }
            }
            child = parent;
          }
        }
        update();
      }).observe(document.body, { subtree: true, childList: true, characterData: true });
    },
    [GROWING, UNFINISHED_MAX] as const,
  );
}
