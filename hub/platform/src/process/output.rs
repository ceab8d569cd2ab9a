//! An agent's stdout and stderr: logged line by line at DEBUG, never sent to a client.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::process::ExitStatus;

use futures::FutureExt;
use mayfly_protocol::ids::Incarnation;
use memchr::memchr;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tracing::{debug, info, warn};

use crate::limits::{OUTPUT_LINE_MAX_BYTES, OUTPUT_LINES_KEPT};

/// Output of one agent, with its last lines.
pub(super) struct Output {
    incarnation: Incarnation,
    pipe: pipe::Receiver,
    /// Beginning of the current line; at most [`OUTPUT_LINE_MAX_BYTES`].
    line: Vec<u8>,
    last: VecDeque<String>,
}

impl Output {
    pub(super) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(super) fn new(incarnation: Incarnation, pipe: pipe::Receiver) -> Self {
        Self { incarnation, pipe, line: Vec::new(), last: VecDeque::new() }
    }

    /// Reads everything that the process writes. Never returns: output that is closed does not mean that the process ended.
    pub(super) async fn read_all(&mut self) -> Infallible {
        while self.read().await {}
        pending().await
    }

    /// Logs the process's end; with its last lines if the end was unexpected.
    pub(super) fn finish(mut self, status: ExitStatus, was_stopped: bool) {
        while self.read().now_or_never() == Some(true) {}
        self.end_line();
        let incarnation = self.incarnation;
        // -1 after a signal, which the supervisor itself got.
        let exit_code = status.code().unwrap_or(-1);
        if was_stopped || status.success() {
            info!(%incarnation, exit_code, "agent exited");
        } else {
            let output = self.last.into_iter().collect::<Vec<_>>().join("\n");
            warn!(%incarnation, exit_code, output, "agent exited unexpectedly");
        }
    }

    /// Reads once; returns `false` at the end.
    async fn read(&mut self) -> bool {
        let mut piece = [0; 512];
        let Ok(length @ 1..) = self.pipe.read(&mut piece).await else { return false };
        let mut rest = piece.get(..length).unwrap_or_default();
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            self.extend_line(line);
            self.end_line();
            rest = after.get(1..).unwrap_or_default();
        }
        self.extend_line(rest);
        true
    }

    fn extend_line(&mut self, piece: &[u8]) {
        let room = OUTPUT_LINE_MAX_BYTES - self.line.len();
        self.line.extend(piece.iter().take(room));
    }

    fn end_line(&mut self) {
        if self.line.is_empty() {
            return;
        }
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        debug!(target: "agent", incarnation = %self.incarnation, "{line}");
        if self.last.len() == OUTPUT_LINES_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}
