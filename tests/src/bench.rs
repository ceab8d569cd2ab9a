//! The rounds of `make bench`: each way of a token is measured in each round, one after the other, so that a noisy
//! machine is noisy for all of them. What counts is the ratio within a round; the table has its median and spread.
//!
//! - [`servers`]: the processes, each way's own
//! - [`round`]: what one round measures
//! - [`containers`]: another table, of agents' starts in a container engine
//! - [`table`]: the figures as a table, against the targets

use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

use crate::driver::{self, Plan};
use crate::process;

pub mod containers;
pub mod round;
pub mod servers;
pub mod table;

use round::Round;
use servers::{Servers, Way};

/// How long it takes and how sure the result is.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Times that everything is measured.
    pub rounds: usize,
    /// Before each window.
    pub warmup: Duration,
    /// Of latency and of processor time per token.
    pub window: Duration,
    /// Of the saturated run.
    pub saturated_window: Duration,
    /// Sessions whose first token is timed, in each round.
    pub first_tokens: usize,
}

impl Effort {
    /// For figures that are quoted: about five minutes.
    pub fn full() -> Self {
        Self {
            rounds: 5,
            warmup: Duration::from_millis(500),
            window: Duration::from_secs(3),
            saturated_window: Duration::from_millis(1500),
            first_tokens: 20,
        }
    }

    /// For a first look: under a minute.
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

/// One load on one hub with a Unix socket to the agent; prints what came, and is false when anything was wrong.
///
/// # Errors
/// When a server cannot be started, or a session breaks off.
pub fn load(sessions: usize, rate: u64, seconds: u64) -> anyhow::Result<bool> {
    let outcome = runtime()?.block_on(async {
        let servers = Servers::start()?;
        let plan = Plan::paced(rate, Duration::ZERO, Duration::from_secs(seconds));
        driver::run(&servers.target(Way::HubUnix), sessions, plan, servers.usage(Way::HubUnix)).await
    })?;
    let [p50_ms, p99_ms] = [0.50, 0.99].map(|share| outcome.percentile_ns(share) / 1e6);
    println!("{:#?}", outcome.tally);
    println!(
        "{:.0} tokens/s, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms from schedule, {:.1} us of CPU per token",
        outcome.rate(),
        outcome.cpu_ns_per_token() / 1e3
    );
    Ok(outcome.tally.is_clean())
}

/// Measures and prints the table; false when a token was lost or a session broke. A missed target is no failure: it
/// is in the table.
///
/// # Errors
/// When a server cannot be started or nothing can be measured.
pub fn run(effort: Effort, rounds: Option<usize>) -> anyhow::Result<bool> {
    let busy = process::load_average()?;
    let rounds = runtime()?.block_on(async {
        let servers = Servers::start()?;
        let mut done = Vec::new();
        for number in 0..rounds.unwrap_or(effort.rounds) {
            eprintln!("round {}", number + 1);
            done.push(Round::measure(&servers, effort, number).await.context("a round failed")?);
        }
        anyhow::Ok(done)
    })?;
    println!("Load average before the first round: {busy:.1}. Ratios of time hold on an idle machine only.");
    print!("{}", table::render(&table::rows(&rounds), rounds.len()));
    let faults: Vec<&String> = rounds.iter().flat_map(|round| &round.faults).collect();
    for fault in &faults {
        println!("fault: {fault}");
    }
    Ok(faults.is_empty())
}

/// One thread: the driver is not to crowd out what it measures.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
