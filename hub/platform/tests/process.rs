//! The process platform with real processes: what an agent receives, and that nothing of an agent is left.
//!
//! A test knows that a process is gone when a pipe that the process holds has ended, so no test waits for a time.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use mayfly_platform::process::contain::ContainError;
use mayfly_platform::process::{ProcessError, ProcessPlatform};
use mayfly_platform::run_dir::RunDirError;
use mayfly_platform::settings::{AgentEnv, AgentNetwork, Containment, SandboxKind};
use mayfly_platform::{AgentAddress, AgentHandle, AgentToken, Platform, SpawnError, SpawnSpec};
use mayfly_protocol::ids::{Incarnation, SessionId};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;

/// The launcher as a program of its own.
const LAUNCHER: &str = env!("CARGO_BIN_EXE_mayfly-launch");

fn platform(data_dir: &Path, script: &str) -> ProcessPlatform {
    platform_in(&uncontained(), data_dir, script)
}

fn platform_in(containment: &Containment, data_dir: &Path, script: &str) -> ProcessPlatform {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    ProcessPlatform::new(command, PathBuf::from(LAUNCHER), data_dir, containment, None).unwrap()
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

/// A named pipe that an agent's script opens for writing.
struct Fifo(PathBuf);

/// The end of a [`Fifo`] that the test reads. It ends when the last process that holds the other end is gone.
type Reader = BufReader<pipe::Receiver>;

impl Fifo {
    fn make(directory: &Path) -> Self {
        let path = directory.join("alive");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        Self(path)
    }

    /// Waits until an agent's script has opened the other end.
    async fn open(&self) -> Reader {
        let path = self.0.clone();
        let file = tokio::task::spawn_blocking(move || File::open(path)).await.unwrap().unwrap();
        BufReader::new(pipe::Receiver::from_file(file).unwrap())
    }
}

/// Waits for a line from the agent's script.
async fn line(reader: &mut Reader) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    line.strip_suffix('\n').expect("a whole line").to_owned()
}

async fn lines_until_end(reader: &mut Reader) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "end") {
        lines.push(line(reader).await);
    }
    lines
}

