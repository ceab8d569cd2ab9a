//! The figures of `make siege`: what strangers do to the hub, and how much of it others notice.
//!
//! The machine may be noisier than the strangers. So each attack has two windows between two calm ones, once it is under
//! way and before the next calm is measured it is over; each window under attack is compared with the calm one beside it.
//! Tokens that were due in a pause of the machine itself are left out of both. An attack that does nothing has its row
//! too: it tells how far calm windows differ.

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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::bench::servers::{Servers, Way, spawning_hub};
use crate::bench::table::{self, Row, Target};
use crate::driver::{self, Fleet, Plan};
use crate::harness::{Client, Hub};
use crate::load::Load;
use crate::process::{self, Server};
use crate::socket::{CONTINUATION, FINAL, PING, TEXT, frame};
use crate::witness::Witnesses;

/// Those who are measured: sessions, and tokens a second in each.
const OTHERS: (usize, u64) = (50, 50);
const WARMUP: Duration = Duration::from_millis(300);
/// Connections of each kind that ask for nothing.
const HOLDERS: usize = 1_000;
/// Sessions that are opened among them.
const COMERS: usize = 200;
/// Agents that are killed in each round.
const KILLS: usize = 10;
/// Waves of sessions that come and go, and how many come at once.
const WAVES: (usize, usize) = (10, 200);
/// 3.5 MB, at 88 bytes a token: more than the 3 MB that an unread connection was seen to hold (`tcp_wmem` allows 4 MiB).
const FILL: &str = "tokens=40000 rate=0";
const FILL_TIME: Duration = Duration::from_secs(1);
/// What its agent goes on to say: no more than the others', which are the same process.
const TRICKLE: &str = "tokens=200000 rate=50";
/// For a client that never reads to give signs of life.
const SIGN_INTERVAL: Duration = Duration::from_millis(100);
/// Those who flood together.
const FLOODERS: u32 = 4;
/// How far apart they begin: each is held for `CLOSE_TIMEOUT` when it is closed, so that one comes again at each interval.
const FLOODER_INTERVAL: Duration = CLOSE_TIMEOUT.checked_div(FLOODERS).unwrap();
/// So many, at least, while others are measured.
const FLOODERS_CLOSED_MIN: usize = 2;
/// Frames that they send at once.
const FLOOD_FRAMES: usize = 200;
/// What a stranger says when its attack is in full swing.
const UNDER_WAY: &str = "under way";
/// An answer that is more than an unread connection and a session's record hold, and for how long it is not read.
const ANSWER: &str = "tokens=60000 rate=20000";
const STALL: Duration = Duration::from_secs(4);
/// Between two looks at the hub's memory.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);
/// What others may notice of it, as a ratio.
const UNHARMED: Target = Target::AtMost(1.2);
const ONE_TURN: Load = Load { tokens: 10, rate: 0 };

/// What a stranger does for as long as the window lasts.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Attack {
    /// Nothing.
    None,
    /// Asks for more than the connection can hold, and never reads.
    NeverReads,
    /// Some send Pings without end, and come again when they are closed.
    Pings,
    /// The same with messages.
    Messages,
    /// The same with messages in fragments of one byte.
    Fragments,
}

const ATTACKS: [Attack; 5] =
    [Attack::None, Attack::NeverReads, Attack::Pings, Attack::Messages, Attack::Fragments];

/// Measures and prints the table; false when a token of the others was lost.
///
/// # Errors
/// When something cannot be started, or a session of the others breaks off.
pub fn run(rounds: usize, window: Duration) -> Result<bool> {
    process::raise_descriptor_limit()?;
    let busy = process::load_average()?;
    let witnesses = Witnesses::start()
        .inspect_err(|error| eprintln!("The machine's own pauses are not left out: {error:#}"))
        .ok();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut figures = Figures { witnesses, ..Figures::default() };
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

/// One figure of each round.
#[derive(Default)]
struct Figures {
    witnesses: Option<Witnesses>,
    /// Two windows of each attack.
    p99_ratio: [Vec<f64>; ATTACKS.len()],
    /// Of each calm window.
    calm_p99_ms: Vec<f64>,
    /// Of the tokens in each calm window and in each under attack.
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

    /// How it is for the others.
    async fn others(&mut self, servers: &Servers, window: Duration) -> Result<Window> {
        let plan = Plan::paced(OTHERS.1, WARMUP, window);
        let mut outcome = driver::run(&servers.target(Way::HubUnix), OTHERS.0, plan, None).await?;
        if !outcome.tally.is_clean() {
            self.faults.push(format!("{:?}", outcome.tally));
        }
        let witnesses = self.witnesses.as_ref();
        let left_out = witnesses.map_or(f64::NAN, |witnesses| outcome.leave_out(&witnesses.pauses()));
        Ok(Window { p99_ms: outcome.percentile_ns(0.99) / 1e6, left_out })
    }
}

/// What is measured at a time.
struct Window {
    /// How long tokens of the others take.
    p99_ms: f64,
    /// The share of them that were due in a pause of the machine; no number where nobody can tell.
    left_out: f64,
}

/// An attack under way. Strangers are elsewhere: their process gets what processor time nobody else wants.
struct Siege {
    attack: Attack,
    attacker: Server,
}

impl Siege {
    /// Blocks the thread until it is in full swing.
    fn begin(attack: Attack, hub: &Hub) -> Result<Self> {
        let own = std::env::current_exe()?;
        let name = attack.to_possible_value().context("each attack has a name")?;
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(own).args(["attack", name.get_name(), hub.authority()]);
        let attacker = Server::start(&mut command)?;
        attacker.announced(UNDER_WAY)?;
        Ok(Self { attack, attacker })
    }

    /// Fails when it is not what it was when it began.
    fn goes_on(&mut self) -> Result<()> {
        let attack = self.attack;
        ensure!(self.attacker.is_running()?, "{attack:?} ended by itself");
        let is_flood = matches!(attack, Attack::Pings | Attack::Messages | Attack::Fragments);
        let closed = self.attacker.said(UNDER_WAY);
        ensure!(!is_flood || closed >= FLOODERS_CLOSED_MIN, "{attack:?}: only {closed} flooders were closed");
        Ok(())
    }
}

/// Attacks until it is killed.
///
/// # Errors
/// When it cannot connect.
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

/// Until it is closed; then it comes again.
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

/// Connections that ask for nothing: how long others take to get a session among them (p99, in milliseconds), and when
/// the last of them is closed, in seconds.
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

/// From the death of an agent in mid-answer to what its client is told: the slowest, in milliseconds.
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

/// The process of the hub's only agent: the one that was started last and has its socket's variable.
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

/// How much more memory of its own the hub takes for a client that never reads than for one that reads the same, in KB.
/// What the system keeps for an unread connection comes on top: up to 4 MiB (tcp(7)).
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

/// How much more memory the hub has after the last wave of sessions than after the second.
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
