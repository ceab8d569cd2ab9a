//! Limits by owner and address, and the limit on parallel starts. A refusal says when to retry.

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use mayfly_tests::harness::{Client, Hub};
use mayfly_tests::http::Request;
use serde_json::{Value, json};

use crate::identity::{KEY, guarded, mint};
use crate::service::metrics_when;
use crate::support::{connect, no_agent_is_left};

/// Arguments for an agent that never becomes ready.
const HANGS: [&str; 4] = ["--agent-command", "sleep 1000", "--sandbox", "none"];

/// Opens a socket with a new ticket, from the address that a trusted proxy forwards.
async fn with_ticket(hub: &Hub, body: &Value, address: &str) -> Result<Client> {
    let ticket = format!("Bearer {}", mint(hub, body).await?);
    let headers = [("authorization", ticket.as_str()), ("x-forwarded-for", address)];
    Client::connect_with(&hub.ws_url, &headers).await
}

async fn is_in(client: &mut Client) -> Result<()> {
    let first = client.next_frame().await?;
    ensure!(first["type"] == "session.ready", "{first}");
    Ok(())
}

/// Returns error code and close code of a refused socket, whose error must say when to retry.
async fn is_refused(client: Client) -> Result<(String, u16)> {
    let (frames, close, _) = client.until_closed().await?;
    ensure!(frames[0]["retryable"] == true, "{frames:?}");
    ensure!(frames[0]["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{frames:?}");
    Ok((frames[0]["code"].as_str().context("a code")?.to_owned(), close))
}

#[tokio::test]
async fn sessions_per_owner_are_limited() -> Result<()> {
    let hub = guarded(&["--sessions-per-owner", "1"])?;
    let (ada, bob) = (json!({"owner": "ada"}), json!({"owner": "bob"}));
    let mut first = with_ticket(&hub, &ada, "203.0.113.1").await?;
    is_in(&mut first).await?;
    let second = with_ticket(&hub, &ada, "203.0.113.2").await?;
    assert_eq!(is_refused(second).await?, ("quota.owner".to_owned(), 4004));
    let request = Request::post(format!("{}/sessions", hub.url));
    let request = request.bearer_auth(mint(&hub, &ada).await?).header("content-type", "application/json");
    let refused = request.body("{}").send().await?;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str()?), (429, "5"));
    let problem: Value = serde_json::from_slice(&refused.bytes().await?)?;
    assert_eq!(problem["code"], "quota.owner");
    is_in(&mut with_ticket(&hub, &bob, "203.0.113.2").await?).await?;
    for _ in 0..2 {
        is_in(&mut with_ticket(&hub, &json!({}), "203.0.113.2").await?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn sessions_and_requests_per_address_are_limited() -> Result<()> {
    let hub = guarded(&["--sessions-per-address", "1", "--trusted-proxies", "127.0.0.1"])?;
    let mut first = with_ticket(&hub, &json!({}), "203.0.113.1").await?;
    is_in(&mut first).await?;
    is_in(&mut with_ticket(&hub, &json!({}), "203.0.113.2").await?).await?;
    let second = with_ticket(&hub, &json!({}), "203.0.113.1").await?;
    assert_eq!(is_refused(second).await?, ("quota.address".to_owned(), 4004));
    // However long the machine takes for each, sooner or later it is too often.
    let often = stream::iter(0..200)
        .map(|_| async { is_refused(with_ticket(&hub, &json!({}), "203.0.113.1").await?).await });
    let answers: Vec<_> = often.buffer_unordered(50).try_collect().await?;
    assert!(answers.contains(&("quota.rate".to_owned(), 4005)), "{answers:?}");
    let key = format!("Bearer {KEY}");
    for _ in 0..2 {
        let headers = [("authorization", key.as_str()), ("x-forwarded-for", "203.0.113.1")];
        is_in(&mut Client::connect_with(&hub.ws_url, &headers).await?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn starts_are_limited_and_a_closed_session_leaves_the_queue() -> Result<()> {
    let hub = Hub::start(&[&["--parallel-spawns", "1"], &HANGS[..]].concat())?;
    let mut first = connect(&hub).await?;
    first.until(|frame| frame["step"] == "probing").await?;
    let (mut second, mut third) = (connect(&hub).await?, connect(&hub).await?);
    let queued = second.until(|frame| frame["step"].is_string()).await?;
    assert_eq!(queued.last().unwrap()["step"], "queued", "{queued:?}");
    third.until(|frame| frame["step"] == "queued").await?;
    third.close().await?;
    metrics_when(&hub, "mayfly_spawns_waiting", 1.0).await?;
    first.close().await?;
    second.until(|frame| frame["step"] == "starting").await?;
    second.close().await?;
    no_agent_is_left(&hub).await?;
    metrics_when(&hub, "mayfly_spawns", 0.0).await?;
    Ok(())
}
