//! Rules that every platform must keep: processes, containers and static agents.
//!
//! A rule is a function over a [`Fixture`]. [`crate::contract!`] makes a test of each rule; [`all`] runs them one after
//! the other, for platforms that take long to start. `e2e/sandbox.rs` tests the isolation of agents.

use std::future::Future;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use mayfly_platform::settings::AgentEnv;
use mayfly_platform::{AgentAddress, AgentHandle, AgentToken, ListedAgent, Platform, SpawnSpec};
use mayfly_protocol::agent::{
    BindRequest, ChatRequest, ChatResponse, Health, PATH_BIND, PATH_CHAT, PATH_HEALTH,
};
use mayfly_protocol::ids::{Incarnation, SessionId, TurnId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::{Instant, interval, timeout};

use crate::address::Address;

/// Longest wait for an agent's health, its answer, or the notice of its end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lifetime of an agent in these rules.
const LIFETIME: Duration = Duration::from_secs(120);

/// The program that a platform starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `mayfly-agent`, the agent that ships.
    Agent,
    /// `probe-agent`, which tries to leave its sandbox.
    Probe,
    /// A program that does not exist.
    Missing,
}

/// A platform under test.
pub trait Fixture: Sized {
    /// Creates a platform without agents that starts this program.
    fn open(program: Program) -> impl Future<Output = Result<Self>>;

    /// Returns `true` if this machine supports the platform.
    fn is_there() -> bool {
        true
    }

    /// Returns the platform.
    fn platform(&self) -> &dyn Platform;
}

/// Makes a test of each rule. `contract!(Fixture)` takes all rules, `contract!(Fixture: rule, …)` only these.
#[macro_export]
macro_rules! contract {
    ($fixture:ty) => {
        $crate::contract!(
            $fixture: an_agent_becomes_ready_and_talks, a_stop_is_told_once_and_a_stale_handle_finds_nothing,
            what_runs_is_listed, a_warm_agent_is_bound_once, a_crash_is_seen, an_agent_may_be_stopped_while_it_starts,
            a_spawn_that_fails_leaves_nothing, an_agent_that_takes_too_much_memory_is_ended
        );
    };
    ($fixture:ty: $($rule:ident),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() -> anyhow::Result<()> {
            if !<$fixture as $crate::contract::Fixture>::is_there() {
                return Ok(());
            }
            $crate::contract::$rule::<$fixture>().await
        })+
    };
}

/// Runs every rule.
///
/// # Errors
/// Returns the first rule that is broken.
pub async fn all<F: Fixture>() -> Result<()> {
    an_agent_becomes_ready_and_talks::<F>().await.context("an agent becomes ready and talks")?;
    a_stop_is_told_once_and_a_stale_handle_finds_nothing::<F>().await.context("a stop is told once")?;
    what_runs_is_listed::<F>().await.context("what runs is listed")?;
    a_warm_agent_is_bound_once::<F>().await.context("a warm agent is bound once")?;
    a_crash_is_seen::<F>().await.context("a crash is seen")?;
    an_agent_may_be_stopped_while_it_starts::<F>()
        .await
        .context("an agent may be stopped while it starts")?;
    a_spawn_that_fails_leaves_nothing::<F>().await.context("a spawn that fails leaves nothing")?;
    an_agent_that_takes_too_much_memory_is_ended::<F>().await.context("too much memory")
}

/// # Errors
/// Returns an error if the rule is broken.
pub async fn an_agent_becomes_ready_and_talks<F: Fixture>() -> Result<()> {
    let fixture = F::open(Program::Agent).await?;
    let platform = fixture.platform();
    let session = SessionId::random();
    let agent = platform.spawn(spec(Some(session))).await?;
    healthy(&agent).await?;
    let answer = talk(&agent, session).await?;
    ensure!(answer.session_id == session && !answer.response.is_empty(), "{answer:?}");
    if let Some(stats) = platform.stats(&agent).await {
        ensure!((64 << 10..512 << 20).contains(&stats.memory_bytes), "{stats:?}");
    }
    ensure!(!agent.gone.is_cancelled() && platform.stop(&agent).await?);
    ensure!(agent.gone.is_cancelled(), "a stop returns when the agent is gone");
    ensure!(platform.stats(&agent).await.is_none(), "what is gone uses nothing");
    nothing_is_left(platform).await
}

