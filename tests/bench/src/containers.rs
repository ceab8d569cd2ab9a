//! `bench containers`: starts of agents in containers, compared with the engine's own `run` of the same image with the
//! same bounds. Each round measures all kinds of start one after the other.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mayfly_tests::harness::{Client, Hub};
use mayfly_tests::process;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::driver;
use crate::table::{self, Row, Target};

const TOKEN: &str = "of-the-bench";
const STARTS_PER_ROUND: usize = 3;
/// Interval between checks whether an agent is healthy or a pool is full.
const POLL: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// Times from request to healthy agent, one for each container, in milliseconds.
#[derive(Debug, Default)]
struct Millis {
    engine: Vec<f64>,
    cold: Vec<f64>,
    warm: Vec<f64>,
}

/// Measures and prints the table.
///
/// # Errors
/// Returns an error if there is no engine at `host`, or the engine lacks the image.
pub fn run(host: &str, image: &str, rounds: usize) -> Result<bool> {
    let busy = process::load_average()?;
    let rounds = driver::runtime()?.block_on(async {
        let args = ["--platform", "docker", "--docker-host", host, "--agent-image", image];
        let cold = Hub::start(&args)?;
        let size = STARTS_PER_ROUND.to_string();
        let warm_args = [&args[..], &["--pool-size", &size]].concat();
        let warm = Hub::start_with(&warm_args, &[("RUST_LOG", "info,mayfly::agents::pool=debug")])?;
        let mut done = Vec::new();
        for round in 1..=rounds {
            eprintln!("round {round}");
            full(&warm, round * STARTS_PER_ROUND).await?;
            let mut millis = Millis::default();
            for _ in 0..STARTS_PER_ROUND {
                millis.engine.push(by_the_engine(host, image).await?);
                millis.cold.push(by_the_hub(&cold, "starting").await?);
            }
            for _ in 0..STARTS_PER_ROUND {
                millis.warm.push(by_the_hub(&warm, "claiming").await?);
            }
            done.push(millis);
        }
        anyhow::Ok(done)
    })?;
    println!(
        "Load average before the first round: {busy:.1}. {STARTS_PER_ROUND} starts of each kind in each round.\n"
    );
    let each = |of: fn(&Millis) -> &Vec<f64>| rounds.iter().map(move |round| median(of(round)));
    let ratios =
        each(|round| &round.cold).zip(each(|round| &round.engine)).map(|(cold, engine)| cold / engine);
    let rows = [
        Row::of("cold start / the engine's own `run`", Some(Target::AtMost(1.2)), ratios),
        Row::of(
            "warm start, ms from connect to ready",
            Some(Target::AtMost(20.0)),
            each(|round| &round.warm),
        ),
        Row::of("cold start, ms from connect to ready", None, each(|round| &round.cold)),
        Row::of("the engine's own `run`, ms to healthy", None, each(|round| &round.engine)),
    ];
    print!("{}", table::markdown(&rows, rounds.len()));
    Ok(true)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Waits until the pool has started so many agents.
async fn full(hub: &Hub, agents: usize) -> Result<()> {
    let begin = Instant::now();
    while hub.log().matches("warm agent ready").count() < agents {
        ensure!(begin.elapsed() < PATIENCE, "the pool is not filled: {}", hub.log());
        sleep(POLL * 20).await;
    }
    Ok(())
}

/// Returns the time from connect to an active session, which must pass through this step.
async fn by_the_hub(hub: &Hub, step: &str) -> Result<f64> {
    let begin = Instant::now();
    let mut client = Client::connect(&hub.ws_url).await?;
    let frames = client.until(|frame| frame["status"] == "active").await?;
    let took = begin.elapsed();
    ensure!(frames.iter().any(|frame| frame["step"] == step), "not by {step}: {frames:?}");
    client.close().await?;
    while !std::fs::read_dir(hub.data_dir().join("run"))?
        .all(|entry| entry.is_ok_and(|entry| !entry.path().is_dir()))
        && step == "starting"
    {
        sleep(POLL * 20).await;
    }
    Ok(took.as_secs_f64() * 1e3)
}

/// Returns the time from `docker run` to a healthy agent.
async fn by_the_engine(host: &str, image: &str) -> Result<f64> {
    let directory = tempfile::tempdir()?;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.path(), open)?;
    let mount = format!("type=bind,source={},target=/run/mayfly", directory.path().display());
    let token = format!("MAYFLY_TOKEN={TOKEN}");
    let begin = Instant::now();
    let container = docker(
        host,
        &[
            "run",
            "--detach",
            "--network",
            "none",
            "--memory",
            "512m",
            "--memory-swap",
            "512m",
            "--cpus",
            "0.5",
            "--pids-limit",
            "256",
            "--init",
            "--read-only",
            "--tmpfs",
            "/tmp:noexec,nosuid,nodev,size=64m",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            "--log-driver",
            "local",
            "--user",
            "65532:65532",
            "--mount",
            &mount,
            "--env",
            &token,
            "--env",
            "MAYFLY_LISTEN=unix:/run/mayfly/agent.sock",
            image,
        ],
    )?;
    while !is_healthy(&directory.path().join("agent.sock")).await {
        ensure!(begin.elapsed() < PATIENCE, "the agent does not become healthy");
        sleep(POLL).await;
    }
    let took = begin.elapsed();
    docker(host, &["rm", "--force", &container])?;
    Ok(took.as_secs_f64() * 1e3)
}

async fn is_healthy(socket: &Path) -> bool {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        let request = format!(
            "GET /health HTTP/1.1\r\nhost: agent\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask.await.unwrap_or(false)
}

fn docker(host: &str, args: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(["--host", host]).args(args).output().context("docker")?;
    ensure!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
