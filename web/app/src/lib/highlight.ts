/** Colours for code: which of its words are what. Fetched with the first block that wants them. */

import type { RootContent } from "hast";
import { common, createLowlight } from "lowlight";

const lowlight = createLowlight(common);

/** The code as text and classed spans; null for a language that is not known. */
export function highlight(code: string, language: string): readonly RootContent[] | null {
  return lowlight.registered(language) ? lowlight.highlight(language, code).children : null;
}
