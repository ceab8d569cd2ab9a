//! A client leaves in every way at every point of its session. The test checks that the agent is stopped once and that
//! nothing is left.
//!
//! The hub is the library with real sockets. The platform counts the stops, and its agents run in this process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use futures::future::join_all;
use futures::{SinkExt, StreamExt, stream};
use mayfly::identity::Secret;
use mayfly::ops::drain::{Drained, Stop};
use mayfly::ops::journal::Journal;
use mayfly::ops::trace::TracesError;
use mayfly::settings::Config;
use mayfly::settings::command_line::args;
use mayfly::settings::sources::Values;
use mayfly_platform::{
    AgentAddress, AgentHandle, AgentStats, Lifetime, ListedAgent, Platform, PlatformError, SpawnError,
    SpawnSpec,
};
use mayfly_protocol::ids::{Incarnation, SessionId};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

/// Number of clients for each point; `RACE_SEEDS` overrides it.
const SEEDS: usize = 1_000;
const CLIENTS_AT_ONCE: usize = 40;
const MAX_SESSIONS: usize = 64;
/// Limit for each wait. All steps are short, so a longer wait is a failure.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The point at which a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    InRequest,
    BeforeUpgrade,
    Upgraded,
    Ready,
    Starting,
    Probing,
    Active,
    MessageSent,
    MessageAccepted,
    FirstToken,
    NextMessageQueued,
    StopSent,
    TurnDone,
    ByeSent,
    Closed,
}

const POINTS: [Point; 15] = [
    Point::InRequest,
    Point::BeforeUpgrade,
    Point::Upgraded,
    Point::Ready,
    Point::Starting,
    Point::Probing,
    Point::Active,
    Point::MessageSent,
    Point::MessageAccepted,
    Point::FirstToken,
    Point::NextMessageQueued,
    Point::StopSent,
    Point::TurnDone,
    Point::ByeSent,
    Point::Closed,
];

/// A platform that counts the stops of each agent. One server plays all agents. Some starts are slow or fail, and some
/// agents die early.
#[derive(Default)]
struct CountingPlatform {
    agent: String,
    started: AtomicUsize,
    /// The number of stops of each agent, and the token that is cancelled when the agent is gone.
    agents: Mutex<HashMap<Incarnation, (usize, CancellationToken)>>,
}

#[async_trait]
impl Platform for CountingPlatform {
    fn lifetime(&self) -> Lifetime {
        Lifetime::Hub
    }

    async fn spawn(&self, spec: SpawnSpec) -> Result<AgentHandle, SpawnError> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        wait(number % 7).await;
        if number % 13 == 12 {
            return Err(SpawnError::NoAddress);
        }
        let gone = CancellationToken::new();
        self.agents.lock().unwrap().insert(spec.incarnation, (0, gone.clone()));
        if number % 17 == 16 {
            let gone = gone.clone();
            tokio::spawn(async move {
                wait(number % 29).await;
                gone.cancel();
            });
        }
        let address = AgentAddress::Tcp(self.agent.clone());
        Ok(AgentHandle { incarnation: spec.incarnation, address, token: spec.token, gone })
    }

    async fn claim(&self, _: &AgentHandle, _: SessionId) -> Result<(), PlatformError> {
        Ok(())
    }

    async fn stop(&self, agent: &AgentHandle) -> Result<bool, PlatformError> {
        let was_there = !agent.gone.is_cancelled();
        if let Some((stops, _)) = self.agents.lock().unwrap().get_mut(&agent.incarnation) {
            *stops += 1;
        }
        yield_now().await;
        agent.gone.cancel();
        Ok(was_there)
    }

    async fn list(&self) -> Result<Vec<ListedAgent>, PlatformError> {
        let agents = self.agents.lock().unwrap();
        let live = agents.iter().filter(|(_, (_, gone))| !gone.is_cancelled());
        let listed = |(incarnation, (_, gone)): (&Incarnation, &(usize, CancellationToken))| ListedAgent {
            incarnation: *incarnation,
            address: AgentAddress::Tcp(self.agent.clone()),
            gone: gone.clone(),
            session: None,
            created: SystemTime::now(),
            version: None,
        };
        Ok(live.map(listed).collect())
    }

    async fn stats(&self, _: &AgentHandle) -> Option<AgentStats> {
        None
    }
}

/// Lets other tasks run this many times.
async fn wait(turns: usize) {
    for _ in 0..turns {
        yield_now().await;
    }
}

