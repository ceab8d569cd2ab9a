//! The line for a free session.

use anyhow::{Context, Result, ensure};
use mayfly_tests::harness::{Client, Hub};
use serde_json::{Value, json};

use crate::identity::{guarded, mint};
use crate::service::metrics_when;
use crate::support::{connect, until};

/// Starts a hub with one place, and takes the place.
async fn full(flags: &[&str]) -> Result<(Hub, Client)> {
    let hub = Hub::start(&[&["--max-sessions", "1"], flags].concat())?;
    let mut inside = connect(&hub).await?;
    until(&mut inside, "session.ready").await?;
    Ok((hub, inside))
}

/// Returns the next announced place in line.
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

async fn in_line(hub: &Hub) -> Result<(Client, u64)> {
    let mut client = connect(hub).await?;
    let position = position(&mut client).await?;
    Ok((client, position))
}

#[tokio::test]
async fn who_waits_is_told_the_place_in_line_and_let_in_when_it_is_free() -> Result<()> {
    let (hub, inside) = full(&["--wait", "10m"]).await?;
    let (leaves, first) = in_line(&hub).await?;
    let (mut patient, second) = in_line(&hub).await?;
    assert_eq!((first, second), (1, 2));
    metrics_when(&hub, "mayfly_waiting", 2.0).await?;

    let message = json!({"type": "message", "id": "m1", "text": "Hello"});
    patient.send(&message).await?;
    patient.send(&json!({"type": "ping", "t": 7})).await?;
    assert_eq!(patient.next_frame().await?, json!({"type": "pong", "t": 7}));
    patient.send_text("/status").await?;
    assert_eq!(position(&mut patient).await?, 2);

    leaves.cut()?;
    assert_eq!(position(&mut patient).await?, 1);
    inside.close().await?;
    let ready = patient.next_frame().await?;
    assert_eq!(ready["type"], "session.ready", "{ready}");
    // As a client does that has heard nothing of it.
    patient.send(&message).await?;
    patient.send(&json!({"type": "message", "id": "m2", "text": "Bye"})).await?;
    let frames = patient.until(|frame| frame["type"] == "turn.done" && frame["turn"] == "t2").await?;
    let accepted = frames.iter().filter(|frame| frame["type"] == "turn.accepted" && frame["seq"].is_u64());
    let accepted: Vec<_> = accepted.map(|frame| (&frame["turn"], &frame["message"])).collect();
    let (t1, t2) = ((&json!("t1"), &json!("m1")), (&json!("t2"), &json!("m2")));
    assert!(accepted.contains(&t1) && accepted.contains(&t2), "{accepted:?}");
    assert!(accepted.iter().all(|turn| *turn == t1 || *turn == t2), "{accepted:?}");
    metrics_when(&hub, "mayfly_waiting", 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn who_has_waited_long_enough_is_refused() -> Result<()> {
    let (hub, _inside) = full(&["--wait", "1s"]).await?;
    let (waits, _) = in_line(&hub).await?;
    let (frames, code, reason) = waits.until_closed().await?;
    assert_eq!((code, reason.as_str()), (4004, "quota.sessions"));
    assert_eq!((&frames[0]["code"], &frames[0]["retry_after_ms"]), (&json!("quota.sessions"), &json!(5_000)));
    metrics_when(&hub, "mayfly_waiting", 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn who_waits_is_told_when_the_hub_shuts_down() -> Result<()> {
    let (hub, _inside) = full(&["--wait", "10m"]).await?;
    let (waits, _) = in_line(&hub).await?;
    hub.terminate()?;
    let (frames, code, _) = waits.until_closed().await?;
    assert_eq!((&frames[0]["code"], code), (&json!("hub.draining"), 4000));
    Ok(())
}

#[tokio::test]
async fn who_waits_may_say_only_so_much() -> Result<()> {
    let (hub, _inside) = full(&["--wait", "10m"]).await?;
    let long = |letter: &str| json!({"type": "message", "text": letter.repeat(40_000)});
    let short = json!({"type": "message", "text": "Hello"});
    for said in [vec![short; 9], vec![long("a"), long("b")], vec![json!({"type": "ping", "t": 1}); 200]] {
        let (mut waits, _) = in_line(&hub).await?;
        for frame in &said {
            // It may be closed before all is sent.
            if waits.send(frame).await.is_err() {
                break;
            }
        }
        let (frames, code, _) = waits.until_closed().await?;
        let last = frames.last().context("an error")?;
        assert_eq!((&last["code"], code), (&json!("quota.rate"), 4005), "{frames:?}");
    }
    Ok(())
}

#[tokio::test]
async fn who_says_bye_in_line_is_gone_and_the_ticket_good_again() -> Result<()> {
    let hub = guarded(&["--max-sessions", "1", "--wait", "10m"])?;
    let ticket = |ticket: String| format!("Bearer {ticket}");
    let (one, other) = (ticket(mint(&hub, &json!({})).await?), ticket(mint(&hub, &json!({})).await?));
    let mut inside = Client::connect_with(&hub.ws_url, &[("authorization", &one)]).await?;
    until(&mut inside, "session.ready").await?;
    for _ in 0..2 {
        let mut waits = Client::connect_with(&hub.ws_url, &[("authorization", &other)]).await?;
        assert_eq!(position(&mut waits).await?, 1);
        waits.send_text("/bye").await?;
        let (frames, code, _) = waits.until_closed().await?;
        assert_eq!((frames, code), (Vec::<Value>::new(), 1000));
    }
    Ok(())
}

#[tokio::test]
async fn a_person_reads_the_place_in_line() -> Result<()> {
    let (hub, _inside) = full(&["--wait", "10m"]).await?;
    let mut waits = Client::connect(&format!("{}?format=text", hub.ws_url)).await?;
    assert_eq!(waits.next_text().await?, "# all sessions are taken: number 1 in line\n");
    Ok(())
}
