//! One session of a load, over the hub's or the agent's wire.

use anyhow::{Context, bail};
use futures::{SinkExt, StreamExt};
use mayfly_protocol::client::ClientFrame;
use mayfly_tests::address::Address;
use mayfly_tests::load::Load;
use mayfly_tests::socket;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::baseline::direct::Events;
use crate::check::{Checker, Seen, Tally, Wire};

/// The server that a session connects to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A hub or the baseline `naive`: `ws://HOST:PORT/PATH`.
    Socket(String),
    /// An agent or the baseline `relay`, and the agent's token.
    Events(Address, String),
}

/// An open session and its checker.
pub struct Link {
    wire: Connection,
    checker: Checker,
}

enum Connection {
    Socket(Box<WebSocketStream<TcpStream>>),
    Events(Box<Events>),
}

impl Link {
    /// Opens a session and waits until it is active.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached or closes the connection.
    pub async fn open(target: &Target) -> anyhow::Result<Self> {
        let mut link = Self::connect(target).await?;
        if let Connection::Socket(_) = link.wire {
            while link.next().await? != Seen::Active {}
        }
        Ok(link)
    }

    /// Opens a connection without waiting for an active session.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached or refuses.
    pub async fn connect(target: &Target) -> anyhow::Result<Self> {
        Ok(match target {
            Target::Socket(url) => {
                let socket = socket::open(url, &[]).await.with_context(|| format!("cannot open {url}"))?;
                Self { wire: Connection::Socket(Box::new(socket)), checker: Checker::new(Wire::Frames) }
            }
            Target::Events(address, token) => {
                let events = Events::connect(address, token).await?;
                Self { wire: Connection::Events(Box::new(events)), checker: Checker::new(Wire::Chunks) }
            }
        })
    }

    /// Sends one message and reads its whole answer.
    ///
    /// # Errors
    /// Returns an error if the connection breaks before the end of the answer.
    pub async fn turn(&mut self, load: Load, mut on: impl FnMut(Seen)) -> anyhow::Result<()> {
        self.checker.begin(load.tokens);
        match &mut self.wire {
            Connection::Socket(socket) => {
                let message = ClientFrame::Message { id: None, text: load.to_string() };
                socket.send(Message::text(serde_json::to_string(&message)?)).await?;
                loop {
                    let seen = self.next().await?;
                    on(seen);
                    if seen == Seen::Done {
                        return Ok(());
                    }
                }
            }
            Connection::Events(events) => {
                let checker = &mut self.checker;
                events.turn(load, |chunk| on(checker.see(chunk))).await
            }
        }
    }

    /// Ends the session and checks the remaining frames.
    ///
    /// # Errors
    /// Returns an error if the connection breaks.
    pub async fn close(mut self) -> anyhow::Result<Tally> {
        if let Connection::Socket(socket) = &mut self.wire {
            socket.send(Message::text(serde_json::to_string(&ClientFrame::Bye)?)).await?;
            while let Some(message) = socket.next().await {
                if let Message::Text(text) = message? {
                    self.checker.see(&text);
                }
            }
        }
        Ok(self.checker.finish())
    }

    async fn next(&mut self) -> anyhow::Result<Seen> {
        let Connection::Socket(socket) = &mut self.wire else { return Ok(Seen::Other) };
        match socket.next().await {
            Some(Ok(Message::Text(text))) => Ok(self.checker.see(&text)),
            Some(Ok(Message::Close(frame))) => bail!("the server closed the socket: {frame:?}"),
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                Ok(Seen::Other)
            }
            Some(Err(error)) => Err(error.into()),
            None => bail!("the server closed the socket"),
        }
    }
}
