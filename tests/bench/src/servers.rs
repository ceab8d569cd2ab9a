//! The processes of a measurement: the agent, and one server for each way of a token.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context, bail};
use clap::ValueEnum;
use mayfly_tests::address::{Address, Listener};
use mayfly_tests::harness::{Hub, program};
use mayfly_tests::process::{Server, Usage};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::baseline::{naive, relay};
use crate::driver::Target;

/// The agent's token.
pub const TOKEN: &str = "bench";
/// More sessions than any measurement opens.
const MAX_SESSIONS: &str = "20000";
/// The hub's variable for the token of static agents.
const ENV_AGENT_TOKEN: &str = "MAYFLY_AGENT_TOKEN";

/// The way of a token from agent to client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The client calls the agent.
    Direct,
    /// The baseline `relay`, TCP on both sides.
    Relay,
    /// The baseline `naive`, TCP on both sides.
    Naive,
    /// The hub, TCP on both sides.
    HubTcp,
    /// The hub with a Unix socket to the agent, as for local agents.
    HubUnix,
}

/// All ways, in the order of the table.
pub const WAYS: [Way; 5] = [Way::Direct, Way::Relay, Way::Naive, Way::HubTcp, Way::HubUnix];

/// A baseline that is a server.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Baseline {
    /// [`relay`].
    Relay,
    /// [`naive`].
    Naive,
}

/// The processes that run during a measurement.
pub struct Servers {
    _directory: TempDir,
    _agent: Server,
    agent_tcp: Address,
    agent_unix: Address,
    relay: (Server, Address),
    naive: (Server, Address),
    hub_tcp: Hub,
    hub_unix: Hub,
}

/// Runs a baseline in this process, on tokio's default runtime.
///
/// # Errors
/// Returns an error if it cannot listen, or its listener fails.
pub fn serve(baseline: Baseline, agent: Address) -> anyhow::Result<()> {
    Runtime::new()?.block_on(async {
        let listener = loopback().bind().await?;
        println!("listening on {}", listener.address()?);
        match (baseline, listener) {
            (Baseline::Relay, listener) => relay::serve(listener, agent).await?,
            (Baseline::Naive, Listener::Tcp(listener)) => {
                naive::serve(listener, format!("http://{agent}"), TOKEN.to_owned()).await?;
            }
            (Baseline::Naive, Listener::Unix(..)) => bail!("naive listens on TCP"),
        }
        Ok(())
    })
}

impl Servers {
    /// Starts all processes.
    ///
    /// # Errors
    /// Returns an error if a process does not start.
    pub fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let unix = Address::Unix(directory.path().join("agent.sock"));
        let listen = format!("{unix},{}", loopback());
        let agent =
            Server::start(Command::new(program("sim-agent")?).args(["--token", TOKEN, "--listen", &listen]))?;
        let agent_unix = announced(&agent)?;
        let agent_tcp = announced(&agent)?;
        Ok(Self {
            relay: start_baseline("relay", &agent_tcp)?,
            naive: start_baseline("naive", &agent_tcp)?,
            hub_tcp: start_hub(&format!("http://{agent_tcp}"))?,
            hub_unix: start_hub(&agent_unix.to_string())?,
            _directory: directory,
            _agent: agent,
            agent_tcp,
            agent_unix,
        })
    }

    /// Returns the server that sessions on this way connect to.
    pub fn target(&self, way: Way) -> Target {
        match way {
            Way::Direct => Target::Events(self.agent_tcp.clone(), TOKEN.to_owned()),
            Way::Relay => Target::Events(self.relay.1.clone(), TOKEN.to_owned()),
            Way::Naive => socket(&self.naive.1),
            Way::HubTcp => Target::Socket(self.hub_tcp.ws_url.clone()),
            Way::HubUnix => Target::Socket(self.hub_unix.ws_url.clone()),
        }
    }

    /// Returns the hub on this way.
    ///
    /// # Panics
    /// If the way has no hub.
    pub fn hub(&self, way: Way) -> &Hub {
        match way {
            Way::HubTcp => &self.hub_tcp,
            Way::HubUnix => &self.hub_unix,
            Way::Direct | Way::Relay | Way::Naive => panic!("{way:?} has no hub"),
        }
    }

    /// Returns the resource usage of the server on this way.
    pub fn usage(&self, way: Way) -> Option<Usage> {
        match way {
            Way::Direct => None,
            Way::Relay => Some(self.relay.0.usage()),
            Way::Naive => Some(self.naive.0.usage()),
            Way::HubTcp => Some(self.hub_tcp.usage()),
            Way::HubUnix => Some(self.hub_unix.usage()),
        }
    }

    /// Starts a new hub with a Unix socket to the agent.
    ///
    /// # Errors
    /// Returns an error if the hub does not start.
    pub fn fresh_hub(&self) -> anyhow::Result<(Usage, Target, Hub)> {
        let hub = start_hub(&self.agent_unix.to_string())?;
        Ok((hub.usage(), Target::Socket(hub.ws_url.clone()), hub))
    }

    /// Starts a new `naive`.
    ///
    /// # Errors
    /// Returns an error if `naive` does not start.
    pub fn fresh_naive(&self) -> anyhow::Result<(Usage, Target, Server)> {
        let (server, address) = start_baseline("naive", &self.agent_tcp)?;
        Ok((server.usage(), socket(&address), server))
    }
}

/// Starts a hub that spawns a simulated agent for each session.
///
/// # Errors
/// Returns an error if the hub does not start.
pub fn spawning_hub() -> anyhow::Result<Hub> {
    let agent = program("sim-agent")?;
    let agent = agent.to_str().context("the path of sim-agent is not UTF-8")?;
    // Quoted as in a shell.
    let command = format!("'{}'", agent.replace('\'', r"'\''"));
    Hub::start(&["--platform", "process", "--agent-command", &command])
}

fn start_hub(agent: &str) -> anyhow::Result<Hub> {
    let args = ["--platform", "static", "--static-agents", agent, "--max-sessions", MAX_SESSIONS];
    Hub::start_with(&args, &[(ENV_AGENT_TOKEN, TOKEN)])
}

fn start_baseline(name: &str, agent: &Address) -> anyhow::Result<(Server, Address)> {
    let own = std::env::current_exe()?;
    let server = Server::start(Command::new(own).args(["serve", name, "--agent", &agent.to_string()]))?;
    let address = announced(&server).with_context(|| format!("{name} did not start"))?;
    Ok((server, address))
}

fn announced(server: &Server) -> anyhow::Result<Address> {
    Ok(server.announced("listening on ")?.parse()?)
}

fn socket(address: &Address) -> Target {
    Target::Socket(format!("ws://{address}/ws"))
}

fn loopback() -> Address {
    Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}