/// Waits until all processes that hold the other end are gone.
async fn all_gone(mut reader: Reader) {
    reader.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn an_agent_gets_its_variables_and_its_own_directory() {
    let data = tempfile::tempdir().unwrap();
    let fifo = Fifo::make(data.path());
    let script =
        format!("exec >{}; /usr/bin/env | /usr/bin/sort; pwd; echo end; exec sleep 1000", fifo.0.display());
    let platform = platform(data.path(), &script);
    let agent = platform.spawn(spec(1)).await.unwrap();
    let directory = directory(&agent);
    let lines = lines_until_end(&mut fifo.open().await).await;
    let expected = [
        "A_KEY=hush".to_owned(),
        "MAYFLY_DEADLINE=4000000000".to_owned(),
        format!("MAYFLY_LISTEN=unix:{}", directory.join("agent.sock").display()),
        "MAYFLY_SESSION=s_00000000000000000000000000000001".to_owned(),
        "MAYFLY_TOKEN=secret".to_owned(),
    ];
    // A shell adds PWD and others for its own children; nothing else may be there.
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
async fn stop_ends_the_whole_tree_and_returns_true_once() {
    let data = tempfile::tempdir().unwrap();
    let fifo = Fifo::make(data.path());
    // An orphaned grandchild in a session of its own that ignores SIGTERM.
    let script = format!(
        "exec 3>{}; (setsid sh -c 'trap \"\" TERM; echo up >&3; while :; do sleep 1000; done' &) ; exec sleep 1000",
        fifo.0.display()
    )
    .replace("setsid", "/usr/bin/setsid");
    let platform = platform(data.path(), &script);
    let agent = platform.spawn(spec(1)).await.unwrap();
    let mut reader = fifo.open().await;
    assert_eq!(line(&mut reader).await, "up");
    let listed = platform.list().await.unwrap();
    assert_eq!(listed.iter().map(|agent| agent.incarnation).collect::<Vec<_>>(), [agent.incarnation]);
    assert!(!agent.gone.is_cancelled());
    assert!(platform.stop(&agent).await.unwrap());
    assert!(agent.gone.is_cancelled());
    all_gone(reader).await;
    assert!(!platform.stop(&agent).await.unwrap());
    assert!(platform.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn stop_sends_sigterm_first_also_in_bubblewrap() {
    let (data, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fifo = Fifo::make(outside.path());
    // The background process must end too.
    let script = format!(
        "exec 3>{}; trap 'echo asked >&3; exit 0' TERM; (/usr/bin/setsid /bin/sleep 1000 &); echo up >&3; \
         while :; do /bin/sleep 1000 & wait; done",
        fifo.0.display()
    );
    for containment in [uncontained(), bubblewrap(outside.path())] {
        let platform = platform_in(&containment, data.path(), &script);
        let agent = platform.spawn(spec(1)).await.unwrap();
        let mut reader = fifo.open().await;
        assert_eq!(line(&mut reader).await, "up");
        assert!(platform.stop(&agent).await.unwrap());
        assert_eq!(line(&mut reader).await, "asked");
        all_gone(reader).await;
        assert!(!directory(&agent).exists());
    }
}

#[tokio::test]
async fn an_agent_in_bubblewrap_sees_only_its_variables_and_directory() {
    let (data, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fifo = Fifo::make(outside.path());
    let script = format!(
        "exec >{}; /usr/bin/tr '\\0' '\\n' </proc/$$/environ | /usr/bin/cut -d= -f1 | /usr/bin/sort; \
         cd {}; echo *; cd ..; echo *; echo /proc/[0-9]*; echo end; exec /bin/sleep 1000",
        fifo.0.display(),
        data.path().join("run").display()
    );
    let platform = platform_in(&bubblewrap(outside.path()), data.path(), &script);
    let agent = platform.spawn(spec(1)).await.unwrap();
    let lines = lines_until_end(&mut fifo.open().await).await;
    let own = directory(&agent);
    let variables = ["A_KEY", "MAYFLY_DEADLINE", "MAYFLY_LISTEN", "MAYFLY_SESSION", "MAYFLY_TOKEN"];
    assert_eq!(lines[..5], variables);
    assert_eq!(lines[5], own.file_name().unwrap().to_str().unwrap(), "only its own directory is visible");
    assert_eq!(lines[6], "run", "the hub's secret is not visible");
    assert_eq!(lines[7], "/proc/1 /proc/2", "bubblewrap's first process and itself");
    assert!(platform.stop(&agent).await.unwrap());
}

#[tokio::test]
async fn readable_paths_that_expose_the_secret_are_refused() {
    let data = tempfile::tempdir().unwrap();
    for readable in [data.path(), data.path().parent().unwrap(), &data.path().join("run")] {
        let command = vec!["/bin/true".to_owned()];
        let platform =
            ProcessPlatform::new(command, PathBuf::from(LAUNCHER), data.path(), &bubblewrap(readable), None);
        let Err(ProcessError::Contain(error)) = platform else { panic!("{}", readable.display()) };
        assert!(
            matches!(&error, ContainError::Exposed { readable: exposed, .. } if exposed == readable),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_agent_with_too_large_a_directory_is_ended() {
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
async fn stop_ends_a_fork_bomb() {
    let data = tempfile::tempdir().unwrap();
    let fifo = Fifo::make(data.path());
    // Each process is orphaned at once and has a session of its own. All loops begin together after the last one has
    // started, because a shell ends if it cannot start a process.
    let script = format!(
        "exec 3>{}; i=0; while [ $i -lt 32 ]; do (while [ ! -e go ]; do :; done; \
         while :; do (/usr/bin/setsid /bin/sleep 0 &); done) & i=$((i+1)); done; \
         : >go; echo up >&3; while :; do wait; done",
        fifo.0.display()
    );
    let platform = platform(data.path(), &script);
    let agent = platform.spawn(spec(1)).await.unwrap();
    let mut reader = fifo.open().await;
    assert_eq!(line(&mut reader).await, "up");
    assert!(platform.stop(&agent).await.unwrap());
    all_gone(reader).await;
}

#[tokio::test]
async fn an_unreadable_directory_is_removed() {
    let data = tempfile::tempdir().unwrap();
    let script = "/bin/mkdir -p a/b; /bin/touch a/b/c; /bin/ln -s /usr a/link; /bin/chmod 0 a/b a";
    let agent = platform(data.path(), script).spawn(spec(1)).await.unwrap();
    agent.gone.cancelled().await;
    assert!(!directory(&agent).exists());
}

#[tokio::test]
async fn an_agent_that_exits_takes_its_tree_with_it() {
    let data = tempfile::tempdir().unwrap();
    let fifo = Fifo::make(data.path());
    let script = format!("exec 3>{}; sleep 1000 & echo up >&3; exit 3", fifo.0.display());
    let platform = platform(data.path(), &script);
    let agent = platform.spawn(spec(1)).await.unwrap();
    let mut reader = fifo.open().await;
    assert_eq!(line(&mut reader).await, "up");
    agent.gone.cancelled().await;
    all_gone(reader).await;
    assert!(!directory(&agent).exists());
    assert!(!platform.stop(&agent).await.unwrap());
}

#[tokio::test]
async fn a_missing_program_is_an_error_and_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    for name in ["/nonexistent/agent", "no-such-agent-anywhere", "/etc/passwd"] {
        let command = vec![name.to_owned()];
        let platform =
            ProcessPlatform::new(command, PathBuf::from(LAUNCHER), data.path(), &uncontained(), None)
                .unwrap();
        let error = platform.spawn(spec(1)).await.unwrap_err();
        assert!(matches!(&error, SpawnError::Command { command, .. } if command == name), "{error}");
        assert!(platform.list().await.unwrap().is_empty());
    }
    let left: Vec<_> =
        std::fs::read_dir(data.path().join("run")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [data.path().join("run/lock")]);
}

#[tokio::test]
async fn a_data_directory_has_one_hub_and_leftovers_are_removed() {
    let data = tempfile::tempdir().unwrap();
    let leftover = data.path().join("run/01234567");
    std::fs::create_dir_all(&leftover).unwrap();
    let first = platform(data.path(), "true");
    assert!(!leftover.exists());
    let command = vec!["/bin/true".to_owned()];
    let second =
        ProcessPlatform::new(command.clone(), PathBuf::from(LAUNCHER), data.path(), &uncontained(), None);
    assert!(matches!(second, Err(ProcessError::RunDir(RunDirError::InUse { .. }))));
    drop(first);
    assert!(
        ProcessPlatform::new(command.clone(), PathBuf::from(LAUNCHER), data.path(), &uncontained(), None)
            .is_ok()
    );
    let deep = data.path().join("x".repeat(100));
    let too_long = ProcessPlatform::new(command, PathBuf::from(LAUNCHER), &deep, &uncontained(), None);
    assert!(matches!(too_long, Err(ProcessError::RunDir(RunDirError::TooLong { .. }))));
}
