//! Environment, logs, the choice of model and tools, exit code.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::Context;
use jiff::Timestamp;
use mayfly_agent::agent::{Agent, Binding};
use mayfly_agent::config::{Config, Listen};
use mayfly_agent::http::{Http, Reach};
use mayfly_agent::lifetime::{Lifetime, deadline_at};
use mayfly_agent::mcp::{Patience, Servers};
use mayfly_agent::memory::Memory;
use mayfly_agent::shim::Shim;
use mayfly_agent::tool::Toolbox;
use mayfly_agent::tool::calculate::Calculate;
use mayfly_agent::tool::fetch_url::FetchUrl;
use mayfly_agent::tool::notes::Notes;
use mayfly_agent::tool::time::Time;
use mayfly_agent::tool::weather::Weather;
use mayfly_protocol::address::is_public;
use tracing::info;
use tracing_subscriber::EnvFilter;

/// The agent cannot start with its environment.
const EXIT_CONFIG: u8 = 2;

const HELP: &str = "\
Mayfly's agent: answers one session, over HTTP and server-sent events. Hubs start it.

  mayfly-agent                                         with its settings in the environment
  mayfly-agent shim [--port PORT] -- COMMAND [ARG...]  another agent that speaks TCP, in a container without a network

MAYFLY_LISTEN (unix:PATH or HOST:PORT) and MAYFLY_TOKEN it must have; MODEL and a key choose the model.
docs/models.md and docs/agents.md have the other variables.";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        None => serve(),
        Some(word) if word == "shim" => shim(arguments.collect()),
        Some(word) if word == "--help" || word == "-h" => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Some(word) => {
            eprintln!("mayfly-agent: unknown argument {}: see --help", word.display());
            ExitCode::from(EXIT_CONFIG)
        }
    }
}

/// Starts somebody else's agent, between the hub's sockets and its own.
fn shim(arguments: Vec<OsString>) -> ExitCode {
    let shim = match Shim::read(arguments, std::env::var_os) {
        Ok(shim) => shim,
        Err(error) => {
            eprintln!("mayfly-agent shim: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    log_to_stderr();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(shim.run())) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("mayfly-agent shim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> ExitCode {
    let config = match Config::read(std::env::var_os) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("mayfly-agent: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mayfly-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    log_to_stderr();
    let now = Instant::now();
    let deadline = config.deadline.and_then(|deadline| deadline_at(deadline, now, SystemTime::now()));
    let http = Http::new(config.egress.clone())?;
    info!(model = config.model.name(), "model");
    let model = config.model.build(http.clone());
    let web = Http::within(Reach::Only(is_public), config.egress)?;
    let memory_token = config.memory_token.as_ref().map(|token| token.secret().to_owned());
    let memory = Arc::new(Memory::new(config.memory, memory_token, http.clone()));
    let (owner, deadline_secs) = (config.owner, config.deadline);
    let binding = config.session.map(|session| Binding { session, owner, deadline: deadline_secs });
    // One conversation needs one thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let servers = {
        let _entered = runtime.enter();
        Servers::start(config.servers, &http, Patience::default())
    };
    let weather = Weather::new(http, config.weather_url.as_deref(), SystemTime::now);
    let agent = Agent::new(
        model,
        Toolbox::new(vec![
            Box::new(weather),
            Box::new(Time::new(Timestamp::now)),
            Box::new(Calculate),
            Box::new(Notes::new(Arc::clone(&memory))),
            Box::new(FetchUrl::new(web, Reach::Only(is_public))),
        ]),
        servers,
        memory,
        binding,
        Lifetime::new(now, deadline).orphaned_after(config.orphan_after),
    );
    let served = runtime.block_on(mayfly_agent::run(&config.listen, config.token, agent));
    // A name that is still being resolved must not hold up the exit.
    runtime.shutdown_background();
    served.with_context(|| match &config.listen {
        Listen::Unix(path) => format!("cannot serve at unix:{}", path.display()),
        Listen::Tcp(address) => format!("cannot serve at {address}"),
    })
}

/// `RUST_LOG` chooses what is logged; without, everything but what people say.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() { log.init() } else { log.json().with_span_list(false).init() }
}
