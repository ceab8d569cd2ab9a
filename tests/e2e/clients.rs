//! Misbehaving clients. Each gets a code, its place becomes free, and its neighbour is not affected.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::future::{join_all, try_join_all};
use mayfly::limits::ACCEPT_RETRY_INTERVAL;
use mayfly_tests::address::Address;
use mayfly_tests::harness::{Client, FRAME_TIMEOUT, Hub};
use mayfly_tests::socket::{BINARY, CONTINUATION, FINAL, PING, TEXT, frame};
use mayfly_tests::{agent, process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{agents, ask, authority, connect, eventually, no_agent_is_left, until};

/// Descriptors of a hub that runs into its limit.
const DESCRIPTORS: u32 = 1_024;

/// A hub with two places, one of which has a conversation.
struct Scene {
    hub: Hub,
    neighbour: Client,
}

impl Scene {
    async fn open() -> Result<Self> {
        let hub = Hub::start(&["--max-sessions", "2"])?;
        let mut neighbour = connect(&hub).await?;
        ask(&mut neighbour, "Hello").await?;
        Ok(Self { hub, neighbour })
    }

    async fn client(&self) -> Result<Client> {
        let mut client = connect(&self.hub).await?;
        until(&mut client, "session.ready").await?;
        Ok(client)
    }

    /// Checks how the client is closed, that its place is free, and that the neighbour continues.
    async fn closes(mut self, client: Client, code: u16, reason: &str) -> Result<Vec<Value>> {
        let (frames, closed, why) = client.until_closed().await?;
        assert_eq!((closed, why.as_str()), (code, reason), "{frames:?}");
        self.goes_on().await?;
        Ok(frames)
    }

    async fn goes_on(&mut self) -> Result<()> {
        assert_eq!(ask(&mut self.neighbour, "Hello again").await?.last().unwrap()["reason"], "complete");
        one_agent_is_left(&self.hub).await?;
        let mut next = self.client().await?;
        assert_eq!(ask(&mut next, "Hello").await?.last().unwrap()["reason"], "complete");
        assert!(!self.hub.log().contains("panicked"), "{}", self.hub.log());
        Ok(())
    }
}

async fn one_agent_is_left(hub: &Hub) -> Result<()> {
    timeout(FRAME_TIMEOUT, async {
        while agents(hub)?.len() > 1 {
            tokio::task::yield_now().await;
        }
        Ok(())
    })
    .await
    .context("an agent is left")?
}

#[tokio::test]
async fn text_that_is_not_utf_8_closes_with_1007() -> Result<()> {
    let scene = Scene::open().await?;
    let mut client = scene.client().await?;
    client.send_raw(&frame(FINAL | TEXT, b"\xff\xfe")).await?;
    scene.closes(client, 1007, "proto.invalid").await?;
    Ok(())
}

#[tokio::test]
async fn what_breaks_the_websocket_protocol_closes_with_1002() -> Result<()> {
    let scene = Scene::open().await?;
    let mut client = scene.client().await?;
    client.send_raw(&frame(FINAL | CONTINUATION, b"of nothing")).await?;
    scene.closes(client, 1002, "proto.invalid").await?;
    Ok(())
}

#[tokio::test]
async fn a_message_in_ten_thousand_fragments_is_one_message() -> Result<()> {
    let scene = Scene::open().await?;
    let mut client = scene.client().await?;
    let mut fragments = frame(TEXT, b"x");
    for _ in 0..9_998 {
        fragments.extend(frame(CONTINUATION, b"x"));
    }
    fragments.extend(frame(FINAL | CONTINUATION, b"x"));
    client.send_raw(&fragments).await?;
    let accepted = until(&mut client, "turn.accepted").await?.pop().unwrap();
    assert_eq!(accepted["text"], "x".repeat(10_000));
    Ok(())
}

#[tokio::test]
async fn fragments_without_end_are_cut_off() -> Result<()> {
    let scene = Scene::open().await?;
    let mut client = scene.client().await?;
    client.send_raw(&frame(TEXT, b"")).await?;
    let fragments = frame(CONTINUATION, b"").repeat(10_000);
    // The hub stops reading, so that sooner or later nothing can be sent any more.
    while client.send_raw(&fragments).await.is_ok() {}
    let mut scene = scene;
    scene.goes_on().await
}

#[tokio::test]
async fn too_many_frames_that_make_no_sense_close_with_4505() -> Result<()> {
    for (opcode, code) in [(BINARY, "proto.invalid"), (TEXT, "proto.bad_json")] {
        let scene = Scene::open().await?;
        let mut client = scene.client().await?;
        client.send_raw(&frame(FINAL | opcode, b"{").repeat(50)).await?;
        let frames = scene.closes(client, 4505, code).await?;
        let errors: Vec<_> = frames.iter().filter(|frame| frame["type"] == "error").collect();
        assert!(errors.iter().all(|error| error["code"] == code), "{errors:?}");
        assert!((10..50).contains(&errors.len()), "{}", errors.len());
    }
    Ok(())
}

#[tokio::test]
async fn floods_close_with_4005_and_say_when_to_come_back() -> Result<()> {
    for flood in [frame(FINAL | PING, b""), frame(FINAL | TEXT, b"/status"), frame(FINAL | TEXT, b"hello")] {
        let scene = Scene::open().await?;
        let mut client = scene.client().await?;
        client.send_raw(&flood.repeat(1_000)).await?;
        let frames = scene.closes(client, 4005, "quota.rate").await?;
        let error = frames.last().unwrap();
        assert_eq!((&error["code"], &error["retryable"]), (&json!("quota.rate"), &json!(true)));
        assert!(error["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0));
    }
    Ok(())
}

#[tokio::test]
async fn compression_is_never_negotiated() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut stream = TcpStream::connect(authority(&hub)).await?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        authority(&hub)
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut head).await? > 0, "no answer");
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
    Ok(())
}

