//! Agents of the process platform end with their session, and with a hub that is killed.
//!
//! A test knows that a process is gone when a pipe that the process holds has ended, so no test waits for a time.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::MAYFLY;

/// Starts a hub with one session whose agent is a script. Returns the hub, the session's socket, and the reading end of the
/// named pipe `alive` in the data directory, which the script has opened.
fn hub_with_agent(data: &Path, script: &str) -> (Child, std::net::TcpStream, BufReader<std::fs::File>) {
    let (reader, writer) = std::io::pipe().unwrap();
    let path = data.join("agent");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let alive = data.join("alive");
    nix::unistd::mkfifo(&alive, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut hub = Command::new(MAYFLY)
        .args(["serve", "--listen", "127.0.0.1:0", "--agent-command", path.to_str().unwrap()])
        .args(["--sandbox", "none", "--grace", "0s"])
        .arg("--data-dir")
        .arg(data)
        .stdout(writer)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(reader).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.rsplit_once("http://").unwrap().1.to_owned();
    let mut socket = std::net::TcpStream::connect(&address).unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
    // Waits until the agent has opened the other end.
    let alive = BufReader::new(std::fs::File::open(&alive).unwrap());
    assert!(hub.try_wait().unwrap().is_none());
    (hub, socket, alive)
}

/// Waits until all processes that hold the other end are gone.
fn all_gone(mut alive: BufReader<std::fs::File>) {
    alive.read_to_end(&mut Vec::new()).unwrap();
}

/// A script that ignores SIGTERM, with an orphan that does so too.
const STUBBORN: &str =
    "trap '' TERM; exec 3>../../alive; (/usr/bin/setsid sleep 1000 &); echo up >&3; sleep 1000";

#[test]
fn an_agent_ends_with_a_killed_hub() {
    let data = tempfile::tempdir().unwrap();
    let (mut hub, _socket, mut alive) = hub_with_agent(data.path(), STUBBORN);
    let mut up = String::new();
    alive.read_line(&mut up).unwrap();
    hub.kill().unwrap();
    hub.wait().unwrap();
    all_gone(alive);
}

#[test]
fn an_agent_ends_with_its_session() {
    let data = tempfile::tempdir().unwrap();
    let (mut hub, socket, mut alive) =
        hub_with_agent(data.path(), "exec 3>../../alive; echo up >&3; exec sleep 1000");
    let mut up = String::new();
    alive.read_line(&mut up).unwrap();
    drop(socket);
    all_gone(alive);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(hub.id().cast_signed()), nix::sys::signal::SIGTERM)
        .unwrap();
    assert!(hub.wait().unwrap().success());
}
