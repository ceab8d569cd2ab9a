//! Baseline `naive`: a hub of common libraries. It has a WebSocket with the library's buffers, calls the agent with
//! reqwest and eventsource-stream, parses every event into a `Value` and serializes it again, and has a channel between
//! the task that reads and the task that writes. It implements the part of the hub's wire that a turn needs. It does
//! what costs nothing: it sets TCP_NODELAY and keeps connections to the agent.

use std::io;

use anyhow::Context;
use eventsource_stream::Eventsource;
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use mayfly_protocol::agent::PATH_CHAT;
use mayfly_protocol::chunk::DONE;
use mayfly_protocol::ids::SessionId;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

/// Frames between the task that reads and the task that writes.
const CHANNEL_FRAMES: usize = 100;

/// Serves until the future is dropped. `agent` is `http://HOST:PORT`.
///
/// # Errors
/// Returns an error if the listener fails.
pub async fn serve(listener: TcpListener, agent: String, token: String) -> io::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let session = Session {
            client: client.clone(),
            url: format!("{agent}{PATH_CHAT}"),
            token: token.clone(),
            id: SessionId::random().to_string(),
            seq: 0,
            turns: 0,
        };
        tokio::spawn(async move {
            if let Err(error) = session.serve(stream).await {
                eprintln!("naive: {error:#}");
            }
        });
    }
}

struct Session {
    client: reqwest::Client,
    url: String,
    token: String,
    id: String,
    seq: u64,
    turns: u64,
}

impl Session {
    async fn serve(mut self, stream: TcpStream) -> anyhow::Result<()> {
        let (sink, mut inbound) = accept_async(stream).await?.split();
        let (frames, outbound) = mpsc::channel(CHANNEL_FRAMES);
        let writer = tokio::spawn(write(sink, outbound));
        let ready =
            json!({"type": "session.ready", "v": 1, "session": self.id, "status": "active", "head": 0});
        frames.send(ready.to_string()).await?;
        while let Some(message) = inbound.next().await {
            let Message::Text(text) = message? else { break };
            let frame: Value = serde_json::from_str(&text)?;
            match frame["type"].as_str() {
                Some("message") => self.turn(frame["text"].as_str().unwrap_or_default(), &frames).await?,
                _ => break,
            }
        }
        drop(frames);
        let mut sink = writer.await??;
        sink.close().await?;
        while inbound.next().await.is_some_and(|message| message.is_ok()) {}
        Ok(())
    }

    async fn turn(&mut self, message: &str, frames: &mpsc::Sender<String>) -> anyhow::Result<()> {
        self.turns += 1;
        let turn = format!("t{}", self.turns);
        let accepted = json!({"type": "turn.accepted", "turn": turn, "position": 0, "text": message});
        self.send(accepted, &turn, frames).await?;
        let body = json!({"sessionId": self.id, "turn": turn, "message": message});
        let request =
            self.client.post(&self.url).bearer_auth(&self.token).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await?.error_for_status()?;
        let mut events = response.bytes_stream().eventsource();
        let mut reason = "error";
        while let Some(event) = events.next().await {
            let event = event?;
            if event.data == DONE {
                break;
            }
            let chunk: Value = serde_json::from_str(&event.data)?;
            match chunk["type"].as_str() {
                Some("finish") => reason = "complete",
                _ => self.send(chunk, &turn, frames).await?,
            }
        }
        // The rest of the body, so that the connection can be used again.
        while events.next().await.is_some() {}
        self.send(json!({"type": "turn.done", "reason": reason}), &turn, frames).await
    }

    async fn send(
        &mut self,
        mut frame: Value,
        turn: &str,
        frames: &mpsc::Sender<String>,
    ) -> anyhow::Result<()> {
        self.seq += 1;
        let fields = frame.as_object_mut().context("a chunk is an object")?;
        fields.insert("seq".to_owned(), self.seq.into());
        fields.insert("turn".to_owned(), turn.into());
        Ok(frames.send(frame.to_string()).await?)
    }
}

type Sink = SplitSink<WebSocketStream<TcpStream>, Message>;

async fn write(mut sink: Sink, mut frames: mpsc::Receiver<String>) -> anyhow::Result<Sink> {
    while let Some(frame) = frames.recv().await {
        sink.send(Message::text(frame)).await?;
    }
    Ok(sink)
}
