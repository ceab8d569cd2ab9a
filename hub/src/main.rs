//! The command line: arguments, log, listener, exit code.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{ArgMatches, Command};
use mayfly::edge::tls::{Door, Tls};
use mayfly::exit;
use mayfly::identity::Secret;
use mayfly::limits::{DESCRIPTORS_OF_THE_HUB, DESCRIPTORS_PER_SESSION, LISTEN_BACKLOG};
use mayfly::ops::drain::{Drained, Stop};
use mayfly::ops::journal::Journal;
use mayfly::settings::sources::{Values, args};
use mayfly::settings::{Config, JournalKind, LogFormat, PlatformKind, print};
use mayfly_platform::Platform;
use mayfly_platform::launcher;
use mayfly_platform::process::ProcessPlatform;
use mayfly_platform::settings::{AgentEnv, AgentNetwork};
use mayfly_platform::static_::StaticPlatform;
use mayfly_protocol::environment::MODEL_VARIABLES;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Wrong use: what clap exits with, too.
const USAGE: u8 = 2;
/// It ended as it was told to, but turns were cut short or agents left.
const NOT_CLEAN: u8 = 3;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == launcher::COMMAND) {
        return launcher::main(arguments);
    }
    let matches = command_line().get_matches();
    match matches.subcommand() {
        Some(("serve", matches)) => with_config(matches, |_, config| exit_with(run(config))),
        Some(("config", matches)) => with_config(matches, |values, _| {
            println!("{}", print(values).trim_end());
            ExitCode::SUCCESS
        }),
        _ => ExitCode::from(USAGE),
    }
}

fn command_line() -> Command {
    Command::new("mayfly")
        .about("A WebSocket hub for ephemeral AI agents")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("serve").about("Serve chat and API").args(args()))
        .subcommand(
            Command::new("config")
                .about("Print the configuration in force, and where it comes from")
                .args(args()),
        )
}

fn with_config(matches: &ArgMatches, then: impl FnOnce(&Values, Config) -> ExitCode) -> ExitCode {
    let resolved =
        Values::gather(matches).and_then(|values| Config::resolve(&values).map(|config| (values, config)));
    match resolved {
        Ok((values, config)) => then(&values, config),
        Err(error) => {
            eprintln!("mayfly: {error}");
            ExitCode::from(USAGE)
        }
    }
}

fn exit_with(result: anyhow::Result<Drained>) -> ExitCode {
    match result {
        Ok(Drained::Clean) => ExitCode::SUCCESS,
        Ok(Drained::Cut { turns, agents, sessions }) => {
            eprintln!("mayfly: {turns} turns were cut short, {agents} agents and {sessions} sessions left");
            ExitCode::from(NOT_CLEAN)
        }
        Err(error) => {
            eprintln!("mayfly: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> anyhow::Result<Drained> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let drained = runtime.block_on(serve(config));
    // What hangs in a call of the system is not waited for.
    runtime.shutdown_background();
    drained
}

async fn serve(config: Config) -> anyhow::Result<Drained> {
    start_log(config.log);
    if config.is_plain_beyond_this_machine() {
        tracing::warn!(
            "plain HTTP beyond this machine: keys and conversations can be read on the way; \
             see --tls-cert, or name a proxy with TLS in --trusted-proxies"
        );
    }
    let tls = config.tls.clone().map(Tls::load).transpose()?;
    raise_descriptor_limit(config.max_sessions + config.pool_size);
    if config.platform != PlatformKind::Static {
        tell_what_agents_do_not_get(&config.agent_env);
    }
    let listener =
        listen(config.listen).with_context(|| format!("cannot listen on {}; see --listen", config.listen))?;
    let secret = match config.secret.clone() {
        Some(secret) => secret.into(),
        None => Secret::load_or_create(&config.data_dir)?,
    };
    let journal = match config.journal {
        JournalKind::File => Journal::open(&config.data_dir).await?,
        JournalKind::Memory => Journal::in_memory().await?,
    };
    let platform = platform(&config, &secret).await?;
    let stop = Stop::default();
    tokio::spawn(stop_on_signals(stop.clone())?);
    let address = listener.local_addr()?;
    let listener = Door::new(listener, tls);
    let s = if listener.scheme() == "https" { "s" } else { "" };
    println!("Mayfly is at http{s}://{address}");
    println!("By hand: websocat ws{s}://{address}/ws");
    Ok(mayfly::run(config, secret, journal, listener, platform, stop).await?)
}

async fn platform(config: &Config, secret: &Secret) -> anyhow::Result<Arc<dyn Platform>> {
    Ok(match config.platform {
        PlatformKind::Process => {
            // Of this very program, also after its file was replaced.
            let launcher = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
            Arc::new(ProcessPlatform::new(
                config.agent_command.clone(),
                launcher,
                &config.data_dir,
                &config.containment,
                // With the host's network they need no other way out.
                Some(config.containment.network)
                    .filter(|network| *network == AgentNetwork::None)
                    .and_then(|_| exit::open(config.egress.clone())),
            )?)
        }
        PlatformKind::Docker => docker(config, secret).await?,
        PlatformKind::Static => {
            Arc::new(StaticPlatform::new(config.static_agents.clone(), config.agent_token.clone()))
        }
    })
}

#[cfg(feature = "docker")]
async fn docker(config: &Config, secret: &Secret) -> anyhow::Result<Arc<dyn Platform>> {
    use mayfly_platform::docker::DockerPlatform;
    use mayfly_platform::settings::DockerNetwork;

    let egress = Some(config.docker.network)
        .filter(|network| *network == DockerNetwork::None)
        .and_then(|_| exit::open(config.egress.clone()));
    let platform = DockerPlatform::open(config.docker.clone(), &config.data_dir, secret.cluster(), egress);
    Ok(Arc::new(platform.await?))
}

#[cfg(not(feature = "docker"))]
#[expect(clippy::unused_async, reason = "takes the place of the one above")]
async fn docker(_: &Config, _: &Secret) -> anyhow::Result<Arc<dyn Platform>> {
    anyhow::bail!(
        "--platform docker: this mayfly was built without the docker platform; use a released binary or image, or \
         build with `cargo build -p mayfly --features docker`"
    )
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Pretty => log.init(),
    }
}

/// A hub that was started with a model's key does not hand it on by itself.
fn tell_what_agents_do_not_get(given: &AgentEnv) {
    let is_given = |name: &str| given.iter().any(|(given, _)| given == name);
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let kept: Vec<_> = MODEL_VARIABLES.into_iter().filter(|name| is_set(name) && !is_given(name)).collect();
    if !kept.is_empty() {
        let names = kept.join(",");
        tracing::info!(
            names,
            "agents do not get these of the hub's variables; name those that they need in --agent-env"
        );
    }
}

/// A socket and an agent are two descriptors a session: the soft limit of 1,024 that many systems have is soon met.
fn raise_descriptor_limit(max_sessions: usize) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    // A connection for each session, and as many again for those who are refused.
    let needed = DESCRIPTORS_OF_THE_HUB + (DESCRIPTORS_PER_SESSION + 1) * max_sessions as u64;
    match raised {
        Ok(limit) if limit < needed => {
            tracing::warn!(limit, needed, "the system's limit of open descriptors is low for --max-sessions");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open descriptors"),
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// The first signal begins the end, the second hurries it.
fn stop_on_signals(stop: Stop) -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        for step in [stop.begin, stop.hurry] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            step.cancel();
        }
    })
}
