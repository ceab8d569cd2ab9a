/** Syntax highlighting. This module and each language are loaded on first use. */

import type { RootContent } from "hast";
import type { LanguageFn } from "highlight.js";
import { createLowlight } from "lowlight";

type Module = Promise<{ default: LanguageFn }>;

/** The languages that models commonly write, each with its names in code fences. */
const LANGUAGES: readonly (readonly [names: string, load: () => Module])[] = [
  ["bash sh shell zsh console", () => import("highlight.js/lib/languages/bash")],
  ["c h", () => import("highlight.js/lib/languages/c")],
  ["cpp c++ hpp cc", () => import("highlight.js/lib/languages/cpp")],
  ["csharp cs c#", () => import("highlight.js/lib/languages/csharp")],
  ["css", () => import("highlight.js/lib/languages/css")],
  ["diff patch", () => import("highlight.js/lib/languages/diff")],
  ["dockerfile docker", () => import("highlight.js/lib/languages/dockerfile")],
  ["go golang", () => import("highlight.js/lib/languages/go")],
  ["ini toml", () => import("highlight.js/lib/languages/ini")],
  ["java", () => import("highlight.js/lib/languages/java")],
  ["javascript js jsx mjs cjs", () => import("highlight.js/lib/languages/javascript")],
  ["json json5 jsonc", () => import("highlight.js/lib/languages/json")],
  ["kotlin kt", () => import("highlight.js/lib/languages/kotlin")],
  ["lua", () => import("highlight.js/lib/languages/lua")],
  ["makefile make", () => import("highlight.js/lib/languages/makefile")],
  ["markdown md", () => import("highlight.js/lib/languages/markdown")],
  ["php", () => import("highlight.js/lib/languages/php")],
  ["python py", () => import("highlight.js/lib/languages/python")],
  ["r", () => import("highlight.js/lib/languages/r")],
  ["ruby rb", () => import("highlight.js/lib/languages/ruby")],
  ["rust rs", () => import("highlight.js/lib/languages/rust")],
  ["scss sass", () => import("highlight.js/lib/languages/scss")],
  ["sql", () => import("highlight.js/lib/languages/sql")],
  ["swift", () => import("highlight.js/lib/languages/swift")],
  ["typescript ts tsx", () => import("highlight.js/lib/languages/typescript")],
  ["xml html svg vue", () => import("highlight.js/lib/languages/xml")],
  ["yaml yml", () => import("highlight.js/lib/languages/yaml")],
];

const lowlight = createLowlight();

/** Highlights the code as text and spans with classes; null for an unknown language. */
export async function highlight(code: string, language: string): Promise<readonly RootContent[] | null> {
  const found = LANGUAGES.find(([names]) => names.split(" ").includes(language.toLowerCase()));
  if (found === undefined) {
    return null;
  }
  const [[name = ""], load] = [found[0].split(" "), found[1]];
  if (!lowlight.registered(name)) {
    lowlight.register(name, (await load()).default);
  }
  return lowlight.highlight(name, code).children;
}
