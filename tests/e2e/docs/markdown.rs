//! A reader of Markdown, as far as the documentation's tests need it: fenced blocks, links, headings and code spans.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One page of the documentation.
pub(crate) struct Page {
    /// Path below the repository's root.
    pub(crate) path: PathBuf,
    /// Fenced blocks, and comments that begin with `run:`, in their order.
    pub(crate) blocks: Vec<Block>,
    /// The text outside of fenced blocks.
    pub(crate) prose: String,
}

/// A fenced block, or a comment with commands.
pub(crate) struct Block {
    /// The words after the fence; `run` for a comment.
    pub(crate) info: String,
    /// The lines within.
    pub(crate) text: String,
}

/// A command of a block, and the lines that it prints according to the page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) command: String,
    pub(crate) output: Option<String>,
}

/// Returns the root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Reads all pages: those at the root, in `docs/`, and of the client package.
///
/// # Errors
/// Returns an error if a page cannot be read.
pub(crate) fn pages() -> Result<Vec<Page>> {
    let mut paths = vec![PathBuf::from("web/client/README.md")];
    for folder in ["", "docs"] {
        for entry in fs::read_dir(root().join(folder))? {
            let name = PathBuf::from(entry?.file_name());
            if name.extension().is_some_and(|extension| extension == "md") {
                paths.push(Path::new(folder).join(name));
            }
        }
    }
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

impl Page {
    pub(crate) fn read(path: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(root().join(&path)).with_context(|| path.display().to_string())?;
        let mut page = Self { path, blocks: Vec::new(), prose: String::new() };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(info) = line.strip_prefix("```") {
                let text =
                    lines.by_ref().take_while(|line| !line.starts_with("```")).collect::<Vec<_>>().join("\n");
                page.blocks.push(Block { info: info.to_owned(), text });
            } else if let Some(command) =
                line.strip_prefix("<!-- run: ").and_then(|rest| rest.strip_suffix(" -->"))
            {
                page.blocks.push(Block { info: "run".to_owned(), text: command.to_owned() });
            } else {
                page.prose += line;
                page.prose.push('\n');
            }
        }
        Ok(page)
    }

    /// Returns the examples in blocks marked `run`.
    pub(crate) fn examples(&self) -> Vec<Example> {
        self.blocks
            .iter()
            .filter(|block| block.info.split(' ').any(|word| word == "run"))
            .flat_map(Block::examples)
            .collect()
    }

    /// Returns the targets of all links and pictures.
    pub(crate) fn links(&self) -> Vec<&str> {
        let markdown = between(&self.prose, "](", ")");
        markdown.into_iter().chain(between(&self.prose, "src=\"", "\"")).collect()
    }

    /// Returns the text of all code spans.
    pub(crate) fn code_spans(&self) -> Vec<&str> {
        self.prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
    }

    /// Returns the anchors of all headings, as GitHub makes them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let headings = self.prose.lines().filter_map(|line| line.strip_prefix('#')?.split_once(' '));
        headings.map(|(_, heading)| anchor(heading)).collect()
    }

    /// Returns the rows of the first table with this column as its first, as cells without their backticks.
    pub(crate) fn table(&self, first_column: &str) -> Vec<Vec<String>> {
        let cells = |line: &str| -> Vec<String> {
            line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
        };
        let mut lines =
            self.prose.lines().skip_while(|line| !line.starts_with(&format!("| {first_column} |")));
        lines.by_ref().take(2).for_each(drop);
        lines.take_while(|line| line.starts_with('|')).map(cells).collect()
    }
}

impl Block {
    /// Returns the commands: in a `console` block the lines after a `$ `, else all lines. A backslash at a line's end
    /// continues the command.
    pub(crate) fn examples(&self) -> Vec<Example> {
        let is_console = self.info.starts_with("console");
        let mut examples: Vec<Example> = Vec::new();
        let mut continues = false;
        for line in self.text.lines() {
            let command = if is_console && !continues { line.strip_prefix("$ ") } else { Some(line) };
            match (command, examples.last_mut()) {
                (Some(line), Some(last)) if continues => last.command += &format!("\n{line}"),
                (Some(line), _) => examples.push(Example { command: line.to_owned(), output: None }),
                (None, Some(Example { output: Some(output), .. })) => *output += &format!("\n{line}"),
                (None, Some(last)) => last.output = Some(line.to_owned()),
                (None, None) => {}
            }
            continues = command.is_some_and(|line| line.ends_with('\\'));
        }
        examples
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start).skip(1).filter_map(|rest| rest.split_once(end)).map(|(inner, _)| inner).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Returns `true` if a text matches a pattern, in which `…` stands for anything.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}
