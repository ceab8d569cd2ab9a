//! The lifetime of a session over real sockets: resume, access, deadlines. The tests of the core check the exact times.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mayfly_tests::harness::{Client, FRAME_TIMEOUT, Hub, text_of};
use mayfly_tests::scripted::{HEALTHY, ScriptedAgent, Turn};
use mayfly_transcript::{Fold, Transcript};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{agents, authority, connect, in_mid_answer, no_agent_is_left, until};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// Returns the events of a turn with reasoning, two tools, and text before and after.
fn answer() -> Vec<String> {
    let mut chunks = vec![
        json!({"type": "start"}),
        json!({"type": "start-step"}),
        json!({"type": "reasoning-start", "id": "r"}),
        json!({"type": "reasoning-delta", "id": "r", "delta": "Two cities \u{1f914}"}),
        json!({"type": "reasoning-end", "id": "r"}),
        json!({"type": "text-start", "id": "a"}),
        json!({"type": "text-delta", "id": "a", "delta": "Let me "}),
        json!({"type": "text-delta", "id": "a", "delta": "see.\n\"quoted\" \\ \u{e9}\u{1f642}"}),
        json!({"type": "text-end", "id": "a"}),
    ];
    for call in ["c1", "c2"] {
        chunks.extend([
            json!({"type": "tool-input-start", "toolCallId": call, "toolName": "weather"}),
            json!({"type": "tool-input-delta", "toolCallId": call, "inputTextDelta": "{\"city\":"}),
            json!({"type": "tool-input-delta", "toolCallId": call, "inputTextDelta": "\"Oslo\"}"}),
            json!({"type": "tool-input-available", "toolCallId": call, "toolName": "weather", "input": {"city": "Oslo"}}),
            json!({"type": "tool-output-available", "toolCallId": call, "output": {"celsius": 7}}),
        ]);
    }
    chunks.extend([json!({"type": "finish-step"}), json!({"type": "start-step"})]);
    chunks.push(json!({"type": "text-start", "id": "b"}));
    chunks.extend(
        ["It ", "is ", "mild ", "in ", "both."]
            .map(|delta| json!({"type": "text-delta", "id": "b", "delta": delta})),
    );
    chunks.extend([json!({"type": "text-end", "id": "b"}), json!({"type": "finish-step"})]);
    chunks.push(json!({"type": "finish", "finishReason": "stop"}));
    chunks.into_iter().map(|chunk| format!("data: {chunk}\n\n")).collect()
}

/// Starts a hub whose only agent the test plays.
async fn scene(flags: &[&str]) -> Result<(Hub, ScriptedAgent)> {
    let agent = ScriptedAgent::start(HEALTHY).await?;
    let hub = Hub::start(&[&["--platform", "static", "--static-agents", &agent.url], flags].concat())?;
    Ok((hub, agent))
}

/// A client that may change its socket, with its transcript.
struct Person {
    client: Client,
    ready: Value,
    fold: Fold,
}

impl Person {
    async fn arrive(hub: &Hub) -> Result<Self> {
        let mut client = connect(hub).await?;
        let ready = client.next_frame().await?;
        let mut fold = Fold::default();
        fold.receive(&ready);
        Ok(Self { client, ready, fold })
    }

    /// Opens another socket to the same session, without a position.
    async fn joined_by_another(&self, hub: &Hub) -> Result<Self> {
        let client = Client::join(hub, &self.ready, "").await?;
        Ok(Self { client, ready: self.ready.clone(), fold: Fold::default() })
    }

    /// Cuts the connection and resumes on another one.
    async fn come_back(self, hub: &Hub) -> Result<Self> {
        let Self { client, ready, mut fold } = self;
        client.cut()?;
        fold.reconnect();
        let epoch = ready["epoch"].as_str().context("an epoch")?;
        let client = Client::join(hub, &ready, &format!("epoch={epoch}&after={}", fold.head)).await?;
        Ok(Self { client, ready, fold })
    }

    /// Receives frames up to this sequence number.
    async fn hear_up_to(&mut self, seq: u64) -> Result<()> {
        while self.fold.head < seq {
            let frame = self.client.next_frame().await?;
            self.fold.receive(&frame);
        }
        Ok(())
    }

    async fn hear_to_the_end(&mut self) -> Result<()> {
        while !self.fold.transcript.turns.get(&1).is_some_and(|turn| turn.contains("turn.done")) {
            let frame = self.client.next_frame().await?;
            self.fold.receive(&frame);
        }
        Ok(())
    }

