//! A hub as a child process, and a WebSocket client, for end-to-end tests.
//!
//! The hub is the program that ships, found beside the test's own executable. Dropping [`Hub`] ends the process and
//! removes its data directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::process::{Server, Usage};
use crate::socket;

/// Longest wait for one event. A test that waits longer fails.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(20);

/// Receive buffer of a client that takes little before it reads.
const NARROW_BUFFER_BYTES: u32 = 4096;

/// A running hub.
#[derive(Debug)]
pub struct Hub {
    /// `http://HOST:PORT`, or `https://HOST:PORT`.
    pub url: String,
    /// `ws://HOST:PORT/ws`, or `wss://HOST:PORT/ws`.
    pub ws_url: String,
    /// Its process id.
    pub pid: u32,
    server: Server,
    data: TempDir,
    environment: Vec<(String, String)>,
}

/// A client with one WebSocket.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
}

/// Returns the path of a program of this workspace, built with the profile of the running test or tool.
///
/// # Errors
/// Returns an error if the program was not built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut directory = own.parent().context("an executable is in a directory")?;
    if directory.ends_with("deps") {
        directory = directory.parent().context("deps is in a directory")?;
    }
    let path = directory.join(name);
    ensure!(path.is_file(), "{} is not there: run `cargo build --bins` first", path.display());
    Ok(path)
}

impl Hub {
    /// Starts a hub on a free port, with these arguments besides `--listen`, `--data-dir` and `--log`.
    ///
    /// # Errors
    /// Returns an error if the hub was not built, or does not start; then with its log.
    pub fn start(args: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(args, &[])
    }

    /// As [`Hub::start`], with environment variables. No other `MAYFLY_…` variable reaches the hub.
    ///
    /// # Errors
    /// Returns the errors of [`Hub::start`].
    pub fn start_with(args: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::launch(Command::new(program("mayfly")?), args, environment)
    }

    /// Starts the hub from a copy of its program, otherwise as [`Hub::start_with`].
    ///
    /// # Errors
    /// Returns the errors of [`Hub::start`].
    pub fn start_copy(copy: &Path, args: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::launch(Command::new(copy), args, environment)
    }

    /// As [`Hub::start`], with a limit of open descriptors.
    ///
    /// # Errors
    /// Returns the errors of [`Hub::start`].
    pub fn start_with_descriptors(limit: u32, args: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}")).arg(program("mayfly")?);
        Self::launch(command, args, &[])
    }

    /// Starts a new hub after this one has ended, at the same address, with the same data directory and variables, and
    /// with these arguments. Both write to the same log.
    ///
    /// # Errors
    /// Returns the errors of [`Hub::start`].
    pub fn start_again(&mut self, args: &[&str]) -> anyhow::Result<()> {
        let (server, url) = Self::serve(
            Command::new(program("mayfly")?),
            &self.data,
            self.authority(),
            args,
            &self.environment,
        )?;
        (self.pid, self.server, self.url) = (server.pid(), server, url);
        Ok(())
    }

    fn launch(command: Command, args: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = environment.iter().map(owned).collect();
        let (server, url) = Self::serve(command, &data, "127.0.0.1:0", args, &environment)?;
        let rest = url.strip_prefix("http").context("the hub prints its address")?;
        let ws_url = format!("ws{}/ws", rest.trim_end_matches('/'));
        Ok(Self { ws_url, pid: server.pid(), url, server, data, environment })
    }

    fn serve(
        mut command: Command,
        data: &TempDir,
        listen: &str,
        args: &[&str],
        environment: &[(String, String)],
    ) -> anyhow::Result<(Server, String)> {
        command
            .args(["serve", "--listen", listen, "--log", "json", "--data-dir"])
            .arg(data.path())
            .args(args);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAYFLY_")) {
            command.env_remove(name);
        }
        // A session goes with its last connection, unless a test says otherwise.
        command.env("MAYFLY_GRACE", "0s");
        // A `mayfly.toml` of whoever runs the test is not meant.
        command.current_dir(data.path()).envs(environment.iter().cloned());
        command.stderr(File::options().create(true).append(true).open(log_path(data.path()))?);
        let server = Server::start(&mut command)?;
        let url = server
            .announced("is at ")
            .with_context(|| format!("the hub did not start: {}", read_log(data)))?;
        Ok((server, url))
    }

    /// Returns `HOST:PORT`.
    pub fn authority(&self) -> &str {
        self.url.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Returns the log so far.
    pub fn log(&self) -> String {
        read_log(&self.data)
    }

    /// Returns the hub's resource usage.
    pub fn usage(&self) -> Usage {
        self.server.usage()
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Changes how many descriptors the hub may have open (setrlimit(2)); those that are open stay open.
    ///
    /// # Errors
    /// Returns an error if the limit is higher than the one at its start.
    pub fn limit_descriptors(&self, limit: u32) -> anyhow::Result<()> {
        let mut command = Command::new("prlimit");
        let status = command.args([format!("--pid={}", self.pid), format!("--nofile={limit}:")]).status()?;
        ensure!(status.success(), "prlimit: {status}");
        Ok(())
    }

    /// Sends SIGTERM and waits for the end. Blocks the thread: clients that must answer the hub's close need another
    /// one.
    ///
    /// # Errors
    /// Returns an error if the hub does not end.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.server.stop()
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// Returns an error if the hub has ended.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.server.terminate()
    }

    /// Waits for the end. Blocks the thread, as [`Hub::stop`] does.
    ///
    /// # Errors
    /// Returns an error if the hub does not end.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        self.server.wait()
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Errors
    /// Returns an error if the hub has ended already.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.server.kill()?)
    }
}

