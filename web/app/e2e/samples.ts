/** Answers of scripted agents: typical markdown, hostile markdown and long answers. */

export const MARKDOWN = `## How it works

The hub keeps **one WebSocket** for each session, and streams *every token* over it as it comes. See the
[protocol](https://example.com/protocol) or ask at <mail@example.com>.

1. A browser connects.
2. The hub starts an agent:
   - a process of its own,
   - or a container.

3. Tokens flow.

\`\`\`rust
/// Returns the value times two.
fn double(value: u32) -> u32 {
    let factor = 2; // twice
    value * factor
}
\`\`\`

| clock | default | renewed by |
|---|---:|---|
| heartbeat | 15 s | any frame |
| idle | 30 min | a message |
| max | 2 h | nothing |

> Nothing here is stored after the conversation has ended.

- [x] streamed
- [ ] stored

Inline \`code\` stays in its line, and so do an interval like [0, 1) and ~~deleted text~~.
`;

/** Each element would run a script, load a resource or open an address if the page rendered it as HTML. */
export const HOSTILE_MARKDOWN = `Before.

<script>window.harmed = "script"</script>

<img src="https://evil.example/pixel.png" onerror="window.harmed = 'onerror'">

![a picture](https://evil.example/pixel.png)

![x](javascript:window.harmed=1) [a link](javascript:window.harmed='link') [data](data:text/html,<script>window.harmed=1</script>)

<a href="javascript:window.harmed='anchor'">press me</a> <svg onload="window.harmed='svg'"></svg>

<iframe src="https://evil.example/"></iframe>

<style>body { display: none }</style>

[ref]: javascript:window.harmed='ref'

See [ref] and <javascript:window.harmed='auto'> and https://fine.example/page.

\`\`\`html
<img src=x onerror="window.harmed='code'">
\`\`\`

After.
`;

const WORDS =
  "the hub keeps what a session was asked and answers each token as soon as the agent has said it to whoever listens".split(
    " ",
  );

/** Generates this many tokens of markdown with blocks of every kind; always the same text. */
export function longMarkdown(tokens: number): string {
  const pieces: string[] = [];
  let left = tokens;
  for (let index = 0; left > 0; index++) {
    const words = (count: number, from: number) =>
      Array.from({ length: count }, (_, at) => WORDS[(from * 7 + at) % WORDS.length]).join(" ");
    const kinds = [
      () => `## ${words(4, index)}`,
      () => `${words(40, index)}, **${words(3, index)}** and \`${words(1, index)}\`.`,
      () => Array.from({ length: 6 }, (_, at) => `- ${words(8, index + at)}`).join("\n"),
      () =>
        `\`\`\`ts\n${Array.from({ length: 10 }, (_, at) => `const line${at} = "${words(5, at)}";`).join("\n")}\n\`\`\``,
      () =>
        `| a | b |\n|---|---|\n${Array.from({ length: 5 }, (_, at) => `| ${words(2, at)} | ${words(3, at)} |`).join("\n")}`,
    ];
    const piece = kinds[index % kinds.length]?.() ?? "";
    left -= piece.split(/\s+/).length;
    pieces.push(piece);
  }
  return pieces.join("\n\n");
}

/** Generates this many tokens by repeating a line of `lineTokens` tokens. */
export function repeatLine(line: string, tokens: number, lineTokens: number): string {
  return Array.from({ length: tokens / lineTokens }, () => line).join("\n");
}
