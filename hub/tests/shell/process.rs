//! The process platform with real processes: what an agent gets, and that nothing of it is left.
//!
//! A process is known to be gone when a pipe it holds is at its end, so nothing here waits for a time.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use mayfly::platform::process::contain::ContainError;
use mayfly::platform::process::{ProcessError, ProcessPlatform};
use mayfly::platform::run_dir::RunDirError;
use mayfly::platform::{AgentAddress, AgentHandle, AgentToken, Platform, SpawnError, SpawnSpec};
use mayfly::settings::{AgentEnv, AgentNetwork, Containment, SandboxKind};
use mayfly_protocol::ids::{Incarnation, SessionId};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::MAYFLY;

fn platform(data_dir: &Path, script: &str) -> ProcessPlatform {
    platform_in(&uncontained(), data_dir, script)
}

fn platform_in(containment: &Containment, data_dir: &Path, script: &str) -> ProcessPlatform {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    ProcessPlatform::new(command, PathBuf::from(MAYFLY), data_dir, containment, None).unwrap()
}

fn uncontained() -> Containment {
    Containment { sandbox: SandboxKind::None, paths: Vec::new(), network: AgentNetwork::None }
}

fn bubblewrap(readable: &Path) -> Containment {
    Containment { sandbox: SandboxKind::Bwrap, paths: vec![readable.to_owned()], network: AgentNetwork::None }
}

fn spec(bits: u128) -> SpawnSpec {
    SpawnSpec {
        session: Some(SessionId::from_u128(bits)),
        owner: None,
        incarnation: Incarnation::from_u128(bits << 96),
        token: AgentToken::new("secret".to_owned()),
        deadline: UNIX_EPOCH + Duration::from_secs(4_000_000_000),
        env: AgentEnv::from([("A_KEY", "hush")]),
    }
}

fn directory(agent: &AgentHandle) -> PathBuf {
    let AgentAddress::Contained { socket, .. } = &agent.address else { panic!("{:?}", agent.address) };
    socket.parent().unwrap().to_owned()
}

/// A named pipe that an agent's script can open, and the end of it that tells when all who hold it are gone.
fn fifo(directory: &Path) -> (PathBuf, pipe::Receiver) {
    let path = directory.join("alive");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let receiver = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    (path, receiver)
}

