//! Credentials, origins and hosts decide before an agent is started.

use std::fs;

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use mayfly_tests::harness::{Client, Hub};
use mayfly_tests::http::Request;
use serde_json::{Value, json};

use crate::support::{agents, ask, connect, eventually, no_agent_is_left, until};

pub(crate) const KEY: &str = "operator-key-of-this-test";
const WRONG: &str = "operator-key-of-another-test";

/// Starts a hub with an operator key.
pub(crate) fn guarded(args: &[&str]) -> Result<Hub> {
    Hub::start_with(args, &[("MAYFLY_OPERATOR_KEY", KEY)])
}

async fn answer(request: Request) -> Result<(StatusCode, Value)> {
    let response = request.send().await?;
    let (status, body) = (response.status(), response.bytes().await?);
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
    Ok((status, body))
}

fn post(hub: &Hub, path: &str, credential: Option<&str>, body: &Value) -> Request {
    let request = Request::post(format!("{}{path}", hub.url));
    let request = request.header("content-type", "application/json").body(body.to_string());
    match credential {
        Some(credential) => request.bearer_auth(credential),
        None => request,
    }
}

pub(crate) async fn mint(hub: &Hub, body: &Value) -> Result<String> {
    let (status, body) = answer(post(hub, "/tickets", Some(KEY), body)).await?;
    ensure!(status == StatusCode::CREATED, "{status} {body}");
    assert!(body["expiresAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{body}");
    body["ticket"].as_str().map(str::to_owned).context("a ticket")
}

/// Opens a socket with these headers and sends `hello`, if any. Returns `session.ready`, or the error and the close
/// code.
async fn attempt(url: &str, headers: &[(&'static str, &str)], hello: Option<Value>) -> Result<(String, u16)> {
    let mut client = Client::connect_with(url, headers).await?;
    if let Some(hello) = hello {
        client.send(&hello).await?;
    }
    let first = client.next_frame().await?;
    if first["type"] == "session.ready" {
        client.send_text("/bye").await?;
        client.until_closed().await?;
        return Ok(("session.ready".to_owned(), 0));
    }
    let (_, code, reason) = client.until_closed().await?;
    let told = first["code"].as_str().unwrap_or_default().to_owned();
    assert_eq!(told, reason, "the error and the close name the same code");
    Ok((told, code))
}

#[tokio::test]
async fn hosts_origins_and_credentials_decide_before_anything_is_started() -> Result<()> {
    let hub = guarded(&["--allow-origin", "https://chat.example"])?;
    let own = hub.url.trim_end_matches('/').to_owned();
    let other = guarded(&[])?;
    let mut others =
        Client::connect_with(&other.ws_url, &[("authorization", &format!("Bearer {KEY}"))]).await?;
    let others = others.next_frame().await?;
    let used = mint(&hub, &json!({})).await?;
    {
        let mut client =
            Client::connect_with(&hub.ws_url, &[("authorization", &format!("Bearer {used}"))]).await?;
        assert_eq!(client.next_frame().await?["type"], "session.ready");
        client.send_text("/bye").await?;
        client.until_closed().await?;
        eventually(|| Ok(hub.log().contains("terminated").then_some(()))).await?;
    }
    let bearer = |text: &str| format!("Bearer {text}");
    let offered = |text: &str| format!("mayfly.v1, mayfly.token.{text}");
    let (missing, wrong) = (bearer(""), bearer(WRONG));
    let (reused, foreign) = (bearer(&used), bearer(others["token"].as_str().context("a token")?));
    let (key, unknown) = (bearer(KEY), offered("ticket_00"));
    let say = json!({"type": "message", "text": "let me in"});
    let hello = |token: &str| Some(json!({"type": "hello", "token": token}));
    let refused = |code: &str, close| (code.to_owned(), close);
    for (headers, hello, expected) in [
        // No credential, or an invalid one.
        (vec![], Some(say), refused("auth.missing", 4502)),
        (vec![], Some(json!({"type": "hello"})), refused("auth.missing", 4502)),
        (vec![], hello(WRONG), refused("auth.denied", 4502)),
        (vec![("authorization", &missing)], None, refused("auth.denied", 4502)),
        (vec![("authorization", &wrong)], None, refused("auth.denied", 4502)),
        (vec![("authorization", &reused)], None, refused("auth.denied", 4502)),
        (vec![("authorization", &foreign)], None, refused("auth.denied", 4502)),
        (vec![("sec-websocket-protocol", &unknown)], None, refused("auth.denied", 4502)),
        // From a page whose origin is not allowed, with or without a credential.
        (vec![("origin", &"https://evil.example".to_owned())], None, refused("auth.origin", 4503)),
        (
            vec![("origin", &"https://evil.example".to_owned()), ("authorization", &key)],
            None,
            refused("auth.origin", 4503),
        ),
        (vec![("origin", &"null".to_owned()), ("authorization", &key)], None, refused("auth.origin", 4503)),
        // From a page whose origin is allowed, without a credential.
        (vec![("origin", &own)], Some(json!({"type": "ping", "t": 1})), refused("auth.missing", 4502)),
    ] {
        let headers: Vec<(&'static str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(attempt(&hub.ws_url, &headers, hello).await?, expected, "{headers:?}");
    }
    assert!(agents(&hub)?.is_empty(), "nothing was started for any of them");

    for (headers, hello) in [
        (vec![("authorization", key.clone())], None),
        (vec![("origin", own.clone()), ("sec-websocket-protocol", offered(KEY))], None),
        (vec![("origin", "https://chat.example".to_owned())], hello(KEY)),
        (vec![("origin", own.clone())], hello(&mint(&hub, &json!({"owner": "ada"})).await?)),
        (vec![("sec-websocket-protocol", offered(&mint(&hub, &json!({})).await?))], None),
    ] {
        let headers: Vec<(&'static str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(attempt(&hub.ws_url, &headers, hello).await?.0, "session.ready", "{headers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_without_a_credential_is_closed() -> Result<()> {
    let hub = guarded(&[])?;
    let (frames, code, _) = connect(&hub).await?.until_closed().await?;
    assert_eq!((&frames[0]["code"], code), (&json!("auth.missing"), 4502));
    assert!(agents(&hub)?.is_empty());
    Ok(())
}

#[tokio::test]
async fn hello_carries_a_credential_and_reaches_the_session() -> Result<()> {
    let hub = guarded(&[])?;
    let ticket = mint(&hub, &json!({})).await?;
    let mut first = connect(&hub).await?;
    first.send(&json!({"type": "hello", "client_id": "tab-7", "token": ticket})).await?;
    let ready = first.next_frame().await?;
    assert_eq!(ask(&mut first, "Hello").await?.last().unwrap()["reason"], "complete");
    let url = format!("{}/{}", hub.ws_url, ready["session"].as_str().context("a session")?);
    let mut second = Client::connect(&url).await?;
    second.send(&json!({"type": "hello", "client_id": "tab-7", "token": ready["token"]})).await?;
    assert_eq!(second.next_frame().await?["type"], "session.ready");
    assert_eq!(first.until_closed().await?.1, 4507);
    Ok(())
}

#[tokio::test]
async fn a_ticket_needs_the_operator_key_and_survives_a_full_hub() -> Result<()> {
    let hub = guarded(&["--max-sessions", "1"])?;
    for (credential, status, code) in [
        (None, 401, "auth.missing"),
        (Some(WRONG), 403, "auth.denied"),
        (Some("ticket_0"), 403, "auth.denied"),
    ] {
        let (answered, body) = answer(post(&hub, "/tickets", credential, &json!({}))).await?;
        assert_eq!((answered.as_u16(), &body["code"]), (status, &json!(code)));
    }
    for (body, status, code) in [
        (json!({"owner": ""}), 422, "proto.invalid"),
        (json!({"owner": "x".repeat(129)}), 422, "proto.invalid"),
        (json!({"owner": 7}), 422, "proto.invalid"),
    ] {
        let (answered, body) = answer(post(&hub, "/api/tickets", Some(KEY), &body)).await?;
        assert_eq!((answered.as_u16(), &body["code"]), (status, &json!(code)));
    }
    let form = Request::post(format!("{}/tickets", hub.url)).body("owner=ada");
    assert_eq!(form.send().await?.status(), 415);

    let (one, other) = (mint(&hub, &json!({})).await?, mint(&hub, &json!({})).await?);
    let (one, other) = (format!("Bearer {one}"), format!("Bearer {other}"));
    let mut first = Client::connect_with(&hub.ws_url, &[("authorization", &one)]).await?;
    until(&mut first, "session.ready").await?;
    let full = attempt(&hub.ws_url, &[("authorization", &other)], None).await?;
    assert_eq!(full, ("quota.sessions".to_owned(), 4004));
    first.send_text("/bye").await?;
    first.until_closed().await?;
    no_agent_is_left(&hub).await?;
    // The ticket is still valid; the first session's place may not be free yet.
    let again = attempt(&hub.ws_url, &[("authorization", &other)], None).await?;
    assert!(again.0 == "session.ready" || again == full, "{again:?}");
    Ok(())
}

#[tokio::test]
async fn clients_of_a_proxy_are_not_local() -> Result<()> {
    let hub = Hub::start(&[])?;
    for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let ping = Some(json!({"type": "ping", "t": 1}));
        let answer = attempt(&hub.ws_url, &[(header, "203.0.113.7")], ping).await?;
        assert_eq!(answer, ("auth.missing".to_owned(), 4502), "{header}");
    }
    assert!(agents(&hub)?.is_empty());
    Ok(())
}

#[tokio::test]
async fn credentials_stay_out_of_logs_commands_and_agents() -> Result<()> {
    let secret = "a secret of a cluster, long enough for it";
    let environment = [("MAYFLY_OPERATOR_KEY", KEY), ("MAYFLY_SECRET", secret), ("RUST_LOG", "trace")];
    let hub = Hub::start_with(&[], &environment)?;
    let ticket = mint(&hub, &json!({"owner": "ada"})).await?;
    let mut client = connect(&hub).await?;
    client.send(&json!({"type": "hello", "token": ticket})).await?;
    let ready = client.next_frame().await?;
    ask(&mut client, "Hello").await?;
    let token = ready["token"].as_str().context("a token")?;
    let mut joined = Client::join(&hub, &ready, "").await?;
    until(&mut joined, "session.snapshot").await?;
    attempt(&hub.ws_url, &[("authorization", &format!("Bearer {WRONG}"))], None).await?;

    let credentials = [KEY, WRONG, secret, &ticket, token];
    let log = hub.log();
    assert!(log.contains("refused"), "{log}");
    for credential in credentials {
        assert!(!log.contains(credential), "{credential} is in the log");
    }
    let mut agents = 0;
    for process in fs::read_dir("/proc")?.filter_map(Result::ok) {
        let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
        let text = |name: &str| String::from_utf8_lossy(&read(name)).into_owned();
        let (command, environment) = (text("cmdline"), text("environ"));
        if !command.contains("mayfly") || process.file_name() == hub.pid.to_string().as_str() {
            continue;
        }
        let is_agent = environment.contains("MAYFLY_SESSION=");
        agents += usize::from(is_agent);
        for credential in credentials {
            assert!(!command.contains(credential), "{credential} is in a command line");
            assert!(!(is_agent && environment.contains(credential)), "{credential} is in an agent's hands");
        }
    }
    assert!(agents > 0, "no agent was looked at");
    Ok(())
}
