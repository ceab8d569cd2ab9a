//! The measurements of `make siege`: attacks on the hub, and their effect on its other clients.
//!
//! The noise of the machine may exceed the effect of an attack. Each attack therefore has two windows between two calm
//! windows, and each window under attack is compared with the calm window beside it. Tokens that were due in a pause of
//! the machine itself are left out of both. The row of an attack that does nothing shows how far calm windows differ.

use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use futures::future::{join_all, try_join_all};
use mayfly::limits::CLOSE_TIMEOUT;
use mayfly_protocol::code::CloseCode;
use mayfly_tests::harness::{Client, Hub};
use mayfly_tests::load::Load;
use mayfly_tests::process::{self, Server};
use mayfly_tests::socket::{CONTINUATION, FINAL, PING, TEXT, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::driver::{self, Fleet, Plan};
use crate::servers::{Servers, Way, spawning_hub};
use crate::stall_monitor::StallMonitor;
use crate::table::{self, Row, Target};

/// The measured clients: sessions, and tokens per second in each.
const OTHERS: (usize, u64) = (50, 50);
const WARMUP: Duration = Duration::from_millis(300);
/// Connections of each kind that never send a request.
const HOLDERS: usize = 1_000;
/// Sessions that are opened among these connections.
const COMERS: usize = 200;
/// Agents that are killed in each round.
const KILLS: usize = 10;
/// Waves of sessions, and sessions in each wave.
const WAVES: (usize, usize) = (10, 200);
/// 3.5 MB at 88 bytes per token, more than the 3 MB that an unread connection holds (`tcp_wmem` allows 4 MiB).
const FILL: &str = "tokens=40000 rate=0";
const FILL_TIME: Duration = Duration::from_secs(1);
/// The second message of a client that never reads, at the rate of the other sessions, which share its agent.
const TRICKLE: &str = "tokens=200000 rate=50";
/// Interval between the Pings of a client that never reads.
const SIGN_INTERVAL: Duration = Duration::from_millis(100);
/// Clients of one flood.
const FLOODERS: u32 = 4;
/// Time between the starts of two flooding clients. The hub holds each for `CLOSE_TIMEOUT` after its close, so that one
/// client returns in each interval.
const FLOODER_INTERVAL: Duration = CLOSE_TIMEOUT.checked_div(FLOODERS).unwrap();
/// Smallest number of closes in a valid measurement of a flood.
const FLOODERS_CLOSED_MIN: usize = 2;
/// Frames in one write of a flood.
const FLOOD_FRAMES: usize = 200;
/// Printed by an attacker once its attack has its full effect.
const UNDER_WAY: &str = "under way";
/// An answer larger than an unread connection and a session's log hold together, and the time that it stays unread.
const ANSWER: &str = "tokens=60000 rate=20000";
const STALL: Duration = Duration::from_secs(4);
/// Interval between two measurements of the hub's memory.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);
/// Largest ratio of the latency of other clients.
const UNHARMED: Target = Target::AtMost(1.2);
const ONE_TURN: Load = Load { tokens: 10, rate: 0 };

/// The action of an attacker.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Attack {
    /// Does nothing.
    None,
    /// Asks for more than the connection holds, and never reads.
    NeverReads,
    /// Sends Pings without end, from several clients that return after each close.
    Pings,
    /// Sends messages in the same way.
    Messages,
    /// Sends messages in fragments of one byte in the same way.
    Fragments,
}

const ATTACKS: [Attack; 5] =
    [Attack::None, Attack::NeverReads, Attack::Pings, Attack::Messages, Attack::Fragments];

/// Measures and prints the table. Returns `false` if another client lost a token.
///
/// # Errors
/// Returns an error if a process cannot be started, or the session of another client breaks off.
pub fn run(rounds: usize, window: Duration) -> Result<bool> {
    process::raise_descriptor_limit()?;
    let busy = process::load_average()?;
    let monitor = StallMonitor::start()
        .inspect_err(|error| eprintln!("The machine's own pauses are not left out: {error:#}"))
        .ok();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut figures = Figures { monitor, ..Figures::default() };
    runtime.block_on(async {
        for number in 0..rounds {
            eprintln!("round {}", number + 1);
            figures.measure(window).await?;
        }
        anyhow::Ok(())
    })?;
    println!(
        "Load average before the first round: {busy:.1}. Ratios of time hold on an idle machine only.\n"
    );
    print!("{}", table::markdown(&figures.rows(), rounds));
    figures.faults.iter().for_each(|fault| println!("fault: {fault}"));
    Ok(figures.faults.is_empty())
}

