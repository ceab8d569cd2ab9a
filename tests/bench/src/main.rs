//! `bench`, the program behind `make bench` and `make siege`. It starts itself again as baseline and as attacker.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use mayfly_bench::round::Effort;
use mayfly_bench::{comparison, containers, servers, siege};
use mayfly_tests::address::Address;
use mayfly_tests::load::RATE_MAX;
use mayfly_tests::process;

/// Compares the hub with its baselines in interleaved rounds. Prints median and spread.
#[derive(Parser)]
struct Args {
    /// Number of rounds [default: 5, or 2 with --quick]
    #[arg(long)]
    rounds: Option<usize>,
    /// Runs two rounds with short windows, in under a minute
    #[arg(long)]
    quick: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Puts one load on the hub and checks every token
    Load {
        /// Number of sessions
        #[arg(long, default_value_t = 50)]
        sessions: usize,
        /// Tokens per second in each session
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=RATE_MAX))]
        rate: u64,
        /// Duration of the load
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Compares starts of agents in a container engine with the engine's own `run`
    Containers {
        /// Socket of the engine: unix://PATH
        #[arg(long, env = "DOCKER_HOST", default_value = "unix:///var/run/docker.sock")]
        host: String,
        /// Image of the agent
        #[arg(long, default_value = "mayfly-agent")]
        image: String,
        /// Number of rounds
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Attacks the hub and measures the effect on its other clients
    Siege {
        /// Number of rounds
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Duration of each window
        #[arg(long, default_value_t = 2)]
        seconds: u64,
    },
    /// Runs one attacker
    #[command(hide = true)]
    Attack { attack: siege::Attack, authority: String },
    /// Runs one baseline
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
        Some(Command::Load { sessions, rate, seconds }) => comparison::load(sessions, rate, seconds),
        Some(Command::Containers { host, image, rounds }) => containers::run(&host, &image, rounds),
        Some(Command::Siege { rounds, seconds }) => siege::run(rounds, Duration::from_secs(seconds)),
        Some(Command::Attack { attack, authority }) => siege::attack(attack, &authority).map(|()| true),
        Some(Command::Serve { baseline, agent }) => servers::serve(baseline, agent).map(|()| true),
        None => comparison::run(if args.quick { Effort::quick() } else { Effort::full() }, args.rounds),
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
