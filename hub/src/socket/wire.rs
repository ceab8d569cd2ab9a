//! A WebSocket connection from the server's side (RFC 6455): its buffers and bounds, messages, the close. Knows no
//! frames of ours.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::refusal::Close;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::limits::{
    CLOSE_TIMEOUT, FAREWELL_INTERVAL, LAST_MESSAGES_AT_ONCE_BYTES, LAST_MESSAGES_MAX_BYTES,
    SOCKET_FRAGMENT_BYTES, SOCKET_READ_BUFFER_BYTES, SOCKET_WRITE_BUFFER_BYTES,
    SOCKET_WRITE_BUFFER_MAX_BYTES, UNREAD_BUFFER_BYTES, UNREAD_READS_AT_ONCE,
};
use crate::socket::meter::Metered;
use crate::socket::transport::Transport;

const TOO_BIG: Close = Close::because(ErrorCode::ProtoTooLarge);

/// What a connection brings.
#[derive(Debug)]
pub enum Incoming {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A Ping, which is answered already, or a Pong.
    Heartbeat,
    /// The other side closes it, with this code if it gives one. Nothing follows.
    Closed(Option<u16>),
    /// It is lost, or is to be closed with this code. Nothing follows.
    Gone(Option<Close>),
}

/// An open connection.
pub struct Wire {
    stream: WebSocketStream<Metered>,
    message_max_bytes: usize,
    /// Whether something is in the buffer that the connection has not taken.
    is_unflushed: bool,
}

impl Wire {
    /// An upgraded connection, of which `read` was read already. A longer message closes it with 1009.
    pub async fn new(stream: impl Into<Transport>, read: Bytes, message_max_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(SOCKET_READ_BUFFER_BYTES)
            .write_buffer_size(SOCKET_WRITE_BUFFER_BYTES)
            .max_write_buffer_size(SOCKET_WRITE_BUFFER_MAX_BYTES.max(2 * message_max_bytes))
            .max_message_size(Some(message_max_bytes))
            .max_frame_size(Some(message_max_bytes));
        let stream = Metered::new(stream.into());
        // Copied: what was read is most often nothing, in a buffer of 8 KiB.
        let stream =
            WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, Some(config)).await;
        Self { stream, message_max_bytes, is_unflushed: false }
    }

    /// Whether it can take a message now; if not, the task is woken when it may.
    pub fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        matches!(Pin::new(&mut self.stream).poll_ready(cx), Poll::Ready(Ok(())))
    }

    /// Writes a message to the buffer. A connection that is broken says so when it is read.
    pub fn send(&mut self, message: Message) {
        self.is_unflushed = true;
        let _ = Pin::new(&mut self.stream).start_send(message);
    }

    /// Sends what is in the buffer, as far as the connection takes it; then the task is woken to call again.
    pub fn flush(&mut self, cx: &mut Context<'_>) {
        if self.is_unflushed {
            self.is_unflushed = Pin::new(&mut self.stream).poll_flush(cx).is_pending();
        }
    }

    /// What came in. Pings are answered on the way.
    pub fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let message = match Pin::new(&mut self.stream).poll_next(cx) {
            Poll::Ready(message) => message,
            Poll::Pending => {
                let unfinished = self.stream.get_ref().read_bytes();
                let is_endless = unfinished > self.message_max_bytes * SOCKET_FRAGMENT_BYTES;
                let gone = Incoming::Gone(Some(TOO_BIG));
                return if is_endless { Poll::Ready(gone) } else { Poll::Pending };
            }
        };
        self.stream.get_mut().reset();
        Poll::Ready(match message {
            Some(Ok(Message::Text(text))) => Incoming::Text(text),
            Some(Ok(Message::Binary(data))) => Incoming::Binary(data),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Incoming::Heartbeat,
            Some(Err(error)) => Incoming::Gone(close_for(&error)),
            Some(Ok(Message::Close(close))) => Incoming::Closed(close.map(|close| close.code.into())),
            None => Incoming::Gone(None),
        })
    }

    /// Sends the last messages and the close, waits for the other side's close, and reads to the connection's end, all
    /// within `CLOSE_TIMEOUT`: one that is closed with something unread is reset, and the close lost with it. One that
    /// floods instead is read slowly. Of one that broke a rule no close is waited for.
    pub async fn say_farewell(mut self, messages: Vec<Message>, close: Option<Close>) {
        let farewell = async {
            for message in messages {
                self.stream.feed(message).await?;
            }
            if let Some(close) = close {
                let frame = CloseFrame { code: close.code().number().into(), reason: close.reason().into() };
                self.stream.send(Message::Close(Some(frame))).await?;
            }
            let is_heard = !close.is_some_and(|close| close.code().is_violation());
            self.stream.get_mut().end_after(if is_heard { LAST_MESSAGES_MAX_BYTES } else { 0 });
            let mut pace = Pace::new(LAST_MESSAGES_AT_ONCE_BYTES);
            while self.stream.next().await.is_some_and(|message| message.is_ok()) {
                pace.keep(self.stream.get_ref().read_bytes()).await;
            }
            let stream = self.stream.get_mut();
            stream.shutdown().await?;
            stream.end_after(usize::MAX);
            let mut unread = vec![0; UNREAD_BUFFER_BYTES];
            // Counted in reads: over TLS a byte may take a record of its own.
            let (mut pace, mut reads) = (Pace::new(UNREAD_READS_AT_ONCE), 0);
            while stream.read(&mut unread).await? > 0 {
                reads += 1;
                pace.keep(reads).await;
            }
            Ok::<(), Error>(())
        };
        // A connection that is broken or stalled has nobody to tell.
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }
}