/// The figures of all rounds.
#[derive(Default)]
struct Figures {
    monitor: Option<StallMonitor>,
    /// Ratios of each attack, two per round.
    p99_ratio: [Vec<f64>; ATTACKS.len()],
    /// p99 of each calm window.
    calm_p99_ms: Vec<f64>,
    /// Share of tokens left out, in each calm window and in each under attack.
    calm_left_out: Vec<f64>,
    attacked_left_out: Vec<f64>,
    grown_kb: Vec<f64>,
    connect_p99_ms: Vec<f64>,
    holders_closed_s: Vec<f64>,
    kill_told_ms: Vec<f64>,
    waves_ratio: Vec<f64>,
    faults: Vec<String>,
}

impl Figures {
    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (attack, ratios) in ATTACKS.iter().zip(&self.p99_ratio) {
            let (what, target) = match attack {
                Attack::None => ("nobody attacks", None),
                Attack::NeverReads => ("one client never reads", Some(UNHARMED)),
                Attack::Pings => ("ping flood", Some(UNHARMED)),
                Attack::Messages => ("message flood", Some(UNHARMED)),
                Attack::Fragments => ("messages in fragments of one byte", Some(UNHARMED)),
            };
            let what = format!("p99 of {} others, {what} / calm", OTHERS.0);
            rows.push(Row::of(what, target, ratios.iter().copied()));
        }
        let mut row = |what: &str, bound: Option<f64>, values: &[f64]| {
            rows.push(Row::of(what, bound.map(Target::AtMost), values.iter().copied()));
        };
        row(
            "the hub's own memory for a client that never reads, beyond one that reads, KB",
            Some(256.0),
            &self.grown_kb,
        );
        row(
            "connect to ready, p99, among 1,000 half heads and 1,000 silent, ms",
            Some(100.0),
            &self.connect_p99_ms,
        );
        row("half heads and silent ones are closed after, s", Some(10.0), &self.holders_closed_s);
        row("agent killed to error at the client, slowest, ms", Some(200.0), &self.kill_told_ms);
        row("memory after 10 waves / after wave 2", Some(1.1), &self.waves_ratio);
        row("p99 of the others, calm, ms", None, &self.calm_p99_ms);
        row(
            "share of the tokens left out, due when the machine itself paused: calm",
            None,
            &self.calm_left_out,
        );
        row("the same under attack", None, &self.attacked_left_out);
        rows
    }

    async fn measure(&mut self, window: Duration) -> Result<()> {
        let servers = Servers::start()?;
        let hub = servers.hub(Way::HubUnix);
        // What is allocated once is not what an attack costs.
        self.others(&servers, window).await?;
        for attack in ATTACKS {
            let before = self.others(&servers, window).await?;
            let mut siege = Siege::begin(attack, hub)?;
            let attacked = [self.others(&servers, window).await?, self.others(&servers, window).await?];
            siege.goes_on()?;
            drop(siege);
            // What it sent last is still being read.
            sleep(CLOSE_TIMEOUT).await;
            let after = self.others(&servers, window).await?;
            for (attacked, calm) in attacked.into_iter().zip([before, after]) {
                self.p99_ratio[attack as usize].push(attacked.p99_ms / calm.p99_ms);
                self.calm_p99_ms.push(calm.p99_ms);
                self.calm_left_out.push(calm.left_out);
                self.attacked_left_out.push(attacked.left_out);
            }
        }
        let (connect_p99_ms, closed_s) = hold(hub).await?;
        self.connect_p99_ms.push(connect_p99_ms);
        self.holders_closed_s.push(closed_s);
        self.kill_told_ms.push(kill_agents().await?);
        self.grown_kb.push(stall(&servers).await?);
        self.waves_ratio.push(waves(&servers).await?);
        Ok(())
    }

    /// Measures one window of the other clients.
    async fn others(&mut self, servers: &Servers, window: Duration) -> Result<Window> {
        let plan = Plan::paced(OTHERS.1, WARMUP, window);
        let mut outcome = driver::run(&servers.target(Way::HubUnix), OTHERS.0, plan, None).await?;
        if !outcome.tally.is_clean() {
            self.faults.push(format!("{:?}", outcome.tally));
        }
        let monitor = self.monitor.as_ref();
        let left_out = monitor.map_or(f64::NAN, |monitor| outcome.leave_out(&monitor.pauses()));
        Ok(Window { p99_ms: outcome.percentile_ns(0.99) / 1e6, left_out })
    }
}

