//! The client side of a WebSocket.

use std::io;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Read buffer of a client. A thousand clients share a process, where tungstenite's 128 KiB each are too much.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Opens `ws://HOST:PORT/PATH` with additional headers, without Nagle's delay.
///
/// # Errors
/// Returns an error if the server cannot be reached, or refuses the upgrade.
pub async fn open(url: &str, headers: &[(&'static str, &str)]) -> Result<WebSocketStream<TcpStream>, Error> {
    let request = url.into_client_request()?;
    let Some(authority) = request.uri().authority() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no host in {url}")).into());
    };
    upgrade(TcpStream::connect(authority.as_str()).await?, url, headers).await
}

/// As [`open`], on an open connection.
///
/// # Errors
/// Returns an error if the server refuses the upgrade.
pub async fn upgrade(
    stream: TcpStream,
    url: &str,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = url.into_client_request()?;
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|error| Error::HttpFormat(error.into()))?;
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    Ok(client_async_with_config(request, stream, Some(config)).await?.0)
}

/// Bit of the last frame of a message, in the first byte of a frame (RFC 6455, section 5.2).
pub const FINAL: u8 = 0x80;
/// Opcode of a continuation.
pub const CONTINUATION: u8 = 0x0;
/// Opcode of a text message or its first part.
pub const TEXT: u8 = 0x1;
/// Opcode of a binary message.
pub const BINARY: u8 = 0x2;
/// Opcode of a Ping.
pub const PING: u8 = 0x9;

/// Returns a client's frame as bytes, with the mask 0, which leaves the payload unchanged.
///
/// # Panics
/// If the payload is longer than 125 bytes.
pub fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    assert!(length < 126, "a length of one byte");
    [&[head, 0x80 | length, 0, 0, 0, 0], payload].concat()
}
