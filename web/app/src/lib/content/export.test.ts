import { INITIAL } from "@mayfly/client/state";
import { expect, test } from "vitest";
import { turnOf } from "../../testing/turn.ts";
import { fileName, toMarkdown } from "./export.ts";

const text = (text: string) => ({ kind: "text", id: "p", text, open: false }) as const;

test("the markdown has messages, reasoning, tool calls, answers and changes of the agent", () => {
  const tool = {
    kind: "tool",
    id: "c",
    name: "weather",
    state: "done",
    inputText: "",
    input: { place: "Oslo" },
    output: "a ``` in it",
    error: null,
  } as const;
  const thought = { kind: "reasoning", id: "r", text: "Hm.\nWell.", open: false } as const;
  const earlier = [{ session: "s_1", turns: [turnOf("Hello", { parts: [text("Hi.")] })] }];
  const turns = [turnOf("Oslo?", { parts: [thought, tool, text("Mild.")], outcome: "stopped" })];
  expect(toMarkdown("Hello", { ...INITIAL, earlier, turns })).toBe(`# Hello

## You

Hello

## Agent

Hi.

---

*New agent, which does not know the messages above.*

## You

Oslo?

## Agent

> Hm.
> Well.

**Tool: weather**

Input:

\`\`\`json
{
  "place": "Oslo"
}
\`\`\`

Output:

\`\`\`\`json
a \`\`\` in it
\`\`\`\`

Mild.

*stopped*
`);
});

test.each([
  ["What is the weather in London?", "What is the weather in London"],
  ["../../etc/passwd", "etcpasswd"],
  ["¿Qué?", "Qué"],
  ["???", "conversation"],
])("%s is saved as %s", (title, name) => {
  expect(fileName(title)).toBe(name);
});
