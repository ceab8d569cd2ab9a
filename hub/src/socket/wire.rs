//! The server's side of a WebSocket connection (RFC 6455): its buffers, limits, messages and close. The module does not
//! know Mayfly's frames.

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

/// An input from a connection.
#[derive(Debug)]
pub enum Incoming {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A Ping, already answered, or a Pong.
    Heartbeat,
    /// The client's close, with its code if there is one. Nothing follows.
    Closed(Option<u16>),
    /// The end of the connection. The hub closes it with this code, or the connection is lost. Nothing follows.
    Gone(Option<Close>),
}

/// An open connection.
pub struct Wire {
    stream: WebSocketStream<Metered>,
    message_max_bytes: usize,
    /// True while the buffer holds bytes that the connection has not taken.
    is_unflushed: bool,
}

impl Wire {
    /// Creates a connection from an upgraded one. `read` holds the bytes that were read with the request. A message
    /// longer than `message_max_bytes` closes the connection with 1009.
    pub async fn new(stream: impl Into<Transport>, read: Bytes, message_max_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(SOCKET_READ_BUFFER_BYTES)
            .write_buffer_size(SOCKET_WRITE_BUFFER_BYTES)
            .max_write_buffer_size(SOCKET_WRITE_BUFFER_MAX_BYTES.max(2 * message_max_bytes))
            .max_message_size(Some(message_max_bytes))
            .max_frame_size(Some(message_max_bytes));
        let stream = Metered::new(stream.into());
        // The bytes are copied: usually there are none, and the copy frees the request's buffer of 8 KiB.
        let stream =
            WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, Some(config)).await;
        Self { stream, message_max_bytes, is_unflushed: false }
    }

    /// Returns `true` if the connection can take a message now. If not, the task is woken once it can.
    pub fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        matches!(Pin::new(&mut self.stream).poll_ready(cx), Poll::Ready(Ok(())))
    }

    /// Writes a message to the buffer. [`Wire::poll_incoming`] reports a broken connection.
    pub fn send(&mut self, message: Message) {
        self.is_unflushed = true;
        let _ = Pin::new(&mut self.stream).start_send(message);
    }

    /// Sends the buffer. If the connection does not take all of it, the task is woken to call this method again.
    pub fn flush(&mut self, cx: &mut Context<'_>) {
        if self.is_unflushed {
            self.is_unflushed = Pin::new(&mut self.stream).poll_flush(cx).is_pending();
        }
    }

    /// Returns the next input. Also answers Pings.
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

    /// Sends the last messages and the close, waits for the client's close, and reads to the connection's end, all
    /// within `CLOSE_TIMEOUT`. Reading to the end is necessary: the kernel resets a TCP connection that is closed with
    /// unread bytes, and the client then loses the close. The reads from a flooding client are throttled. After a close
    /// for a violation, the hub does not wait for the client's close.
    pub async fn say_farewell(mut self, messages: Vec<Message>, close: Option<Close>) {
        let closing = async {
            for message in messages {
                self.stream.feed(message).await?;
            }
            if let Some(close) = close {
                let frame = CloseFrame { code: close.code().number().into(), reason: close.reason().into() };
                self.stream.send(Message::Close(Some(frame))).await?;
            }
            let is_awaited = !close.is_some_and(|close| close.code().is_violation());
            self.stream.get_mut().end_after(if is_awaited { LAST_MESSAGES_MAX_BYTES } else { 0 });
            let mut throttle = Throttle::new(LAST_MESSAGES_AT_ONCE_BYTES);
            while self.stream.next().await.is_some_and(|message| message.is_ok()) {
                throttle.pause(self.stream.get_ref().read_bytes()).await;
            }
            let stream = self.stream.get_mut();
            stream.shutdown().await?;
            stream.end_after(usize::MAX);
            let mut unread = vec![0; UNREAD_BUFFER_BYTES];
            // The limit counts reads, not bytes: over TLS each byte may have its own record.
            let (mut throttle, mut reads) = (Throttle::new(UNREAD_READS_AT_ONCE), 0);
            while stream.read(&mut unread).await? > 0 {
                reads += 1;
                throttle.pause(reads).await;
            }
            Ok::<(), Error>(())
        };
        // A broken or stalled connection needs no further step.
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }
}

/// A throttle of reads: pauses for `FAREWELL_INTERVAL` after each `at_once` bytes or reads.
struct Throttle {
    at_once: usize,
    paused_at: usize,
}

impl Throttle {
    fn new(at_once: usize) -> Self {
        Self { at_once, paused_at: 0 }
    }

    /// Pauses if `read`, the total so far, is at least `at_once` more than at the last pause.
    async fn pause(&mut self, read: usize) {
        if read - self.paused_at >= self.at_once {
            self.paused_at = read;
            sleep(FAREWELL_INTERVAL).await;
        }
    }
}

/// Returns the close for a connection that failed with `error`, or `None` if the connection is already gone.
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
    /// Size requested for the kernel's buffers. They are small, so that the sent bytes are close to the read bytes.
    const BUFFER_BYTES: u32 = 16 * 1024;
    const UNREAD_AT_ONCE_BYTES: usize = UNREAD_READS_AT_ONCE * UNREAD_BUFFER_BYTES;
    /// Highest number of bytes read within `CLOSE_TIMEOUT`: at the beginning and after each interval.
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
    async fn close_after_a_violation_does_not_wait_for_the_client() {
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

    /// Returns the number of bytes read from a client that floods until `CLOSE_TIMEOUT`.
    async fn bytes_read_after(code: ErrorCode) -> usize {
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
        // The kernel buffers twice the requested size on each side (socket(7)).
        sent.saturating_sub(4 * BUFFER_BYTES as usize)
    }

    #[tokio::test(start_paused = true)]
    async fn reads_from_a_flooding_client_are_throttled_after_close() {
        let taken = bytes_read_after(ErrorCode::QuotaRate).await;
        assert!(taken < UNREAD_MAX_BYTES, "{taken} of {UNREAD_MAX_BYTES}");
        let pauses = LAST_MESSAGES_MAX_BYTES / LAST_MESSAGES_AT_ONCE_BYTES;
        let most = UNREAD_MAX_BYTES - pauses * (UNREAD_AT_ONCE_BYTES - LAST_MESSAGES_AT_ONCE_BYTES);
        let taken = bytes_read_after(ErrorCode::SessionEnded).await;
        assert!(taken < most, "{taken} of {most}");
    }
}
