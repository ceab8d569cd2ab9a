//! Warm agents: each is handed out once, replaced, never handed out when unhealthy, and stopped with the hub.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use mayfly_tests::harness::{Client, FRAME_TIMEOUT, Hub, program, text_of};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::UnixStream;

use crate::support::{agents, ask, connect};

const SIZE: usize = 2;

/// Starts a hub with a pool, whose log has a line for each warm agent.
fn hub(args: &[&str]) -> Result<Hub> {
    let size = SIZE.to_string();
    let args = [&["--pool-size", &size], args].concat();
    Hub::start_with(&args, &[("RUST_LOG", "info,mayfly::agents::pool=debug")])
}

/// Waits until the hub's log contains a text so often.
async fn said(hub: &Hub, what: &str, times: usize) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let deadline = tokio::time::Instant::now() + FRAME_TIMEOUT;
    while hub.log().matches(what).count() < times {
        ensure!(tokio::time::Instant::now() < deadline, "never said {what:?} {times} times:\n{}", hub.log());
        ticks.tick().await;
    }
    Ok(())
}

async fn warm(hub: &Hub, times: usize) -> Result<()> {
    said(hub, "warm agent ready", times).await
}

/// Opens a socket and returns the steps of the session's start.
async fn steps(hub: &Hub) -> Result<(Client, Vec<String>)> {
    let mut client = connect(hub).await?;
    let frames = client.until(|frame| frame["status"] == "active").await?;
    let steps = frames.iter().filter_map(|frame| frame["step"].as_str().map(str::to_owned)).collect();
    Ok((client, steps))
}

#[tokio::test]
async fn a_warm_agent_is_claimed_and_replaced() -> Result<()> {
    let mut hub = hub(&[])?;
    warm(&hub, SIZE).await?;
    assert_eq!(agents(&hub)?.len(), SIZE);
    let (mut client, claimed) = steps(&hub).await?;
    assert_eq!(claimed, ["claiming"]);
    assert!(text_of(&ask(&mut client, "What is the weather in London?").await?).contains("London"));
    warm(&hub, SIZE + 1).await?;
    assert_eq!(agents(&hub)?.len(), SIZE + 1, "those of sessions are not the pool's");
    client.close().await?;
    assert!(hub.stop()?.success());
    assert!(agents(&hub)?.is_empty(), "the hub says:\n{}", hub.log());
    Ok(())
}

#[tokio::test]
async fn a_warm_agent_is_claimed_once() -> Result<()> {
    let hub = hub(&[])?;
    warm(&hub, SIZE).await?;
    let mut clients = try_join_all((0..3 * SIZE).map(|_| steps(&hub))).await?;
    let with = |expected: &[&str]| clients.iter().filter(|(_, steps)| steps == expected).count();
    let (claimed, started) = (with(&["claiming"]), with(&["starting", "probing"]));
    assert!(claimed >= SIZE && claimed + started == 3 * SIZE, "{claimed} claimed, {started} started");
    // An agent answers no session but its own.
    let answers = clients.iter_mut().map(|(client, _)| ask(client, "Hello"));
    for frames in try_join_all(answers).await? {
        assert_eq!(frames.last().context("the turn is done")?["reason"], "complete");
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_warm_agent_is_replaced() -> Result<()> {
    let hub = hub(&[])?;
    warm(&hub, SIZE).await?;
    for directory in agents(&hub)? {
        let agent = UnixStream::connect(directory.join("agent.sock")).await?.peer_cred()?.pid();
        kill(Pid::from_raw(agent.context("it has a pid")?), Signal::SIGKILL)?;
    }
    warm(&hub, SIZE + 1).await?;
    let (mut client, claimed) = steps(&hub).await?;
    assert_eq!(claimed, ["claiming"]);
    ask(&mut client, "Hello").await?;
    Ok(())
}

#[tokio::test]
async fn agents_without_bind_are_not_pooled() -> Result<()> {
    let agent = program("sim-agent")?;
    let hub = hub(&["--agent-command", agent.to_str().context("a path in UTF-8")?])?;
    warm(&hub, SIZE).await?;
    let (mut client, steps) = steps(&hub).await?;
    assert_eq!(steps, ["claiming", "starting", "probing"]);
    ask(&mut client, "tokens=3 rate=1000").await?;
    said(&hub, "warm pool disabled", 1).await?;
    client.close().await?;
    crate::support::no_agent_is_left(&hub).await
}

#[tokio::test]
async fn a_new_program_replaces_warm_agents() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let agent = directory.path().join("agent");
    fs::copy(program("mayfly-agent")?, &agent)?;
    let hub = hub(&["--agent-command", agent.to_str().context("a path in UTF-8")?])?;
    warm(&hub, SIZE).await?;
    let before = agents(&hub)?;
    let next = directory.path().join("next");
    fs::copy(program("mayfly-agent")?, &next)?;
    fs::rename(next, &agent)?;
    warm(&hub, 2 * SIZE).await?;
    assert!(agents(&hub)?.iter().all(|agent| !before.contains(agent)));
    Ok(())
}
