//! The egress proxy with real sockets and a small policy.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use mayfly_egress::limits::CONNECTIONS_PER_AGENT;
use mayfly_egress::{Denial, Egress, ExitPolicy, Gate, Host, SOCKET, Target};
use mayfly_protocol::ids::Incarnation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// Allows one target, and of a name only these addresses; records the questions.
#[derive(Default)]
struct OneTarget {
    target: String,
    addresses: Vec<IpAddr>,
    budget: Option<u64>,
    questions: Mutex<Vec<String>>,
}

impl OneTarget {
    fn record(&self, question: String) {
        self.questions.lock().unwrap().push(question);
    }
}

impl ExitPolicy for OneTarget {
    fn check_target(&self, agent: Incarnation, target: &Target) -> Result<(), Denial> {
        self.record(format!("{} {target}", agent.short()));
        if target.to_string() == self.target {
            Ok(())
        } else {
            Err(Denial::new("test.target", "not this host"))
        }
    }

    fn check_address(&self, _: Incarnation, target: &Target, address: IpAddr) -> Result<(), Denial> {
        self.record(address.to_string());
        let is_allowed = matches!(target.host, Host::Address(_)) || self.addresses.contains(&address);
        if is_allowed { Ok(()) } else { Err(Denial::new("test.address", "not this address")) }
    }

    fn check_bytes(&self, _: Incarnation, moved: u64, more: u64) -> Result<(), Denial> {
        let is_over = self.budget.is_some_and(|budget| moved + more > budget);
        if is_over { Err(Denial::new("test.bytes", "no more bytes")) } else { Ok(()) }
    }

    fn logs_refusal(&self, _: Incarnation, _: u64) -> bool {
        false
    }
}

/// An agent's directory with a gate.
struct Fixture {
    gate: Gate,
    egress: Arc<Egress>,
    policy: Arc<OneTarget>,
    run: tempfile::TempDir,
}

/// Opens a gate that leads to one target.
fn open(target: &str) -> Fixture {
    open_with(OneTarget { target: target.to_owned(), ..OneTarget::default() })
}

fn open_with(policy: OneTarget) -> Fixture {
    let run = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory(run.path())).unwrap();
    let policy = Arc::new(policy);
    let egress = Egress::new(Arc::clone(&policy) as _);
    let gate = egress.open(&directory(run.path()), Incarnation::from_u128(1), None).unwrap();
    Fixture { gate, egress, policy, run }
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
async fn a_tunnel_carries_bytes_that_came_before_its_answer() {
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
async fn a_denied_target_is_refused_before_it_is_resolved() {
    let (listener, address) = host().await;
    let egress = open("api.example.org:443");
    for host in [address.as_str(), "api.example.org:80", "other.example:443"] {
        let (mut agent, head) = egress.ask(&format!("CONNECT {host} HTTP/1.1\r\nconnection: close")).await;
        assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{host}: {head}");
        assert_eq!(rest(&mut agent).await, "not this host\n", "{host}");
    }
    let questions = egress.policy.questions.lock().unwrap().clone();
    let agent = Incarnation::from_u128(1).short();
    let expected = [address.as_str(), "api.example.org:80", "other.example:443"];
    assert_eq!(questions, expected.map(|host| format!("{agent} {host}")), "no address was asked for");
    assert!(futures::FutureExt::now_or_never(listener.accept()).is_none());
}

#[tokio::test]
async fn a_name_leads_only_to_accepted_addresses() {
    let (listener, address) = host().await;
    let port = listener.local_addr().unwrap().port();
    let request = format!("CONNECT LOCALHOST.:{port} HTTP/1.1\r\nconnection: close");
    let denied = open(&format!("localhost:{port}"));
    let (mut agent, head) = denied.ask(&request).await;
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
    assert_eq!(rest(&mut agent).await, "not this address\n");
    assert!(futures::FutureExt::now_or_never(listener.accept()).is_none());

    let addresses = vec![IpAddr::from([127, 0, 0, 1])];
    let accepted =
        open_with(OneTarget { target: format!("localhost:{port}"), addresses, ..OneTarget::default() });
    let (_agent, head) = accepted.ask(&request).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(accept(&listener).await.local_addr().unwrap().to_string(), address);
}

#[tokio::test]
async fn an_agent_without_bytes_left_opens_no_connection() {
    let (listener, address) = host().await;
    let policy = OneTarget { target: address.clone(), budget: Some(3), ..OneTarget::default() };
    let egress = open_with(policy);
    let request = format!("CONNECT {address} HTTP/1.1");
    let (mut agent, _) = egress.ask(&request).await;
    let mut host = accept(&listener).await;
    agent.write_all(b"four").await.unwrap();
    let mut passed = Vec::new();
    host.read_to_end(&mut passed).await.unwrap();
    assert!(passed.is_empty(), "the denied piece does not pass");
    let (mut agent, head) = egress.ask(&format!("{request}\r\nconnection: close")).await;
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
    assert_eq!(rest(&mut agent).await, "no more bytes\n");
}

#[tokio::test]
async fn a_request_for_an_http_url_is_forwarded() {
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
async fn a_request_that_is_not_for_a_proxy_is_malformed() {
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
async fn an_unreachable_host_is_a_bad_gateway() {
    let (listener, address) = host().await;
    drop(listener);
    let egress = open(&address);
    let (_, head) = egress.ask(&format!("CONNECT {address} HTTP/1.1")).await;
    assert!(head.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{head}");
}

#[tokio::test]
async fn a_dropped_gate_closes_its_tunnels() {
    let (listener, address) = host().await;
    let egress = open(&address);
    let (mut agent, _) = egress.ask(&format!("CONNECT {address} HTTP/1.1")).await;
    let mut host = accept(&listener).await;
    let socket = directory(egress.run.path()).join(SOCKET);
    let Fixture { gate, run: _run, .. } = egress;
    drop(gate);
    assert_eq!((rest(&mut agent).await.as_str(), host.read(&mut [0; 1]).await.unwrap()), ("", 0));
    let error = UnixStream::connect(socket).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits() {
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
    // Open tunnels continue meanwhile.
    let (mut agent, mut host) = tunnels.pop().unwrap();
    agent.write_all(b"x").await.unwrap();
    assert_eq!(host.read_u8().await.unwrap(), b'x');
    assert_eq!(waiting.try_read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop((agent, host));
    assert!(read_head(&mut waiting).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_socket_replaces_a_file_of_the_agent() {
    let (_listener, address) = host().await;
    let egress = open(&address);
    let directory = directory(egress.run.path());
    let elsewhere = egress.run.path().join("elsewhere");
    std::fs::write(&elsewhere, "as it was").unwrap();
    std::fs::remove_file(directory.join(SOCKET)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, directory.join(SOCKET)).unwrap();
    let _again = egress.egress.open(&directory, Incarnation::from_u128(1), None).unwrap();
    let (_, head) = egress.ask("CONNECT x.example:1 HTTP/1.1").await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "as it was");
}
