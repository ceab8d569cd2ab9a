//! Tests of calls: session, binding, credentials, invalid requests.

use super::*;

#[tokio::test]
async fn another_session_is_refused() {
    let agent = start_ungated();
    agent.whole(chat(SESSION, "t1", "Hi")).await;
    assert_eq!(agent.health().await, json!({ "status": "healthy", "sessionId": SESSION, "turn": null }));
    assert_eq!(agent.refused(chat(OTHER_SESSION, "t2", "Hi")).await, refusal(403, "session.other"));
    assert_eq!(agent.refused(chat(OTHER_SESSION, "t1", "Hi")).await, refusal(403, "session.other"));
}

#[tokio::test]
async fn a_warm_agent_is_bound_once() {
    let agent = start_warm();
    assert_eq!(agent.health().await, json!({ "status": "healthy", "sessionId": null, "turn": null }));
    assert_eq!(agent.refused(chat(SESSION, "t1", "Hi")).await, refusal(409, "agent.unbound"));
    for wrong in [
        bind("s_1", json!({})),
        bind(SESSION, json!({ "deadline": "soon" })),
        bind(SESSION, json!({ "owner": "" })),
        bind(SESSION, json!({ "owner": "\u{6f22}".repeat(129) })),
        bind(SESSION, json!({ "env": { "MODEL": "builtin" } })),
    ] {
        assert_eq!(agent.refused(wrong).await, refusal(400, "proto.invalid"));
    }
    assert_eq!(agent.health().await["sessionId"], Value::Null);

    let ours = || bind(SESSION, json!({ "owner": "ada", "env": {} }));
    let done = (StatusCode::NO_CONTENT, String::new());
    assert_eq!(agent.whole(ours()).await, done);
    assert_eq!(agent.whole(ours()).await, done, "told again");
    for other in [
        bind(OTHER_SESSION, json!({ "owner": "ada" })),
        bind(SESSION, json!({ "owner": "bob" })),
        bind(SESSION, json!({})),
        bind(SESSION, json!({ "owner": "ada", "deadline": 4_000_000_001_u64 })),
    ] {
        assert_eq!(agent.refused(other).await, refusal(409, "agent.bound"));
    }
    assert_eq!(agent.whole(chat(SESSION, "t1", "Hi")).await.1, WHOLE_STREAM);
    assert_eq!(agent.whole(ours()).await, done, "once it talks too");
    assert_eq!(agent.refused(chat(OTHER_SESSION, "t2", "Hi")).await, refusal(403, "session.other"));
}

#[tokio::test]
async fn an_agent_started_for_a_session_is_bound() {
    let agent = start_ungated();
    assert_eq!(agent.refused(bind(SESSION, json!({}))).await, refusal(409, "agent.bound"));
    assert_eq!(agent.refused(bind(OTHER_SESSION, json!({}))).await, refusal(409, "agent.bound"));
    assert_eq!(agent.whole(chat(SESSION, "t1", "Hi")).await.1, WHOLE_STREAM);
}

#[tokio::test]
async fn every_call_needs_the_token() {
    let agent = start_ungated();
    for shown in
        [None, Some(""), Some("secret"), Some("Bearer secre"), Some("Bearer secrets"), Some("Basic secret")]
    {
        for (method, path) in [
            (Method::GET, "/health"),
            (Method::POST, "/chat"),
            (Method::POST, "/turns/t1/cancel"),
            (Method::GET, "/turns/t1/events"),
            (Method::POST, "/bind"),
            (Method::GET, "/history"),
            (Method::GET, "/nothing"),
            (Method::DELETE, "/health"),
        ] {
            let mut call = request(method, path, "{}");
            call.headers_mut().remove("authorization");
            if let Some(shown) = shown {
                call.headers_mut().insert("authorization", shown.parse().unwrap());
            }
            assert_eq!(agent.refused(call).await, refusal(401, "auth.denied"), "{shown:?} {path}");
        }
    }
    assert_eq!(agent.times_asked(), 0);
}

#[tokio::test]
async fn invalid_calls_are_refused() {
    let agent = start_ungated();
    let post = |body: &str| request(Method::POST, "/chat", body.to_owned());
    let mut form = chat(SESSION, "t1", "Hi");
    form.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    let mut bare = chat(SESSION, "t1", "Hi");
    bare.headers_mut().remove("content-type");
    let large = "x".repeat(CALL_BODY_MAX_BYTES);
    for (call, status, code) in [
        (form, 415, "http.content_type"),
        (bare, 415, "http.content_type"),
        (chat(SESSION, "t1", &large), 413, "proto.too_large"),
        (post("{"), 400, "proto.invalid"),
        (post("{}"), 400, "proto.invalid"),
        (chat("s_1", "t1", "Hi"), 400, "proto.invalid"),
        (chat(SESSION, "1", "Hi"), 400, "proto.invalid"),
        (chat(SESSION, "t1", " \n"), 400, "proto.invalid"),
        (accepting("image/png", chat(SESSION, "t1", "Hi")), 406, "http.accept"),
        (request(Method::POST, "/turns/t9/cancel", ""), 404, "turn.not_found"),
        (request(Method::POST, "/turns/x/cancel", ""), 404, "http.not_found"),
        (request(Method::GET, "/nothing", ""), 404, "http.not_found"),
        (request(Method::GET, "/chat", ""), 405, "http.method"),
    ] {
        let what = format!("{} {} -> {status}", call.method(), call.uri());
        assert_eq!(agent.refused(call).await, refusal(status, code), "{what}");
    }
    assert_eq!(agent.times_asked(), 0);
}

#[tokio::test]
async fn the_socket_has_mode_0600() {
    let agent = start();
    let mode = std::fs::metadata(&agent.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let taken = mayfly_agent::server::bind_unix(&agent.path).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
}
