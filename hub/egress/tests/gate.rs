//! The egress proxy with real sockets: what passes, what does not, and that it ends with its gate.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use mayfly_egress::limits::CONNECTIONS_PER_AGENT;
use mayfly_egress::{Egress, Gate, SOCKET};
use mayfly_protocol::ids::Incarnation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// An agent's directory with a way out to these hosts.
struct Fixture {
    _gate: Gate,
    _egress: Arc<Egress>,
    run: tempfile::TempDir,
}

fn open(rules: &str) -> Fixture {
    let run = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory(run.path())).unwrap();
    let rules = rules.split(',').map(|rule| rule.parse().unwrap()).collect();
    let egress = Egress::new(rules).unwrap();
    let gate = egress.open(&directory(run.path()), Incarnation::from_u128(1), None).unwrap();
    Fixture { _gate: gate, _egress: egress, run }
}

fn directory(run: &Path) -> std::path::PathBuf {
    run.join("00000000")
}

impl Fixture {
    async fn connect(&self) -> UnixStream {
        UnixStream::connect(directory(self.run.path()).join(SOCKET)).await.unwrap()
    }

    /// Sends a request's head, and returns the connection with the answer's head.
    async fn ask(&self, head: &str) -> (UnixStream, String) {
        let mut stream = self.connect().await;
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
        let answer = read_head(&mut stream).await;
        (stream, answer)
    }
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn rest(stream: &mut UnixStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    rest
}

async fn host() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

#[tokio::test]
async fn a_tunnel_leads_to_an_address_that_is_listed_also_with_what_came_too_early() {
    let (listener, address) = host().await;
    let egress = open(&address);
    let mut agent = egress.connect().await;
    let early = format!("CONNECT {address} HTTP/1.1\r\nhost: {address}\r\n\r\nearly");
    agent.write_all(early.as_bytes()).await.unwrap();
    let mut host = accept(&listener).await;
    assert!(read_head(&mut agent).await.starts_with("HTTP/1.1 200 OK\r\n"));
    let mut got = [0; 5];
    host.read_exact(&mut got).await.unwrap();
    host.write_all(b"late").await.unwrap();
    drop(host);
    assert_eq!((&got, rest(&mut agent).await.as_str()), (b"early", "late"));
}

#[tokio::test]
async fn what_is_not_listed_is_refused_and_nobody_is_asked() {
    let (listener, address) = host().await;
    let port = listener.local_addr().unwrap().port();
    // A name that leads to an address which is not public, too.
    let egress = open(&format!("api.example.org:443,localhost:{port}"));
    for (host, why) in [
        (address, "it is not among the hosts that --egress-allow names"),
        ("api.example.org:80".to_owned(), "it is not among"),
        ("169.254.169.254:80".to_owned(), "it is not among"),
        (format!("localhost:{port}"), "its addresses are not public"),
        (format!("LOCALHOST.:{port}"), "its addresses are not public"),
    ] {
        let (mut agent, head) = egress.ask(&format!("CONNECT {host} HTTP/1.1\r\nconnection: close")).await;
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{host}: {head}");
        let told = rest(&mut agent).await;
        assert!(told.starts_with(why), "{host}: {told}");
    }
    let nobody = futures::FutureExt::now_or_never(listener.accept());
    assert!(nobody.is_none());
}

#[tokio::test]
async fn a_request_for_an_http_address_is_passed_on() {
    let (listener, address) = host().await;
    let egress = open(&address);
    let asked = tokio::spawn(async move {
        let mut host = accept(&listener).await;
        let head = read_head(&mut host).await;
        host.write_all(b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nhi")
            .await
            .unwrap();
        head
    });
    let request =
        format!("GET http://{address}/now?a=b HTTP/1.1\r\nhost: other.example\r\nproxy-connection: close");
    let (mut agent, head) = egress.ask(&format!("{request}\r\nconnection: close")).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("keep-alive: timeout"), "{head}");
    assert_eq!(rest(&mut agent).await, "hi");
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("GET /now?a=b HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: {address}\r\n")) && !asked.contains("proxy-"), "{asked}");
}

#[tokio::test]
async fn what_is_no_request_for_a_proxy_is_told() {
    let egress = open("api.example.org:443");
    for head in [
        "GET / HTTP/1.1\r\nhost: x",
        "GET https://api.example.org/ HTTP/1.1",
        "CONNECT api.example.org HTTP/1.1",
    ] {
        let (_, answer) = egress.ask(head).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}: {answer}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told() {
    let (listener, address) = host().await;
    drop(listener);
    let egress = open(&address);
    let (_, head) = egress.ask(&format!("CONNECT {address} HTTP/1.1")).await;
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head}");
}

#[tokio::test]
async fn a_closed_gate_takes_its_tunnels_along() {
    let (listener, address) = host().await;
    let egress = open(&address);
    let (mut agent, _) = egress.ask(&format!("CONNECT {address} HTTP/1.1")).await;
    let mut host = accept(&listener).await;
    let socket = directory(egress.run.path()).join(SOCKET);
    let Fixture { _gate, run: _run, .. } = egress;
    drop(_gate);
    assert_eq!((rest(&mut agent).await.as_str(), host.read(&mut [0; 1]).await.unwrap()), ("", 0));
    let error = UnixStream::connect(socket).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn one_connection_too_many_waits_for_its_turn() {
    let (listener, address) = host().await;
    let egress = open(&address);
    let request = format!("CONNECT {address} HTTP/1.1\r\n\r\n");
    let mut tunnels = Vec::new();
    for _ in 0..CONNECTIONS_PER_AGENT {
        let (agent, head) = egress.ask(request.trim_end()).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        tunnels.push((agent, accept(&listener).await));
    }
    let mut waiting = egress.connect().await;
    waiting.write_all(request.as_bytes()).await.unwrap();
    // Those that are open go on meanwhile.
    let (mut agent, mut host) = tunnels.pop().unwrap();
    agent.write_all(b"x").await.unwrap();
    assert_eq!(host.read_u8().await.unwrap(), b'x');
    assert_eq!(waiting.try_read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop((agent, host));
    assert!(read_head(&mut waiting).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_socket_takes_the_place_of_what_the_agent_put_there() {
    let (_listener, address) = host().await;
    let egress = open(&address);
    let directory = directory(egress.run.path());
    let elsewhere = egress.run.path().join("elsewhere");
    std::fs::write(&elsewhere, "as it was").unwrap();
    std::fs::remove_file(directory.join(SOCKET)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, directory.join(SOCKET)).unwrap();
    let _again = egress._egress.open(&directory, Incarnation::from_u128(1), None).unwrap();
    let (_, head) = egress.ask("CONNECT x.example:1 HTTP/1.1").await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "as it was");
}
