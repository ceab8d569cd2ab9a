//! A connection that counts the bytes read from it. The count reveals an endless message early, and limits the bytes
//! read from a connection that is being closed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::socket::transport::Transport;

/// A connection with the number of bytes read since [`Metered::reset`].
pub(super) struct Metered {
    stream: Transport,
    read_bytes: usize,
    /// Number of read bytes after which reads return the end of the stream.
    max_bytes: usize,
}

impl Metered {
    pub(super) fn new(stream: Transport) -> Self {
        Self { stream, read_bytes: 0, max_bytes: usize::MAX }
    }

    pub(super) fn read_bytes(&self) -> usize {
        self.read_bytes
    }

    pub(super) fn reset(&mut self) {
        self.read_bytes = 0;
    }

    /// Resets the count. After `bytes` more bytes, reads return the end of the stream.
    pub(super) fn end_after(&mut self, bytes: usize) {
        (self.read_bytes, self.max_bytes) = (0, bytes);
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_bytes >= self.max_bytes {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.read_bytes += buffer.filled().len() - before;
        result
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
