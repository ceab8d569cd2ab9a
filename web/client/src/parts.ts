/** How an answer's chunks become its parts: text that grows, and tools that are called. Pure; knows one turn's parts only. */

import type { ContentFrame } from "./protocol.ts";
import type { Part, TextPart, ToolPart } from "./state.ts";

/** Folds one chunk in. Returns the same array when nothing changed. */
export function foldChunk(parts: readonly Part[], frame: ContentFrame): readonly Part[] {
  switch (frame.type) {
    case "start":
    case "start-step":
    case "finish-step":
    case "reasoning-start":
    case "reasoning-delta":
    case "reasoning-end":
    case "tool-input-delta":
      return parts;
    case "text-start":
      return [...parts, textPart(frame.id, "")];
    case "text-delta":
      return appendText(parts, frame.id, frame.delta);
    case "text-end":
      return updateText(parts, frame.id, (part) => ({ ...part, open: false }));
    case "tool-input-start":
      return [...parts, toolPart(frame.toolCallId, frame.toolName)];
    case "tool-input-available": {
      const change = { state: "running", input: frame.input } as const;
      return updateTool(withTool(parts, frame.toolCallId, frame.toolName), frame.toolCallId, change);
    }
    case "tool-input-error": {
      const change = { state: "failed", input: frame.input, error: frame.errorText } as const;
      return updateTool(withTool(parts, frame.toolCallId, frame.toolName), frame.toolCallId, change);
    }
    case "data-notice":
      return [...parts, { kind: "notice", message: String(frame.data.message) }];
    case "tool-output-available":
      return updateTool(parts, frame.toolCallId, { state: "done", output: frame.output });
    case "tool-output-error":
      return updateTool(parts, frame.toolCallId, { state: "failed", error: frame.errorText });
  }
}

/** Closes what is still open when the turn is over. */
export function settle(parts: readonly Part[]): readonly Part[] {
  return parts.map((part) => {
    if (part.kind === "text") {
      return part.open ? { ...part, open: false } : part;
    }
    if (part.kind === "notice") {
      return part;
    }
    return part.state === "input" || part.state === "running" ? { ...part, state: "cut" } : part;
  });
}

function appendText(parts: readonly Part[], id: string, delta: string): readonly Part[] {
  const grown = updateText(parts, id, (part) => ({ ...part, text: part.text + delta }));
  return grown === parts ? [...parts, textPart(id, delta)] : grown;
}

function updateText(
  parts: readonly Part[],
  id: string,
  update: (part: TextPart) => TextPart,
): readonly Part[] {
  const index = parts.findLastIndex((part) => part.kind === "text" && part.id === id && part.open);
  const part = parts[index];
  return part?.kind === "text" ? parts.with(index, update(part)) : parts;
}

function withTool(parts: readonly Part[], id: string, name: string): readonly Part[] {
  const known = parts.some((part) => part.kind === "tool" && part.id === id);
  return known ? parts : [...parts, toolPart(id, name)];
}

function updateTool(parts: readonly Part[], id: string, change: Partial<ToolPart>): readonly Part[] {
  const index = parts.findLastIndex((part) => part.kind === "tool" && part.id === id);
  const part = parts[index];
  return part?.kind === "tool" ? parts.with(index, { ...part, ...change }) : parts;
}

function textPart(id: string, text: string): TextPart {
  return { kind: "text", id, text, open: true };
}

function toolPart(id: string, name: string): ToolPart {
  return { kind: "tool", id, name, state: "input", input: undefined, output: undefined, error: null };
}
