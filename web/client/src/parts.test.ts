import { expect, test } from "vitest";
import { closeParts, foldChunk, textOf } from "./parts.ts";
import type { ContentFrame } from "./protocol.ts";
import type { Part } from "./state.ts";

type Bare<T> = T extends unknown ? Omit<T, "seq" | "turn"> : never;

function fold(...chunks: Bare<ContentFrame>[]): readonly Part[] {
  return chunks.reduce(
    (parts: readonly Part[], chunk) => foldChunk(parts, { ...chunk, seq: 1, turn: "t1" } as ContentFrame),
    [],
  );
}

test("reasoning and text are separate parts even with one id", () => {
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

test("a tool's complete input replaces its pieces", () => {
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

test("an invalid input fails the call even if it was not announced", () => {
  const error = {
    type: "tool-input-error",
    toolCallId: "c",
    toolName: "weather",
    input: 7,
    errorText: "no place",
  } as const;
  const parts = fold(error);
  expect(parts).toMatchObject([{ name: "weather", state: "failed", input: 7, error: "no place" }]);
  expect(closeParts(parts)).toEqual(parts);
});
