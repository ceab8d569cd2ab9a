//! Hubs are killed at any moment. The next hub keeps accepted messages and leaves no containers.
//!
//! `CHAOS_KILLS` is the number of kills; `make chaos` makes fifty.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use mayfly_tests::engine::{self, AGENT_IMAGE};
use mayfly_tests::harness::{Client, Hub};
use mayfly_transcript::Fold;
use serde_json::{Value, json};

use crate::docker::{args, changed, containers, docker};
use crate::support::{agents, connect, eventually};

const KILLS: usize = 4;
const HUBS_AT_ONCE: usize = 4;
const SESSIONS: usize = 3;
/// Longest wait for containers and directories of ended sessions to be removed.
const NOTHING_LEFT: Duration = Duration::from_secs(10);

/// The activity of sessions when their hub is killed.
#[derive(Debug, Clone, Copy)]
enum Doing {
    Spawning,
    Claiming,
    Streaming,
    TearingDown,
}

/// A client that sends one message, also if its hub is killed.
struct Person {
    client: Client,
    ready: Value,
    fold: Fold,
    has_said_bye: bool,
}

impl Person {
    async fn arrives(hub: &Hub) -> Result<Self> {
        let mut client = connect(hub).await?;
        let ready = client.next_frame().await?;
        let mut fold = Fold::default();
        fold.receive(&ready);
        Ok(Self { client, ready, fold, has_said_bye: false })
    }

    async fn says(&mut self) -> Result<()> {
        let message = json!({"type": "message", "id": "m1", "text": "What is the weather in London?"});
        self.client.send(&message).await
    }

    async fn hears(&mut self) -> Result<Value> {
        let frame = self.client.next_frame().await?;
        self.fold.receive(&frame);
        Ok(frame)
    }

    async fn hears_until(&mut self, kind: &str) -> Result<()> {
        while self.hears().await?["type"] != kind {}
        Ok(())
    }

    fn is_answered(&self) -> bool {
        self.fold.transcript.turns.values().any(|turn| turn.contains(r#""type":"turn.done""#))
    }

    /// Resumes at the next hub, sends the message again, and receives exactly one answer.
    async fn comes_back(&mut self, hub: &Hub) -> Result<()> {
        let (epoch, after) = (self.ready["epoch"].as_str().context("an epoch")?, self.fold.head);
        self.client = Client::join(hub, &self.ready, &format!("epoch={epoch}&after={after}")).await?;
        self.fold.reconnect();
        let first = self.client.next_frame().await?;
        if first["type"] == "error" {
            // The hub may have processed `bye` before it was killed.
            ensure!(self.has_said_bye, "a session is lost: {first}");
            return Ok(());
        }
        self.fold.receive(&first);
        let snapshot = self.hears().await?;
        ensure!(snapshot["why"] == "epoch" && snapshot["truncated"] == false, "{snapshot}");
        self.says().await?;
        while !self.is_answered() {
            self.hears().await?;
        }
        // The pong follows any duplicate answer.
        self.client.send(&json!({"type": "ping", "t": 1})).await?;
        self.hears_until("pong").await?;
        let turns = &self.fold.transcript.turns;
        let [answer] = turns.values().collect::<Vec<_>>()[..] else { anyhow::bail!("one answer: {turns:?}") };
        ensure!(answer.contains(r#""reason":"complete""#) && answer.contains("London"), "{answer}");
        self.client.send_text("/bye").await
    }
}

/// Kills a hub after its clients have received so many frames of this activity.
async fn kill_while(doing: Doing, frames: usize, host: &str) -> Result<()> {
    let hub_args = args(host, AGENT_IMAGE);
    let size = if matches!(doing, Doing::Claiming) { "3" } else { "0" };
    let pool = [&hub_args[..], &["--pool-size", size]].concat();
    let mut hub = Hub::start_with(&pool, &[("RUST_LOG", "info,mayfly::agents::pool=debug")])?;
    if matches!(doing, Doing::Claiming) {
        let is_full = || Ok((hub.log().matches("warm agent ready").count() == SESSIONS).then_some(()));
        eventually(is_full).await?;
    }
    let mut people = try_join_all((0..SESSIONS).map(|_| Person::arrives(&hub))).await?;
    for person in &mut people {
        person.says().await?;
        match doing {
            Doing::Spawning | Doing::Claiming => {}
            Doing::Streaming => person.hears_until("text-delta").await?,
            Doing::TearingDown => {
                person.hears_until("turn.done").await?;
                person.client.send_text("/bye").await?;
                person.has_said_bye = true;
            }
        }
        for _ in 0..frames {
            if person.hears().await?["type"] == "session.ended" {
                break;
            }
        }
    }
    hub.kill()?;
    hub.start_again(&hub_args)?;
    for person in &mut people {
        person.comes_back(&hub).await.with_context(|| hub.log())?;
    }
    let deadline = Instant::now() + NOTHING_LEFT;
    loop {
        let left = (containers(host, hub.data_dir())?, agents(&hub)?);
        if left.0.is_empty() && left.1.is_empty() {
            break;
        }
        ensure!(Instant::now() < deadline, "left: {left:?}; the hub says:\n{}", hub.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(hub.stop()?.success(), "{}", hub.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_hubs_lose_no_accepted_message_and_leave_nothing() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let kills = std::env::var("CHAOS_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let doing = [Doing::Spawning, Doing::Claiming, Doing::Streaming, Doing::TearingDown];
    for first in (0..kills).step_by(HUBS_AT_ONCE) {
        let kills =
            (first..kills.min(first + HUBS_AT_ONCE)).map(|kill| {
                let (doing, frames, host) = (doing[kill % doing.len()], kill / doing.len() % 5, &host);
                async move {
                    kill_while(doing, frames, host).await.with_context(|| format!("{doing:?}, kill {kill}"))
                }
            });
        try_join_all(kills).await?;
    }
    Ok(())
}

#[tokio::test]
async fn orphaned_agents_end_by_themselves() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let image = changed(&host, AGENT_IMAGE, "ENV MAYFLY_ORPHAN_SECS=3")?;
    let mut hub = Hub::start(&[&args(&host, &image)[..], &["--pool-size", "1"]].concat())?;
    let mut person = Person::arrives(&hub).await?;
    person.says().await?;
    person.hears_until("turn.done").await?;
    hub.kill()?;
    let names = containers(&host, hub.data_dir())?;
    ensure!(!names.is_empty(), "they go on");
    let running = || -> Result<Option<()>> {
        let states = names.iter().map(|name| {
            docker(&host, &["inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", name])
        });
        let states = states.collect::<Result<Vec<_>>>()?;
        Ok(states.iter().all(|state| state == "false 0").then_some(()))
    };
    eventually(running).await?;
    // What is left of them is the next hub's to remove.
    hub.start_again(&args(&host, &image))?;
    eventually(|| Ok(containers(&host, hub.data_dir())?.is_empty().then_some(()))).await?;
    Ok(())
}
