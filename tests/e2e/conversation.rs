//! What a person gets: an answer token by token, a second one that builds on it, a stop, an end.

use anyhow::Result;
use mayfly_tests::harness::{Client, Hub, text_of};
use serde_json::json;

use crate::support::{agents, ask, connect, is_contiguous, no_agent_is_left, until};

#[tokio::test]
async fn a_person_talks_to_an_agent_of_their_own() -> Result<()> {
    let mut hub = Hub::start(&[])?;
    let mut client = connect(&hub).await?;
    let ready = client.next_frame().await?;
    assert_eq!((&ready["type"], &ready["status"]), (&json!("session.ready"), &json!("creating")));

    client.send(&json!({"type": "message", "id": "c1", "text": "What is the weather in London?"})).await?;
    let frames = client.until_turn_done().await?;
    let accepted = frames.iter().find(|frame| frame["type"] == "turn.accepted").unwrap();
    assert_eq!((&accepted["message"], &accepted["turn"]), (&json!("c1"), &json!("t1")));
    assert_eq!(frames.last().unwrap()["reason"], "complete");
    let kinds: Vec<_> = frames.iter().filter_map(|frame| frame["type"].as_str()).collect();
    assert!(kinds.contains(&"tool-input-available") && kinds.contains(&"tool-output-available"), "{kinds:?}");
    assert!(kinds.iter().filter(|kind| **kind == "text-delta").count() > 5, "{kinds:?}");
    assert!(text_of(&frames).contains("London"), "{}", text_of(&frames));
    assert!(is_contiguous(&frames), "{frames:?}");

    let again = ask(&mut client, "And tomorrow?").await?;
    assert!(text_of(&again).contains("London"), "{}", text_of(&again));

    assert_eq!(agents(&hub)?.len(), 1);
    client.send_text("/bye").await?;
    let (frames, code, reason) = client.until_closed().await?;
    assert_eq!(frames.last().unwrap()["reason"], "bye");
    assert_eq!((code, reason.as_str()), (1000, "bye"));
    no_agent_is_left(&hub).await?;
    assert!(hub.stop()?.success());
    Ok(())
}

#[tokio::test]
async fn a_stop_ends_the_answer_and_the_next_one_comes() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut client = in_mid_answer(&hub).await?;
    client.send_text("/stop").await?;
    let done = client.until_turn_done().await?.pop().unwrap();
    assert_eq!((&done["turn"], &done["reason"]), (&json!("t1"), &json!("stopped")));
    let next = ask(&mut client, "Hello").await?;
    assert_eq!(next.last().unwrap()["reason"], "complete");
    client.close().await?;
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn messages_that_come_early_wait_and_are_answered_in_order() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut client = connect(&hub).await?;
    for text in ["Hello", "Help", "Hello again"] {
        client.send_text(text).await?;
    }
    let mut ended = Vec::new();
    for _ in 0..3 {
        let done = client.until_turn_done().await?.pop().unwrap();
        assert_eq!(done["reason"], "complete", "{done}");
        ended.push(done["turn"].clone());
    }
    assert_eq!(ended, ["t1", "t2", "t3"]);
    Ok(())
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_agent_with_it() -> Result<()> {
    let hub = Hub::start(&[])?;
    drop(in_mid_answer(&hub).await?);
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn an_agent_that_is_killed_in_mid_turn_is_told() -> Result<()> {
    let hub = Hub::start(&[])?;
    let client = in_mid_answer(&hub).await?;
    let supervisor = children(hub.pid)?[0];
    let agent = nix::unistd::Pid::from_raw(children(supervisor)?[0].try_into()?);
    nix::sys::signal::kill(agent, nix::sys::signal::Signal::SIGKILL)?;
    let (frames, code, _) = client.until_closed().await?;
    let done = frames.iter().find(|frame| frame["type"] == "turn.done").unwrap();
    // Whichever of the two is noticed first: the stream's end or the process's.
    let cause = done["error"]["code"].as_str().unwrap();
    assert!(["agent.crashed", "agent.stream_truncated"].contains(&cause), "{done}");
    assert_eq!(frames.last().unwrap()["reason"], "agent_lost");
    assert_eq!(code, 4509);
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn an_agent_that_does_not_start_is_told() -> Result<()> {
    for command in ["/nonexistent/agent", "/bin/false"] {
        let hub = Hub::start(&["--agent-command", command])?;
        let (frames, code, reason) = connect(&hub).await?.until_closed().await?;
        let [.., error, ended] = frames.as_slice() else { panic!("{frames:?}") };
        assert_eq!((&error["code"], &ended["reason"]), (&json!("spawn.failed"), &json!("spawn_failed")));
        assert_eq!((code, reason.as_str()), (4508, "spawn.failed"), "{command}");
        no_agent_is_left(&hub).await?;
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
async fn a_hub_that_is_told_to_end_ends_every_session_first() -> Result<()> {
    let mut hub = Hub::start(&[])?;
    let client = in_mid_answer(&hub).await?;
    let stopped = tokio::task::spawn_blocking(move || hub.stop().map(|status| (hub, status)));
    let (frames, code, _) = client.until_closed().await?;
    assert_eq!(frames.last().unwrap()["reason"], "drained");
    assert_eq!(code, 4501);
    let (hub, status) = stopped.await??;
    assert!(status.success());
    assert!(agents(&hub)?.is_empty());
    Ok(())
}

async fn in_mid_answer(hub: &Hub) -> Result<Client> {
    let mut client = connect(hub).await?;
    client.send_text("Tell me a long story").await?;
    until(&mut client, "text-delta").await?;
    Ok(client)
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let list = std::fs::read_to_string(task?.path().join("children"))?;
        children.extend(list.split_whitespace().map(str::parse::<u32>).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(children)
}
