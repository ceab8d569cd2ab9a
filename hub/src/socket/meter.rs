//! A connection that counts what was read of it, so that a message without end is noticed before it ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::socket::transport::Transport;

/// The connection, and how many bytes were read since [`Metered::reset`].
pub(super) struct Metered {
    stream: Transport,
    read_bytes: usize,
}

impl Metered {
    pub(super) fn new(stream: Transport) -> Self {
        Self { stream, read_bytes: 0 }
    }

    pub(super) fn read_bytes(&self) -> usize {
        self.read_bytes
    }

    pub(super) fn reset(&mut self) {
        self.read_bytes = 0;
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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
