//! A hub ends, and the next one adopts its containers.

use anyhow::{Context, Result, ensure};
use mayfly_tests::engine::{self, AGENT_IMAGE};
use mayfly_tests::harness::{Client, Hub};
use mayfly_transcript::Fold;
use serde_json::{Value, json};

use crate::docker::{args, containers};
use crate::support::{agents, ask, connect, eventually, no_agent_is_left, until};

/// A client with its transcript, whose hub may change.
struct Person {
    ready: Value,
    fold: Fold,
}

impl Person {
    fn new(frames: &[Value]) -> Result<Self> {
        let mut fold = Fold::default();
        frames.iter().for_each(|frame| fold.receive(frame));
        Ok(Self { ready: frames.first().context("session.ready is first")?.clone(), fold })
    }

    /// Resumes at the present hub and receives the missed frames.
    async fn comes_back(&mut self, hub: &Hub) -> Result<Client> {
        let epoch = self.ready["epoch"].as_str().context("an epoch")?;
        let mut client =
            Client::join(hub, &self.ready, &format!("epoch={epoch}&after={}", self.fold.head)).await?;
        self.fold.reconnect();
        let ready = client.next_frame().await?;
        ensure!(
            ready["session"] == self.ready["session"] && ready["epoch"] != self.ready["epoch"],
            "{ready}"
        );
        let snapshot = client.next_frame().await?;
        ensure!(snapshot["why"] == "epoch" && snapshot["truncated"] == false, "{snapshot}");
        [ready, snapshot].iter().for_each(|frame| self.fold.receive(frame));
        Ok(client)
    }
}

#[tokio::test]
async fn adoption_completes_the_running_answer() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let mut hub = Hub::start(&args(&host, AGENT_IMAGE))?;
    let mut client = connect(&hub).await?;
    let mut frames = vec![client.next_frame().await?];
    client.send(&json!({"type": "message", "id": "c1", "text": "Hello"})).await?;
    frames.extend(client.until_turn_done().await?);
    client.send(&json!({"type": "message", "id": "c2", "text": "Tell me a long story"})).await?;
    frames.extend(until(&mut client, "text-delta").await?);
    let mut person = Person::new(&frames)?;
    let before = person.fold.transcript.turns[&1].clone();
    let (names, directories) = (containers(&host, hub.data_dir())?, agents(&hub)?);
    hub.kill()?;
    hub.start_again(&args(&host, AGENT_IMAGE))?;

    let mut client = person.comes_back(&hub).await?;
    assert_eq!(person.fold.transcript.turns[&1], before);
    // What was sent and not known to be accepted is sent again.
    client.send(&json!({"type": "message", "id": "c2", "text": "Tell me a long story"})).await?;
    client.send(&json!({"type": "message", "id": "c3", "text": "Hello again"})).await?;
    let mut frames = client.until(|frame| frame["type"] == "turn.done" && frame["turn"] == "t2").await?;
    frames.extend(client.until(|frame| frame["type"] == "turn.done" && frame["turn"] == "t3").await?);
    frames.iter().for_each(|frame| person.fold.receive(frame));
    let turns = &person.fold.transcript.turns;
    assert_eq!(turns.len(), 3, "{turns:?}");
    assert!(turns.values().all(|turn| turn.contains(r#""reason":"complete""#)), "{turns:?}");
    assert!(turns[&2].contains("long story") && turns[&3].contains("Hello again"), "{turns:?}");
    assert_eq!((containers(&host, hub.data_dir())?, agents(&hub)?), (names, directories));
    client.close().await?;
    no_agent_is_left(&hub).await?;
    assert_eq!(containers(&host, hub.data_dir())?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_updated_hub_adopts_its_sessions() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let arguments = [&args(&host, AGENT_IMAGE)[..], &["--pool-size", "1"]].concat();
    let mut hub = Hub::start(&arguments)?;
    let mut client = connect(&hub).await?;
    let mut frames = vec![client.next_frame().await?];
    client.send_text("Hello").await?;
    frames.extend(client.until_turn_done().await?);
    let mut person = Person::new(&frames)?;
    let told = tokio::spawn(client.until_closed());
    assert!(hub.stop()?.success(), "{}", hub.log());
    let (frames, code, reason) = told.await??;
    assert_eq!((code, reason.as_str()), (4000, "hub.draining"), "{frames:?}");
    assert_eq!(containers(&host, hub.data_dir())?.len(), 1, "warm ones go");
    hub.start_again(&arguments)?;
    let mut client = person.comes_back(&hub).await?;
    assert_eq!(ask(&mut client, "Hello again").await?.pop().context("done")?["turn"], "t2");
    client.close().await?;
    assert!(hub.stop()?.success());
    assert_eq!(containers(&host, hub.data_dir())?, Vec::<String>::new());
    Ok(())
}

/// Waits until the log of these hubs has so many lines of ready warm agents.
async fn warm(hub: &Hub, times: usize) -> Result<()> {
    let said = || Ok((hub.log().matches("warm agent ready").count() == times).then_some(()));
    eventually(said).await.with_context(|| hub.log())
}

#[tokio::test]
async fn unchanged_warm_agents_are_adopted() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let arguments = [&args(&host, AGENT_IMAGE)[..], &["--pool-size", "2"]].concat();
    let mut hub = Hub::start_with(&arguments, &[("RUST_LOG", "info,mayfly::agents::pool=debug")])?;
    warm(&hub, 2).await?;
    let first = containers(&host, hub.data_dir())?;
    hub.kill()?;
    hub.start_again(&arguments)?;
    warm(&hub, 4).await?;
    assert_eq!(containers(&host, hub.data_dir())?, first, "none was started, none is gone");
    let mut client = connect(&hub).await?;
    let steps = client.until(|frame| frame["status"] == "active").await?;
    ensure!(steps.iter().any(|frame| frame["step"] == "claiming"), "{steps:?}");
    ensure!(ask(&mut client, "Hello").await?.pop().context("done")?["reason"] == "complete");
    warm(&hub, 5).await?;
    client.close().await?;
    eventually(|| Ok((agents(&hub)?.len() == 2).then_some(()))).await?;
    let second = containers(&host, hub.data_dir())?;
    hub.kill()?;
    hub.start_again(&[&arguments[..], &["--agent-memory", "256MiB"]].concat())?;
    warm(&hub, 7).await?;
    eventually(|| Ok((agents(&hub)?.len() == 2).then_some(()))).await?;
    let third = containers(&host, hub.data_dir())?;
    ensure!(third.iter().all(|name| !second.contains(name)), "{second:?} {third:?}");
    hub.kill()?;
    hub.start_again(&args(&host, AGENT_IMAGE))?;
    no_agent_is_left(&hub).await?;
    assert_eq!(containers(&host, hub.data_dir())?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn agents_of_another_hub_are_left_alone() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let secret = [("MAYFLY_SECRET", "0123456789abcdef0123456789abcdef")];
    let hub = Hub::start_with(&args(&host, AGENT_IMAGE), &secret)?;
    let mut client = connect(&hub).await?;
    ensure!(ask(&mut client, "Hello").await?.pop().context("done")?["reason"] == "complete");
    let other = Hub::start_with(&args(&host, AGENT_IMAGE), &secret)?;
    ensure!(agents(&other)?.is_empty() && !other.log().contains("stray agent found"), "{}", other.log());
    drop(other);
    ensure!(ask(&mut client, "Still there?").await?.pop().context("done")?["reason"] == "complete");
    client.close().await?;
    no_agent_is_left(&hub).await?;
    Ok(())
}
