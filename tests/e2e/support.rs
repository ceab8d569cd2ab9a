//! Helpers of several tests.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use mayfly_tests::harness::{Client, FRAME_TIMEOUT, Hub};
use serde_json::Value;

/// Returns `HOST:PORT`.
pub(crate) fn authority(hub: &Hub) -> &str {
    hub.url.trim_start_matches("http://")
}

/// Opens a socket.
pub(crate) async fn connect(hub: &Hub) -> Result<Client> {
    Client::connect(&hub.ws_url).await
}

/// Returns the frames up to the first of this type, inclusive.
pub(crate) async fn until(client: &mut Client, kind: &str) -> Result<Vec<Value>> {
    client.until(|frame| frame["type"] == kind).await
}

/// Sends a line and returns the frames of its turn after `turn.accepted`, up to `turn.done`.
pub(crate) async fn ask(client: &mut Client, text: &str) -> Result<Vec<Value>> {
    client.send_text(text).await?;
    until(client, "turn.accepted").await?;
    client.until_turn_done().await
}

/// Opens a socket and returns it during an answer of more than ten seconds.
pub(crate) async fn in_mid_answer(hub: &Hub) -> Result<Client> {
    let mut client = connect(hub).await?;
    client.send_text("Tell me a long story").await?;
    until(&mut client, "text-delta").await?;
    Ok(client)
}

/// Returns the directories of running agents.
pub(crate) fn agents(hub: &Hub) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(hub.data_dir().join("run"))?.collect::<std::io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

/// Polls until there is an answer.
pub(crate) async fn eventually<T>(mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let deadline = tokio::time::Instant::now() + FRAME_TIMEOUT;
    loop {
        ticks.tick().await;
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        ensure!(tokio::time::Instant::now() < deadline, "it does not come");
    }
}

/// Polls until no agent is left.
pub(crate) async fn no_agent_is_left(hub: &Hub) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let deadline = tokio::time::Instant::now() + FRAME_TIMEOUT;
    while !agents(hub)?.is_empty() {
        ensure!(tokio::time::Instant::now() < deadline, "an agent is left; the hub says:\n{}", hub.log());
        ticks.tick().await;
    }
    Ok(())
}

/// Returns `true` if the sequence numbers of these frames have no gap.
pub(crate) fn is_contiguous(frames: &[Value]) -> bool {
    let seqs: Vec<_> = frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
    !seqs.is_empty() && seqs.windows(2).all(|pair| pair[1] == pair[0] + 1)
}
