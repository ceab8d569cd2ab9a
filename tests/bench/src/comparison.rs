//! Comparison of the hub with its baselines, for `make bench`.
//!
//! Each round measures each way of a token, one after the other, so that a noisy machine is noisy for all of them. The
//! table contains the median and the spread of the ratios within a round.

use std::time::Duration;

use anyhow::Context;
use mayfly_tests::process;

use crate::driver::{self, Plan};
use crate::round::{Effort, Round};
use crate::servers::{Servers, Way};
use crate::table;

/// Puts one load on a hub with a Unix socket to the agent, and prints the result. Returns `false` if a token was lost
/// or a session broke.
///
/// # Errors
/// Returns an error if a server cannot be started, or a session breaks off.
pub fn load(sessions: usize, rate: u64, seconds: u64) -> anyhow::Result<bool> {
    let outcome = driver::runtime()?.block_on(async {
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

/// Measures and prints the table. Returns `false` if a token was lost or a session broke. A missed target shows in the
/// table only.
///
/// # Errors
/// Returns an error if a server cannot be started or nothing can be measured.
pub fn run(effort: Effort, rounds: Option<usize>) -> anyhow::Result<bool> {
    let busy = process::load_average()?;
    let rounds = driver::runtime()?.block_on(async {
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
