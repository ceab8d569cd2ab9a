/** Exports a conversation as a markdown file. Pure except for `download`. */

import { textOf } from "@mayfly/client/parts";
import type { Part, SessionState, ToolPart, Turn } from "@mayfly/client/state";
import { toJson } from "./tool.ts";

/** Converts a conversation to markdown, with earlier sessions first. */
export function toMarkdown(title: string, { earlier, turns }: SessionState): string {
  const sessions = [...earlier.map((each) => each.turns), turns].filter((each) => each.length > 0);
  const parts = sessions.map((each) => each.map(ofTurn).join("\n\n"));
  return `# ${title}\n\n${parts.join("\n\n---\n\n*New agent, which does not know the messages above.*\n\n")}\n`;
}

/** Downloads the markdown as a file named after the conversation. */
export function download(title: string, markdown: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([markdown], { type: "text/markdown" }));
  link.download = `${fileName(title)}.md`;
  link.click();
  URL.revokeObjectURL(link.href);
}

const FILE_NAME_MAX = 60;

/** Reduces a title to characters that every file system accepts. */
export function fileName(title: string): string {
  const plain = title.replace(/[^\p{L}\p{N} _-]+/gu, "").trim();
  return plain.slice(0, FILE_NAME_MAX).trim() || "conversation";
}

function ofTurn(turn: Turn): string {
  const answer = turn.parts.map(ofPart).filter(Boolean);
  const end =
    turn.outcome === null || turn.outcome === "complete" ? [] : [`*${turn.error?.message ?? turn.outcome}*`];
  return [`## You\n\n${turn.text}`, `## Agent`, ...answer, ...end].join("\n\n");
}

function ofPart(part: Part): string {
  if (part.kind === "tool") {
    return ofTool(part);
  }
  if (part.kind === "notice") {
    return `*${part.message}*`;
  }
  const text = textOf([{ ...part, kind: "text" }]);
  return part.kind === "text" || text === "" ? text : `> ${text.replaceAll("\n", "\n> ")}`;
}

function ofTool({ name, input, output, error }: ToolPart): string {
  const details = [
    input === undefined ? [] : ["Input:", fenced(input)],
    output === undefined ? [] : ["Output:", fenced(output)],
    error === null ? [] : [`Failed: ${error}`],
  ].flat();
  return [`**Tool: ${name}**`, ...details].join("\n\n");
}

/** A code block whose fence is longer than any run of backticks in the value. */
function fenced(value: unknown): string {
  const text = toJson(value);
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((ticks) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}json\n${text}\n${fence}`;
}
