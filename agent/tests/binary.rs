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
    assert!(stderr(&output).contains("Deadline"), "{}", stderr(&output));
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
    assert!(said.contains("SIGTERM") && said.contains("turn ends"), "{said}");
    assert!(!said.contains("Xanthippe") && !said.contains("river"), "what people say is not logged: {said}");
}
