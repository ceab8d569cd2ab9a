//! Callers without access start no agent, and invalid input gets an error code.

use anyhow::Result;
use mayfly_tests::harness::{Client, Hub};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{agents, ask, authority, connect, no_agent_is_left, until};

async fn http(hub: &Hub, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect(authority(hub)).await?;
    stream.write_all(request.replace("HOST", authority(hub)).replace('\n', "\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer)?)
}

#[tokio::test]
async fn a_foreign_page_starts_no_agent() -> Result<()> {
    let hub = Hub::start(&["--allow-origin", "https://chat.example"])?;
    for origin in ["https://evil.example", "null", "http://localhost", "https://chat.example.evil.example"] {
        let client = Client::connect_with(&hub.ws_url, &[("origin", origin)]).await?;
        let (frames, code, reason) = client.until_closed().await?;
        assert_eq!(frames.len(), 1, "{origin}");
        assert_eq!((&frames[0]["code"], &frames[0]["scope"]), (&json!("auth.origin"), &json!("hub")));
        assert_eq!((code, reason.as_str()), (4503, "auth.origin"), "{origin}");
    }
    assert!(agents(&hub)?.is_empty());
    let own = hub.url.clone();
    for origin in [own.as_str(), "https://chat.example"] {
        let mut client = Client::connect_with(&hub.ws_url, &[("origin", origin)]).await?;
        assert_eq!(client.next_frame().await?["type"], "session.ready", "{origin}");
    }
    Ok(())
}

#[tokio::test]
async fn a_rebound_host_is_refused() -> Result<()> {
    let hub = Hub::start(&[])?;
    for path in ["/", "/ws"] {
        let answer =
            http(&hub, &format!("GET {path} HTTP/1.1\nHost: evil.example\nConnection: close\n\n")).await?;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
        assert!(answer.contains("application/problem+json") && answer.contains("auth.host"), "{answer}");
    }
    let form =
        "POST / HTTP/1.1\nHost: HOST\nContent-Type: text/plain\nContent-Length: 0\nConnection: close\n\n";
    assert!(http(&hub, form).await?.starts_with("HTTP/1.1 415 "));
    assert!(agents(&hub)?.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_page_comes_with_a_strict_policy() -> Result<()> {
    let hub = Hub::start(&[])?;
    let page = http(&hub, "GET / HTTP/1.1\nHost: HOST\nConnection: close\n\n").await?;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'; script-src 'self';"), "{page}");
    assert!(page.contains("x-content-type-options: nosniff"), "{page}");
    let plain = http(&hub, "GET /ws HTTP/1.1\nHost: HOST\nConnection: close\n\n").await?;
    assert!(plain.starts_with("HTTP/1.1 426 "), "{plain}");
    Ok(())
}

#[tokio::test]
async fn invalid_frames_get_an_error_and_the_session_continues() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut client = connect(&hub).await?;
    for (text, code) in [
        ("{", "proto.bad_json"),
        (r#"{"type":"dance"}"#, "proto.unknown_type"),
        (r#"{"type":"message","text":""}"#, "proto.invalid"),
        ("/dance", "proto.unknown_type"),
        (r#"{"type":"stop","turn":"t9"}"#, "turn.not_found"),
    ] {
        client.send_text(text).await?;
        let error = until(&mut client, "error").await?.pop().unwrap();
        assert_eq!((&error["code"], &error["scope"]), (&json!(code), &json!("frame")), "{text}");
    }
    assert_eq!(ask(&mut client, "Hello").await?.last().unwrap()["reason"], "complete");
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_with_1009() -> Result<()> {
    let hub = Hub::start(&[])?;
    let mut client = connect(&hub).await?;
    client.send_text(&"x".repeat(65_537)).await?;
    let (_, code, reason) = client.until_closed().await?;
    assert_eq!((code, reason.as_str()), (1009, "proto.too_large"));
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn sessions_are_limited_and_places_become_free() -> Result<()> {
    let hub = Hub::start(&["--max-sessions", "1"])?;
    let mut first = connect(&hub).await?;
    until(&mut first, "session.status").await?;
    let (frames, code, _) = connect(&hub).await?.until_closed().await?;
    assert_eq!((&frames[0]["code"], &frames[0]["retryable"]), (&json!("quota.sessions"), &json!(true)));
    assert!(frames[0]["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0));
    assert_eq!(code, 4004);
    first.close().await?;
    no_agent_is_left(&hub).await?;
    // The agent's directory goes a moment before the place is free.
    while connect(&hub).await?.next_frame().await?["type"] != "session.ready" {}
    Ok(())
}