    async fn leave(mut self) -> Result<Transcript> {
        self.client.send_text("/bye").await?;
        let (frames, code, _) = self.client.until_closed().await?;
        frames.iter().for_each(|frame| self.fold.receive(frame));
        assert_eq!(code, 1000);
        Ok(self.fold.transcript)
    }
}

/// Sends a message and returns the turn that the test must answer.
async fn ask(person: &mut Person, agent: &mut ScriptedAgent) -> Result<Turn> {
    person.client.send(&json!({"type": "message", "id": "m1", "text": "Weather?"})).await?;
    agent.turn().await
}

/// Returns the transcript and the number of frames of an undisturbed turn.
async fn undisturbed(hub: &Hub, agent: &mut ScriptedAgent) -> Result<(Transcript, u64)> {
    let mut person = Person::arrive(hub).await?;
    let mut turn = ask(&mut person, agent).await?;
    turn.write(HEAD).await?;
    turn.write(answer().concat()).await?;
    person.hear_to_the_end().await?;
    let head = person.fold.head;
    Ok((person.leave().await?, head))
}

#[tokio::test]
async fn a_socket_that_is_cut_at_any_frame_misses_nothing() -> Result<()> {
    let (hub, mut agent) = scene(&["--grace", "20s"]).await?;
    let (expected, head) = undisturbed(&hub, &mut agent).await?;
    for cut_at in 0..=head {
        let mut person = Person::arrive(&hub).await?;
        let mut witness = person.joined_by_another(&hub).await?;
        let mut turn = ask(&mut person, &mut agent).await?;
        turn.write(HEAD).await?;
        // Four frames of the log come before the first chunk: the message, and the start of the agent.
        let chunks = answer();
        let (before, after) = chunks.split_at(usize::try_from(cut_at.saturating_sub(4))?.min(chunks.len()));
        turn.write(before.concat()).await?;
        person.hear_up_to(cut_at).await?;
        // These frames are sent while the client is away, and replayed on resume.
        turn.write(after.concat()).await?;
        witness.hear_to_the_end().await?;
        person = person.come_back(&hub).await?;
        // A resend that the hub has taken already changes nothing.
        person.client.send(&json!({"type": "message", "id": "m1", "text": "Weather?"})).await?;
        person.hear_to_the_end().await?;
        assert_eq!(witness.fold.transcript.turns, expected.turns, "the witness of a cut at {cut_at}");
        assert_eq!(person.leave().await?.turns, expected.turns, "cut at {cut_at}");
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_continues_without_a_socket() -> Result<()> {
    let (hub, mut agent) = scene(&["--grace", "20s"]).await?;
    let (expected, _) = undisturbed(&hub, &mut agent).await?;
    let mut person = Person::arrive(&hub).await?;
    let mut turn = ask(&mut person, &mut agent).await?;
    person.hear_up_to(3).await?;
    let Person { client, ready, fold } = person;
    client.cut()?;
    turn.write(HEAD).await?;
    turn.write(answer().concat()).await?;
    // The hub closes the stream after it has read everything.
    turn.until_left().await?;
    let client = Client::join(&hub, &ready, "").await?;
    let mut person = Person { client, ready, fold };
    person.hear_to_the_end().await?;
    assert_eq!(person.leave().await?.turns, expected.turns);
    Ok(())
}

#[tokio::test]
async fn resume_far_behind_gets_merged_deltas_or_a_snapshot() -> Result<()> {
    let (hub, mut agent) = scene(&["--grace", "20s"]).await?;
    let delta = |index: usize| {
        let text = format!("{index} {}", "x".repeat(2_000));
        format!("data: {}\n\n", json!({"type": "text-delta", "id": "a", "delta": text}))
    };
    let mut person = Person::arrive(&hub).await?;
    let mut turn = ask(&mut person, &mut agent).await?;
    turn.write([HEAD, &delta(0)].concat()).await?;
    for index in 1..60 {
        turn.write(delta(index)).await?;
    }
    // Four frames of the log come before the first delta.
    person.hear_up_to(64).await?;
    let epoch = person.ready["epoch"].as_str().unwrap().to_owned();
    // Which frames are merged depends on where the person's socket was when they got old.
    let (mut merged, mut snapshots) = (0, 0);
    for after in 4..24 {
        let query = format!("epoch={epoch}&after={after}");
        let mut client = Client::join(&hub, &person.ready, &query).await?;
        let ready = client.next_frame().await?;
        let frame = client.next_frame().await?;
        if ready["resumed"] == false {
            assert_eq!((&frame["type"], &frame["why"]), (&json!("session.snapshot"), &json!("gap")));
            snapshots += 1;
        } else if let Some(from) = frame["from"].as_u64() {
            assert_eq!(from, after + 1);
            merged += frame["seq"].as_u64().context("a merged frame has its last number")? - from;
        }
        client.cut()?;
    }
    assert!(merged > 1 && snapshots > 1, "{merged} merged, {snapshots} snapshots");
    let mut again = person.joined_by_another(&hub).await?;
    for index in 60..200 {
        turn.write(delta(index)).await?;
    }
    turn.write("data: {\"type\":\"finish\"}\n\n").await?;
    person.hear_to_the_end().await?;
    again.hear_to_the_end().await?;
    assert_eq!(again.fold.transcript, person.fold.transcript);
    let mut late = person.joined_by_another(&hub).await?;
    late.hear_up_to(person.fold.head).await?;
    assert!(late.fold.is_truncated, "all of 400 KB is still kept");
    person.leave().await?;
    Ok(())
}

#[tokio::test]
async fn a_reload_resumes_the_session() -> Result<()> {
    let hub = Hub::start(&["--grace", "20s"])?;
    let mut client = connect(&hub).await?;
    let ready = client.next_frame().await?;
    client.say("What is the weather in London?").await?;
    let seen = until(&mut client, "text-delta").await?;
    client.close_with(1001).await?;
    let mut fold = Fold::default();
    let mut client = Client::join(&hub, &ready, "").await?;
    let mut last = Value::Null;
    while last["type"] != "turn.done" {
        last = client.next_frame().await?;
        fold.receive(&last);
    }
    assert_eq!(last["reason"], "complete");
    assert!(fold.transcript.turns[&1].contains(&text_of(&seen)), "{:?}", fold.transcript);
    assert_eq!(agents(&hub)?.len(), 1);
    client.send(&json!({"type": "regenerate"})).await?;
    let frames = client.until_turn_done().await?;
    assert_eq!((&frames[0]["turn"], &frames[0]["replaces"]), (&json!("t2"), &json!("t1")));
    assert_eq!(frames.last().unwrap()["reason"], "complete");
    client.close_with(1000).await?;
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn joining_a_session_needs_its_token() -> Result<()> {
    let hub = Hub::start(&["--grace", "20s"])?;
    let (mut one, mut other) = (connect(&hub).await?, connect(&hub).await?);
    let (ready, others) = (one.next_frame().await?, other.next_frame().await?);
    let session = ready["session"].as_str().unwrap();
    let token = ready["token"].as_str().unwrap();
    let url = format!("{}/{session}", hub.ws_url);
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let offered = |token: &str| ("sec-websocket-protocol", format!("mayfly.v1, mayfly.token.{token}"));
    for (name, value) in [
        bearer(""),
        bearer(&token[1..]),
        bearer(others["token"].as_str().unwrap()),
        offered(&token.to_uppercase()),
    ] {
        let client = Client::connect_with(&url, &[(name, &value)]).await?;
        let (frames, code, reason) = client.until_closed().await?;
        assert_eq!((code, reason.as_str(), frames.len()), (4502, "auth.denied", 1), "{value}");
    }
    for (name, value) in [bearer(token), offered(token)] {
        let mut client = Client::connect_with(&url, &[(name, &value)]).await?;
        assert_eq!(client.next_frame().await?["type"], "session.ready");
        assert!(client.next_frame().await?["type"] == "session.snapshot");
    }
    let foreign = [("origin", "https://evil.example".to_owned()), bearer(token)];
    let foreign: Vec<_> = foreign.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(Client::connect_with(&url, &foreign).await?.until_closed().await?.1, 4503);
    let nowhere = format!("{}/s_nowhere", hub.ws_url);
    assert_eq!(Client::connect(&nowhere).await?.until_closed().await?.1, 4506);

    one.send_text("/bye").await?;
    one.until_closed().await?;
    other.send_text("/bye").await?;
    other.until_closed().await?;
    no_agent_is_left(&hub).await?;
    let (_, code, reason) = Client::join(&hub, &ready, "").await?.until_closed().await?;
    assert_eq!((code, reason.as_str()), (4506, "session.gone"));
    assert!(!hub.log().contains(token), "a token is in the log");
    Ok(())
}

#[tokio::test]
async fn a_close_ends_the_session_and_a_loss_starts_the_grace() -> Result<()> {
    let hub = Hub::start(&["--grace", "20s"])?;
    for code in [1001, 1011, 3000, 4000] {
        let mut client = connect(&hub).await?;
        let ready = client.next_frame().await?;
        client.close_with(code).await?;
        let mut client = Client::join(&hub, &ready, "").await?;
        assert_eq!(client.next_frame().await?["type"], "session.ready", "{code}");
        client.close_with(1000).await?;
        no_agent_is_left(&hub).await?;
    }
    connect(&hub).await?.close().await?;
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn the_session_ends_after_the_grace() -> Result<()> {
    let hub = Hub::start(&["--grace", "1s"])?;
    let client = in_mid_answer(&hub).await?;
    let since = Instant::now();
    client.cut()?;
    no_agent_is_left(&hub).await?;
    assert!(since.elapsed() >= Duration::from_secs(1), "{:?}", since.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_socket_that_answers_no_ping_is_closed() -> Result<()> {
    let hub = Hub::start(&["--heartbeat", "1s"])?;
    let since = Instant::now();
    let mut stream = TcpStream::connect(authority(&hub)).await?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        authority(&hub)
    );
    stream.write_all(request.as_bytes()).await?;
    // The close is code 4002 with its reason; the two Pings before it are empty.
    let close = [&4002_u16.to_be_bytes()[..], b"heartbeat"].concat();
    let mut heard = Vec::new();
    while !heard.windows(close.len()).any(|window| window == close) {
        timeout(FRAME_TIMEOUT, stream.read_buf(&mut heard)).await??;
    }
    assert_eq!(heard.windows(2).filter(|window| *window == [0x89, 0]).count(), 2);
    assert!(since.elapsed() >= Duration::from_secs(3), "{:?}", since.elapsed());
    drop(stream);
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn an_idle_session_ends() -> Result<()> {
    let hub = Hub::start(&["--idle-ttl", "2s", "--activity", "message"])?;
    let mut client = connect(&hub).await?;
    let warning = until(&mut client, "session.expiring").await?.pop().unwrap();
    assert_eq!((&warning["cause"], &warning["can_extend"]), (&json!("idle"), &json!(true)));
    let (frames, code, reason) = client.until_closed().await?;
    assert_eq!((code, reason.as_str()), (4500, "session.expired"));
    assert_eq!(frames.last().unwrap()["reason"], "idle");
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn extend_renews_the_idle_deadline() -> Result<()> {
    let hub = Hub::start(&["--idle-ttl", "10m", "--activity", "message"])?;
    let mut client = connect(&hub).await?;
    client.until(|frame| frame["status"] == "active").await?;
    client.send_text("/extend").await?;
    let extended = until(&mut client, "session.extended").await?.pop().unwrap();
    assert_eq!(extended["deadline"]["idle_ms"], 600_000, "{extended}");
    Ok(())
}

#[tokio::test]
async fn a_running_turn_does_not_extend_the_max_deadline() -> Result<()> {
    let (hub, _agent) = scene(&["--max-ttl", "2s"]).await?;
    let mut client = connect(&hub).await?;
    client.say("Hello").await?;
    let (frames, code, _) = client.until_closed().await?;
    assert_eq!(code, 4500);
    let kinds: Vec<_> = frames.iter().filter_map(|frame| frame["type"].as_str()).collect();
    assert!(kinds.contains(&"session.expiring"), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"session.ended"));
    Ok(())
}

#[tokio::test]
async fn a_second_tab_takes_the_place_of_the_first() -> Result<()> {
    let hub = Hub::start(&[])?;
    let hello = json!({"type": "hello", "client": "test/1", "client_id": "tab-7"});
    let mut first = connect(&hub).await?;
    let ready = first.next_frame().await?;
    first.send(&hello).await?;
    let mut second = Client::join(&hub, &ready, "").await?;
    second.send(&hello).await?;
    let (_, code, reason) = first.until_closed().await?;
    assert_eq!((code, reason.as_str()), (4507, "replaced"));
    second.send(&hello).await?;
    let refusal = until(&mut second, "error").await?.pop().unwrap();
    assert_eq!(refusal["code"], "proto.invalid");
    Ok(())
}
