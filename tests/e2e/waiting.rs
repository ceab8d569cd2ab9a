//! The hub's line: sessions that wait until the hub has room for them.

use anyhow::{Context, Result, ensure};
use mayfly_tests::harness::{Client, Hub};
use serde_json::{Value, json};

use crate::identity::{guarded, mint};
use crate::service::metrics_when;
use crate::support::{connect, until};

/// Starts a hub with room for one session, and fills it.
async fn full(flags: &[&str]) -> Result<(Hub, Client)> {
    let hub = Hub::start(&[&["--max-sessions", "1"], flags].concat())?;
    let mut inside = connect(&hub).await?;
    until(&mut inside, "session.ready").await?;
    Ok((hub, inside))
}

/// Returns the position that the client is told next.
async fn position(client: &mut Client) -> Result<u64> {
    let frame = client.next_frame().await?;
    ensure!(
        (&frame["type"], &frame["status"], &frame["step"])
            == (&json!("session.status"), &json!("creating"), &json!("queued")),
        "{frame}"
    );
    ensure!(frame.get("seq").is_none() && frame["elapsed_ms"].is_u64(), "{frame}");
    frame["position"].as_u64().with_context(|| format!("no place in {frame}"))
}

/// Creates a session in the line.
async fn in_line(hub: &Hub) -> Result<(Client, u64)> {
    let mut client = connect(hub).await?;
    let ready = client.next_frame().await?;
    ensure!((&ready["type"], &ready["status"]) == (&json!("session.ready"), &json!("creating")), "{ready}");
    let position = position(&mut client).await?;
    Ok((client, position))
}