/// The figures of one window.
struct Window {
    /// 99th percentile of the latency of the other clients.
    p99_ms: f64,
    /// Share of tokens that were due in a pause of the machine, NaN without a stall monitor.
    left_out: f64,
}

/// A running attack. The attacker is a process in the idle scheduling class, because it stands for another machine.
struct Siege {
    attack: Attack,
    attacker: Server,
}

impl Siege {
    /// Starts an attack and blocks the thread until it has its full effect.
    fn begin(attack: Attack, hub: &Hub) -> Result<Self> {
        let own = std::env::current_exe()?;
        let name = attack.to_possible_value().context("each attack has a name")?;
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(own).args(["attack", name.get_name(), hub.authority()]);
        let attacker = Server::start(&mut command)?;
        attacker.announced(UNDER_WAY)?;
        Ok(Self { attack, attacker })
    }

    /// Checks that the attack still has its full effect.
    fn goes_on(&mut self) -> Result<()> {
        let attack = self.attack;
        ensure!(self.attacker.is_running()?, "{attack:?} ended by itself");
        let is_flood = matches!(attack, Attack::Pings | Attack::Messages | Attack::Fragments);
        let closed = self.attacker.said(UNDER_WAY);
        ensure!(!is_flood || closed >= FLOODERS_CLOSED_MIN, "{attack:?}: only {closed} flooders were closed");
        Ok(())
    }
}

/// Attacks until the process is killed.
///
/// # Errors
/// Returns an error if the hub cannot be reached.
pub fn attack(attack: Attack, authority: &str) -> Result<()> {
    let url = format!("ws://{authority}/ws");
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        match attack {
            Attack::None => {
                println!("{UNDER_WAY}");
                pending().await
            }
            Attack::NeverReads => never_read(&url, authority).await,
            Attack::Pings => flood(&url, &frame(FINAL | PING, b"").repeat(FLOOD_FRAMES)).await,
            Attack::Messages => flood(&url, &frame(FINAL | TEXT, b"/status").repeat(FLOOD_FRAMES)).await,
            Attack::Fragments => flood(&url, &fragments()).await,
        }
    })
}

/// Opens a session that never reads, and another one after each close.
async fn never_read(url: &str, authority: &str) -> Result<()> {
    loop {
        let mut client = Client::narrow_at(authority, url).await?;
        client.say(FILL).await?;
        client.say(TRICKLE).await?;
        sleep(FILL_TIME).await;
        println!("{UNDER_WAY}");
        while client.send_raw(&frame(FINAL | PING, b"")).await.is_ok() {
            sleep(SIGN_INTERVAL).await;
        }
    }
}

async fn flood(url: &str, bytes: &[u8]) -> Result<()> {
    let flooder = async |number| {
        sleep(FLOODER_INTERVAL * number).await;
        loop {
            let mut client = Client::connect(url).await?;
            while client.send_raw(bytes).await.is_ok() {}
            println!("{UNDER_WAY}");
        }
    };
    try_join_all((0..FLOODERS).map(flooder)).await.map(|never: Vec<Infallible>| drop(never))
}

fn fragments() -> Vec<u8> {
    let mut bytes = frame(TEXT, b"x");
    bytes.extend(frame(CONTINUATION, b"x").repeat(FLOOD_FRAMES - 2));
    bytes.extend(frame(FINAL | CONTINUATION, b"x"));
    bytes
}

