//! The agent inside the hub's program: the default of `--agent-command`.

use std::fs;

use anyhow::{Context, Result};
use mayfly_tests::harness::{Hub, program};

use crate::support::{ask, connect, no_agent_is_left};

/// Starts a hub from a copy of its program, removes the copy as an update does, and asks the hub's own agent.
async fn answers_after_an_update(sandbox: &str, variables: &[(&str, &str)], log: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("mayfly");
    fs::copy(program("mayfly")?, &copy)?;
    let hub = Hub::start_copy(&copy, &["--sandbox", sandbox], variables)?;
    fs::remove_file(&copy)?;
    let mut client = connect(&hub).await?;
    let frames = ask(&mut client, "Hello").await?;
    assert_eq!(frames.last().context("frames")?["reason"], "complete");
    assert!(hub.log().contains(log), "{}", hub.log());
    client.close().await?;
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn own_agent_answers_in_bubblewrap_after_an_update() -> Result<()> {
    answers_after_an_update("bwrap", &[], r#""sandbox":"bubblewrap""#).await
}

#[tokio::test]
async fn own_agent_answers_in_landlock_after_an_update() -> Result<()> {
    // Without bwrap on PATH the hub takes Landlock.
    answers_after_an_update("auto", &[("PATH", "/nowhere")], r#""sandbox":"landlock""#).await
}

#[tokio::test]
async fn own_agent_answers_without_a_sandbox_after_an_update() -> Result<()> {
    answers_after_an_update("none", &[], r#""sandbox":"none""#).await
}
