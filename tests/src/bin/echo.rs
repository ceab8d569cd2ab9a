//! Echoes WebSocket messages through the hub's own socket layer, for the Autobahn test suite.

use std::future::poll_fn;
use std::task::Poll;

use mayfly::socket::wire::{Incoming, Wire};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// Largest message of the suite.
const MESSAGE_MAX_BYTES: usize = 16 * 1024 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("echo is at {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        // The suite judges a connection that fails.
        tokio::spawn(async move { echo(stream).await });
    }
}

async fn echo(stream: TcpStream) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = accept_async(stream).await?.into_inner();
    let mut wire = Wire::new(stream, bytes::Bytes::new(), MESSAGE_MAX_BYTES).await;
    let mut answer: Option<Message> = None;
    let code = poll_fn(|cx| {
        loop {
            if answer.is_some() && !wire.is_ready(cx) {
                return Poll::Pending;
            }
            if let Some(answer) = answer.take() {
                wire.send(answer);
            }
            wire.flush(cx);
            match wire.poll_incoming(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Incoming::Text(text)) => answer = Some(Message::Text(text)),
                Poll::Ready(Incoming::Binary(data)) => answer = Some(Message::Binary(data)),
                Poll::Ready(Incoming::Heartbeat) => {}
                Poll::Ready(Incoming::Closed(_)) => return Poll::Ready(None),
                Poll::Ready(Incoming::Gone(code)) => return Poll::Ready(code),
            }
        }
    })
    .await;
    wire.say_farewell(Vec::new(), code).await;
    Ok(())
}