/// Holds connections without a request. Returns the p99 time in which others get a session, in milliseconds, and the
/// time after which the last held connection is closed, in seconds.
async fn hold(hub: &Hub) -> Result<(f64, f64)> {
    let begin = Instant::now();
    let open = async |sent: &'static str| {
        let mut stream = TcpStream::connect(hub.authority()).await?;
        stream.write_all(sent.as_bytes()).await?;
        anyhow::Ok(stream)
    };
    let mut held = try_join_all((0..HOLDERS).map(|_| open("GET /ws HTTP/1.1\r\nHost: "))).await?;
    held.extend(try_join_all((0..HOLDERS).map(|_| open(""))).await?);
    let mut times = Vec::new();
    for _ in 0..COMERS {
        let begin = Instant::now();
        let mut client = Client::connect(&hub.ws_url).await?;
        client.until(|frame| frame["type"] == "session.ready").await?;
        times.push(begin.elapsed());
        client.close().await?;
    }
    times.sort_unstable();
    let ends = held.iter_mut().map(|stream| timeout(Duration::from_secs(60), stream.read_u8()));
    ensure!(
        join_all(ends).await.iter().all(Result::is_ok),
        "a connection that asks for nothing is left open"
    );
    let p99 = times.get(times.len() * 99 / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    Ok((p99, begin.elapsed().as_secs_f64()))
}

/// Kills agents during an answer. Returns the longest time until the client gets the error, in milliseconds.
async fn kill_agents() -> Result<f64> {
    let hub = spawning_hub()?;
    let mut slowest = Duration::ZERO;
    for _ in 0..KILLS {
        let mut client = Client::connect(&hub.ws_url).await?;
        client.say("tokens=100000 rate=100").await?;
        client.until(|frame| frame["type"] == "text-delta").await?;
        let agent = agent_of(&hub)?;
        let begin = Instant::now();
        nix::sys::signal::kill(agent, nix::sys::signal::Signal::SIGKILL)?;
        client.until(|frame| frame["type"] == "session.ended").await?;
        slowest = slowest.max(begin.elapsed());
    }
    Ok(slowest.as_secs_f64() * 1e3)
}

/// Returns the process of the hub's only agent: the newest one with the variable of the agent's socket.
fn agent_of(hub: &Hub) -> Result<nix::unistd::Pid> {
    let marker = format!("MAYFLY_LISTEN=unix:{}/", hub.data_dir().canonicalize()?.display());
    let mut newest = None;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Ok(environment) = fs::read(path.join("environ")) else { continue };
        let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<i32>().ok());
        if environment.windows(marker.len()).any(|window| window == marker.as_bytes()) {
            newest = newest.max(pid);
        }
    }
    newest.map(nix::unistd::Pid::from_raw).context("there is no agent")
}

/// Returns the memory that the hub allocates for a client that never reads, beyond that for one that reads, in KB. The
/// kernel's buffers for an unread connection are not included: up to 4 MiB (tcp(7)).
async fn stall(servers: &Servers) -> Result<f64> {
    let (usage, _, hub) = servers.fresh_hub()?;
    let mut peaks = Vec::new();
    // What is allocated once is there after the first.
    for reads in [true, true, false] {
        let mut client = Client::narrow(&hub).await?;
        client.say(ANSWER).await?;
        let talk = async {
            if reads {
                client.until_turn_done().await?;
                return client.close().await;
            }
            sleep(STALL).await;
            let (_, code, _) = client.until_closed().await?;
            ensure!(code == CloseCode::TooSlow.number(), "one that never reads was closed with {code}");
            Ok(())
        };
        tokio::pin!(talk);
        let mut peak = 0;
        let talked = loop {
            peak = peak.max(usage.allocated_bytes()?);
            if let Ok(talked) = timeout(SAMPLE_INTERVAL, &mut talk).await {
                break talked;
            }
        };
        talked?;
        peaks.push(peak as f64 / 1024.0);
    }
    Ok(peaks[2] - peaks[1])
}

/// Returns the hub's memory after the last wave of sessions, divided by that after the second.
async fn waves(servers: &Servers) -> Result<f64> {
    let (usage, target, _hub) = servers.fresh_hub()?;
    let mut after = Vec::new();
    for _ in 0..WAVES.0 {
        let mut fleet = Fleet::open(&target, WAVES.1).await?;
        fleet.warm(ONE_TURN).await?;
        fleet.close().await?;
        after.push(usage.memory_bytes()? as f64);
    }
    Ok(after.last().context("there were waves")? / after.get(1).context("there were two waves")?)
}
