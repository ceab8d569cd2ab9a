/**
 * Stands in for `rehype-raw`, which streamdown brings along: the HTML parser behind it is a quarter of the page's
 * script, and HTML that a model writes is shown as text here, never parsed.
 */
export default function rehypeRaw(): never {
  throw new Error("a model's HTML is not parsed");
}
