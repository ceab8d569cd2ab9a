/** Folds content chunks into the parts of an answer: text, reasoning, tool calls and notices. Pure. */

import type { ContentFrame } from "./protocol.ts";
import type { Part, TextPart, ToolPart } from "./state.ts";

/** Applies one chunk. Returns the same array if nothing changed. */
export function foldChunk(parts: readonly Part[], frame: ContentFrame): readonly Part[] {
  switch (frame.type) {
    case "start":
    case "start-step":
    case "finish-step":
      return parts;
    case "text-start":
      return [...parts, textPart("text", frame.id, "")];
    case "text-delta":
      return appendText(parts, "text", frame);
    case "text-end":
      return updateText(parts, "text", frame.id, (part) => ({ ...part, open: false }));
    case "reasoning-start":
      return [...parts, textPart("reasoning", frame.id, "")];
    case "reasoning-delta":
      return appendText(parts, "reasoning", frame);
    case "reasoning-end":
      return updateText(parts, "reasoning", frame.id, (part) => ({ ...part, open: false }));
    case "tool-input-start":
      return [...parts, toolPart(frame.toolCallId, frame.toolName)];
    case "tool-input-delta":
      return updateTool(parts, frame.toolCallId, (part) => ({
        inputText: part.inputText + frame.inputTextDelta,
      }));
    case "tool-input-available": {
      const { toolCallId, input } = frame;
      return updateTool(ensureTool(parts, frame), toolCallId, () => ({
        state: "running",
        input,
        inputText: "",
      }));
    }
    case "tool-input-error": {
      const { toolCallId, input, errorText } = frame;
      return updateTool(ensureTool(parts, frame), toolCallId, () => ({
        state: "failed",
        input,
        error: errorText,
      }));
    }
    case "data-notice":
      return [...parts, { kind: "notice", message: String(frame.data.message) }];
    case "tool-output-available":
      return updateTool(parts, frame.toolCallId, () => ({ state: "done", output: frame.output }));
    case "tool-output-error":
      return updateTool(parts, frame.toolCallId, () => ({ state: "failed", error: frame.errorText }));
  }
}

/** Closes open parts at the end of a turn; unfinished tool calls become `cut`. */
export function closeParts(parts: readonly Part[]): readonly Part[] {
  return parts.map((part) => {
    if (part.kind === "notice") {
      return part;
    }
    if (part.kind !== "tool") {
      return part.open ? { ...part, open: false } : part;
    }
    return part.state === "input" || part.state === "running" ? { ...part, state: "cut" } : part;
  });
}

/** The text of an answer as markdown, without reasoning and tool calls. */
export function textOf(parts: readonly Part[]): string {
  return parts
    .flatMap((part) => (part.kind === "text" && part.text !== "" ? [part.text.trim()] : []))
    .join("\n\n");
}

function appendText(
  parts: readonly Part[],
  kind: TextPart["kind"],
  { id, delta }: { id: string; delta: string },
): readonly Part[] {
  const grown = updateText(parts, kind, id, (part) => ({ ...part, text: part.text + delta }));
  return grown === parts ? [...parts, textPart(kind, id, delta)] : grown;
}

function updateText(
  parts: readonly Part[],
  kind: TextPart["kind"],
  id: string,
  update: (part: TextPart) => TextPart,
): readonly Part[] {
  const index = parts.findLastIndex((part) => part.kind === kind && part.id === id && part.open);
  const part = parts[index];
  return part?.kind !== kind ? parts : parts.with(index, update(part));
}

/** Adds the tool part if no `tool-input-start` announced the call. */
function ensureTool(parts: readonly Part[], call: { toolCallId: string; toolName: string }): readonly Part[] {
  const isKnown = parts.some((part) => part.kind === "tool" && part.id === call.toolCallId);
  return isKnown ? parts : [...parts, toolPart(call.toolCallId, call.toolName)];
}

function updateTool(
  parts: readonly Part[],
  id: string,
  change: (part: ToolPart) => Partial<ToolPart>,
): readonly Part[] {
  const index = parts.findLastIndex((part) => part.kind === "tool" && part.id === id);
  const part = parts[index];
  return part?.kind === "tool" ? parts.with(index, { ...part, ...change(part) }) : parts;
}

function textPart(kind: TextPart["kind"], id: string, text: string): TextPart {
  return { kind, id, text, open: true };
}

function toolPart(id: string, name: string): ToolPart {
  return {
    kind: "tool",
    id,
    name,
    state: "input",
    inputText: "",
    input: undefined,
    output: undefined,
    error: null,
  };
}
