//! A hub as a child process and a client of it, for end-to-end tests.
//!
//! The hub is the program as it is built and shipped, found beside the test's own executable. It ends with the value
//! that started it, and its data directory with it.

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

/// For the next frame of any kind; a test that waits longer has failed.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(20);

/// What a narrow client's connection takes before it is read.
const NARROW_BUFFER_BYTES: u32 = 4096;

/// A running hub.
#[derive(Debug)]
pub struct Hub {
    /// `http://HOST:PORT`, or `https://HOST:PORT`.
    pub url: String,
    /// `ws://HOST:PORT/ws`, or `wss://HOST:PORT/ws`.
    pub ws_url: String,
    /// Its process.
    pub pid: u32,
    server: Server,
    data: TempDir,
    environment: Vec<(String, String)>,
}

/// A client with one WebSocket.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
}

/// A program of this workspace, built with the same profile as the running test or tool.
///
/// # Errors
/// When it was not built.
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
    /// When it was not built, or does not start; then with what it said.
    pub fn start(args: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(args, &[])
    }

    /// As [`Hub::start`], with variables of its environment. No other `MAYFLY_…` variable reaches it.
    ///
    /// # Errors
    /// As [`Hub::start`].
    pub fn start_with(args: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::launch(Command::new(program("mayfly")?), args, environment)
    }

    /// As [`Hub::start`], with at most so many open descriptors.
    ///
    /// # Errors
    /// As [`Hub::start`].
    pub fn start_with_descriptors(limit: u32, args: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={limit}")).arg(program("mayfly")?);
        Self::launch(command, args, &[])
    }

    /// Starts the next hub after this one has ended: at the same address, with the same data directory and variables, and
    /// these arguments. Its log follows the other's.
    ///
    /// # Errors
    /// As [`Hub::start`].
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

    /// `HOST:PORT`.
    pub fn authority(&self) -> &str {
        self.url.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        read_log(&self.data)
    }

    /// What it uses.
    pub fn usage(&self) -> Usage {
        self.server.usage()
    }

    /// Where it keeps its secret and its agents' sockets.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// SIGTERM, and waits for the end. Blocks the thread: clients that are to answer the hub's close need another one.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.server.stop()
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// When it is gone.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.server.terminate()
    }

    /// Waits for the end. Blocks the thread, as [`Hub::stop`].
    ///
    /// # Errors
    /// When it does not end.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        self.server.wait()
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.server.kill()?)
    }
}

impl Client {
    /// Opens a WebSocket, as a program does: without an Origin.
    ///
    /// # Errors
    /// When there is no connection, or the upgrade is refused.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        Self::connect_with(url, &[]).await
    }

    /// As [`Client::connect`], with these headers; names in lower case.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(url: &str, headers: &[(&'static str, &str)]) -> anyhow::Result<Self> {
        let socket =
            timeout(FRAME_TIMEOUT, socket::open(url, headers)).await.context("no answer to the upgrade")?;
        Ok(Self { socket: socket.with_context(|| format!("cannot open {url}"))? })
    }

    /// As [`Client::connect`], on a connection that is there already.
    ///
    /// # Errors
    /// When the upgrade is refused.
    pub async fn upgrade(stream: TcpStream, url: &str) -> anyhow::Result<Self> {
        let socket = timeout(FRAME_TIMEOUT, socket::upgrade(stream, url, &[])).await;
        Ok(Self { socket: socket.context("no answer to the upgrade")?? })
    }

    /// As [`Client::connect`], on a TCP connection that takes little before it is read.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn narrow(hub: &Hub) -> anyhow::Result<Self> {
        Self::narrow_at(hub.authority(), &hub.ws_url).await
    }

    /// As [`Client::narrow`], at `HOST:PORT`.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn narrow_at(authority: &str, url: &str) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(NARROW_BUFFER_BYTES)?;
        let stream = socket.connect(authority.parse()?).await?;
        Self::upgrade(stream, url).await
    }

    /// Opens a socket to a session that exists, with its token and what the client has already: `epoch=…&after=…`.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn join(hub: &Hub, ready: &Value, query: &str) -> anyhow::Result<Self> {
        let session = ready["session"].as_str().context("session.ready names the session")?;
        let token = ready["token"].as_str().context("its creator is told the token")?;
        let url = format!("{}/{session}?{query}", hub.ws_url);
        Self::connect_with(&url, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Sends a text message as it is.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send_text(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Sends bytes as they are, past the WebSocket layer.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.socket.get_mut().write_all(bytes).await?)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send(&mut self, frame: &Value) -> anyhow::Result<()> {
        self.send_text(&frame.to_string()).await
    }

    /// Says something.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.send(&json!({"type": "message", "text": text})).await
    }

    /// The next text message.
    ///
    /// # Errors
    /// When none comes in time, or the socket closes; then with the close code.
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

    /// The next frame.
    ///
    /// # Errors
    /// As [`Client::next_text`], or when it is not JSON.
    pub async fn next_frame(&mut self) -> anyhow::Result<Value> {
        let text = self.next_text().await?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }

    /// Frames up to and with the first one that `last` is true of.
    ///
    /// # Errors
    /// As [`Client::next_frame`]; then with the frames that came.
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

    /// Frames up to and with the next `turn.done`.
    ///
    /// # Errors
    /// As [`Client::until`].
    pub async fn until_turn_done(&mut self) -> anyhow::Result<Vec<Value>> {
        self.until(|frame| frame["type"] == "turn.done").await
    }

    /// Frames up to the hub's close, with its code and reason; the closing handshake is completed.
    ///
    /// # Errors
    /// When the hub does not close in time, or without a handshake.
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

    /// Cuts the connection, without a word.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn cut(mut self) -> anyhow::Result<()> {
        // A reset: what the hub sends from now on meets nobody.
        Ok(self.socket.get_mut().set_zero_linger()?)
    }

    /// Closes the socket with a code, and completes the handshake.
    ///
    /// # Errors
    /// When the hub does not answer the close in time.
    pub async fn close_with(mut self, code: u16) -> anyhow::Result<()> {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.socket.close(Some(frame)).await?;
        while let Some(Ok(_)) =
            timeout(FRAME_TIMEOUT, self.socket.next()).await.context("no close in time")?
        {}
        Ok(())
    }

    /// Closes the socket as a browser does when its tab is closed, and completes the handshake.
    ///
    /// # Errors
    /// When the hub does not answer the close in time.
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

/// The text of all deltas of these frames.
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
