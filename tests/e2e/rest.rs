//! Sessions over REST.

use std::pin::Pin;

use anyhow::{Context, Result, ensure};
use eventsource_stream::{Event, EventStreamError, Eventsource};
use futures::{Stream, StreamExt, try_join};
use hyper::Method;
use mayfly_tests::harness::{Client, FRAME_TIMEOUT, Hub, text_of};
use mayfly_tests::http::Request;
use mayfly_tests::scripted::{HEALTHY, ScriptedAgent};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::agents::{FINISH, HEAD, HI};
use crate::support::{agents, no_agent_is_left, until};

const KEY: &str = "operator-key-of-this-test";
const NONE: Option<&str> = None;

/// Returns a request with credential and body.
fn call(hub: &Hub, method: Method, path: &str, credential: Option<&str>, body: Option<&Value>) -> Request {
    let request = Request::new(method, format!("{}{path}", hub.url.trim_end_matches('/')));
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    };
    match credential {
        Some(credential) => request.bearer_auth(credential),
        None => request,
    }
}

/// Sends a request and returns status and body.
async fn answered(request: Request) -> Result<(u16, Value)> {
    let response = timeout(FRAME_TIMEOUT, request.send()).await.context("no answer in time")??;
    let (status, text) = (response.status().as_u16(), response.text().await?);
    Ok((status, serde_json::from_str(&text).with_context(|| format!("{status} {text}"))?))
}

/// Sends a request that is refused, and returns status and error code.
async fn refused(request: Request) -> Result<(u16, String)> {
    let response = request.send().await?;
    let kind = response.headers().get("content-type").cloned().context("a content type")?;
    ensure!(kind == "application/problem+json", "{kind:?}");
    let (status, body): (_, Value) =
        (response.status().as_u16(), serde_json::from_str(&response.text().await?)?);
    ensure!(body["status"] == status, "{body}");
    Ok((status, body["code"].as_str().context("a code")?.to_owned()))
}

/// Joins the paragraphs of a text. A REST answer separates its parts by paragraphs, its frames do not.
fn in_one(text: &str) -> String {
    text.replace("\n\n", "")
}

/// A session created over REST.
struct Made {
    path: String,
    token: String,
    body: Value,
}

impl Made {
    async fn new(hub: &Hub) -> Result<Self> {
        Self::with(hub, NONE, &json!({})).await
    }

    async fn with(hub: &Hub, credential: Option<&str>, body: &Value) -> Result<Self> {
        let (status, body) = answered(call(hub, Method::POST, "/sessions", credential, Some(body))).await?;
        ensure!(status == 201, "{status} {body}");
        let text = |key: &str| body[key].as_str().map(str::to_owned).context("a text");
        Ok(Self { path: format!("/sessions/{}", text("sessionId")?), token: text("token")?, body })
    }

    fn call(&self, hub: &Hub, method: Method, below: &str, body: Option<&Value>) -> Request {
        call(hub, method, &format!("{}{below}", self.path), Some(&self.token), body)
    }

    fn say(&self, hub: &Hub, message: &str) -> Request {
        self.call(hub, Method::POST, "/messages", Some(&json!({"message": message})))
    }

    async fn see(&self, hub: &Hub, below: &str) -> Result<Value> {
        let (status, body) = answered(self.call(hub, Method::GET, below, None)).await?;
        ensure!(status == 200, "{status} {body}");
        Ok(body)
    }

    async fn delete(&self, hub: &Hub) -> Result<(u16, Value)> {
        answered(self.call(hub, Method::DELETE, "", None)).await
    }
}

/// The events of a streamed response.
struct Events(Pin<Box<dyn Stream<Item = Result<Event, EventStreamError<hyper::Error>>>>>);

