//! The documentation: its examples work, its links lead somewhere, and it names only what exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use mayfly_protocol::code::{ErrorCode, Retry, Rule};
use mayfly_tests::harness::{Hub, program, text_of};

use self::markdown::{Example, Page, matches, pages, root};
use crate::support::{ask, connect};

mod markdown;

const OPERATOR_KEY: &str = "a-key-for-the-documentation";
/// The address in examples.
const ADDRESS: &str = "127.0.0.1:8080";
/// Flags in code that are not the hub's.
const OTHER_FLAGS: [&str; 4] = ["--experimental-websocket", "--no-line", "--port", "--quick"];

/// Runs a page's examples in one shell, in a directory with an operator key and the folder `deploy`, against a hub.
fn run_examples(page: &Page, examples: &[Example]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let at = |name: String| directory.path().join(name);
    fs::write(at("operator.key".to_owned()), OPERATOR_KEY)?;
    std::os::unix::fs::symlink(root().join("deploy").canonicalize()?, at("deploy".to_owned()))?;
    let key_file = at("operator.key".to_owned()).display().to_string();
    let needs_key = examples.iter().any(|example| example.command.contains("$KEY"));
    let hub = if needs_key { Hub::start(&["--operator-key-file", &key_file])? } else { Hub::start(&[])? };

    let mut script = "OUT=out".to_owned();
    for (number, Example { command, .. }) in examples.iter().enumerate() {
        let command = command.replace(ADDRESS, hub.authority());
        script +=
            &format!("\n{{ {command}\n}} >out.{number} 2>&1 || echo {number} >>failed\ncp out.{number} out");
    }
    let programs = program("mayfly")?.parent().context("a program is in a directory")?.to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell.args(["-euc", &script]).current_dir(directory.path());
    shell.env("PATH", format!("{}:{path}", programs.display()));
    shell.env("HUB", hub.url.trim_end_matches('/')).env("KEY", OPERATOR_KEY);
    let ended = shell.output()?;
    ensure!(ended.status.success(), "{}: {}", page.path.display(), String::from_utf8_lossy(&ended.stderr));

    let failed = fs::read_to_string(at("failed".to_owned())).unwrap_or_default();
    for (number, Example { command, output }) in examples.iter().enumerate() {
        let printed = fs::read_to_string(at(format!("out.{number}")))?;
        let is_failed = failed.lines().any(|line| line == number.to_string());
        ensure!(!is_failed, "{}: this fails:\n{command}\n{printed}", page.path.display());
        if let Some(output) = output {
            ensure!(
                matches(output, printed.trim_end()),
                "{}: this prints something else:\n{command}\n--- expected\n{output}\n--- printed\n{printed}",
                page.path.display()
            );
        }
    }
    Ok(())
}

#[test]
fn marked_examples_work() -> Result<()> {
    let mut run = 0;
    for page in pages()? {
        let examples = page.examples();
        if !examples.is_empty() {
            run_examples(&page, &examples)?;
        }
        run += examples.len();
    }
    ensure!(run > 15, "only {run} examples are marked");
    Ok(())
}

#[test]
fn links_resolve() -> Result<()> {
    let pages = pages()?;
    for page in &pages {
        for link in page.links().into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.path.parent().unwrap_or(Path::new(""));
            let target = if file.is_empty() { page.path.clone() } else { folder.join(file) };
            let found = root().join(&target).canonicalize();
            let found = found.with_context(|| format!("{}: {link}", page.path.display()))?;
            if !anchor.is_empty() {
                let same =
                    |other: &&Page| root().join(&other.path).canonicalize().is_ok_and(|path| path == found);
                let target = pages.iter().find(same).with_context(|| format!("{link} is no page"))?;
                ensure!(
                    target.anchors().iter().any(|known| known == anchor),
                    "{}: {link}: no such heading; there are {:?}",
                    page.path.display(),
                    target.anchors()
                );
            }
        }
    }
    Ok(())
}

