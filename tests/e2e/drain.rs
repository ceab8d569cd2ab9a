//! Shutdown of a hub whose sessions have turns.

use anyhow::Result;
use mayfly_tests::harness::{Client, Hub, text_of};
use mayfly_tests::scripted::{HEALTHY, ScriptedAgent, Turn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agents::{FINISH, HEAD, HI};
use crate::support::{agents, connect, in_mid_answer, until};

fn wait(mut hub: Hub) -> tokio::task::JoinHandle<Result<(Hub, Option<i32>)>> {
    tokio::task::spawn_blocking(move || hub.wait().map(|status| (hub, status.code())))
}

/// A hub whose sessions share an agent that the test plays.
async fn scripted_hub() -> Result<(Hub, ScriptedAgent)> {
    let agent = ScriptedAgent::start(HEALTHY).await?;
    let hub = Hub::start(&["--platform", "static", "--static-agents", &agent.url])?;
    Ok((hub, agent))
}

/// Opens a session with a turn that lasts until the test ends it.
async fn in_mid_turn(hub: &Hub, agent: &mut ScriptedAgent) -> Result<(Client, Turn)> {
    let mut client = connect(hub).await?;
    client.say("Hello").await?;
    let mut turn = agent.turn().await?;
    turn.write([HEAD, HI].concat()).await?;
    until(&mut client, "text-delta").await?;
    Ok((client, turn))
}

#[tokio::test]
async fn a_drain_waits_for_running_turns() -> Result<()> {
    let (hub, mut agent) = scripted_hub().await?;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(in_mid_turn(&hub, &mut agent).await?);
    }
    let mut quiet = connect(&hub).await?;
    quiet.until(|frame| frame["status"] == "active").await?;
    let url = hub.ws_url.clone();
    hub.terminate()?;

    // A session without a turn ends at once, and new sessions are refused.
    let (frames, code, _) = quiet.until_closed().await?;
    assert_eq!((code, frames.last().unwrap()["reason"].as_str()), (4501, Some("drained")));
    let (frames, code, reason) = Client::connect(&url).await?.until_closed().await?;
    assert_eq!((code, reason.as_str()), (4000, "hub.draining"));
    assert_eq!((&frames[0]["code"], &frames[0]["retryable"]), (&"hub.draining".into(), &true.into()));

    let waiting = wait(hub);
    for (client, _) in &mut sessions {
        let warning = until(client, "session.expiring").await?.pop().unwrap();
        assert_eq!(warning["cause"], "drain");
        client.say("And another one").await?;
        let refusal = until(client, "error").await?.pop().unwrap();
        assert_eq!(refusal["code"], "hub.draining");
    }
    for (client, mut turn) in sessions {
        turn.write([HI, FINISH].concat()).await?;
        let (frames, code, _) = client.until_closed().await?;
        let done = frames.iter().find(|frame| frame["type"] == "turn.done").unwrap();
        assert_eq!((done["reason"].as_str(), code), (Some("complete"), 4501), "{frames:?}");
        assert_eq!(text_of(&frames), "Hi");
        assert_eq!(frames.last().unwrap()["reason"], "drained");
    }
    let (hub, code) = waiting.await??;
    assert_eq!(code, Some(0), "{}", hub.log());
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_running_turns() -> Result<()> {
    let (hub, mut agent) = scripted_hub().await?;
    let (mut client, _turn) = in_mid_turn(&hub, &mut agent).await?;
    let pid = hub.pid;
    hub.terminate()?;
    until(&mut client, "session.expiring").await?;
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT)?;
    let (frames, code, _) = client.until_closed().await?;
    let done = frames.iter().find(|frame| frame["type"] == "turn.done").unwrap();
    assert_eq!((done["reason"].as_str(), code), (Some("expired"), 4501));
    let (hub, code) = wait(hub).await??;
    assert_eq!(code, Some(3), "{}", hub.log());
    Ok(())
}

#[tokio::test]
async fn a_hub_that_ends_stops_its_agents() -> Result<()> {
    let hub = Hub::start(&[])?;
    let client = in_mid_answer(&hub).await?;
    hub.terminate()?;
    hub.terminate()?;
    let (_, code, _) = client.until_closed().await?;
    assert_eq!(code, 4501);
    let (hub, _) = wait(hub).await??;
    assert!(agents(&hub)?.is_empty());
    Ok(())
}