impl Events {
    async fn of(request: Request) -> Result<Self> {
        let response = request.header("accept", "text/event-stream").send().await?;
        let status = response.status();
        ensure!(status == 200, "{status} {}", response.text().await?);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Self(Box::pin(response.bytes_stream().eventsource())))
    }

    /// Returns id and frame of the next event, or `None` at the end.
    async fn next(&mut self) -> Result<Option<(String, Value)>> {
        let next = timeout(FRAME_TIMEOUT, self.0.next()).await.context("no event in time")?;
        let Some(event) = next.transpose()? else { return Ok(None) };
        Ok(Some((event.id, serde_json::from_str(&event.data)?)))
    }

    /// Returns the frames up to the first of this type, inclusive, and the last id.
    async fn until(&mut self, kind: &str) -> Result<(String, Vec<Value>)> {
        let mut frames = Vec::new();
        while let Some((id, frame)) = self.next().await? {
            let is_last = frame["type"] == kind;
            frames.push(frame);
            if is_last {
                return Ok((id, frames));
            }
        }
        anyhow::bail!("no {kind} in {frames:?}")
    }
}

#[tokio::test]
async fn a_session_is_created_used_and_deleted() -> Result<()> {
    let hub = Hub::start(&[])?;
    for prefix in ["", "/api"] {
        let (status, made) =
            answered(call(&hub, Method::POST, &format!("{prefix}/sessions"), NONE, Some(&json!({})))).await?;
        assert_eq!((status, &made["status"]), (201, &json!("creating")));
        let (id, token) = (made["sessionId"].as_str().unwrap(), made["token"].as_str().unwrap());
        assert_eq!(made["endpoint"], format!("/ws/{id}"));
        let session =
            Made { path: format!("{prefix}/sessions/{id}"), token: token.to_owned(), body: made.clone() };

        let (status, reply) = answered(session.say(&hub, "What is the weather in London?")).await?;
        assert_eq!((status, &reply["sessionId"], &reply["turn"]), (200, &made["sessionId"], &json!("t1")));
        let response = reply["response"].as_str().unwrap();
        assert!(response.contains("London") && response.contains('°'), "{response}");
        let seen = session.see(&hub, "").await?;
        assert_eq!(
            (&seen["status"], &seen["sockets"], &seen["queued"]),
            (&json!("active"), &json!(0), &json!(0))
        );
        assert!(seen["deadline"]["idle_ms"].as_u64().unwrap() > 1_700_000, "{seen}");
        assert_eq!(session.see(&hub, "/health").await?["status"], "healthy");

        assert_eq!(agents(&hub)?.len(), 1);
        for _ in 0..2 {
            let deleted = json!({"sessionId": id, "status": "terminated"});
            assert_eq!(session.delete(&hub).await?, (200, deleted));
            assert!(agents(&hub)?.is_empty(), "its agent is gone");
        }
        assert_eq!(session.see(&hub, "/health").await?["status"], "terminated");
        let seen = session.see(&hub, "").await?;
        assert_eq!((&seen["status"], &seen["reason"]), (&json!("terminated"), &json!("deleted")));
        assert_eq!(seen.get("deadline"), None);

        let ended = (410, "session.ended".to_owned());
        assert_eq!(refused(session.say(&hub, "Hello")).await?, ended);
        assert_eq!(refused(session.call(&hub, Method::POST, "/extend", Some(&json!({})))).await?, ended);
        assert_eq!(refused(session.call(&hub, Method::GET, "/events", None)).await?, ended);
    }
    Ok(())
}