/// # Errors
/// Returns an error if the rule is broken.
pub async fn a_stop_is_told_once_and_a_stale_handle_finds_nothing<F: Fixture>() -> Result<()> {
    let fixture = F::open(Program::Agent).await?;
    let platform = fixture.platform();
    let agent = platform.spawn(spec(Some(SessionId::random()))).await?;
    healthy(&agent).await?;
    let stale = AgentHandle { incarnation: Incarnation::random(), ..agent.clone() };
    ensure!(!platform.stop(&stale).await? && !agent.gone.is_cancelled(), "a stale handle stops nothing");
    ensure!(platform.stats(&stale).await.is_none(), "a stale handle measures nothing");
    ensure!(platform.claim(&stale, SessionId::random()).await.is_err(), "a stale handle claims nothing");
    let stops = join_all([platform.stop(&agent), platform.stop(&agent)]).await;
    let told = stops.into_iter().collect::<Result<Vec<_>, _>>()?;
    ensure!(told.iter().filter(|told| **told).count() == 1, "{told:?}");
    ensure!(!platform.stop(&agent).await? && agent.gone.is_cancelled());
    ensure!(platform.claim(&agent, SessionId::random()).await.is_err(), "what is gone cannot be claimed");
    nothing_is_left(platform).await
}

/// # Errors
/// Returns an error if the rule is broken.
pub async fn what_runs_is_listed<F: Fixture>() -> Result<()> {
    let fixture = F::open(Program::Agent).await?;
    let platform = fixture.platform();
    nothing_is_left(platform).await?;
    let before = SystemTime::now() - Duration::from_secs(1);
    let sessions = [Some(SessionId::random()), Some(SessionId::random()), None];
    let mut agents = try_join_all(sessions.map(|session| platform.spawn(spec(session)))).await?;
    agents.sort_by_key(|agent| agent.incarnation);
    let found = list(platform).await?;
    ensure!(
        found.len() == 3 && found.iter().filter(|found| found.session.is_some()).count() == 2,
        "{found:?}"
    );
    for (agent, found) in agents.iter().zip(&found) {
        ensure!(found.incarnation == agent.incarnation && found.address == agent.address, "{found:?}");
        ensure!(found.session.is_none_or(|session| sessions.contains(&Some(session))), "{found:?}");
        ensure!((before..=SystemTime::now()).contains(&found.created), "{found:?}");
    }
    // A handle made from a listed agent works like the original one.
    let (first, token) = (&found[0], agents[0].token.clone());
    ensure!(platform.stop(&first.handle(token)).await? && agents[0].gone.is_cancelled());
    let left: Vec<_> = list(platform).await?.iter().map(|found| found.incarnation).collect();
    ensure!(left == [agents[1].incarnation, agents[2].incarnation], "{left:?}");
    for agent in &agents[1..] {
        ensure!(platform.stop(agent).await?);
    }
    nothing_is_left(platform).await
}

/// # Errors
/// Returns an error if the rule is broken.
pub async fn a_warm_agent_is_bound_once<F: Fixture>() -> Result<()> {
    let fixture = F::open(Program::Agent).await?;
    let platform = fixture.platform();
    let (session, other) = (SessionId::random(), SessionId::random());
    let agent = platform.spawn(spec(None)).await?;
    ensure!(healthy(&agent).await?.session_id.is_none());
    ensure!(list(platform).await?.iter().all(|found| found.session.is_none()));
    platform.claim(&agent, session).await?;
    ensure!(list(platform).await?.iter().all(|found| found.session == Some(session)));
    for (who, expected) in [(session, StatusCode::NO_CONTENT), (other, StatusCode::CONFLICT)] {
        let (status, _) = call(&agent, Method::POST, PATH_BIND, Some(&bind(who))).await?;
        ensure!(status == expected, "{status}");
    }
    ensure!(healthy(&agent).await?.session_id == Some(session));
    ensure!(!talk(&agent, session).await?.response.is_empty());
    ensure!(talk(&agent, other).await.is_err(), "it is one session's");
    ensure!(platform.stop(&agent).await?);
    nothing_is_left(platform).await
}

/// # Errors
/// Returns an error if the rule is broken.
pub async fn a_crash_is_seen<F: Fixture>() -> Result<()> {
    let fixture = F::open(Program::Agent).await?;
    let platform = fixture.platform();
    let agent = platform.spawn(spec(Some(SessionId::random()))).await?;
    healthy(&agent).await?;
    kill(process_of(&agent).await?, Signal::SIGKILL)?;
    timeout(PATIENCE, agent.gone.cancelled()).await.context("the crash is not seen")?;
    ensure!(!platform.stop(&agent).await?, "there was nothing to stop");
    nothing_is_left(platform).await
}

/// # Errors
/// Returns an error if the rule is broken.
pub async fn an_agent_may_be_stopped_while_it_starts<F: Fixture>() -> Result<()> {
    let fixture = F::open(Program::Agent).await?;
    let platform = fixture.platform();
    let stopped = (0..4).map(|_| async {
        let agent = platform.spawn(spec(Some(SessionId::random()))).await?;
        ensure!(platform.stop(&agent).await? && agent.gone.is_cancelled());
        Ok(())
    });
    try_join_all(stopped).await?;
    nothing_is_left(platform).await
}