async fn serve_agent() -> String {
    let events = || {
        let deltas = (0..20).map(|_| "data: {\"type\":\"text-delta\",\"id\":\"x\",\"delta\":\"hi \"}\n\n");
        let events = deltas.chain(["data: {\"type\":\"finish\"}\n\n"]);
        stream::iter(events).then(|event| async move {
            wait(3).await;
            Ok::<_, std::io::Error>(Bytes::from_static(event.as_bytes()))
        })
    };
    let chat = move || async move { ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events())) };
    let router = Router::new()
        .route("/health", get(|| async { "{}" }))
        .route("/chat", post(chat))
        .route("/turns/{turn}/cancel", post(|| async { StatusCode::ACCEPTED }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

struct Hub {
    address: String,
    platform: Arc<CountingPlatform>,
    stop: Stop,
    running: JoinHandle<Result<Drained, TracesError>>,
    _data: tempfile::TempDir,
}

impl Hub {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let flags =
            ["mayfly", "--max-sessions", &MAX_SESSIONS.to_string(), "--grace", "0s"].map(str::to_owned);
        let matches = clap::Command::new("mayfly").args(args()).get_matches_from(flags);
        let config = Config::resolve(&Values::gather(&matches)).unwrap();
        let secret = Secret::load_or_create(data.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let platform =
            Arc::new(CountingPlatform { agent: serve_agent().await, ..CountingPlatform::default() });
        let stop = Stop::default();
        let journal = Journal::open(data.path()).await.unwrap();
        let hub = mayfly::run(config, secret, journal, listener, Arc::clone(&platform) as _, stop.clone());
        Self { address, platform, stop, running: tokio::spawn(hub), _data: data }
    }
}

struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Opens a session and goes on until `point`, or until the session ends.
    async fn run_until(address: &str, point: Point) -> Option<Self> {
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = if point == Point::InRequest { request.len() / 2 } else { request.len() };
        stream.write_all(&request.as_bytes()[..length]).await.unwrap();
        if point >= Point::Upgraded {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.ok()?);
            }
            assert!(head.starts_with(b"HTTP/1.1 101 "));
        }
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        let mut client = Self { socket };
        // A step fails if the session has ended, or if the hub has refused the session because all places are taken.
        let _ = client.steps(point).await;
        Some(client)
    }

    async fn steps(&mut self, point: Point) -> Option<()> {
        let steps: [(Point, &str, &str); 12] = [
            (Point::Ready, "", "session.ready"),
            (Point::Starting, "", "starting"),
            (Point::Probing, "", "probing"),
            (Point::Active, "", "active"),
            (Point::MessageSent, "one", ""),
            (Point::MessageAccepted, "", "turn.accepted"),
            (Point::FirstToken, "", "text-delta"),
            (Point::NextMessageQueued, "two", "turn.accepted"),
            (Point::StopSent, "/stop", ""),
            (Point::TurnDone, "", "turn.done"),
            (Point::ByeSent, "/bye", ""),
            (Point::Closed, "", "closed"),
        ];
        for (_, message, expected) in steps.into_iter().filter(|(step, ..)| *step <= point) {
            if !message.is_empty() {
                self.socket.send(Message::text(message)).await.ok()?;
            }
            if !expected.is_empty() {
                self.read_until(expected).await?;
            }
        }
        Some(())
    }

    /// Reads until a frame has this type, status or step.
    async fn read_until(&mut self, expected: &str) -> Option<()> {
        loop {
            let message = timeout(WAIT_TIMEOUT, self.socket.next()).await.expect("a frame in time")?.ok()?;
            if let Message::Text(text) = message {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if ["type", "status", "step"].iter().any(|key| frame[key] == expected) {
                    return Some(());
                }
            }
        }
    }

    async fn leave(mut self, point: Point, seed: usize) {
        wait(seed % 5).await;
        match seed % 4 {
            // A closed tab: the closing handshake.
            0 if point >= Point::Upgraded => {
                let _ = self.socket.close(None).await;
                while let Some(Ok(_)) = self.socket.next().await {}
            }
            // A killed process.
            0 | 1 => drop(self),
            // A network that fails and recovers: a reset.
            2 => self.socket.get_mut().set_zero_linger().unwrap(),
            // A half-closed connection: the client still reads.
            _ => {
                let _ = self.socket.get_mut().shutdown().await;
                let mut rest = Vec::new();
                let _ = self.socket.get_mut().read_to_end(&mut rest).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_is_stopped_once_wherever_the_client_leaves() {
    let seeds = std::env::var("RACE_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let hub = Hub::start().await;
    let next = AtomicUsize::new(0);
    let clients = (0..CLIENTS_AT_ONCE).map(|_| async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds * POINTS.len() {
                return;
            }
            let point = POINTS[number % POINTS.len()];
            if let Some(client) = Client::run_until(&hub.address, point).await {
                timeout(WAIT_TIMEOUT, client.leave(point, number / POINTS.len()))
                    .await
                    .expect("the hub closes the connection");
            }
        }
    });
    join_all(clients).await;
    timeout(WAIT_TIMEOUT, async {
        while !hub.platform.list().await.unwrap().is_empty() {
            yield_now().await;
        }
    })
    .await
    .expect("every agent is gone");

    // Every place is free again.
    let clients = (0..MAX_SESSIONS).map(|_| async {
        let mut client = Client::run_until(&hub.address, Point::Upgraded).await.unwrap();
        assert_eq!(client.read_until("session.ready").await, Some(()));
        client
    });
    let clients = join_all(clients).await;
    hub.stop.begin.cancel();
    drop(clients);
    timeout(WAIT_TIMEOUT, hub.running).await.expect("the hub ends").unwrap().unwrap();

    let agents = hub.platform.agents.lock().unwrap();
    assert!(agents.len() > seeds * POINTS.len() / 2, "{} agents", agents.len());
    let teardowns = agents.values().filter(|(stops, gone)| *stops > 1 || !gone.is_cancelled());
    assert_eq!(teardowns.count(), 0);
    let stopped = agents.values().filter(|(stops, _)| *stops == 1).count();
    assert!(stopped > agents.len() * 9 / 10, "{stopped} of {}", agents.len());
}
