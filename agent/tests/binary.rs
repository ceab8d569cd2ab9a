//! The binary: what it says when it cannot start, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

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
fn it_says_what_it_is_when_asked() {
    let output = agent(&[]).arg("--help").output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("MAYFLY_LISTEN"));
    let output = agent(&[]).arg("--port").output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(2), "mayfly-agent: unknown argument --port: see mayfly-agent --help\n".to_owned())
    );
}

#[test]
fn a_bad_environment_is_told_with_exit_code_2() {
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
fn a_socket_that_cannot_be_made_is_told_with_exit_code_1() {
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
fn a_deadline_that_has_passed_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let listen = format!("unix:{}", path.display());
    let variables = [("MAYFLY_LISTEN", listen.as_str()), ("MAYFLY_TOKEN", "t"), ("MAYFLY_DEADLINE", "1")];
    let output = agent(&variables).output().unwrap();
    assert!(output.status.success());
    assert!(stderr(&output).contains("deadline"), "{}", stderr(&output));
    assert!(!path.exists());
}

/// Waits until it listens.
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
fn sigterm_ends_the_turn_and_then_the_agent() {
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

    let told = Instant::now();
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("data: {\"type\":\"abort\"}") && rest.contains("data: [DONE]"), "{rest}");
    assert!(child.wait().unwrap().success());
    assert!(told.elapsed() < Duration::from_secs(10));
    assert!(!path.exists());

    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
    assert!(said.contains("sigterm") && said.contains("turn ends"), "{said}");
    assert!(!said.contains("Xanthippe") && !said.contains("river"), "what people say is not logged: {said}");
}

/// Whatever is asked of it, it refuses, and repeats the credentials.
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
fn no_credential_is_in_a_log_or_an_answer_whatever_is_logged() {
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
    let mut child =
        child.stderr(std::fs::File::create(directory.path().join("log")).unwrap()).spawn().unwrap();
    while UnixStream::connect(&path).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
    let message = format!(r#"{{"sessionId":"{SESSION}","turn":"t1","message":"Hello"}}"#);
    let answers = [
        ask(&path, "POST /chat", &message),
        ask(&path, "GET /health", ""),
        ask(&path, "GET /history", ""),
        ask(&path, "GET /turns/t1/events", ""),
    ]
    .concat();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    child.wait().unwrap();
    assert!(answers.contains("model.auth") && answers.contains("OPENAI_API_KEY"), "{answers}");
    assert!(answers.contains("it wants other credentials"), "{answers}");
    assert!(answers.contains("memory.failed"), "{answers}");
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(log.contains("TRACE"), "all is logged");
    for told in [answers, log] {
        let told: Vec<_> = told.lines().filter(|line| line.contains("sk-")).collect();
        assert_eq!(told, [""; 0]);
    }
}

/// Waits until it is answered: the agent behind the shim may not be there yet.
fn health(path: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = UnixStream::connect(path).and_then(|mut hub| {
            hub.write_all(b"GET /health HTTP/1.1\r\nhost: agent\r\nauthorization: Bearer t\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            hub.read_to_string(&mut answer)?;
            Ok(answer)
        });
        match answer {
            Ok(answer) if !answer.is_empty() => return answer,
            _ => assert!(Instant::now() < deadline, "no answer"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn behind_the_shim_an_agent_that_only_speaks_tcp_is_the_hubs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let listen = format!("unix:{}", path.display());
    let variables = [("MAYFLY_LISTEN", listen.as_str()), ("MAYFLY_TOKEN", "t"), ("MAYFLY_SESSION", SESSION)];
    // It is told a TCP address, and is the agent that ships.
    let mut shim = agent(&variables);
    let mut shim = shim.args(["shim", "--", env!("CARGO_BIN_EXE_mayfly-agent")]).spawn().unwrap();
    assert!(health(&path).starts_with("HTTP/1.1 200 OK\r\n"));
    let pid = nix::unistd::Pid::from_raw(shim.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(shim.wait().unwrap().success(), "as its agent ends");
}

#[test]
fn the_shim_gives_its_agent_a_proxy_that_is_the_hubs() {
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
    assert_eq!(shim.wait().unwrap().code(), Some(7), "as its agent ends");
}