#[tokio::test]
async fn each_call_checks_its_credential() -> Result<()> {
    let hub = Hub::start_with(&["--max-sessions", "2"], &[("MAYFLY_OPERATOR_KEY", KEY)])?;
    let missing = (401, "auth.missing".to_owned());
    let denied = (403, "auth.denied".to_owned());
    let new = json!({});
    assert_eq!(refused(call(&hub, Method::POST, "/sessions", NONE, Some(&new))).await?, missing);
    assert_eq!(refused(call(&hub, Method::POST, "/sessions", Some("wrong"), Some(&new))).await?, denied);
    assert!(agents(&hub)?.is_empty());

    let mine = Made::with(&hub, Some(KEY), &json!({"owner": "ada"})).await?;
    let (_, ticket) =
        answered(call(&hub, Method::POST, "/tickets", Some(KEY), Some(&json!({"owner": "bob"})))).await?;
    let ticket = ticket["ticket"].as_str().unwrap();
    let owned = call(&hub, Method::POST, "/sessions", Some(ticket), Some(&json!({"owner": "eve"})));
    assert_eq!(refused(owned).await?, denied, "whose it is says the ticket");
    assert_eq!(refused(call(&hub, Method::GET, "/sessions", Some(ticket), None)).await?, denied);
    let bobs = Made::with(&hub, Some(ticket), &json!({})).await?;
    assert_eq!(refused(call(&hub, Method::POST, "/sessions", Some(ticket), Some(&new))).await?, denied);

    let say = json!({"message": "Hello"});
    for (method, below, body) in [
        (Method::GET, "", None),
        (Method::DELETE, "", None),
        (Method::POST, "/messages", Some(&say)),
        (Method::POST, "/extend", Some(&new)),
        (Method::GET, "/events", None),
        (Method::GET, "/health", None),
        (Method::GET, "/metrics", None),
    ] {
        let path = format!("{}{below}", mine.path);
        for (credential, expected) in [(None, &missing), (Some(&*bobs.token), &denied), (Some("x"), &denied)]
        {
            assert_eq!(
                &refused(call(&hub, method.clone(), &path, credential, body)).await?,
                expected,
                "{path}"
            );
        }
    }
    assert_eq!(refused(call(&hub, Method::GET, "/sessions", NONE, None)).await?, missing);
    assert_eq!(refused(call(&hub, Method::GET, "/sessions", Some(&mine.token), None)).await?, denied);
    let (_, all) = answered(call(&hub, Method::GET, "/sessions", Some(KEY), None)).await?;
    let owners: Vec<_> = all["sessions"].as_array().unwrap().iter().map(|seen| &seen["owner"]).collect();
    assert_eq!(owners, ["ada", "bob"]);

    let full = call(&hub, Method::POST, "/sessions", Some(KEY), Some(&new)).send().await?;
    assert_eq!((full.status().as_u16(), &full.headers()["retry-after"]), (503, &"5".parse()?));
    assert_eq!(serde_json::from_str::<Value>(&full.text().await?)?["code"], "quota.sessions");
    assert_eq!(answered(call(&hub, Method::DELETE, &mine.path, Some(KEY), None)).await?.0, 200);
    Made::with(&hub, Some(KEY), &new).await?;
    let nobody = format!("/sessions/s_{}", "0".repeat(32));
    for path in ["/sessions/x", &nobody] {
        let unknown = (404, "session.gone".to_owned());
        assert_eq!(refused(call(&hub, Method::GET, path, Some(KEY), None)).await?, unknown);
        assert_eq!(refused(call(&hub, Method::DELETE, path, Some(KEY), None)).await?, unknown);
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_streams_and_replays() -> Result<()> {
    let hub = Hub::start(&[])?;
    let session = Made::new(&hub).await?;
    let ask = || session.say(&hub, "What is the weather in Oslo?").header("idempotency-key", "m1");
    let mut events = Events::of(ask()).await?;
    let (last, frames) = events.until("turn.done").await?;
    assert_eq!(events.next().await?, None, "the stream ends with the turn");
    assert_eq!((&frames[0]["type"], &frames[0]["message"]), (&json!("turn.accepted"), &json!("m1")));
    assert!(frames.iter().all(|frame| frame["turn"] == "t1"), "{frames:?}");
    let (_, seq) = last.split_once('.').context("EPOCH.SEQ")?;
    assert_eq!(frames.last().unwrap()["seq"].to_string(), seq);
    let again = Events::of(ask()).await?.until("turn.done").await?;
    assert_eq!((again.0, &again.1), (last, &frames));
    let (status, reply) = answered(ask()).await?;
    assert_eq!((status, &reply["turn"]), (200, &json!("t1")));
    assert_eq!(in_one(reply["response"].as_str().unwrap()), in_one(&text_of(&frames)));
    let other = session.say(&hub, "Something else").header("idempotency-key", "m1");
    assert_eq!(refused(other).await?, (422, "proto.invalid".to_owned()));
    for (body, key, code) in [
        (json!({"message": " "}), "k", (422, "proto.invalid")),
        (json!({"text": "hello"}), "k", (422, "proto.invalid")),
        (json!({"message": "x".repeat(70_000)}), "k", (413, "proto.too_large")),
        (json!({"message": "hello"}), &"k".repeat(65), (422, "proto.invalid")),
    ] {
        let request =
            session.call(&hub, Method::POST, "/messages", Some(&body)).header("idempotency-key", key);
        assert_eq!(refused(request).await?, (code.0, code.1.to_owned()));
    }
    Ok(())
}

#[tokio::test]
async fn a_large_answer_is_returned_whole() -> Result<()> {
    let mut agent = ScriptedAgent::start(HEALTHY).await?;
    let hub = Hub::start(&["--platform", "static", "--static-agents", &agent.url])?;
    let session = Made::new(&hub).await?;
    for (deltas, bytes) in [(1_000, 500), (10_000, 80), (100, 8_000)] {
        let delta = json!({"type": "text-delta", "id": "a", "delta": "x".repeat(bytes)});
        let answer = [HEAD, &format!("data: {delta}\n\n").repeat(deltas), FINISH].concat();
        let give = async { Ok(agent.turn().await?.write(answer).await?) };
        let ((status, reply), ()) = try_join!(answered(session.say(&hub, "Hello")), give)?;
        let given = reply["response"].as_str().map(str::len);
        assert_eq!((status, given), (200, Some(deltas * bytes)), "{deltas} of {bytes} bytes");
    }
    Ok(())
}

#[tokio::test]
async fn events_resume_after_the_last_id() -> Result<()> {
    let hub = Hub::start(&[])?;
    let session = Made::new(&hub).await?;
    let listen = |last: Option<&str>| {
        let request = session.call(&hub, Method::GET, "/events", None);
        last.iter().fold(request, |request, last| request.header("last-event-id", last))
    };
    let mut events = Events::of(listen(None)).await?;
    let (id, ready) = events.next().await?.context("session.ready")?;
    assert_eq!((id.as_str(), &ready["type"], ready.get("token")), ("", &json!("session.ready"), None));
    assert_eq!(events.next().await?.context("what there is")?.1["type"], "session.snapshot");
    answered(session.say(&hub, "Hello")).await?;
    let (id, _) = events.until("text-delta").await?;
    let (_, rest) = events.until("turn.done").await?;
    drop(events);

    let mut again = Events::of(listen(Some(&id))).await?;
    let (_, frames) = again.until("turn.done").await?;
    assert_eq!((&frames[0]["resumed"], &frames[1..]), (&json!(true), &rest[..]));
    let mut foreign = Events::of(listen(Some("e00000000.1"))).await?;
    let (_, frames) = foreign.until("session.snapshot").await?;
    assert_eq!((&frames[0]["resumed"], &frames[1]["why"]), (&json!(false), &json!("epoch")));
    // Listening is no taking part.
    assert_eq!(session.see(&hub, "").await?["sockets"], 0);
    session.delete(&hub).await?;
    let (_, frames) = again.until("session.ended").await?;
    assert_eq!(frames.last().unwrap()["reason"], "deleted");
    assert_eq!(again.next().await?, None);
    Ok(())
}

#[tokio::test]
async fn closing_the_stream_does_not_stop_the_turn() -> Result<()> {
    let hub = Hub::start(&[])?;
    let session = Made::new(&hub).await?;
    let mut events = Events::of(session.call(&hub, Method::GET, "/events", None)).await?;
    let mut answer = Events::of(session.say(&hub, "What is the weather in Oslo?")).await?;
    answer.until("turn.accepted").await?;
    drop(answer);
    let (_, frames) = events.until("turn.done").await?;
    assert_eq!(frames.last().unwrap()["reason"], "complete");
    Ok(())
}

#[tokio::test]
async fn a_socket_and_calls_share_a_session() -> Result<()> {
    let hub = Hub::start(&[])?;
    let session = Made::new(&hub).await?;
    let ready = json!({"session": session.body["sessionId"], "token": session.token});
    let mut socket = Client::join(&hub, &ready, "").await?;
    until(&mut socket, "session.snapshot").await?;
    let (_, reply) = answered(session.say(&hub, "Hello")).await?;
    let frames = socket.until_turn_done().await?;
    assert_eq!(in_one(reply["response"].as_str().unwrap()), in_one(&text_of(&frames)));
    assert_eq!(session.see(&hub, "").await?["sockets"], 1);
    let (status, seen) = answered(session.call(&hub, Method::POST, "/extend", Some(&json!({})))).await?;
    assert_eq!((status, &seen["status"]), (200, &json!("active")));
    until(&mut socket, "session.extended").await?;
    session.delete(&hub).await?;
    let (frames, code, _) = socket.until_closed().await?;
    assert_eq!((&frames.last().unwrap()["reason"], code), (&json!("deleted"), 4501));
    Ok(())
}

#[tokio::test]
async fn an_idle_rest_session_ends() -> Result<()> {
    let hub = Hub::start(&["--idle-ttl", "1s", "--activity", "message"])?;
    let session = Made::new(&hub).await?;
    let ended = async {
        loop {
            let seen = session.see(&hub, "").await?;
            if seen["status"] == "terminated" {
                return anyhow::Ok(seen);
            }
        }
    };
    let seen = timeout(FRAME_TIMEOUT, ended).await.context("the session does not end")??;
    assert_eq!(seen["reason"], "idle");
    no_agent_is_left(&hub).await?;
    assert_eq!(refused(session.say(&hub, "Hello")).await?, (410, "session.expired".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_draining_hub_refuses_new_work() -> Result<()> {
    let mut agent = ScriptedAgent::start(HEALTHY).await?;
    let mut hub = Hub::start(&["--platform", "static", "--static-agents", &agent.url])?;
    let session = Made::new(&hub).await?;
    // This turn lasts until the hub ends it.
    let give = async {
        let mut turn = agent.turn().await?;
        turn.write([HEAD, HI].concat()).await?;
        Ok(turn)
    };
    let (mut answer, _turn) = try_join!(Events::of(session.say(&hub, "Hello")), give)?;
    answer.until("text-delta").await?;
    hub.terminate()?;
    let mut events = Events::of(session.call(&hub, Method::GET, "/events", None)).await?;
    events.until("session.expiring").await?;
    let new = call(&hub, Method::POST, "/sessions", NONE, Some(&json!({})));
    assert_eq!(refused(new).await?, (503, "hub.draining".to_owned()));
    assert_eq!(refused(session.say(&hub, "Hello")).await?, (503, "hub.draining".to_owned()));
    hub.terminate()?;
    let (_, frames) = answer.until("turn.done").await?;
    assert_eq!(frames.last().unwrap()["reason"], "expired");
    let (_, frames) = events.until("session.ended").await?;
    assert_eq!(frames.last().unwrap()["reason"], "drained");
    let status = tokio::task::spawn_blocking(move || hub.wait()).await??;
    assert_eq!(status.code(), Some(3), "an answer was cut short");
    Ok(())
}

#[tokio::test]
async fn pages_call_from_allowed_origins_and_no_others() -> Result<()> {
    let allowed = "https://chat.example";
    let hub = Hub::start_with(&["--allow-origin", allowed], &[("MAYFLY_OPERATOR_KEY", KEY)])?;
    let session = Made::with(&hub, Some(KEY), &json!({})).await?;
    let own = hub.url.trim_end_matches('/').to_owned();
    let may = "access-control-allow-origin";
    for path in [&session.path, "/sessions", "/api/tickets"] {
        for (origin, is_allowed) in [
            (allowed, true),
            (&*own, true),
            ("https://evil.example", false),
            ("http://chat.example", false),
            ("null", false),
        ] {
            let preflight = call(&hub, Method::OPTIONS, path, NONE, None).header("origin", origin);
            let asked = "authorization, content-type, idempotency-key, last-event-id";
            let preflight = preflight
                .header("access-control-request-method", "DELETE")
                .header("access-control-request-headers", asked);
            let told = preflight.send().await?;
            let header = |name: &str| told.headers().get(name).and_then(|value| value.to_str().ok());
            assert_eq!(
                (told.status().is_success(), header(may)),
                (is_allowed, is_allowed.then_some(origin)),
                "{origin}"
            );
            assert_eq!(header("access-control-allow-credentials"), None, "a cookie proves nothing");
            if is_allowed {
                assert_eq!(header("access-control-allow-methods"), Some("GET,POST,DELETE"));
                let allowed = header("access-control-allow-headers").context("the headers")?;
                assert!(asked.split(", ").all(|name| allowed.contains(name)), "{allowed}");
                assert!(header("vary").is_some_and(|vary| vary.contains("origin")), "{:?}", told.headers());
            }
            let called = call(&hub, Method::GET, &session.path, Some(KEY), None)
                .header("origin", origin)
                .send()
                .await?;
            let header = called.headers().get(may).and_then(|value| value.to_str().ok());
            assert_eq!(
                (called.status().as_u16(), header),
                if is_allowed { (200, Some(origin)) } else { (403, None) }
            );
            let new = call(&hub, Method::POST, "/sessions", Some("wrong"), Some(&json!({})))
                .header("origin", origin);
            let code = if is_allowed { "auth.denied" } else { "auth.origin" };
            assert_eq!(refused(new).await?, (403, code.to_owned()));
        }
    }
    assert_eq!(agents(&hub)?.len(), 1);
    let form = Request::post(format!("{own}{}/messages", session.path)).bearer_auth(KEY);
    let form = form.header("content-type", "text/plain").body(r#"{"message":"Hello"}"#);
    assert_eq!(refused(form).await?, (415, "proto.content_type".to_owned()));
    Ok(())
}

#[tokio::test]
async fn call_without_a_body_needs_no_content_type_but_an_allowed_origin() -> Result<()> {
    let hub = Hub::start(&[])?;
    let post = |path: &str| call(&hub, Method::POST, path, NONE, None);
    for path in ["/sessions", "/api/sessions"] {
        let foreign = post(path).header("origin", "https://evil.example");
        assert_eq!(refused(foreign).await?, (403, "auth.origin".to_owned()), "{path}");
        let sandboxed = post(path).header("origin", "null");
        assert_eq!(refused(sandboxed).await?, (403, "auth.origin".to_owned()), "{path}");
        let untyped = post(path).body("{}");
        assert_eq!(refused(untyped).await?, (415, "proto.content_type".to_owned()), "{path}");
        let form = post(path).header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(refused(form).await?, (415, "proto.content_type".to_owned()), "{path}");
    }
    assert_eq!(agents(&hub)?.len(), 0, "a refused call starts no agent");

    let (status, made) = answered(post("/sessions")).await?;
    assert_eq!(status, 201, "{made}");
    let session = made["sessionId"].as_str().context("an id")?;
    let token = made["token"].as_str();
    let extend = call(&hub, Method::POST, &format!("/sessions/{session}/extend"), token, None);
    let (status, extended) = answered(extend).await?;
    assert_eq!((status, extended["sessionId"].as_str()), (200, Some(session)));
    Ok(())
}
