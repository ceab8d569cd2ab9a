//! A killed hub leaves no processes.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use mayfly_tests::harness::Hub;

use crate::support::{ask, connect, until};

const KILLS: usize = 50;
const HUBS_AT_ONCE: usize = 10;
const SESSIONS: usize = 3;
/// Longest wait for agents to end after their hub was killed.
const AGENTS_GONE: Duration = Duration::from_secs(10);

/// The activity of sessions when their hub is killed.
#[derive(Debug, Clone, Copy)]
enum Doing {
    Spawning,
    Streaming,
    TearingDown,
}

/// Returns the command lines of the agents of the hub with this data directory.
fn agents_of(data_dir: &Path) -> Result<Vec<String>> {
    let marker = format!("MAYFLY_LISTEN=unix:{}/", data_dir.canonicalize()?.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        // Processes come and go while they are listed.
        let Ok(environment) = std::fs::read(path.join("environ")) else { continue };
        if environment.windows(marker.len()).any(|window| window == marker.as_bytes()) {
            found.push(std::fs::read_to_string(path.join("cmdline")).unwrap_or_default());
        }
    }
    Ok(found)
}

/// Kills a hub after its clients have received so many frames of this activity.
async fn kill_while(doing: Doing, frames: usize) -> Result<()> {
    let mut hub = Hub::start(&[])?;
    let mut clients = try_join_all((0..SESSIONS).map(|_| connect(&hub))).await?;
    for client in &mut clients {
        match doing {
            Doing::Spawning => {}
            Doing::Streaming => {
                client.say("What is the weather in London?").await?;
                until(client, "text-delta").await?;
            }
            Doing::TearingDown => {
                ask(client, "Hello").await?;
                client.send_text("/bye").await?;
            }
        }
        for _ in 0..frames {
            if client.next_frame().await?["type"] == "session.ended" {
                break;
            }
        }
    }
    hub.kill()?;
    let deadline = Instant::now() + AGENTS_GONE;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        let left = agents_of(hub.data_dir())?;
        if left.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "left {AGENTS_GONE:?} after a kill: {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_hubs_leave_no_agent() -> Result<()> {
    let doing = [Doing::Spawning, Doing::Streaming, Doing::TearingDown];
    for first in (0..KILLS).step_by(HUBS_AT_ONCE) {
        let kills = (first..first + HUBS_AT_ONCE).map(|kill| {
            let (doing, frames) = (doing[kill % doing.len()], kill % 4);
            async move { kill_while(doing, frames).await.with_context(|| format!("{doing:?}, kill {kill}")) }
        });
        try_join_all(kills).await?;
    }
    Ok(())
}

#[test]
fn agents_are_found_by_their_environment() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let listen = format!("unix:{}/12345678/agent.sock", directory.path().canonicalize()?.display());
    let mut child = std::process::Command::new("cat")
        .env("MAYFLY_LISTEN", listen)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (mut stdin, mut stdout) = child.stdin.take().zip(child.stdout.take()).context("pipes")?;
    // The child's environment is readable once the child echoes a byte; it may not be right after the spawn.
    stdin.write_all(b"a")?;
    stdout.read_exact(&mut [0])?;
    let found = agents_of(directory.path());
    drop(stdin);
    child.wait()?;
    assert_eq!(found?, ["cat\x00"]);
    Ok(())
}
