//! The transport to a program: one message on each line of its standard input and output.
//!
//! The program has its own environment, with nothing of the agent's, and its own process group, which is killed when the
//! program ends. [`StderrTail`] keeps the end of its standard error for the log.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::process::Stdio as Pipe;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tracing::debug;

use super::config::Program;
use crate::limits::{
    MCP_MESSAGE_MAX_BYTES, MCP_STDERR_LINE_MAX_BYTES, MCP_STDERR_LINES_KEPT, MCP_STOP_TIMEOUT,
};

/// `PATH` of a program whose configuration sets none.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A running program, which is killed when this value is dropped.
pub(super) struct Stdio {
    lines: AsyncRwTransport<RoleClient, Lines<ChildStdout>, ChildStdin>,
    child: Child,
    group: Option<Pid>,
}

/// The last lines of a program's standard error.
#[derive(Debug, Clone, Default)]
pub(super) struct StderrTail(Arc<Mutex<VecDeque<String>>>);

impl Stdio {
    /// Starts the program.
    pub(super) fn start(program: &Program, name: &str, said: &StderrTail) -> io::Result<Self> {
        let mut command = Command::new(&program.command);
        command.args(&program.args).env_clear().env("PATH", DEFAULT_PATH).envs(&program.env);
        if let Some(cwd) = &program.cwd {
            command.current_dir(cwd);
        }
        command.stdin(Pipe::piped()).stdout(Pipe::piped()).stderr(Pipe::piped());
        let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
        let no_pipe = || io::Error::other("the program has no pipe");
        let stdout = child.stdout.take().ok_or_else(no_pipe)?;
        let stdin = child.stdin.take().ok_or_else(no_pipe)?;
        let stderr = child.stderr.take().ok_or_else(no_pipe)?;
        // The task ends with the program, which has the other end.
        tokio::spawn(said.clone().follow(stderr, name.to_owned()));
        let group = child.id().and_then(|id| id.try_into().ok()).map(Pid::from_raw);
        Ok(Self { lines: AsyncRwTransport::new(Lines::new(stdout), stdin), child, group })
    }

    /// Kills the program and its descendants.
    fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            // The group may already be gone.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        self.kill_group();
    }
}

impl Transport<RoleClient> for Stdio {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.lines.send(item)
    }

    fn receive(&mut self) -> impl Future<Output = Option<RxJsonRpcMessage<RoleClient>>> + Send {
        self.lines.receive()
    }

    /// Closes the program's input, which tells it to exit, and kills its group after a timeout.
    async fn close(&mut self) -> io::Result<()> {
        let ends = async {
            self.lines.close().await?;
            self.child.wait().await
        };
        let _ = timeout(MCP_STOP_TIMEOUT, ends).await;
        self.kill_group();
        Ok(())
    }
}

impl StderrTail {
    /// Returns the kept lines.
    pub(super) fn last(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    async fn follow(self, stderr: ChildStderr, server: String) {
        let mut stderr = BufReader::new(stderr);
        loop {
            let mut line = Vec::new();
            let most = u64::try_from(MCP_STDERR_LINE_MAX_BYTES).unwrap_or(u64::MAX);
            match (&mut stderr).take(most).read_until(b'\n', &mut line).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            debug!(server, line, "MCP server wrote to standard error");
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == MCP_STDERR_LINES_KEPT {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }
}

/// A reader of lines of at most [`MCP_MESSAGE_MAX_BYTES`]. A longer line is an error, so that the caller does not wait for
/// its end.
struct Lines<R> {
    bytes: R,
    /// Bytes of the incomplete line.
    line: usize,
}

impl<R> Lines<R> {
    fn new(bytes: R) -> Self {
        Self { bytes, line: 0 }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Lines<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.bytes).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        self.line = match read.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => read.len() - end - 1,
            None => self.line + read.len(),
        };
        if self.line > MCP_MESSAGE_MAX_BYTES {
            return Poll::Ready(Err(io::Error::other("a message is too large")));
        }
        Poll::Ready(Ok(()))
    }
}
