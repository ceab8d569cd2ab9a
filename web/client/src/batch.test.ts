import { expect, test } from "vitest";
import { Batch, type Screen } from "./batch.ts";

/** A screen whose frames the test triggers. */
class FakeScreen implements Screen {
  hidden = false;
  frames = new Map<number, () => void>();
  #handle = 0;
  #visibility = () => {};

  isHidden = () => this.hidden;
  cancelFrame = (handle: number) => void this.frames.delete(handle);
  onVisibility = (run: () => void) => {
    this.#visibility = run;
    return () => {
      this.#visibility = () => {};
    };
  };
  requestFrame = (run: () => void) => {
    this.frames.set(++this.#handle, run);
    return this.#handle;
  };

  paint() {
    const due = [...this.frames.values()];
    this.frames.clear();
    for (const run of due) {
      run();
    }
  }

  hide() {
    this.hidden = true;
    this.#visibility();
  }
}

function batch() {
  const screen = new FakeScreen();
  const commits: number[][] = [];
  return { screen, commits, batch: new Batch<number>((inputs) => commits.push([...inputs]), screen) };
}

test("inputs of one frame are one commit", () => {
  const it = batch();
  it.batch.push(1);
  it.batch.push(2);
  expect(it.commits).toEqual([]);
  expect(it.screen.frames.size).toBe(1);
  it.screen.paint();
  it.batch.push(3);
  it.screen.paint();
  expect(it.commits).toEqual([[1, 2], [3]]);
});

test("a hidden page commits each input immediately", () => {
  const it = batch();
  it.screen.hidden = true;
  it.batch.push(1);
  it.batch.push(2);
  expect(it.commits).toEqual([[1], [2]]);
  expect(it.screen.frames.size).toBe(0);
});

test("hiding the page commits pending inputs", () => {
  const it = batch();
  it.batch.push(1);
  it.screen.hide();
  expect(it.commits).toEqual([[1]]);
  expect(it.screen.frames.size).toBe(0);
});

test("pushNow commits pending inputs first", () => {
  const it = batch();
  it.batch.push(1);
  it.batch.pushNow(2);
  it.screen.paint();
  expect(it.commits).toEqual([[1, 2]]);
});
