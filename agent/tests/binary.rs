//! Tests of the program: help, start errors, shutdown, logs, the shim.

#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::JoinHandle;

use mayfly_protocol::agent::{ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN};
use mayfly_protocol::environment::MODEL_VARIABLES;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SESSION: &str = "s_00000000000000000000000000000001";

fn agent(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly-agent"));
    command.env_clear().envs(variables.iter().copied()).stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_and_version_are_printed() {
    let printed = |arguments: &[&str]| {
        let output = agent(&[]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let help = printed(&["--help"]);
    let wire = [ENV_DEADLINE, ENV_EGRESS, ENV_LISTEN, ENV_OWNER, ENV_SESSION, ENV_TOKEN];
    for name in wire.into_iter().chain(MODEL_VARIABLES).chain(["MEMORY_URL", "MEMORY_TOKEN", "MCP_SERVERS"]) {
        assert!(help.contains(name), "{name}: {help}");
    }
    assert!(printed(&["shim", "--help"]).contains("--port PORT"));
    assert_eq!(printed(&["--version"]), concat!("mayfly-agent ", env!("CARGO_PKG_VERSION"), "\n"));
    let output = agent(&[]).arg("--port").output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(2), "mayfly-agent: unknown argument --port: see mayfly-agent --help\n".to_owned())
    );
}

#[test]
fn a_wrong_environment_exits_with_2() {
    for (variables, said) in [
        (vec![], "mayfly-agent: MAYFLY_LISTEN is not set: it must be unix:PATH with"),
        (
            vec![("MAYFLY_LISTEN", "8080")],
            "mayfly-agent: MAYFLY_TOKEN is not set: it must be 1 to 1024 visible",
        ),
        (
            vec![("MAYFLY_LISTEN", "8080"), ("MAYFLY_TOKEN", "t")],
            "mayfly-agent: MAYFLY_LISTEN is \"8080\": it must be unix:PATH with",
        ),
    ] {
        let output = agent(&variables).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{variables:?}");
        assert!(stderr(&output).starts_with(said), "{}", stderr(&output));
    }
}

#[test]
fn an_unusable_socket_exits_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}/missing/agent.sock", directory.path().display());
    let output = agent(&[("MAYFLY_LISTEN", &listen), ("MAYFLY_TOKEN", "t")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains(&format!("cannot serve at {listen}: No such file")),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_passed_deadline_ends_the_agent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let listen = format!("unix:{}", path.display());
    let variables = [("MAYFLY_LISTEN", listen.as_str()), ("MAYFLY_TOKEN", "t"), ("MAYFLY_DEADLINE", "1")];
    let output = agent(&variables).output().unwrap();
    assert!(output.status.success());
    assert!(stderr(&output).contains("deadline"), "{}", stderr(&output));
    assert!(!path.exists());
}

/// Starts an agent and waits until it listens.
fn start(path: &Path) -> (Child, BufReader<ChildStderr>) {
    let listen = format!("unix:{}", path.display());
    let variables = [("MAYFLY_LISTEN", listen.as_str()), ("MAYFLY_TOKEN", "t"), ("MAYFLY_SESSION", SESSION)];
    let mut child = agent(&variables).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "{line}");
    }
    (child, log)
}

#[test]
fn sigterm_ends_the_turn_and_the_agent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let (mut child, mut log) = start(&path);

    let body =
        format!(r#"{{"sessionId":"{SESSION}","turn":"t1","message":"Tell me a long story, Xanthippe"}}"#);
    let mut stream = UnixStream::connect(&path).unwrap();
    write!(
        stream,
        "POST /chat HTTP/1.1\r\nhost: agent\r\nauthorization: Bearer t\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("text-delta") {
        line.clear();
        assert_ne!(answer.read_line(&mut line).unwrap(), 0, "the stream ended");
    }

    terminate(&child);
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("data: {\"type\":\"abort\"}") && rest.contains("data: [DONE]"), "{rest}");
    assert!(child.wait().unwrap().success());
    assert!(!path.exists());

    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
    assert!(said.contains("sigterm") && said.contains("turn ended"), "{said}");
    assert!(!said.contains("Xanthippe") && !said.contains("river"), "the log has no messages: {said}");
}

/// Starts a server that refuses every request and repeats the credentials in it. Returns its URL.
fn refusing_server() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 16 * 1024];
            let read = stream.read(&mut asked).unwrap();
            let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
            let secrets: Vec<_> =
                asked.split([' ', '\r', '"']).filter(|word| word.starts_with("sk-")).collect();
            let body = format!(r#"{{"error":{{"message":"no {}"}}}}"#, secrets.join(" "));
            let head = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\nconnection: close";
            write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    url
}

