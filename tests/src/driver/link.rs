//! One session of a load, over either wire.

use anyhow::{Context, bail};
use futures::{SinkExt, StreamExt};
use mayfly_protocol::client::ClientFrame;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::address::Address;
use crate::baseline::direct::Events;
use crate::check::{Checker, Seen, Tally, Wire};
use crate::load::Load;
use crate::socket;

/// What a session is opened on.
#[derive(Debug, Clone)]
pub enum Target {
    /// A hub, or what speaks like one: `ws://HOST:PORT/PATH`.
    Socket(String),
    /// An agent, or what relays to one, and the agent's token.
    Events(Address, String),
}

/// An open session and the check on it.
pub struct Link {
    wire: Connection,
    checker: Checker,
}

enum Connection {
    Socket(Box<WebSocketStream<TcpStream>>),
    Events(Box<Events>),
}

impl Link {
    /// Opens a session and waits until it can talk.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn open(target: &Target) -> anyhow::Result<Self> {
        let mut link = Self::connect(target).await?;
        if let Connection::Socket(_) = link.wire {
            while link.next().await? != Seen::Active {}
        }
        Ok(link)
    }

    /// Opens a connection; a session on it may still be on its way.
    ///
    /// # Errors
    /// When there is nobody, or it refuses.
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
    /// When the connection breaks off before its end.
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

    /// Ends the session; what still comes is checked too.
    ///
    /// # Errors
    /// When the connection breaks.
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
