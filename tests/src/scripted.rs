//! An agent that a test plays. It answers `/health` and cancels by itself. The test writes the bytes of each answer.
//!
//! ```text
//!   hub ---- GET /health, POST /turns/{turn}/cancel ----> answered here
//!    \------ POST /chat --------------------------------> ScriptedAgent::turn() -> Turn: the test writes its answer
//! ```
//!
//! The bytes need not be HTTP. A cancel has no effect.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use mayfly_protocol::agent::{ChatRequest, PATH_CHAT, PATH_HEALTH};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::FRAME_TIMEOUT;

/// Response of a healthy agent to `/health`.
pub const HEALTHY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
/// Turns that wait for the test; more callers wait in line.
const TURNS_AHEAD: usize = 8;
/// Longest request that is read.
const REQUEST_MAX_BYTES: usize = 128 * 1024;

/// The agent, which stops when this value is dropped.
#[derive(Debug)]
pub struct ScriptedAgent {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    turns: Receiver<Turn>,
    calls: Calls,
    /// Aborted when the value is dropped.
    _tasks: JoinSet<io::Result<()>>,
}

/// A turn that waits for its answer. Dropping it closes the connection.
#[derive(Debug)]
pub struct Turn {
    /// The body of the request.
    pub request: ChatRequest,
    /// Request line and headers.
    pub head: String,
    stream: TcpStream,
}

/// Methods and paths of all calls, in order.
type Calls = Arc<Mutex<Vec<String>>>;

impl ScriptedAgent {
    /// Listens on a free port and answers `/health` with these bytes. If they are empty, it never answers.
    ///
    /// # Errors
    /// Returns an error if it cannot listen.
    pub async fn start(health: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (sender, turns) = channel(TURNS_AHEAD);
        let calls = Calls::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, health, Arc::clone(&calls), sender));
        Ok(Self { url, turns, calls, _tasks: tasks })
    }

    /// Returns the next turn that the hub asks for.
    ///
    /// # Errors
    /// Returns an error if no turn arrives in time.
    pub async fn turn(&mut self) -> anyhow::Result<Turn> {
        let turn = timeout(FRAME_TIMEOUT, self.turns.recv()).await.context("no turn in time")?;
        turn.context("the agent has ended")
    }

    /// Returns methods and paths of all calls so far, in order.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Turn {
    /// Writes bytes of the answer.
    ///
    /// # Errors
    /// Returns an error if the hub has closed the connection.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Writes the same bytes repeatedly, `most` in all, and returns the number written before the hub closed the
    /// connection.
    pub async fn flood(&mut self, bytes: &[u8], most: usize) -> usize {
        let mut written = 0;
        while written < most && self.write(bytes).await.is_ok() {
            written += bytes.len();
        }
        written
    }

    /// Waits until the hub has closed the connection.
    ///
    /// # Errors
    /// Returns an error if the hub does not close it in time.
    pub async fn until_left(mut self) -> anyhow::Result<()> {
        let mut rest = Vec::new();
        // A FIN and a reset are equivalent here.
        let _ = timeout(FRAME_TIMEOUT, self.stream.read_to_end(&mut rest))
            .await
            .context("the hub still waits for the answer")?;
        Ok(())
    }
}

async fn accept(
    listener: TcpListener,
    health: &'static str,
    calls: Calls,
    turns: Sender<Turn>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (calls, turns) = (Arc::clone(&calls), turns.clone());
        connections.spawn(async move { handle(stream, health, &calls, &turns).await });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one call, and passes a turn on to the test.
async fn handle(
    mut stream: TcpStream,
    health: &str,
    calls: &Calls,
    turns: &Sender<Turn>,
) -> anyhow::Result<()> {
    let (head, body) = read_request(&mut stream).await?;
    let call = head.split(' ').take(2).collect::<Vec<_>>().join(" ");
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
    match call.split_once(' ') {
        Some(("POST", PATH_CHAT)) => {
            let request = serde_json::from_slice(&body)?;
            turns.send(Turn { request, head, stream }).await?;
        }
        Some(("GET", PATH_HEALTH)) if health.is_empty() => pending().await,
        Some(("GET", PATH_HEALTH)) => stream.write_all(health.as_bytes()).await?,
        _ => stream.write_all(ACCEPTED.as_bytes()).await?,
    }
    Ok(())
}

/// Returns head and body of a request.
async fn read_request(stream: &mut TcpStream) -> anyhow::Result<(String, Vec<u8>)> {
    let mut request = Vec::new();
    loop {
        if let Some(at) = memmem::find(&request, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..at]);
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let body = &request[at + 4..];
            if body.len() >= length.map_or(Ok(0), str::parse)? {
                return Ok((head.into_owned(), body.to_vec()));
            }
        }
        ensure!(request.len() < REQUEST_MAX_BYTES, "the request is too long");
        ensure!(stream.read_buf(&mut request).await? > 0, "the request broke off");
    }
}
