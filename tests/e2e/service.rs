//! The operator's view of a hub: health, metrics, ended sessions.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use mayfly_tests::harness::{Client, FRAME_TIMEOUT, Hub, program};
use mayfly_tests::http::Request;
use serde_json::Value;

use crate::support::{ask, connect, in_mid_answer, no_agent_is_left, until};

async fn get(hub: &Hub, path: &str, token: Option<&str>) -> Result<(StatusCode, String)> {
    let request = Request::get(format!("{}{path}", hub.url.trim_end_matches('/')));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let response = request.send().await?;
    Ok((response.status(), response.text().await?))
}

async fn get_json(hub: &Hub, path: &str, token: &str) -> Result<Value> {
    let (status, text) = get(hub, path, Some(token)).await?;
    ensure!(status == StatusCode::OK, "{path}: {status} {text}");
    Ok(serde_json::from_str(&text)?)
}

/// Returns the value of one metric with its labels.
fn value(metrics: &str, name: &str) -> Result<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {name} in\n{metrics}"))?.parse()?)
}

/// Polls the metrics until one has this value.
pub(crate) async fn metrics_when(hub: &Hub, name: &str, expected: f64) -> Result<String> {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let deadline = tokio::time::Instant::now() + FRAME_TIMEOUT;
    loop {
        let (_, metrics) = get(hub, "/metrics", None).await?;
        if value(&metrics, name).is_ok_and(|found| (found - expected).abs() < 0.5) {
            return Ok(metrics);
        }
        ensure!(tokio::time::Instant::now() < deadline, "{name} is not {expected} in\n{metrics}");
        ticks.tick().await;
    }
}

#[tokio::test]
async fn metrics_count_the_events_of_a_session() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut client = connect(&hub).await?;
    let ready = client.next_frame().await?;
    ask(&mut client, "What is the weather in Oslo?").await?;
    Client::connect(&format!("{}/s_nowhere", hub.ws_url)).await?.until_closed().await?;
    let metrics = metrics_when(&hub, r#"mayfly_turns_total{reason="complete"}"#, 1.0).await?;
    for (name, at_least) in [
        (r#"mayfly_sessions{state="active"}"#, 1.0),
        ("mayfly_sockets", 1.0),
        ("mayfly_sent_frames_total", 10.0),
        ("mayfly_sent_bytes_total", 1_000.0),
        ("mayfly_received_bytes_total", 500.0),
        ("mayfly_log_bytes", 500.0),
        ("mayfly_relay_seconds_count", 1.0),
        (r#"mayfly_spawn_seconds_count{platform="process",step="starting"}"#, 1.0),
        (r#"mayfly_spawn_seconds_count{platform="process",step="probing"}"#, 1.0),
        ("mayfly_first_token_seconds_count", 1.0),
        (r#"mayfly_refused_total{code="session.gone"}"#, 1.0),
        ("mayfly_journal_entries_total", 2.0),
        ("mayfly_process_memory_bytes", 1_000_000.0),
    ] {
        assert!(value(&metrics, name)? >= at_least, "{name} in\n{metrics}");
    }
    let session = ready["session"].as_str().unwrap();
    assert!(!metrics.contains(&session[2..]), "a session is named in the metrics");

    client.send_text("/bye").await?;
    client.until_closed().await?;
    let metrics = metrics_when(&hub, "mayfly_sockets", 0.0).await?;
    assert!(value(&metrics, r#"mayfly_sessions_ended_total{reason="bye"}"#)? >= 1.0);
    no_agent_is_left(&hub).await?;
    for state in ["creating", "active", "idle", "terminating"] {
        metrics_when(&hub, &format!(r#"mayfly_sessions{{state="{state}"}}"#), 0.0).await?;
    }
    let metrics = metrics_when(&hub, "mayfly_log_bytes", 0.0).await?;
    assert!(value(&metrics, "mayfly_ready")? > 0.5);
    Ok(())
}

#[tokio::test]
async fn a_session_answers_health_during_and_after_its_life() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut client = connect(&hub).await?;
    let ready = client.next_frame().await?;
    ask(&mut client, "What is the weather in Oslo?").await?;
    let (session, token) = (ready["session"].as_str().unwrap(), ready["token"].as_str().unwrap());
    let path = |what: &str| format!("/sessions/{session}/{what}");
    for prefix in ["", "/api"] {
        let health = get_json(&hub, &format!("{prefix}{}", path("health")), token).await?;
        assert_eq!((&health["status"], &health["error"]), (&"healthy".into(), &Value::Null), "{health}");
        assert!(health["responseTimeMs"].is_u64() && health["lastCheck"].as_str().unwrap().ends_with('Z'));
    }
    let metrics = get_json(&hub, &path("metrics"), token).await?;
    assert_eq!(metrics["messagesProcessed"], 1);
    assert!(metrics["averageResponseTimeMs"].is_u64() && metrics["uptimeMs"].as_u64() > Some(0), "{metrics}");
    assert!(metrics["memoryUsageBytes"].as_u64() > Some(100_000), "{metrics}");
    for (credential, status) in [(None, StatusCode::UNAUTHORIZED), (Some("wrong"), StatusCode::FORBIDDEN)] {
        assert_eq!(get(&hub, &path("health"), credential).await?.0, status);
        assert_eq!(get(&hub, &path("metrics"), credential).await?.0, status);
    }
    client.send_text("/bye").await?;
    client.until_closed().await?;
    no_agent_is_left(&hub).await?;
    metrics_when(&hub, r#"mayfly_sessions{state="terminating"}"#, 0.0).await?;
    assert_eq!(get_json(&hub, &path("health"), token).await?["status"], "terminated");
    assert_eq!(get_json(&hub, &path("metrics"), token).await?["messagesProcessed"], 1);
    Ok(())
}

#[tokio::test]
async fn a_draining_hub_is_healthy_and_not_ready() -> Result<()> {
    let hub = Hub::start(&[])?;
    assert_eq!(get(&hub, "/healthz", None).await?.0, StatusCode::OK);
    let (status, body) = get(&hub, "/readyz", None).await?;
    assert_eq!((status, body.contains(r#""journal":"ok""#)), (StatusCode::OK, true), "{body}");
    let mut client = in_mid_answer(&hub).await?;
    hub.terminate()?;
    until(&mut client, "session.expiring").await?;
    assert_eq!(get(&hub, "/readyz", None).await?.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&hub, "/healthz", None).await?.0, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_damaged_journal_prevents_the_start() -> Result<()> {
    let data = tempfile::tempdir()?;
    std::fs::write(data.path().join("journal.db"), "This is no journal. ".repeat(500))?;
    let mut command = tokio::process::Command::new(program("mayfly")?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path()).kill_on_drop(true);
    let output = tokio::time::timeout(FRAME_TIMEOUT, command.output()).await.context("it started")??;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("journal.db is damaged") && said.contains("move it away"), "{said}");
    Ok(())
}