/// Waits for a line: whoever wrote it is there.
async fn line(receiver: &mut pipe::Receiver) -> String {
    let mut line = Vec::new();
    loop {
        receiver.readable().await.unwrap();
        let mut byte = [0];
        match receiver.try_read(&mut byte) {
            Ok(1) if byte == *b"\n" => return String::from_utf8(line).unwrap(),
            Ok(1) => line.extend(byte),
            // The end of the pipe as long as nobody has opened it.
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
}

async fn end(receiver: &mut pipe::Receiver) {
    let mut rest = Vec::new();
    receiver.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn an_agent_gets_its_variables_and_a_directory_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let (alive, mut receiver) = fifo(data.path());
    let script =
        format!("exec >{}; /usr/bin/env | /usr/bin/sort; pwd; echo end; exec sleep 1000", alive.display());
    let platform = platform(data.path(), &script);
    let agent = platform.spawn(spec(1)).await.unwrap();
    let directory = directory(&agent);
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "end") {
        lines.push(line(&mut receiver).await);
    }
    let expected = [
        "A_KEY=hush".to_owned(),
        "MAYFLY_DEADLINE=4000000000".to_owned(),
        format!("MAYFLY_LISTEN=unix:{}", directory.join("agent.sock").display()),
        "MAYFLY_SESSION=s_00000000000000000000000000000001".to_owned(),
        "MAYFLY_TOKEN=secret".to_owned(),
    ];
    // A shell adds PWD and the like for its own children; nothing else may be there.
    let own =
        |line: &&String| !["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|shell| line.starts_with(shell));
    let variables: Vec<_> = lines.iter().filter(|line| line.contains('=')).filter(own).cloned().collect();
    assert_eq!(variables, expected);
    assert_eq!(lines[lines.len() - 2], directory.display().to_string());
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&directory.metadata().unwrap()) & 0o777, 0o700);
    assert!(platform.stop(&agent).await.unwrap());
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_stop_ends_the_whole_tree_and_is_told_once() {
    let data = tempfile::tempdir().unwrap();
    let (alive, mut receiver) = fifo(data.path());
    // A grandchild in a session of its own, with its parent gone, that ignores SIGTERM.
    let script = format!(
        "exec 3>{}; (setsid sh -c 'trap \"\" TERM; echo up >&3; while :; do sleep 1000; done' &) ; exec sleep 1000",
        alive.display()
    )
    .replace("setsid", "/usr/bin/setsid");
    let platform = platform(data.path(), &script);
    let agent = platform.spawn(spec(1)).await.unwrap();
    assert_eq!(line(&mut receiver).await, "up");
    let found = platform.list().await.unwrap();
    assert_eq!(found.iter().map(|found| found.incarnation).collect::<Vec<_>>(), [agent.incarnation]);
    assert!(!agent.gone.is_cancelled());
    assert!(platform.stop(&agent).await.unwrap());
    assert!(agent.gone.is_cancelled());
    end(&mut receiver).await;
    assert!(!platform.stop(&agent).await.unwrap());
    assert!(platform.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_agent_is_asked_to_end_before_it_is_killed_also_in_a_bubblewrap() {
    let (data, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (alive, mut receiver) = fifo(outside.path());
    // What it leaves behind is to end all the same.
    let script = format!(
        "exec 3>{}; trap 'echo asked >&3; exit 0' TERM; (/usr/bin/setsid /bin/sleep 1000 &); echo up >&3; \
         while :; do /bin/sleep 1000 & wait; done",
        alive.display()
    );
    for containment in [uncontained(), bubblewrap(outside.path())] {
        let platform = platform_in(&containment, data.path(), &script);
        let agent = platform.spawn(spec(1)).await.unwrap();
        assert_eq!(line(&mut receiver).await, "up");
        assert!(platform.stop(&agent).await.unwrap());
        assert_eq!(line(&mut receiver).await, "asked");
        end(&mut receiver).await;
        assert!(!directory(&agent).exists());
    }
}

#[tokio::test]
async fn an_agent_in_a_bubblewrap_gets_its_variables_and_sees_nothing_else() {
    let (data, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (alive, mut receiver) = fifo(outside.path());
    let script = format!(
        "exec >{}; /usr/bin/tr '\\0' '\\n' </proc/$$/environ | /usr/bin/cut -d= -f1 | /usr/bin/sort; \
         cd {}; echo *; cd ..; echo *; echo /proc/[0-9]*; echo end; exec /bin/sleep 1000",
        alive.display(),
        data.path().join("run").display()
    );
    let platform = platform_in(&bubblewrap(outside.path()), data.path(), &script);
    let agent = platform.spawn(spec(1)).await.unwrap();
    let mut lines = Vec::new();
    while lines.last().is_none_or(|last| last != "end") {
        lines.push(line(&mut receiver).await);
    }
    let own = directory(&agent);
    let variables = ["A_KEY", "MAYFLY_DEADLINE", "MAYFLY_LISTEN", "MAYFLY_SESSION", "MAYFLY_TOKEN"];
    assert_eq!(lines[..5], variables);
    assert_eq!(lines[5], own.file_name().unwrap().to_str().unwrap(), "of the hub's directories only its own");
    assert_eq!(lines[6], "run", "not the hub's secret");
    assert_eq!(lines[7], "/proc/1 /proc/2", "bubblewrap's first process and itself");
    assert!(platform.stop(&agent).await.unwrap());
}

#[tokio::test]
async fn paths_that_would_show_the_secret_are_refused() {
    let data = tempfile::tempdir().unwrap();
    for readable in [data.path(), data.path().parent().unwrap(), &data.path().join("run")] {
        let command = vec!["/bin/true".to_owned()];
        let platform =
            ProcessPlatform::new(command, PathBuf::from(MAYFLY), data.path(), &bubblewrap(readable), None);
        let Err(ProcessError::Contain(error)) = platform else { panic!("{}", readable.display()) };
        assert!(
            matches!(&error, ContainError::Exposed { readable: told, .. } if told == readable),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_agent_whose_directory_grows_past_its_bound_is_ended() {
    let data = tempfile::tempdir().unwrap();
    let platform = platform(
        data.path(),
        "/usr/bin/truncate -s 10G sparse; \
        /usr/bin/fallocate -l 300M full; exec /bin/sleep 1000",
    );
    let agent = platform.spawn(spec(1)).await.unwrap();
    agent.gone.cancelled().await;
    assert!(!platform.stop(&agent).await.unwrap());
}

#[tokio::test]
async fn processes_that_never_stop_starting_others_are_ended() {
    let data = tempfile::tempdir().unwrap();
    let (alive, mut receiver) = fifo(data.path());
    // Each of them is orphaned at once, and has a session of its own. They begin together, when nothing else is to be
    // started: at its bound on processes, a shell that cannot start one ends.
    let script = format!(
        "exec 3>{}; i=0; while [ $i -lt 32 ]; do (while [ ! -e go ]; do :; done; \
         while :; do (/usr/bin/setsid /bin/sleep 0 &); done) & i=$((i+1)); done; \
         : >go; echo up >&3; while :; do wait; done",
        alive.display()
    );
    let platform = platform(data.path(), &script);
    let agent = platform.spawn(spec(1)).await.unwrap();
    assert_eq!(line(&mut receiver).await, "up");
    assert!(platform.stop(&agent).await.unwrap());
    end(&mut receiver).await;
}

#[tokio::test]
async fn a_directory_that_its_agent_has_locked_is_removed_all_the_same() {
    let data = tempfile::tempdir().unwrap();
    let script = "/bin/mkdir -p a/b; /bin/touch a/b/c; /bin/ln -s /usr a/link; /bin/chmod 0 a/b a";
    let agent = platform(data.path(), script).spawn(spec(1)).await.unwrap();
    agent.gone.cancelled().await;
    assert!(!directory(&agent).exists());
}

#[tokio::test]
async fn an_agent_that_ends_by_itself_is_gone_with_all_it_started() {
    let data = tempfile::tempdir().unwrap();
    let (alive, mut receiver) = fifo(data.path());
    let script = format!("exec 3>{}; sleep 1000 & echo up >&3; exit 3", alive.display());
    let platform = platform(data.path(), &script);
    let agent = platform.spawn(spec(1)).await.unwrap();
    assert_eq!(line(&mut receiver).await, "up");
    agent.gone.cancelled().await;
    end(&mut receiver).await;
    assert!(!directory(&agent).exists());
    assert!(!platform.stop(&agent).await.unwrap());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told_and_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    for name in ["/nonexistent/agent", "no-such-agent-anywhere", "/etc/passwd"] {
        let command = vec![name.to_owned()];
        let platform =
            ProcessPlatform::new(command, PathBuf::from(MAYFLY), data.path(), &uncontained(), None).unwrap();
        let error = platform.spawn(spec(1)).await.unwrap_err();
        assert!(matches!(&error, SpawnError::Command { command, .. } if command == name), "{error}");
        assert!(platform.list().await.unwrap().is_empty());
    }
    let left: Vec<_> =
        std::fs::read_dir(data.path().join("run")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [data.path().join("run/lock")]);
}

#[tokio::test]
async fn two_hubs_do_not_share_a_directory_and_leftovers_go() {
    let data = tempfile::tempdir().unwrap();
    let leftover = data.path().join("run/01234567");
    std::fs::create_dir_all(&leftover).unwrap();
    let first = platform(data.path(), "true");
    assert!(!leftover.exists());
    let command = vec!["/bin/true".to_owned()];
    let second =
        ProcessPlatform::new(command.clone(), PathBuf::from(MAYFLY), data.path(), &uncontained(), None);
    assert!(matches!(second, Err(ProcessError::RunDir(RunDirError::InUse { .. }))));
    drop(first);
    assert!(
        ProcessPlatform::new(command.clone(), PathBuf::from(MAYFLY), data.path(), &uncontained(), None)
            .is_ok()
    );
    let deep = data.path().join("x".repeat(100));
    let too_long = ProcessPlatform::new(command, PathBuf::from(MAYFLY), &deep, &uncontained(), None);
    assert!(matches!(too_long, Err(ProcessError::RunDir(RunDirError::TooLong { .. }))));
}

/// A hub with one session, whose agent is a script; the script's tree holds the hub's standard error.
fn hub_with_an_agent(data: &Path, script: &str) -> (Child, std::net::TcpStream, BufReader<std::fs::File>) {
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
    // Opening waits until the agent opens it for writing: then the agent is there.
    let alive = BufReader::new(std::fs::File::open(&alive).unwrap());
    assert!(hub.try_wait().unwrap().is_none());
    (hub, socket, alive)
}

const STUBBORN: &str =
    "trap '' TERM; exec 3>../../alive; (/usr/bin/setsid sleep 1000 &); echo up >&3; sleep 1000";

#[test]
fn a_killed_hub_leaves_no_agent() {
    let data = tempfile::tempdir().unwrap();
    let (mut hub, _socket, mut alive) = hub_with_an_agent(data.path(), STUBBORN);
    let mut up = String::new();
    alive.read_line(&mut up).unwrap();
    hub.kill().unwrap();
    hub.wait().unwrap();
    // The pipe ends with the last process of the tree, which would otherwise sleep for longer than a test may run.
    let mut rest = Vec::new();
    alive.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_client_that_leaves_takes_its_agent_with_it() {
    let data = tempfile::tempdir().unwrap();
    let (mut hub, socket, mut alive) =
        hub_with_an_agent(data.path(), "exec 3>../../alive; echo up >&3; exec sleep 1000");
    let mut up = String::new();
    alive.read_line(&mut up).unwrap();
    drop(socket);
    let mut rest = Vec::new();
    alive.read_to_end(&mut rest).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(hub.id().cast_signed()), nix::sys::signal::SIGTERM)
        .unwrap();
    assert!(hub.wait().unwrap().success());
}
