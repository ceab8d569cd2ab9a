//! The simulated agent as a program. Takes the environment that the hub gives an agent, or flags.

use clap::Parser;
use mayfly_protocol::agent::{ENV_LISTEN, ENV_TOKEN};
use mayfly_tests::address::Address;
use mayfly_tests::{agent, process};

/// A simulated agent: say `tokens=N rate=N` to it.
#[derive(Parser)]
struct Args {
    /// Where to listen: unix:PATH or HOST:PORT; several at once are fine
    #[arg(long, env = ENV_LISTEN, value_delimiter = ',', required = true)]
    listen: Vec<Address>,
    /// What callers must bring
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
