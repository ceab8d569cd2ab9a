//! A hub that is told to end while people talk.

use std::time::{Duration, Instant};

use anyhow::Result;
use mayfly_tests::harness::{Client, Hub, text_of};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{agents, connect, in_mid_answer, until};

fn wait(mut hub: Hub) -> tokio::task::JoinHandle<Result<(Hub, Option<i32>)>> {
    tokio::task::spawn_blocking(move || hub.wait().map(|status| (hub, status.code())))
}

#[tokio::test]
async fn a_hub_that_is_told_to_end_lets_people_hear_the_answer_out() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(in_mid_answer(&hub).await?);
    }
    let mut quiet = connect(&hub).await?;
    quiet.until(|frame| frame["status"] == "active").await?;
    let url = hub.ws_url.clone();
    hub.terminate()?;

    // Who says nothing goes at once, and nobody new is taken in the meantime.
    let (frames, code, _) = quiet.until_closed().await?;
    assert_eq!((code, frames.last().unwrap()["reason"].as_str()), (4501, Some("drained")));
    let (frames, code, reason) = Client::connect(&url).await?.until_closed().await?;
    assert_eq!((code, reason.as_str()), (4000, "hub.draining"));
    assert_eq!((&frames[0]["code"], &frames[0]["retryable"]), (&"hub.draining".into(), &true.into()));

    let waiting = wait(hub);
    for client in &mut clients {
        let warning = until(client, "session.expiring").await?.pop().unwrap();
        assert_eq!(warning["cause"], "drain");
        client.say("And another one").await?;
    }
    for client in clients {
        let (frames, code, _) = client.until_closed().await?;
        let done = frames.iter().find(|frame| frame["type"] == "turn.done").unwrap();
        assert_eq!((done["reason"].as_str(), code), (Some("complete"), 4501), "{frames:?}");
        assert!(text_of(&frames).len() > 10);
        assert!(frames.iter().any(|frame| frame["code"] == "hub.draining"), "{frames:?}");
        assert_eq!(frames.last().unwrap()["reason"], "drained");
    }
    let (hub, code) = waiting.await??;
    assert_eq!(code, Some(0), "{}", hub.log());
    assert!(agents(&hub)?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_second_signal_waits_for_no_answer_and_the_exit_code_says_so() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut client = in_mid_answer(&hub).await?;
    let (began, pid) = (Instant::now(), hub.pid);
    hub.terminate()?;
    until(&mut client, "session.expiring").await?;
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT)?;
    let (frames, code, _) = client.until_closed().await?;
    let done = frames.iter().find(|frame| frame["type"] == "turn.done").unwrap();
    assert_eq!((done["reason"].as_str(), code), (Some("expired"), 4501));
    let (hub, code) = wait(hub).await??;
    assert_eq!(code, Some(3), "{}", hub.log());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(agents(&hub)?.is_empty());
    Ok(())
}
