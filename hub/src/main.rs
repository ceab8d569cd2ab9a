//! The program `mayfly`: reads the command line, composes the hub from its parts, and turns results into exit codes.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap_complete::Shell;
use mayfly::edge::tls::{HubListener, Tls, TlsError};
use mayfly::exit;
use mayfly::identity::Secret;
use mayfly::limits::{DESCRIPTORS_OF_THE_HUB, DESCRIPTORS_PER_SESSION, LISTEN_BACKLOG};
use mayfly::ops::drain::{Drained, Stop};
use mayfly::ops::journal::{Journal, JournalError};
use mayfly::ops::{JournalKind, LogFormat};
use mayfly::settings::setting::Setting;
use mayfly::settings::sources::Values;
use mayfly::settings::{
    Config, OWN_AGENT, SettingError, SettingErrors, command_line, document, notice, print, row,
};
use mayfly_platform::Platform;
use mayfly_platform::launcher;
use mayfly_platform::process::contain::ContainError;
use mayfly_platform::process::{ProcessError, ProcessPlatform, find_program};
use mayfly_platform::settings::{AgentNetwork, PlatformKind};
use mayfly_platform::static_::StaticPlatform;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A setting is wrong. The command line's parser exits with the same code.
const EXIT_SETTINGS: u8 = 2;
/// The hub ended as it was told to, and cut turns short or left agents.
const EXIT_NOT_CLEAN: u8 = 3;

const LISTEN: &Setting = row("listen");
const TLS_CERT: &Setting = row("tls-cert");
const TLS_KEY: &Setting = row("tls-key");
const AGENT_COMMAND: &Setting = row("agent-command");
const SANDBOX: &Setting = row("sandbox");
#[cfg(not(feature = "docker"))]
const PLATFORM: &Setting = row("platform");
#[cfg(feature = "docker")]
const DOCKER_HOST: &Setting = row("docker-host");
const DATA_DIR: &Setting = row("data-dir");
const OTLP_ENDPOINT: &Setting = row("otlp-endpoint");

/// The parts of a hub that can be made from its settings alone.
struct Parts {
    config: Config,
    tls: Option<Tls>,
    secret: Secret,
}

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == launcher::COMMAND) {
        return launcher::main(arguments);
    }
    let matches = command_line::command().get_matches();
    match matches.subcommand() {
        Some(("serve", matches)) => exit_with(serve(&Values::gather(matches))),
        Some(("config", matches)) if matches.get_flag("markdown") => {
            print!("{}", document::markdown());
            ExitCode::SUCCESS
        }
        Some(("config", matches)) => exit_with(print_config(&Values::gather(matches))),
        Some(("agent", matches)) => {
            agent(matches.get_many("arguments").unwrap_or_default().cloned().collect())
        }
        Some(("completions", matches)) => {
            let shell = matches.get_one::<Shell>("shell").copied().unwrap_or(Shell::Bash);
            command_line::write_completions(shell, &mut io::stdout());
            ExitCode::SUCCESS
        }
        Some(("man", _)) => exit_with(
            command_line::write_man(&mut io::stdout()).map(|()| Drained::Clean).map_err(anyhow::Error::from),
        ),
        _ => ExitCode::from(EXIT_SETTINGS),
    }
}

/// Runs the agent that ships with Mayfly, in place of a hub.
#[cfg(feature = "agent")]
fn agent(arguments: Vec<OsString>) -> ExitCode {
    mayfly_agent::run(arguments)
}

#[cfg(not(feature = "agent"))]
fn agent(_arguments: Vec<OsString>) -> ExitCode {
    eprintln!("mayfly: this program was built without its agent; set --agent-command");
    ExitCode::from(EXIT_SETTINGS)
}

fn print_config(values: &Values) -> anyhow::Result<Drained> {
    Config::resolve(values)?;
    print!("{}", print::print(values));
    Ok(Drained::Clean)
}