impl Client {
    /// Opens a WebSocket without an `Origin` header, as programs do.
    ///
    /// # Errors
    /// Returns an error if the hub cannot be reached, or refuses the upgrade.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        Self::connect_with(url, &[]).await
    }

    /// As [`Client::connect`], with these headers, whose names are in lower case.
    ///
    /// # Errors
    /// Returns the errors of [`Client::connect`].
    pub async fn connect_with(url: &str, headers: &[(&'static str, &str)]) -> anyhow::Result<Self> {
        let socket =
            timeout(FRAME_TIMEOUT, socket::open(url, headers)).await.context("no answer to the upgrade")?;
        Ok(Self { socket: socket.with_context(|| format!("cannot open {url}"))? })
    }

    /// As [`Client::connect`], on an open connection.
    ///
    /// # Errors
    /// Returns an error if the hub refuses the upgrade.
    pub async fn upgrade(stream: TcpStream, url: &str) -> anyhow::Result<Self> {
        let socket = timeout(FRAME_TIMEOUT, socket::upgrade(stream, url, &[])).await;
        Ok(Self { socket: socket.context("no answer to the upgrade")?? })
    }

    /// As [`Client::connect`], on a TCP connection with a small receive buffer.
    ///
    /// # Errors
    /// Returns the errors of [`Client::connect`].
    pub async fn narrow(hub: &Hub) -> anyhow::Result<Self> {
        Self::narrow_at(hub.authority(), &hub.ws_url).await
    }

    /// As [`Client::narrow`], at `HOST:PORT`.
    ///
    /// # Errors
    /// Returns the errors of [`Client::connect`].
    pub async fn narrow_at(authority: &str, url: &str) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(NARROW_BUFFER_BYTES)?;
        let stream = socket.connect(authority.parse()?).await?;
        Self::upgrade(stream, url).await
    }

    /// Opens a socket to an existing session with its token. `query` has the client's position: `epoch=…&after=…`.
    ///
    /// # Errors
    /// Returns the errors of [`Client::connect`].
    pub async fn join(hub: &Hub, ready: &Value, query: &str) -> anyhow::Result<Self> {
        let session = ready["session"].as_str().context("session.ready names the session")?;
        let token = ready["token"].as_str().context("its creator is told the token")?;
        let url = format!("{}/{session}?{query}", hub.ws_url);
        Self::connect_with(&url, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// Returns an error if the socket is closed.
    pub async fn send_text(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Sends raw bytes past the WebSocket layer.
    ///
    /// # Errors
    /// Returns an error if the connection is closed.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.socket.get_mut().write_all(bytes).await?)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// Returns an error if the socket is closed.
    pub async fn send(&mut self, frame: &Value) -> anyhow::Result<()> {
        self.send_text(&frame.to_string()).await
    }

    /// Sends a `message` frame.
    ///
    /// # Errors
    /// Returns an error if the socket is closed.
    pub async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.send(&json!({"type": "message", "text": text})).await
    }

    /// Returns the next text message.
    ///
    /// # Errors
    /// Returns an error if no message arrives in time, or the socket closes; then with the close code.
    pub async fn next_text(&mut self) -> anyhow::Result<String> {
        loop {
            let message = timeout(FRAME_TIMEOUT, self.socket.next()).await.context("no frame in time")?;
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(frame))) => bail!("the hub closed the socket: {frame:?}"),
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("the socket is closed"),
            }
        }
    }

    /// Returns the next frame.
    ///
    /// # Errors
    /// Returns the errors of [`Client::next_text`], or an error if the message is no JSON.
    pub async fn next_frame(&mut self) -> anyhow::Result<Value> {
        let text = self.next_text().await?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }

    /// Returns the frames up to the first one for which `last` returns `true`, inclusive.
    ///
    /// # Errors
    /// Returns the errors of [`Client::next_frame`], with the frames so far.
    pub async fn until(&mut self, last: impl Fn(&Value) -> bool) -> anyhow::Result<Vec<Value>> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next_frame().await.with_context(|| format!("after {frames:?}"))?;
            let is_last = last(&frame);
            frames.push(frame);
            if is_last {
                return Ok(frames);
            }
        }
    }

    /// Returns the frames up to the next `turn.done`, inclusive.
    ///
    /// # Errors
    /// Returns the errors of [`Client::until`].
    pub async fn until_turn_done(&mut self) -> anyhow::Result<Vec<Value>> {
        self.until(|frame| frame["type"] == "turn.done").await
    }

    /// Returns the frames up to the hub's close, and the code and reason of the close. Completes the closing handshake.
    ///
    /// # Errors
    /// Returns an error if the hub does not close in time, or closes without a handshake.
    pub async fn until_closed(mut self) -> anyhow::Result<(Vec<Value>, u16, String)> {
        let mut frames = Vec::new();
        let mut closed = None;
        while let Some(message) =
            timeout(FRAME_TIMEOUT, self.socket.next()).await.context("no close in time")?
        {
            match message? {
                Message::Text(text) => frames.push(serde_json::from_str(&text)?),
                Message::Close(frame) => closed = frame,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        let close = closed.context("the socket ended without a close code")?;
        Ok((frames, close.code.into(), close.reason.as_str().to_owned()))
    }

    /// Resets the connection without a close frame.
    ///
    /// # Errors
    /// Returns an error if the connection is closed already.
    pub fn cut(mut self) -> anyhow::Result<()> {
        // Resets the connection (RST).
        Ok(self.socket.get_mut().set_zero_linger()?)
    }

    /// Closes the socket with a code and completes the handshake.
    ///
    /// # Errors
    /// Returns an error if the hub does not answer the close in time.
    pub async fn close_with(mut self, code: u16) -> anyhow::Result<()> {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.socket.close(Some(frame)).await?;
        while let Some(Ok(_)) =
            timeout(FRAME_TIMEOUT, self.socket.next()).await.context("no close in time")?
        {}
        Ok(())
    }

    /// Closes the socket without a code, as a browser does, and completes the handshake.
    ///
    /// # Errors
    /// Returns an error if the hub does not answer the close in time.
    pub async fn close(mut self) -> anyhow::Result<()> {
        self.socket.close(None).await?;
        while let Some(message) =
            timeout(FRAME_TIMEOUT, self.socket.next()).await.context("no close in time")?
        {
            message?;
        }
        Ok(())
    }
}

/// Returns the concatenated text deltas of these frames.
pub fn text_of(frames: &[Value]) -> String {
    let deltas = frames.iter().filter(|frame| frame["type"] == "text-delta");
    deltas.filter_map(|frame| frame["delta"].as_str()).collect()
}

fn log_path(data: &Path) -> PathBuf {
    data.join("hub.log")
}

fn read_log(data: &TempDir) -> String {
    fs::read_to_string(log_path(data.path())).unwrap_or_default()
}
