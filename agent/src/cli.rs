//! The command line of `mayfly-agent`: arguments, help, log, and the assembly of an agent from its settings.
//!
//! Settings are environment variables ([`crate::config`]); arguments only choose between serving, the shim, help and
//! version. A binary that includes this crate calls [`run`].

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use mayfly_protocol::address::is_public;
use tracing::info;
use tracing_subscriber::EnvFilter;

use crate::agent::Agent;
use crate::binding::Binding;
use crate::config::{Config, Listen};
use crate::http::{AllowedAddresses, Http};
use crate::lifetime::{Lifetime, deadline_at};
use crate::mcp::{Servers, Timeouts};
use crate::memory::Memory;
use crate::server;
use crate::shim::{self, Shim};
use crate::tool::Toolbox;
use crate::tool::calculate::Calculate;
use crate::tool::fetch_url::FetchUrl;
use crate::tool::notes::Notes;
use crate::tool::time::Time;
use crate::tool::weather::Weather;

/// Exit code for wrong arguments and settings.
const EXIT_USAGE: u8 = 2;

const HELP: &str = "\
Answers the messages of one chat session over HTTP and server-sent events.
A Mayfly hub starts one agent for each session. Settings are environment variables.

Usage:
  mayfly-agent                                          Serve until SIGTERM, the deadline, or the loss of the hub
  mayfly-agent shim [--port PORT] -- COMMAND [ARG]...   Run another agent that only speaks TCP (see shim --help)
  mayfly-agent --help | --version

Session (set by the hub):
  MAYFLY_LISTEN       Address to listen on: unix:PATH or HOST:PORT [required]
  MAYFLY_TOKEN        Bearer token of every caller: 1 to 1024 visible ASCII characters [required]
  MAYFLY_SESSION      Session to serve: s_ and 32 hexadecimal digits [default: wait for POST /bind]
  MAYFLY_OWNER        Person the session belongs to: 1 to 128 characters [default: none]
  MAYFLY_DEADLINE     Unix time at which the agent exits, in seconds [default: none]
  MAYFLY_EGRESS       Socket of the egress proxy for outgoing connections: unix:PATH [default: connect directly]
  MAYFLY_ORPHAN_SECS  Time without a call after which the agent exits: 1 to 86400 seconds [default: 120]

Model:
  MODEL               Model that answers: anthropic:NAME, openai:NAME or builtin
                      [default: a model of the provider whose key is set, Anthropic first; else builtin]
  ANTHROPIC_API_KEY, OPENAI_API_KEY
                      Key of the provider [required, unless the provider's base URL is set]
  ANTHROPIC_BASE_URL  Base URL of the API [default: https://api.anthropic.com]
  OPENAI_BASE_URL     Base URL of the API [default: https://api.openai.com/v1]
  MODEL_REASONING     Reasoning before an answer: off, low, medium, high, or a number of tokens from 1024
                      (Anthropic only) [default: the provider's]
  MODEL_MAX_TOKENS    Longest answer, in tokens [default: 8192 for Anthropic, the provider's for OpenAI]

Memory and tools:
  MEMORY_URL          Database of turns and notes: none, file:PATH, or the libsql, https or http URL of a libSQL server
                      [default: a file beside the Unix socket; none with HOST:PORT]
  MEMORY_TOKEN        Token of the libSQL server [default: none]
  MCP_SERVERS         MCP servers: JSON, or the absolute path of a file that contains it [default: none]
  MAYFLY_WEATHER_URL  Base URL of a weather service with Open-Meteo's API [default: Open-Meteo]

Log:
  RUST_LOG            Filter of the log on standard error, for example debug or mayfly_agent=debug [default: info]

Examples:
  MAYFLY_LISTEN=127.0.0.1:4000 MAYFLY_TOKEN=secret mayfly-agent
  MAYFLY_LISTEN=unix:/run/agent.sock MAYFLY_TOKEN=secret mayfly-agent shim -- node agent.js";

/// Error returned when an agent with accepted settings cannot run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error("cannot serve at {listen}: {cause}")]
    Serve { listen: Listen, cause: io::Error },
}

/// Runs `mayfly-agent` with these arguments (without the program's name) and returns its exit code: 0 after a clean
/// stop, 1 on a failure, 2 on wrong arguments or settings; for `shim`, the exit code of its command.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    match arguments.next() {
        None => serve(),
        Some(word) if word == "shim" => run_shim(arguments.collect()),
        Some(word) if word == "--help" || word == "-h" => print(HELP),
        Some(word) if word == "--version" || word == "-V" => {
            print(concat!("mayfly-agent ", env!("CARGO_PKG_VERSION")))
        }
        Some(word) => {
            eprintln!("mayfly-agent: unknown argument {}: see mayfly-agent --help", word.display());
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn print(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

fn run_shim(arguments: Vec<OsString>) -> ExitCode {
    if arguments.first().is_some_and(|word| word == "--help" || word == "-h") {
        return print(shim::HELP);
    }
    let shim = match Shim::read(arguments, std::env::var_os) {
        Ok(shim) => shim,
        Err(error) => {
            eprintln!("mayfly-agent shim: {error}");
            return ExitCode::from(EXIT_USAGE);
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
            return ExitCode::from(EXIT_USAGE);
        }
    };
    log_to_stderr();
    match serve_with(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mayfly-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_with(config: Config) -> Result<(), RunError> {
    let now = Instant::now();
    let deadline = config.deadline.and_then(|deadline| deadline_at(deadline, now, SystemTime::now()));
    let http = Http::new(config.egress.clone())?;
    info!(model = config.model.name(), "model chosen");
    let model = config.model.build(http.clone());
    let web = Http::restricted(AllowedAddresses::Only(is_public), config.egress)?;
    let memory = Arc::new(Memory::new(config.memory, config.memory_token, http.clone()));
    let (owner, deadline_secs) = (config.owner, config.deadline);
    let binding = config.session.map(|session| Binding { session, owner, deadline: deadline_secs });
    // One conversation needs one thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(RunError::Runtime)?;
    let servers = {
        let _entered = runtime.enter();
        Servers::start(config.servers, &http, Timeouts::default())
    };
    let weather = Weather::new(http, config.weather_url.as_deref(), SystemTime::now);
    let agent = Agent::new(
        model,
        Toolbox::new(vec![
            Box::new(weather),
            Box::new(Time::new(Timestamp::now)),
            Box::new(Calculate),
            Box::new(Notes::new(Arc::clone(&memory))),
            Box::new(FetchUrl::new(web, AllowedAddresses::Only(is_public))),
        ]),
        servers,
        memory,
        binding,
        Lifetime::new(now, deadline).with_orphan_timeout(config.orphan_timeout),
    );
    let served = runtime.block_on(server::run(&config.listen, config.token, agent));
    // The exit does not wait for a name that is still being resolved.
    runtime.shutdown_background();
    served.map_err(|cause| RunError::Serve { listen: config.listen, cause })
}

/// Starts the log on standard error: JSON, or text on a terminal. At the default level it contains no messages.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if io::stderr().is_terminal() { log.init() } else { log.json().with_span_list(false).init() }
}