fn ask(path: &Path, request: &str, body: &str) -> String {
    let mut hub = UnixStream::connect(path).unwrap();
    write!(
        hub,
        "{request} HTTP/1.1\r\nhost: agent\r\nauthorization: Bearer sk-0\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    hub.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn credentials_are_in_no_log_and_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let url = refusing_server();
    let servers = format!(
        r#"{{"mcpServers": {{"web": {{"url": "{url}/mcp?key=sk-1", "headers": {{"Authorization": "Bearer sk-2"}}}},
        "program": {{"command": "/bin/sh", "args": ["-c", "echo $KEY >&2; exec cat", "sk-3"], "env": {{"KEY": "value"}}}}}}}}"#
    );
    let mut child = agent(&[
        ("RUST_LOG", "trace"),
        ("MAYFLY_LISTEN", &format!("unix:{}", path.display())),
        ("MAYFLY_TOKEN", "sk-0"),
        ("MAYFLY_SESSION", SESSION),
        ("MODEL", "openai:m"),
        ("OPENAI_API_KEY", "sk-4"),
        ("OPENAI_BASE_URL", &url),
        ("MEMORY_URL", &url),
        ("MEMORY_TOKEN", "sk-5"),
        ("MCP_SERVERS", &servers),
    ]);
    let mut child = child.spawn().unwrap();
    let log = wait_until_listening(child.stderr.take().unwrap());
    let message = format!(r#"{{"sessionId":"{SESSION}","turn":"t1","message":"Hello"}}"#);
    let answers = [
        ask(&path, "POST /chat", &message),
        ask(&path, "GET /health", ""),
        ask(&path, "GET /history", ""),
        ask(&path, "GET /turns/t1/events", ""),
    ]
    .concat();
    terminate(&child);
    child.wait().unwrap();
    let log = log.join().unwrap();
    assert!(answers.contains("model.auth") && answers.contains("OPENAI_API_KEY"), "{answers}");
    assert!(answers.contains("it requires other credentials"), "{answers}");
    assert!(answers.contains("memory.failed"), "{answers}");
    assert!(log.contains("TRACE"), "the log has every level");
    for told in [answers, log] {
        let told: Vec<_> = told.lines().filter(|line| line.contains("sk-")).collect();
        assert_eq!(told, [""; 0]);
    }
}

/// Sends SIGTERM.
fn terminate(child: &Child) {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
}

/// Reads a log until an agent listens, then in a thread to its end. The thread returns the whole log.
fn wait_until_listening(stderr: ChildStderr) -> JoinHandle<String> {
    let mut stderr = BufReader::new(stderr);
    let mut log = String::new();
    while !log.contains("agent listening") {
        assert_ne!(stderr.read_line(&mut log).unwrap(), 0, "{log}");
    }
    std::thread::spawn(move || {
        stderr.read_to_string(&mut log).unwrap();
        log
    })
}

#[test]
fn the_shim_serves_an_agent_that_speaks_tcp() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let listen = format!("unix:{}", path.display());
    let variables =
        [("MAYFLY_LISTEN", listen.as_str()), ("MAYFLY_TOKEN", "sk-0"), ("MAYFLY_SESSION", SESSION)];
    // The shim gives the agent a TCP address in MAYFLY_LISTEN.
    let mut shim = agent(&variables);
    let mut shim = shim.args(["shim", "--", env!("CARGO_BIN_EXE_mayfly-agent")]).spawn().unwrap();
    let log = wait_until_listening(shim.stderr.take().unwrap());
    assert!(ask(&path, "GET /health", "").starts_with("HTTP/1.1 200 OK\r\n"));
    terminate(&shim);
    assert!(shim.wait().unwrap().success(), "the exit code is the agent's");
    log.join().unwrap();
}

#[test]
fn the_shim_gives_the_agent_the_egress_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let (path, egress) = (directory.path().join("agent.sock"), directory.path().join("egress.sock"));
    let hub = std::os::unix::net::UnixListener::bind(&egress).unwrap();
    let (listen, way_out) = (format!("unix:{}", path.display()), format!("unix:{}", egress.display()));
    let script = "echo $HTTPS_PROXY $no_proxy; read line; exit 7";
    let mut shim = agent(&[("MAYFLY_LISTEN", &listen), ("MAYFLY_EGRESS", &way_out)]);
    let shim =
        shim.args(["shim", "--", "/bin/sh", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shim = shim.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(shim.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (proxy, local) = line.trim().split_once(' ').unwrap();
    assert_eq!(local, "127.0.0.1,localhost,::1");
    let mut agent = std::net::TcpStream::connect(proxy.strip_prefix("http://").unwrap()).unwrap();
    agent.write_all(b"CONNECT x:1").unwrap();
    agent.shutdown(std::net::Shutdown::Write).unwrap();
    let mut asked = String::new();
    let (mut hub, _) = hub.accept().unwrap();
    hub.read_to_string(&mut asked).unwrap();
    hub.write_all(b"no").unwrap();
    drop(hub);
    let mut answered = String::new();
    agent.read_to_string(&mut answered).unwrap();
    assert_eq!((asked.as_str(), answered.as_str()), ("CONNECT x:1", "no"));
    drop(shim.stdin.take());
    assert_eq!(shim.wait().unwrap().code(), Some(7), "the exit code is the agent's");
}
