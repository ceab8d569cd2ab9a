//! Conversations by hand with websocat, as the documentation shows them.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use mayfly_tests::harness::{FRAME_TIMEOUT, Hub};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

struct Websocat {
    _child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Websocat {
    fn start(hub: &Hub, flags: &[&str], query: &str) -> Result<Self> {
        let program = std::env::var_os("WEBSOCAT").unwrap_or_else(|| "websocat".into());
        let mut child = Command::new(&program)
            .args(flags)
            .arg(format!("{}{query}", hub.ws_url))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be run: see tests/install", program.display()))?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { _child: child, stdin, stdout })
    }

    async fn type_line(&mut self, line: &str) -> Result<()> {
        Ok(self.stdin.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Returns the printed lines up to the first that contains this text, inclusive.
    async fn until(&mut self, part: &str) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.contains(part)) {
            let mut line = String::new();
            let read = timeout(FRAME_TIMEOUT, self.stdout.read_line(&mut line));
            let length = read.await.with_context(|| format!("not printed: {part}"))??;
            ensure!(length > 0, "websocat ended before {part}: {lines:?}");
            lines.push(line);
        }
        Ok(lines)
    }
}

#[tokio::test]
async fn a_typed_line_is_a_message_and_frames_are_json_lines() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut person = Websocat::start(&hub, &[], "")?;
    let ready = person.until("session.ready").await?.concat();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ready)?["v"], 1);
    person.type_line("Hello").await?;
    person.until(r#""reason":"complete""#).await?;
    person.type_line("/status").await?;
    person.until(r#""queued":0"#).await?;
    person.type_line("/help").await?;
    person.until(r#""name":"/stop""#).await?;
    person.type_line("Tell me a long story").await?;
    person.until("text-delta").await?;
    person.type_line("/stop").await?;
    person.until(r#""reason":"stopped""#).await?;
    person.type_line("/bye").await?;
    person.until(r#""type":"session.ended","reason":"bye""#).await?;
    Ok(())
}

#[tokio::test]
async fn text_reads_like_a_chat() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut person = Websocat::start(&hub, &["--no-line"], "?format=text")?;
    person.until("# active").await?;
    person.type_line("What is the weather in London?").await?;
    let answer = person.until("London").await?.concat();
    person.type_line("/bye").await?;
    let rest = person.until("# session ended: bye\n").await?.concat();
    assert!(!(answer + &rest).contains(r#""type""#));
    Ok(())
}
