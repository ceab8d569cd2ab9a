//! `make bench`: the hub against its baselines, as a table of ratios. The baselines are this program again.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use mayfly_tests::address::Address;
use mayfly_tests::bench::{self, Effort, servers};
use mayfly_tests::load::RATE_MAX;
use mayfly_tests::{process, siege};

/// The hub against its baselines: interleaved rounds, median and spread.
#[derive(Parser)]
struct Args {
    /// Rounds
    #[arg(long)]
    rounds: Option<usize>,
    /// A first look in under a minute: two rounds, short windows
    #[arg(long)]
    quick: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// One load on the hub, every token checked
    Load {
        #[arg(long, default_value_t = 50)]
        sessions: usize,
        /// Tokens a second in each session
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=RATE_MAX))]
        rate: u64,
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Starts of agents in a container engine, against its own `run`
    Containers {
        /// Its socket: `unix://PATH`
        #[arg(long, env = "DOCKER_HOST", default_value = "unix:///var/run/docker.sock")]
        host: String,
        #[arg(long, default_value = "mayfly-agent")]
        image: String,
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// What strangers do, and how much of it others notice
    Siege {
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Of each window
        #[arg(long, default_value_t = 2)]
        seconds: u64,
    },
    /// One of the strangers
    #[command(hide = true)]
    Attack { attack: siege::Attack, authority: String },
    /// One of the baselines
    #[command(hide = true)]
    Serve {
        baseline: servers::Baseline,
        #[arg(long)]
        agent: Address,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = process::raise_descriptor_limit().and_then(|()| match args.command {
        Some(Command::Load { sessions, rate, seconds }) => bench::load(sessions, rate, seconds),
        Some(Command::Containers { host, image, rounds }) => bench::containers::run(&host, &image, rounds),
        Some(Command::Siege { rounds, seconds }) => siege::run(rounds, Duration::from_secs(seconds)),
        Some(Command::Attack { attack, authority }) => siege::attack(attack, &authority).map(|()| true),
        Some(Command::Serve { baseline, agent }) => servers::serve(baseline, agent).map(|()| true),
        None => bench::run(if args.quick { Effort::quick() } else { Effort::full() }, args.rounds),
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
