import { expect, test } from "vitest";
import { foldChunk, settle, textOf } from "./parts.ts";
import type { ContentFrame } from "./protocol.ts";
import type { Part } from "./state.ts";

type Bare<T> = T extends unknown ? Omit<T, "seq" | "turn"> : never;

function fold(...chunks: Bare<ContentFrame>[]): readonly Part[] {
  return chunks.reduce(
    (parts: readonly Part[], chunk) => foldChunk(parts, { ...chunk, seq: 1, turn: "t1" } as ContentFrame),
    [],
  );
}

test("thoughts and text are parts of their own, even under one name", () => {
  const parts = fold(
    { type: "reasoning-start", id: "p" },
    { type: "reasoning-delta", id: "p", delta: "Hm. " },
    { type: "text-start", id: "p" },
    { type: "reasoning-delta", id: "p", delta: "Well." },
    { type: "text-delta", id: "p", delta: "Yes\n" },
    { type: "reasoning-end", id: "p" },
  );
  expect(parts).toEqual([
    { kind: "reasoning", id: "p", text: "Hm. Well.", open: false },
    { kind: "text", id: "p", text: "Yes\n", open: true },
  ]);
  expect(textOf(parts)).toBe("Yes");
});

test("a tool's input comes in pieces, and takes their place once it is complete", () => {
  const pieces = [
    { type: "tool-input-start", toolCallId: "c", toolName: "weather" },
    { type: "tool-input-delta", toolCallId: "c", inputTextDelta: '{"place":' },
    { type: "tool-input-delta", toolCallId: "c", inputTextDelta: '"Oslo"}' },
  ] as const;
  expect(fold(...pieces)).toMatchObject([{ state: "input", inputText: '{"place":"Oslo"}' }]);
  const input = { place: "Oslo" };
  const called = { type: "tool-input-available", toolCallId: "c", toolName: "weather", input } as const;
  expect(fold(...pieces, called)).toMatchObject([{ state: "running", inputText: "", input }]);
});

test("an input that is not what the tool takes fails the call, announced or not", () => {
  const error = {
    type: "tool-input-error",
    toolCallId: "c",
    toolName: "weather",
    input: 7,
    errorText: "no place",
  } as const;
  const parts = fold(error);
  expect(parts).toMatchObject([{ name: "weather", state: "failed", input: 7, error: "no place" }]);
  expect(settle(parts)).toEqual(parts);
});
