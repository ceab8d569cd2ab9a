//! Agents that do not start, and agents that end.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use mayfly_tests::harness::{Client, Hub};
use mayfly_tests::scripted::ScriptedAgent;
use serde_json::json;

use super::{Scene, outcome};
use crate::support::{ask, connect, in_mid_answer, no_agent_is_left, until};

#[tokio::test]
async fn a_killed_agent_ends_the_turn_with_an_error() -> Result<()> {
    let hub = Hub::start(&[])?;
    let client = in_mid_answer(&hub).await?;
    let mut neighbour = in_mid_answer(&hub).await?;
    let supervisor = children(hub.pid)?[0];
    let agent = nix::unistd::Pid::from_raw(children(supervisor)?[0].try_into()?);
    nix::sys::signal::kill(agent, nix::sys::signal::Signal::SIGKILL)?;
    let (frames, code, _) = client.until_closed().await?;
    let done: Vec<_> = frames.iter().filter(|frame| frame["type"] == "turn.done").collect();
    let [done] = done.as_slice() else { panic!("{frames:?}") };
    // Whichever of the two is noticed first: the stream's end or the process's.
    let cause = done["error"]["code"].as_str().unwrap();
    assert!(["agent.crashed", "agent.stream_truncated"].contains(&cause), "{done}");
    assert_eq!(frames.last().unwrap()["reason"], "agent_lost");
    assert_eq!(code, 4509);
    neighbour.send_text("/stop").await?;
    assert_eq!(outcome(&neighbour.until_turn_done().await?), "stopped");
    assert_eq!(outcome(&ask(&mut neighbour, "Hello").await?), "complete");
    neighbour.close().await?;
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn a_failed_start_is_reported() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let removed = directory.path().join("agent");
    std::fs::copy("/bin/false", &removed)?;
    for command in [removed.to_str().context("a path in UTF-8")?, "/bin/false"] {
        let hub = Hub::start(&["--agent-command", command, "--max-sessions", "1"])?;
        // One program is removed after the hub has found it, the other fails.
        if removed.exists() {
            std::fs::remove_file(&removed)?;
        }
        // The second is told the same: the place of the first is free.
        for _ in 0..2 {
            let mut client = connect(&hub).await?;
            client.say("Hello").await?;
            let (frames, code, reason) = client.until_closed().await?;
            let [.., error, ended] = frames.as_slice() else { panic!("{frames:?}") };
            assert_eq!((&error["code"], &ended["reason"]), (&json!("spawn.failed"), &json!("spawn_failed")));
            assert_eq!((code, reason.as_str()), (4508, "spawn.failed"), "{command}");
            no_agent_is_left(&hub).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_never_becomes_healthy_times_out() -> Result<()> {
    let hub = Hub::start(&["--agent-command", "/bin/sleep 1000", "--spawn-timeout", "1s"])?;
    let (frames, code, _) = connect(&hub).await?.until_closed().await?;
    assert_eq!(frames[frames.len() - 2]["code"], "spawn.timeout");
    assert_eq!(code, 4508);
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn only_a_successful_response_is_healthy() -> Result<()> {
    const ILL: [&str; 4] = [
        "",
        "no\r\n",
        "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
    ];
    let agents = try_join_all(ILL.map(ScriptedAgent::start)).await?;
    let addresses = agents.iter().map(|agent| agent.url.as_str()).collect::<Vec<_>>().join(",");
    let hub = Hub::start(&["--platform", "static", "--static-agents", &addresses, "--spawn-timeout", "1s"])?;
    let clients = try_join_all(ILL.map(|_| connect(&hub))).await?;
    for (frames, code, _) in try_join_all(clients.into_iter().map(Client::until_closed)).await? {
        assert_eq!(frames[frames.len() - 2]["code"], "spawn.timeout", "{frames:?}");
        assert_eq!(code, 4508);
    }
    for agent in agents {
        let calls = agent.calls();
        assert!(!calls.is_empty() && calls.iter().all(|call| call == "GET /health"), "{calls:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unreachable_agent_keeps_the_socket() -> Result<()> {
    let Scene { hub, agent, mut client, .. } = Scene::start().await?;
    drop(agent);
    for _ in 0..2 {
        client.say("Hello").await?;
        assert_eq!(outcome(&client.until_turn_done().await?), "agent.unreachable");
    }
    client.send_text("/status").await?;
    let status = until(&mut client, "session.status").await?.pop();
    assert_eq!(status.map(|status| status["status"].clone()), Some(json!("active")), "{}", hub.log());
    Ok(())
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let list = std::fs::read_to_string(task?.path().join("children"))?;
        children.extend(list.split_whitespace().map(str::parse::<u32>).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(children)
}