#[tokio::test]
async fn queued_session_is_told_its_position_and_admitted_in_its_turn() -> Result<()> {
    let (hub, inside) = full(&["--wait", "10m"]).await?;
    let (leaves, first) = in_line(&hub).await?;
    let (mut patient, second) = in_line(&hub).await?;
    assert_eq!((first, second), (1, 2));
    metrics_when(&hub, "mayfly_waiting", 2.0).await?;

    let message = json!({"type": "message", "id": "m1", "text": "Hello"});
    patient.send(&message).await?;
    let accepted = patient.next_frame().await?;
    assert_eq!((&accepted["type"], &accepted["turn"]), (&json!("turn.accepted"), &json!("t1")), "{accepted}");
    patient.send(&json!({"type": "ping", "t": 7})).await?;
    assert_eq!(patient.next_frame().await?, json!({"type": "pong", "t": 7}));
    patient.send_text("/status").await?;
    assert_eq!(position(&mut patient).await?, 2);

    leaves.cut()?;
    assert_eq!(position(&mut patient).await?, 1);
    inside.close().await?;
    let frames = patient.until(|frame| frame["type"] == "turn.done" && frame["turn"] == "t1").await?;
    let steps: Vec<_> = frames.iter().filter(|frame| frame["type"] == "session.status").collect();
    assert!(steps.iter().all(|frame| frame["seq"].is_u64() && frame.get("position").is_none()), "{steps:?}");
    assert!(frames.iter().all(|frame| frame["type"] != "session.ready"), "{frames:?}");
    metrics_when(&hub, "mayfly_waiting", 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn wait_ends_with_quota_sessions() -> Result<()> {
    let (hub, _inside) = full(&["--wait", "1s"]).await?;
    let (waits, _) = in_line(&hub).await?;
    let (frames, code, reason) = waits.until_closed().await?;
    assert_eq!((code, reason.as_str()), (4004, "quota.sessions"));
    assert_eq!((&frames[0]["code"], &frames[0]["retry_after_ms"]), (&json!("quota.sessions"), &json!(5_000)));
    metrics_when(&hub, "mayfly_waiting", 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn queued_session_is_refused_when_the_hub_shuts_down() -> Result<()> {
    let (hub, _inside) = full(&["--wait", "10m"]).await?;
    let (waits, _) = in_line(&hub).await?;
    hub.terminate()?;
    let (frames, code, _) = waits.until_closed().await?;
    assert_eq!((&frames[0]["code"], code), (&json!("hub.draining"), 4000));
    Ok(())
}

#[tokio::test]
async fn messages_in_the_line_are_bounded() -> Result<()> {
    let (hub, _inside) = full(&["--wait", "10m"]).await?;
    let long = |letter: &str| json!({"type": "message", "text": letter.repeat(40_000)});
    let short = json!({"type": "message", "text": "Hello"});
    for said in [vec![short; 9], vec![long("a"), long("b")]] {
        let (mut waits, _) = in_line(&hub).await?;
        for frame in &said {
            waits.send(frame).await?;
        }
        let refused = until(&mut waits, "error").await?;
        let refused = refused.last().context("an error")?;
        assert_eq!(
            (&refused["code"], &refused["scope"]),
            (&json!("quota.queue"), &json!("frame")),
            "{refused}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn flood_in_the_line_is_closed() -> Result<()> {
    let (hub, _inside) = full(&["--wait", "10m"]).await?;
    let (mut waits, _) = in_line(&hub).await?;
    for _ in 0..200 {
        // The hub may close the socket before all is sent.
        if waits.send(&json!({"type": "ping", "t": 1})).await.is_err() {
            break;
        }
    }
    let (frames, code, _) = waits.until_closed().await?;
    let last = frames.last().context("an error")?;
    assert_eq!((&last["code"], code), (&json!("quota.rate"), 4005), "{frames:?}");
    Ok(())
}

#[tokio::test]
async fn queued_session_can_be_resumed_while_a_socket_holds_its_place() -> Result<()> {
    let (hub, inside) = full(&["--wait", "10m"]).await?;
    let mut first = connect(&hub).await?;
    let ready = first.next_frame().await?;
    let (session, token) = (text(&ready["session"])?, text(&ready["token"])?);
    let address = format!("{}/{session}?epoch={}&after=0", hub.ws_url, text(&ready["epoch"])?);
    let bearer = format!("Bearer {token}");
    let mut second = Client::connect_with(&address, &[("authorization", &bearer)]).await?;
    let resumed = second.next_frame().await?;
    assert_eq!((&resumed["type"], &resumed["resumed"]), (&json!("session.ready"), &json!(true)), "{resumed}");
    assert_eq!(position(&mut second).await?, 1);
    first.cut()?;
    inside.close().await?;
    until(&mut second, "session.status").await?;
    Ok(())
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("no text: {value}"))
}

#[tokio::test]
async fn bye_in_the_line_gives_the_ticket_back() -> Result<()> {
    let hub = guarded(&["--max-sessions", "1", "--wait", "10m"])?;
    let ticket = |ticket: String| format!("Bearer {ticket}");
    let (one, other) = (ticket(mint(&hub, &json!({})).await?), ticket(mint(&hub, &json!({})).await?));
    let mut inside = Client::connect_with(&hub.ws_url, &[("authorization", &one)]).await?;
    until(&mut inside, "session.ready").await?;
    for _ in 0..2 {
        let mut waits = Client::connect_with(&hub.ws_url, &[("authorization", &other)]).await?;
        until(&mut waits, "session.ready").await?;
        assert_eq!(position(&mut waits).await?, 1);
        waits.send_text("/bye").await?;
        let (frames, code, _) = waits.until_closed().await?;
        assert_eq!((frames, code), (vec![json!({"type": "session.ended", "reason": "bye"})], 1000));
    }
    Ok(())
}

#[tokio::test]
async fn position_is_readable_as_text() -> Result<()> {
    let (hub, _inside) = full(&["--wait", "10m"]).await?;
    let mut waits = Client::connect(&format!("{}?format=text", hub.ws_url)).await?;
    let ready = waits.next_text().await?;
    assert!(ready.starts_with("# session s_"), "{ready}");
    assert_eq!(waits.next_text().await?, "# all sessions are taken: number 1 in line\n");
    Ok(())
}