/// # Errors
/// Returns an error if the rule is broken.
pub async fn a_spawn_that_fails_leaves_nothing<F: Fixture>() -> Result<()> {
    let fixture = F::open(Program::Missing).await?;
    let platform = fixture.platform();
    let error =
        platform.spawn(spec(Some(SessionId::random()))).await.err().context("there is nothing to start")?;
    ensure!(!error.to_string().is_empty());
    nothing_is_left(platform).await
}

/// # Errors
/// Returns an error if the rule is broken.
pub async fn an_agent_that_takes_too_much_memory_is_ended<F: Fixture>() -> Result<()> {
    let fixture = F::open(Program::Probe).await?;
    let platform = fixture.platform();
    let session = SessionId::random();
    let agent = platform.spawn(spec(Some(session))).await?;
    until_healthy(&agent).await?;
    let greedy = chat(session, "memory 1024");
    // An interrupted answer counts as an answer.
    let answer = call(&agent, Method::POST, PATH_CHAT, Some(&greedy)).await.unwrap_or_default();
    ensure!(!String::from_utf8_lossy(&answer.1).contains("yes"), "it took a gigabyte: {answer:?}");
    timeout(PATIENCE, agent.gone.cancelled()).await.context("its end is not seen")?;
    nothing_is_left(platform).await
}

// Helpers of the rules

fn spec(session: Option<SessionId>) -> SpawnSpec {
    SpawnSpec {
        session,
        owner: None,
        incarnation: Incarnation::random(),
        token: AgentToken::new("of-the-contract".to_owned()),
        deadline: SystemTime::now() + LIFETIME,
        env: AgentEnv::default(),
    }
}

async fn nothing_is_left(platform: &dyn Platform) -> Result<()> {
    let found = platform.list().await?;
    ensure!(found.is_empty(), "left: {found:?}");
    Ok(())
}

/// Returns the platform's list, sorted by incarnation.
async fn list(platform: &dyn Platform) -> Result<Vec<ListedAgent>> {
    let mut found = platform.list().await?;
    found.sort_by_key(|found| found.incarnation);
    Ok(found)
}

fn bind(session_id: SessionId) -> BindRequest {
    let deadline = (SystemTime::now() + LIFETIME).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    BindRequest { session_id, deadline: deadline.as_secs(), owner: None, env: Default::default() }
}

fn chat(session_id: SessionId, message: &str) -> ChatRequest {
    let message = message.to_owned();
    ChatRequest { session_id, turn: TurnId(1), message, message_id: None, replaces: None }
}

async fn talk(agent: &AgentHandle, session: SessionId) -> Result<ChatResponse> {
    let (status, body) = call(agent, Method::POST, PATH_CHAT, Some(&chat(session, "Hello"))).await?;
    ensure!(status == StatusCode::OK, "{status}: {body:?}");
    read(&body)
}

/// Waits until the agent is healthy and returns its health.
async fn healthy(agent: &AgentHandle) -> Result<Health> {
    read(&until_healthy(agent).await?)
}

async fn until_healthy(agent: &AgentHandle) -> Result<Bytes> {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = interval(Duration::from_millis(5));
    loop {
        ticks.tick().await;
        let told = call::<()>(agent, Method::GET, PATH_HEALTH, None).await;
        if let Ok((StatusCode::OK, body)) = told {
            return Ok(body);
        }
        ensure!(!agent.gone.is_cancelled() && Instant::now() < deadline, "not healthy: {told:?}");
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).with_context(|| String::from_utf8_lossy(body).into_owned())
}

/// Calls the agent and returns status and body.
async fn call<T: Serialize>(
    agent: &AgentHandle,
    method: Method,
    path: &str,
    body: Option<&T>,
) -> Result<(StatusCode, Bytes)> {
    let exchange = async {
        let stream = address(agent)?.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let _connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "agent")
            .header(AUTHORIZATION, format!("Bearer {}", agent.token.expose()))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(Full::<Bytes>::from(body))?;
        let response = sender.send_request(request).await?;
        Ok((response.status(), response.into_body().collect().await?.to_bytes()))
    };
    timeout(PATIENCE, exchange).await.context("no answer in time")?
}

fn address(agent: &AgentHandle) -> Result<Address> {
    Ok(match &agent.address {
        AgentAddress::Unix(path) | AgentAddress::Contained { socket: path, .. } => {
            Address::Unix(path.clone())
        }
        AgentAddress::Tcp(authority) => authority.parse()?,
    })
}

/// Returns the process that listens on the agent's socket.
async fn process_of(agent: &AgentHandle) -> Result<Pid> {
    let Address::Unix(path) = address(agent)? else { anyhow::bail!("an agent at a Unix socket") };
    let pid = UnixStream::connect(path).await?.peer_cred()?.pid();
    Ok(Pid::from_raw(pid.context("the system tells the pid")?))
}
