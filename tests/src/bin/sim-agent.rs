//! The simulated agent as a program. Takes flags, or the environment that the hub gives an agent.

use clap::Parser;
use mayfly_protocol::agent::{ENV_LISTEN, ENV_TOKEN};
use mayfly_tests::address::Address;
use mayfly_tests::{agent, process};

/// Simulated agent that answers `tokens=N rate=N` with N tokens at N tokens per second.
#[derive(Parser)]
struct Args {
    /// Addresses to listen on, separated by commas: unix:PATH or HOST:PORT
    #[arg(long, env = ENV_LISTEN, value_delimiter = ',', required = true)]
    listen: Vec<Address>,
    /// Token that callers must send
    #[arg(long, env = ENV_TOKEN, hide_env_values = true)]
    token: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    process::raise_descriptor_limit()?;
    let mut listeners = Vec::new();
    for address in args.listen {
        let listener = address.bind().await?;
        println!("listening on {}", listener.address()?);
        listeners.push(listener);
    }
    Ok(agent::serve(listeners, args.token).await?)
}
