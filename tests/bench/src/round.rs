//! One round of measurements: each figure once, for each way that has the figure.

use std::ops::{Index, IndexMut};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use mayfly_protocol::agent::{ENV_LISTEN, ENV_TOKEN};
use mayfly_tests::address::Address;
use mayfly_tests::harness::program;
use mayfly_tests::load::Load;
use mayfly_tests::process::{Server, Usage};
use tempfile::TempDir;

use crate::check::Seen;
use crate::driver::{self, Fleet, Link, Outcome, Plan, Target};
use crate::servers::{Servers, TOKEN, WAYS, Way, spawning_hub};

/// Load of the latency rows: sessions, and tokens per second in each.
pub const PACED: (usize, u64) = (50, 50);
/// Load of the rows on processor time per token: 12,000 tokens per second.
pub const BUSY: (usize, u64) = (240, 50);
/// Load of the saturated rows: sessions, and tokens in one answer.
pub const SATURATED: (usize, u64) = (50, 2000);
/// Idle sessions whose memory is measured, beyond [`IDLE_SESSIONS_BEFORE`].
pub const IDLE_SESSIONS: usize = 1000;
const IDLE_SESSIONS_BEFORE: usize = 100;
/// Sessions that are opened one after the other and timed.
const READY_SAMPLES: usize = 100;
/// The turn that each idle session has before the measurement.
const IDLE_LOAD: Load = Load { tokens: 10, rate: 0 };
const ONE_TOKEN: Load = Load { tokens: 1, rate: 0 };

/// Number and length of the measurements.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Number of rounds.
    pub rounds: usize,
    /// Time before each window.
    pub warmup: Duration,
    /// Length of the windows for latency and processor time per token.
    pub window: Duration,
    /// Length of the window for the saturated load.
    pub saturated_window: Duration,
    /// Sessions per round whose first token is timed.
    pub first_tokens: usize,
}

impl Effort {
    /// Returns the effort for figures that are quoted: about five minutes.
    pub fn full() -> Self {
        Self {
            rounds: 5,
            warmup: Duration::from_millis(500),
            window: Duration::from_secs(3),
            saturated_window: Duration::from_millis(1500),
            first_tokens: 20,
        }
    }

    /// Returns the effort for a first look: under a minute.
    pub fn quick() -> Self {
        Self {
            rounds: 2,
            warmup: Duration::from_millis(300),
            window: Duration::from_secs(1),
            saturated_window: Duration::from_millis(800),
            first_tokens: 5,
        }
    }
}

/// A figure for each way, NaN if the way has none.
#[derive(Debug, Clone, Copy)]
pub struct Figures([f64; WAYS.len()]);

/// The figures of one round.
#[derive(Debug, Clone)]
pub struct Round {
    /// Median latency from schedule to receipt, in milliseconds.
    pub p50_ms: Figures,
    /// 99th percentile of the same latency, in milliseconds.
    pub p99_ms: Figures,
    /// Processor time of the server per token at [`BUSY`], in microseconds.
    pub busy_cpu_us: Figures,
    /// Tokens received per second at [`BUSY`].
    pub busy_rate: Figures,
    /// Processor time of the server per token at [`SATURATED`], in microseconds.
    pub saturated_cpu_us: Figures,
    /// Tokens received per second at [`SATURATED`].
    pub saturated_rate: Figures,
    /// Memory per idle session, in kilobytes.
    pub idle_kb: Figures,
    /// Sessions opened per second while [`IDLE_SESSIONS`] are opened.
    pub connects: Figures,
    /// Median time from connect to an active session whose agent already runs, in milliseconds.
    pub ready_ms: Figures,
    /// Median time from connect to the first token of an agent that is spawned for the session, in milliseconds.
    pub first_token_ms: f64,
    /// Median time from an agent's spawn to its first token, without a hub, in milliseconds.
    pub bare_first_token_ms: f64,
    /// Descriptions of lost tokens and broken sessions.
    pub faults: Vec<String>,
}

impl Round {
    /// Measures each figure once. `number` rotates the order of the ways, so that none is always first.
    ///
    /// # Errors
    /// Returns an error if a server has ended or does not start.
    pub async fn measure(servers: &Servers, effort: Effort, number: usize) -> anyhow::Result<Self> {
        let mut round = Self::empty();
        let mut ways = WAYS;
        ways.rotate_left(number % WAYS.len());

        for way in ways {
            let plan = Plan::paced(PACED.1, effort.warmup, effort.window);
            if let Some(outcome) = round.run(servers, way, PACED.0, plan).await {
                round.p50_ms[way] = outcome.percentile_ns(0.50) / 1e6;
                round.p99_ms[way] = outcome.percentile_ns(0.99) / 1e6;
            }
        }
        for way in ways.into_iter().filter(|way| *way != Way::Direct) {
            let plan = Plan::paced(BUSY.1, effort.warmup, effort.window);
            if let Some(outcome) = round.run(servers, way, BUSY.0, plan).await {
                round.busy_cpu_us[way] = outcome.cpu_ns_per_token() / 1e3;
                round.busy_rate[way] = outcome.rate();
            }
        }
        for way in ways.into_iter().filter(|way| *way != Way::Direct) {
            let plan = Plan::saturated(SATURATED.1, effort.warmup, effort.saturated_window);
            if let Some(outcome) = round.run(servers, way, SATURATED.0, plan).await {
                round.saturated_cpu_us[way] = outcome.cpu_ns_per_token() / 1e3;
                round.saturated_rate[way] = outcome.rate();
            }
        }
        for way in ways.into_iter().filter(|way| matches!(way, Way::Naive | Way::HubTcp | Way::HubUnix)) {
            round.ready_ms[way] = ready_ms(&servers.target(way)).await?;
        }
        round.measure_idle(servers).await?;
        round.measure_first_tokens(effort.first_tokens).await?;
        Ok(round)
    }