/// Keeps who reads from reading more than so much at once.
struct Pace {
    at_once: usize,
    paused_at: usize,
}

impl Pace {
    fn new(at_once: usize) -> Self {
        Self { at_once, paused_at: 0 }
    }

    async fn keep(&mut self, read: usize) {
        if read - self.paused_at >= self.at_once {
            self.paused_at = read;
            sleep(FAREWELL_INTERVAL).await;
        }
    }
}

/// How a connection is to be closed that cannot be read any further; nothing when it is gone already.
fn close_for(error: &Error) -> Option<Close> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(TOO_BIG),
        Error::Utf8(_) => Some(Close::INVALID_UTF8),
        Error::Protocol(error) if *error != ProtocolError::ResetWithoutClosingHandshake => {
            Some(Close::PROTOCOL_ERROR)
        }
        Error::Protocol(_)
        | Error::Capacity(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpSocket, TcpStream};
    use tokio::time::Instant;

    use super::*;

    /// An empty Ping (RFC 6455, section 5.5.2), masked with zeros.
    const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];
    /// Asked for from the system, so that what is sent is near to what is read.
    const BUFFER_BYTES: u32 = 16 * 1024;
    const UNREAD_AT_ONCE_BYTES: usize = UNREAD_READS_AT_ONCE * UNREAD_BUFFER_BYTES;
    /// What is read until the time is over, at the beginning and after each interval.
    const UNREAD_MAX_BYTES: usize =
        UNREAD_AT_ONCE_BYTES * (CLOSE_TIMEOUT.as_millis() / FAREWELL_INTERVAL.as_millis() + 1) as usize;

    async fn pair() -> (TcpStream, Wire) {
        let (listening, client) = (TcpSocket::new_v4().unwrap(), TcpSocket::new_v4().unwrap());
        listening.set_recv_buffer_size(BUFFER_BYTES).unwrap();
        client.set_send_buffer_size(BUFFER_BYTES).unwrap();
        listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listening.listen(1).unwrap();
        let client = client.connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (client, Wire::new(stream, Bytes::new(), 1024).await)
    }

    #[tokio::test]
    async fn one_that_broke_a_rule_need_not_say_its_close() {
        let (mut client, wire) = pair().await;
        let began = Instant::now();
        let closed = async {
            let mut frame = Vec::new();
            client.read_to_end(&mut frame).await.unwrap();
            drop(client);
            frame
        };
        let (frame, ()) =
            tokio::join!(closed, wire.say_farewell(Vec::new(), Some(Close::because(ErrorCode::QuotaRate))));
        assert_eq!(frame[2..4], 4005_u16.to_be_bytes());
        assert!(began.elapsed() < CLOSE_TIMEOUT);
    }

    /// How much it takes of one that never stops, until its time is over.
    async fn taken_after(code: ErrorCode) -> usize {
        let (mut client, wire) = pair().await;
        let began = Instant::now();
        let flood = PING.repeat(1000);
        let flooding = async {
            let mut sent = 0;
            while sent < 2 * UNREAD_MAX_BYTES && client.write_all(&flood).await.is_ok() {
                sent += flood.len();
            }
            sent
        };
        let (sent, ()) = tokio::join!(flooding, wire.say_farewell(Vec::new(), Some(Close::because(code))));
        assert!(began.elapsed() >= CLOSE_TIMEOUT);
        // What the system keeps of it: twice what it is asked for, on both sides (socket(7)).
        sent.saturating_sub(4 * BUFFER_BYTES as usize)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_goes_on_when_it_is_closed_is_read_slowly_until_its_time_is_over() {
        let taken = taken_after(ErrorCode::QuotaRate).await;
        assert!(taken < UNREAD_MAX_BYTES, "{taken} of {UNREAD_MAX_BYTES}");
        let looks = LAST_MESSAGES_MAX_BYTES / LAST_MESSAGES_AT_ONCE_BYTES;
        let most = UNREAD_MAX_BYTES - looks * (UNREAD_AT_ONCE_BYTES - LAST_MESSAGES_AT_ONCE_BYTES);
        let taken = taken_after(ErrorCode::SessionEnded).await;
        assert!(taken < most, "{taken} of {most}");
    }
}
