import { expect, test } from "vitest";
import { highlight } from "./highlight.ts";

test.each([
  ["rust", "fn main() {}", "fn"],
  ["TS", "const a = 1;", "const"],
  ["py", "def f(): pass", "def"],
])("%s is highlighted", async (language, code, keyword) => {
  const nodes = await highlight(code, language);
  expect(JSON.stringify(nodes)).toContain(
    JSON.stringify({
      type: "element",
      tagName: "span",
      properties: { className: ["hljs-keyword"] },
      children: [{ type: "text", value: keyword }],
    }),
  );
});

test("an unknown language is not highlighted", async () => {
  expect(await highlight("x", "klingon")).toBeNull();
  expect(await highlight("x", "constructor")).toBeNull();
});