#[tokio::test]
async fn queued_messages_are_bounded() -> Result<()> {
    let hub = Hub::start(&["--agent-command", "sleep 1000"])?;
    let mut client = connect(&hub).await?;
    for _ in 0..9 {
        client.say("Hello").await?;
    }
    let frames = until(&mut client, "error").await?;
    assert_eq!(frames.last().unwrap()["code"], "quota.queue");
    assert_eq!(frames.iter().filter(|frame| frame["type"] == "turn.accepted").count(), 8);
    client.close().await?;
    no_agent_is_left(&hub).await
}

async fn simulated_agent() -> Result<String> {
    let listener = Address::Tcp("127.0.0.1:0".parse()?).bind().await?;
    let address = format!("http://{}", listener.address()?);
    tokio::spawn(agent::serve(vec![listener], None));
    Ok(address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_reader_gets_every_frame() -> Result<()> {
    let agent = simulated_agent().await?;
    let hub = Hub::start(&["--platform", "static", "--static-agents", &agent])?;
    let mut neighbour = connect(&hub).await?;
    for _ in 0..20 {
        let mut late = Client::narrow(&hub).await?;
        late.say("tokens=1200 rate=0").await?;
        ask(&mut neighbour, "tokens=2000 rate=0").await?;
        let frames = late.until_turn_done().await?;
        assert_eq!(frames.last().unwrap()["reason"], "complete");
        assert_eq!(frames.iter().filter(|frame| frame["type"] == "text-delta").count(), 1200);
    }
    Ok(())
}

/// The receive window of the client is full, so that the hub cannot send the reason either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_closed_and_slows_no_other() -> Result<()> {
    let agent = simulated_agent().await?;
    let hub = Hub::start(&["--platform", "static", "--static-agents", &agent, "--max-sessions", "2"])?;
    let mut neighbour = connect(&hub).await?;
    ask(&mut neighbour, "tokens=10 rate=0").await?;
    let before = hub.usage().allocated_bytes()?;

    let mut stalled = Client::narrow(&hub).await?;
    stalled.say("tokens=1000000 rate=0").await?;
    // One place is the neighbour's: the other is free again once the stalled client was given up.
    loop {
        let frames = ask(&mut neighbour, "tokens=1000 rate=0").await?;
        assert_eq!(frames.last().unwrap()["reason"], "complete");
        let mut third = connect(&hub).await?;
        if third.next_frame().await?["type"] == "session.ready" {
            break;
        }
    }
    let grown = hub.usage().allocated_bytes()?.saturating_sub(before);
    assert!(grown < 4 * 1024 * 1024, "{grown} bytes more");
    drop(stalled);
    Ok(())
}

const HOLDERS: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_a_request_are_closed_and_block_no_client() -> Result<()> {
    // The hub has fewer descriptors than clients connect, so it serves a request only if it closes idle ones.
    let hub = Hub::start_with_descriptors(1_000, &["--max-sessions", "1"])?;
    let hold = async |sent: &'static str| {
        let mut stream = TcpStream::connect(authority(&hub)).await?;
        stream.write_all(sent.as_bytes()).await?;
        anyhow::Ok(stream)
    };
    let mut held = try_join_all((0..HOLDERS).map(|_| hold("GET /ws HTTP/1.1\r\nHost: "))).await?;
    held.extend(try_join_all((0..HOLDERS).map(|_| hold(""))).await?);
    let mut client = connect(&hub).await?;
    assert_eq!(ask(&mut client, "Hello").await?.last().unwrap()["reason"], "complete");
    let ends = held.iter_mut().map(|stream| timeout(FRAME_TIMEOUT, stream.read_u8()));
    let ends = join_all(ends).await;
    assert!(ends.iter().all(|end| matches!(end, Ok(Err(_)))), "a connection is left open");
    assert_eq!(ask(&mut client, "Hello again").await?.last().unwrap()["reason"], "complete");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_connects_at_once_are_all_answered() -> Result<()> {
    process::raise_descriptor_limit()?;
    let hub = Hub::start(&["--max-sessions", "5", "--parallel-spawns", "1"])?;
    let comers = (0..5_000).map(|_| {
        let url = hub.ws_url.clone();
        tokio::spawn(async move {
            let mut client = Client::connect(&url).await?;
            let frame = client.next_frame().await?;
            if frame["type"] == "session.ready" {
                return anyhow::Ok(Some(client));
            }
            assert_eq!(frame["code"], "quota.sessions");
            assert!(frame["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{frame}");
            let (_, code, _) = client.until_closed().await?;
            assert_eq!(code, 4004);
            Ok(None)
        })
    });
    let answers = try_join_all(comers).await?.into_iter().collect::<Result<Vec<_>>>()?;
    let ready: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(ready.len(), 5);
    assert!(agents(&hub)?.len() <= 5);
    for mut client in ready {
        assert_eq!(ask(&mut client, "Hello").await?.last().unwrap()["reason"], "complete");
    }
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn a_hub_without_descriptors_logs_it_and_recovers() -> Result<()> {
    let accept_failures = |hub: &Hub| hub.log().matches("accept failed").count();
    let hub = Hub::start_with_descriptors(DESCRIPTORS, &[])?;
    let mut first = connect(&hub).await?;
    assert_eq!(ask(&mut first, "Hello").await?.last().unwrap()["reason"], "complete");
    // From now on the hub can open nothing, however many descriptors it has free.
    let begin = Instant::now();
    hub.limit_descriptors(1)?;
    let stream = TcpStream::connect(authority(&hub)).await?;
    let url = hub.ws_url.clone();
    let waiting = tokio::spawn(async move { Client::upgrade(stream, &url).await });
    eventually(|| Ok((accept_failures(&hub) >= 10).then_some(()))).await?;
    // A slow machine only makes this longer.
    assert!(begin.elapsed() >= ACCEPT_RETRY_INTERVAL * 9, "the hub retries without a pause");
    let done = ask(&mut first, "Hello").await?.pop().unwrap();
    assert!(done["reason"] == "complete" || done["error"]["code"] == "agent.unreachable", "{done}");
    hub.limit_descriptors(DESCRIPTORS)?;
    assert_eq!(ask(&mut first, "Hello").await?.last().unwrap()["reason"], "complete");
    assert_eq!(ask(&mut waiting.await??, "Hello").await?.last().unwrap()["reason"], "complete");
    Ok(())
}
