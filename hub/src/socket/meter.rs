//! A connection that counts what was read of it, so that a message without end is noticed before it ends, and what is
//! still read of one that is being closed is bounded.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::socket::transport::Transport;

/// The connection, and how many bytes were read since [`Metered::reset`].
pub(super) struct Metered {
    stream: Transport,
    read_bytes: usize,
    /// Of these; then it reads as if the other side had ended it.
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

    /// From now on it ends with the read that brings so many bytes.
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
