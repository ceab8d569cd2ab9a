//! A model provider that a test plays. It answers each request with the next of its replies and keeps the requests.
//!
//! Replies are HTTP as written here. The streams are those of `agent/tests/streams`.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use memchr::memmem;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::FRAME_TIMEOUT;

const REQUEST_MAX_BYTES: usize = 1024 * 1024;

/// The provider, which stops when this value is dropped.
#[derive(Debug)]
pub struct Provider {
    /// `127.0.0.1:PORT`.
    pub authority: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    left: UnboundedReceiver<()>,
    _tasks: JoinSet<io::Result<()>>,
}

/// A received request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Request line and headers.
    pub head: String,
    /// The body.
    pub body: Value,
}

/// The answer to one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A whole event stream.
    Stream(&'static str),
    /// The beginning of an event stream that never continues.
    Begun(&'static str),
    /// A status line with optional further headers, and a body.
    Status(&'static str, &'static str),
}

impl Provider {
    /// Listens on a free port.
    ///
    /// # Errors
    /// Returns an error if it cannot listen.
    pub async fn start(replies: Vec<Reply>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let authority = listener.local_addr()?.to_string();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (gone, left) = unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, replies.into(), Arc::clone(&asked), gone));
        Ok(Self { authority, asked, left, _tasks: tasks })
    }

    /// Returns all requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the client has closed the connection of an answer that never continues.
    ///
    /// # Errors
    /// Returns an error if the client does not close the connection in time.
    pub async fn until_left(&mut self) -> anyhow::Result<()> {
        timeout(FRAME_TIMEOUT, self.left.recv()).await.context("the connection is still there")?;
        Ok(())
    }
}

async fn accept(
    listener: TcpListener,
    mut replies: VecDeque<Reply>,
    asked: Arc<Mutex<Vec<Asked>>>,
    left: UnboundedSender<()>,
) -> io::Result<()> {
    let mut open = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        let Ok(request) = read(&mut stream).await else { continue };
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let (text, is_begun) = match replies.pop_front() {
            Some(Reply::Stream(events)) => (stream_of(events), false),
            Some(Reply::Begun(events)) => (stream_of(events), true),
            Some(Reply::Status(head, body)) => (
                format!(
                    "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                ),
                false,
            ),
            None => (
                "HTTP/1.1 500 No more replies\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
                false,
            ),
        };
        // Whoever left already needs no answer.
        let _ = stream.write_all(text.as_bytes()).await;
        if is_begun {
            let left = left.clone();
            open.spawn(async move {
                let _ = stream.read(&mut [0; 1]).await;
                let _ = left.send(());
            });
        }
    }
}

/// The end of the connection ends the body.
fn stream_of(events: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n{events}"
    )
}

async fn read(stream: &mut TcpStream) -> anyhow::Result<Asked> {
    let mut request = Vec::new();
    loop {
        if let Some(at) = memmem::find(&request, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..at]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().to_owned())
            });
            let body = &request[at + 4..];
            if body.len() >= length.as_deref().map_or(Ok(0), str::parse)? {
                return Ok(Asked { head, body: serde_json::from_slice(body)? });
            }
        }
        ensure!(request.len() < REQUEST_MAX_BYTES, "the request is too long");
        ensure!(stream.read_buf(&mut request).await? > 0, "the request broke off");
    }
}