/// Turns the result into the exit code, and says on stderr what is wrong.
fn exit_with(result: anyhow::Result<Drained>) -> ExitCode {
    match result {
        Ok(Drained::Clean) => ExitCode::SUCCESS,
        Ok(Drained::Cut { turns, agents, sessions }) => {
            eprintln!(
                "mayfly: stopped with {turns} turns cut short, {agents} agents and {sessions} sessions left"
            );
            ExitCode::from(EXIT_NOT_CLEAN)
        }
        Err(error) => match error.downcast::<SettingErrors>() {
            Ok(errors) => {
                eprintln!("{errors}");
                ExitCode::from(EXIT_SETTINGS)
            }
            Err(error) => {
                eprintln!("mayfly: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

fn serve(values: &Values) -> anyhow::Result<Drained> {
    let parts = prepare(values)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let drained = runtime.block_on(run(values, parts));
    // A thread that hangs in a system call does not hold up the exit.
    runtime.shutdown_background();
    drained
}

/// Makes the parts that need no runtime. All settings that cannot be used are reported together.
fn prepare(values: &Values) -> Result<Parts, SettingErrors> {
    let (config, mut errors) = Config::read(values);
    start_log(config.ops.log);
    let tls = config.edge.tls().map(Tls::load).transpose();
    let tls = tls.map_err(|error| errors.push(values.error(tls_setting(&error, &config), error.to_string())));
    if let Some(error) = missing_agent(values, &config) {
        errors.push(error);
    }
    let secret = match config.secret.clone() {
        Some(secret) => Ok(secret.into()),
        // Nothing is created with settings that cannot be used.
        None if !errors.is_empty() => {
            errors.extend(unusable_data_dir(&config).map(|cause| values.error(DATA_DIR, cause)));
            Err(())
        }
        None => Secret::load_or_create(&config.ops.data_dir)
            .map_err(|error| errors.push(values.error(DATA_DIR, error.to_string()))),
    };
    match (tls, secret) {
        (Ok(tls), Ok(secret)) if errors.is_empty() => Ok(Parts { config, tls, secret }),
        _ => Err(SettingErrors(errors)),
    }
}

/// Returns the reason why the data directory cannot be used, as far as that shows without creating it.
fn unusable_data_dir(config: &Config) -> Option<String> {
    let path = &config.ops.data_dir;
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some(format!("{} is not a directory", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("cannot use {}: {error}", path.display())),
    }
}

fn tls_setting(error: &TlsError, config: &Config) -> &'static Setting {
    let is_about_the_key = config.edge.tls().is_some_and(|files| error.is_about_the_key(&files));
    if is_about_the_key { TLS_KEY } else { TLS_CERT }
}

/// Returns the error that the process platform's program is missing.
fn missing_agent(values: &Values, config: &Config) -> Option<SettingError> {
    let program = config.platform.agent_command.first()?;
    if config.platform.kind != PlatformKind::Process {
        return None;
    }
    if find_program(program).is_none() {
        let place = if program.contains('/') { "there" } else { "on PATH" };
        return Some(values.error(AGENT_COMMAND, format!("there is no program {program} {place}")));
    }
    let is_own = config.platform.agent_command.join(" ") == OWN_AGENT;
    (is_own && cfg!(not(feature = "agent")))
        .then(|| values.error(AGENT_COMMAND, "this program was built without its agent"))
}

async fn run(values: &Values, Parts { config, tls, secret }: Parts) -> anyhow::Result<Drained> {
    if config.edge.is_plain_beyond_this_machine() {
        tracing::warn!(
            "the hub serves plain HTTP to a network, so others can read keys and conversations; \
             set --tls-cert and --tls-key, or name an HTTPS proxy in --trusted-proxies"
        );
    }
    raise_descriptor_limit(config.admission.max_sessions + config.agents.pool_size);
    let listener = listen(config.edge.listen).map_err(|error| not_listening(values, &config, &error))?;
    let journal = match config.ops.journal {
        JournalKind::File => Journal::open(&config.ops.data_dir).await,
        JournalKind::Memory => Journal::in_memory().await,
    };
    let journal = journal.map_err(|error| match error {
        JournalError::Unwritable { .. } => wrong(values, DATA_DIR, &error),
        JournalError::InUse { .. }
        | JournalError::Locked { .. }
        | JournalError::Damaged { .. }
        | JournalError::Newer { .. } => error.into(),
    })?;
    let platform = platform(values, &config, &secret).await?;
    let stop = Stop::default();
    tokio::spawn(stop_on_signals(stop.clone())?);
    let address = listener.local_addr()?;
    let listener = HubListener::new(listener, tls);
    let s = if listener.scheme() == "https" { "s" } else { "" };
    println!("Mayfly is at http{s}://{address}");
    println!("By hand: websocat ws{s}://{address}/ws");
    println!("{}", notice::model(&config));
    let drained = mayfly::run(config, secret, journal, listener, platform, stop).await;
    drained.map_err(|error| wrong(values, OTLP_ENDPOINT, &error))
}

async fn platform(values: &Values, config: &Config, secret: &Secret) -> anyhow::Result<Arc<dyn Platform>> {
    let settings = &config.platform;
    Ok(match settings.kind {
        PlatformKind::Process => process(values, config)?,
        PlatformKind::Docker => docker(values, config, secret).await?,
        PlatformKind::Static => {
            Arc::new(StaticPlatform::new(settings.static_agents.clone(), settings.agent_token.clone()))
        }
    })
}

fn process(values: &Values, config: &Config) -> anyhow::Result<Arc<dyn Platform>> {
    let settings = &config.platform;
    // Agents with the host's network need no other way out.
    let is_closed = settings.containment.network == AgentNetwork::None;
    let platform = ProcessPlatform::new(
        settings.agent_command.clone(),
        // This very program, also after its file was replaced.
        PathBuf::from(format!("/proc/{}/exe", std::process::id())),
        &config.ops.data_dir,
        &settings.containment,
        is_closed.then(|| exit::open(config.egress.clone())).flatten(),
    );
    Ok(Arc::new(platform.map_err(|error| match error {
        ProcessError::Contain(ContainError::Bubblewrap(_)) => wrong(values, SANDBOX, &error),
        ProcessError::Contain(_) | ProcessError::RunDir(_) => wrong(values, DATA_DIR, &error),
        ProcessError::Thread(_) => error.into(),
    })?))
}

#[cfg(feature = "docker")]
async fn docker(values: &Values, config: &Config, secret: &Secret) -> anyhow::Result<Arc<dyn Platform>> {
    use mayfly_platform::docker::{DockerError, DockerPlatform};
    use mayfly_platform::settings::DockerNetwork;

    let settings = config.platform.docker.clone();
    // Agents on a bridge need no other way out.
    let is_closed = settings.network == DockerNetwork::None;
    let egress = is_closed.then(|| exit::open(config.egress.clone())).flatten();
    let platform = DockerPlatform::open(settings, &config.ops.data_dir, secret.cluster(), egress).await;
    Ok(Arc::new(platform.map_err(|error| match error {
        DockerError::Unreachable { .. } => error.into(),
        DockerError::RunDir(_) => wrong(values, DATA_DIR, &error),
        DockerError::NotLocal(_) | DockerError::Desktop | DockerError::Remapped(_) => {
            wrong(values, DOCKER_HOST, &error)
        }
    })?))
}

#[cfg(not(feature = "docker"))]
#[expect(clippy::unused_async, reason = "takes the place of the one above")]
async fn docker(values: &Values, _: &Config, _: &Secret) -> anyhow::Result<Arc<dyn Platform>> {
    let reason = "this program was built without the docker platform; use a released binary or image, or build with \
                  `cargo build -p mayfly --features docker`";
    Err(wrong(values, PLATFORM, &reason))
}

/// Returns the error for an address on which the hub cannot listen. A port in use may be free at the next start.
fn not_listening(values: &Values, config: &Config, error: &io::Error) -> anyhow::Error {
    if matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied) {
        return wrong(values, LISTEN, &format!("the hub cannot listen there: {error}"));
    }
    anyhow::anyhow!("cannot listen on {}: {error}; see --listen", config.edge.listen)
}

/// Returns the error that one setting cannot be used.
fn wrong(values: &Values, setting: &Setting, reason: &dyn std::fmt::Display) -> anyhow::Error {
    SettingErrors(vec![values.error(setting, reason.to_string())]).into()
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Pretty => log.init(),
    }
}

/// Raises the soft limit on open descriptors, 1,024 on many systems, to the hard limit.
fn raise_descriptor_limit(max_sessions: usize) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    // One connection for each session, and as many again for clients that are refused.
    let needed = DESCRIPTORS_OF_THE_HUB + (DESCRIPTORS_PER_SESSION + 1) * max_sessions as u64;
    match raised {
        Ok(limit) if limit < needed => {
            tracing::warn!(limit, needed, "descriptor limit too low for --max-sessions");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "descriptor limit not raised"),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG)
}

/// Begins the shutdown on the first signal, and hurries it on the second.
fn stop_on_signals(stop: Stop) -> io::Result<impl Future<Output = ()>> {
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