#[test]
fn named_paths_exist() -> Result<()> {
    const FOLDERS: [&str; 7] = ["agent/", "deploy/", "docs/", "hub/", "tests/", "web/", ".ci/"];
    for page in pages()? {
        for span in page.code_spans() {
            let is_path = FOLDERS.iter().any(|folder| span.starts_with(folder))
                && span.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
                && !span.contains("NAME");
            ensure!(!is_path || root().join(span).exists(), "{}: there is no {span}", page.path.display());
        }
    }
    Ok(())
}

#[test]
fn named_flags_exist() -> Result<()> {
    let help = Command::new(program("mayfly")?).args(["serve", "--help"]).output()?;
    let help = String::from_utf8(help.stdout)?;
    let known: BTreeSet<&str> = flags(&help).collect();
    ensure!(known.contains("--listen"), "no flags in {help}");
    for page in pages()? {
        let commands = page.blocks.iter().flat_map(markdown::Block::examples);
        let commands = commands.map(|example| example.command);
        let commands =
            commands.filter(|command| command.contains("mayfly serve") || command.contains("ARGS="));
        let spans = page.code_spans().into_iter().filter(|span| span.starts_with("--")).map(str::to_owned);
        for code in commands.chain(spans) {
            for flag in flags(&code) {
                let is_known = known.contains(flag) || OTHER_FLAGS.contains(&flag);
                ensure!(is_known, "{}: there is no flag {flag}", page.path.display());
            }
        }
    }
    Ok(())
}

/// The flags in a text.
fn flags(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |letter: char| !letter.is_ascii_lowercase() && letter != '-';
    let words = text.split(|letter: char| letter.is_whitespace() || "`\"'([,".contains(letter));
    words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(move |word| word.split(is_end).next().unwrap_or(word))
}

#[test]
fn error_codes_match_the_program() -> Result<()> {
    let page = Page::read("docs/api.md".into())?;
    let mut documented = page.table("code");
    documented.iter_mut().for_each(|row| row.truncate(5));
    let rows = ErrorCode::ALL.iter().map(|code| {
        let Rule { name, status, close, scope, retry, source: _ } = code.rule();
        let close = close.map_or_else(String::new, |close| close.number().to_string());
        let scope = serde_json::to_value(scope)?.as_str().unwrap_or_default().to_owned();
        let retry = if retry == Retry::Later { "yes" } else { "no" };
        Ok(vec![name.to_owned(), status.to_string(), close, scope, retry.to_owned()])
    });
    assert_eq!(documented, rows.collect::<Result<Vec<_>>>()?);
    Ok(())
}

#[tokio::test]
async fn example_agent_answers() -> Result<()> {
    let agent = root().canonicalize()?.join("docs/example-agent.py");
    let command = format!("python3 {}", agent.display());
    let hub = Hub::start(&["--agent-command", &command, "--sandbox", "none"])?;
    let mut client = connect(&hub).await?;
    let frames = ask(&mut client, "How are you?").await?;
    assert_eq!(text_of(&frames), "You said: How are you? ");
    Ok(())
}

#[test]
fn readme_is_short() -> Result<()> {
    let lines = fs::read_to_string(root().join("README.md"))?.lines().count();
    ensure!(lines <= 150, "README.md has {lines} lines");
    Ok(())
}

#[test]
fn examples_are_read_and_compared() -> Result<()> {
    let block = markdown::Block {
        info: "console run".to_owned(),
        text: "$ one \\\n  more\n{\"a\":…}\nlast\n$ two".to_owned(),
    };
    let example = |command: &str, output: Option<&str>| Example {
        command: command.to_owned(),
        output: output.map(str::to_owned),
    };
    assert_eq!(block.examples(), [example("one \\\n  more", Some("{\"a\":…}\nlast")), example("two", None)]);
    assert!(matches("a…c", "abc") && matches("…\nc", "a\nb\nc") && matches("abc", "abc") && matches("…", ""));
    assert!(!matches("a…c", "abd") && !matches("abc", "abcd") && !matches("a…b…c", "ac"));
    Ok(())
}