    fn empty() -> Self {
        let none = Figures([f64::NAN; WAYS.len()]);
        Self {
            p50_ms: none,
            p99_ms: none,
            busy_cpu_us: none,
            busy_rate: none,
            saturated_cpu_us: none,
            saturated_rate: none,
            idle_kb: none,
            connects: none,
            ready_ms: none,
            first_token_ms: f64::NAN,
            bare_first_token_ms: f64::NAN,
            faults: Vec::new(),
        }
    }

    /// Runs a plan. Records a fault and returns no figure if the outcome is not clean.
    async fn run(&mut self, servers: &Servers, way: Way, sessions: usize, plan: Plan) -> Option<Outcome> {
        let wrong = match driver::run(&servers.target(way), sessions, plan, servers.usage(way)).await {
            Ok(outcome) if outcome.tally.is_clean() => return Some(outcome),
            Ok(outcome) => format!("{:?}", outcome.tally),
            Err(error) => format!("{error:#}"),
        };
        self.faults.push(format!("{way:?}, {sessions} sessions, {}: {wrong}", plan.load));
        None
    }

    async fn measure_idle(&mut self, servers: &Servers) -> anyhow::Result<()> {
        let (usage, target, _hub) = servers.fresh_hub()?;
        (self.idle_kb[Way::HubUnix], self.connects[Way::HubUnix]) = idle(&target, usage).await?;
        let (usage, target, _naive) = servers.fresh_naive()?;
        (self.idle_kb[Way::Naive], self.connects[Way::Naive]) = idle(&target, usage).await?;
        Ok(())
    }

    async fn measure_first_tokens(&mut self, count: usize) -> anyhow::Result<()> {
        let hub = spawning_hub()?;
        let target = Target::Socket(hub.ws_url.clone());
        let (mut through_hub, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..count {
            through_hub.push(first_token(&target).await?);
            bare.push(bare_first_token().await?);
        }
        self.first_token_ms = median_ms(through_hub);
        self.bare_first_token_ms = median_ms(bare);
        Ok(())
    }
}

/// Returns the kilobytes per idle session beyond the first ones, and the sessions opened per second.
async fn idle(target: &Target, server: Usage) -> anyhow::Result<(f64, f64)> {
    let mut before = Fleet::open(target, IDLE_SESSIONS_BEFORE).await?;
    before.warm(IDLE_LOAD).await?;
    let bytes_before = server.memory_bytes()?;
    let begin = Instant::now();
    let mut fleet = Fleet::open(target, IDLE_SESSIONS).await?;
    let connects = IDLE_SESSIONS as f64 / begin.elapsed().as_secs_f64();
    fleet.warm(IDLE_LOAD).await?;
    let grown = server.memory_bytes()?.saturating_sub(bytes_before);
    fleet.close().await?;
    before.close().await?;
    Ok((grown as f64 / 1024.0 / IDLE_SESSIONS as f64, connects))
}

/// Returns the median time from connect to an active session, one session at a time.
async fn ready_ms(target: &Target) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(READY_SAMPLES);
    for _ in 0..READY_SAMPLES {
        let begin = Instant::now();
        let link = Link::open(target).await?;
        times.push(begin.elapsed());
        link.close().await?;
    }
    Ok(median_ms(times))
}

/// Returns the time from connect to the first token. The message is sent before the agent runs.
async fn first_token(target: &Target) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let mut link = Link::connect(target).await?;
    let elapsed = time_first_token(&mut link, begin).await?;
    link.close().await?;
    Ok(elapsed)
}

/// Returns the time from spawn to first token of an agent that is started like the hub's, but called directly.
async fn bare_first_token() -> anyhow::Result<Duration> {
    let directory = TempDir::new()?;
    let address = Address::Unix(directory.path().join("agent.sock"));
    let mut command = Command::new(program("sim-agent")?);
    command.env_clear().env(ENV_LISTEN, address.to_string()).env(ENV_TOKEN, TOKEN);
    let begin = Instant::now();
    let agent = Server::start(&mut command)?;
    agent.announced("listening on ")?;
    let mut link = Link::connect(&Target::Events(address, TOKEN.to_owned())).await?;
    time_first_token(&mut link, begin).await
}

async fn time_first_token(link: &mut Link, begin: Instant) -> anyhow::Result<Duration> {
    let mut elapsed = None;
    link.turn(ONE_TOKEN, |seen| {
        if let Seen::Token(_) = seen {
            elapsed.get_or_insert_with(|| begin.elapsed());
        }
    })
    .await?;
    elapsed.context("there was no token")
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

impl Index<Way> for Figures {
    type Output = f64;

    fn index(&self, way: Way) -> &f64 {
        &self.0[way as usize]
    }
}

impl IndexMut<Way> for Figures {
    fn index_mut(&mut self, way: Way) -> &mut f64 {
        &mut self.0[way as usize]
    }
}
