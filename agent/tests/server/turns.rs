//! Tests of turns: streams, replay, cancellation, history.

use super::*;

#[tokio::test]
async fn a_turn_is_a_stream_of_numbered_events() {
    let agent = start_ungated();
    let response = agent.call(chat(SESSION, "t1", "Hi")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-vercel-ai-ui-message-stream"], "v1");
    assert_eq!(rest(response).await, WHOLE_STREAM);
}

#[tokio::test]
async fn a_turn_is_one_json_answer_on_request() {
    let agent = start_ungated();
    let response = agent.call(accepting("application/json", chat(SESSION, "t1", "Hi"))).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(rest(response).await, format!(r#"{{"response":"One two.","sessionId":"{SESSION}"}}"#));
}

#[tokio::test]
async fn a_token_arrives_before_the_next_is_made() {
    let agent = start();
    let mut response = agent.call(chat(SESSION, "t1", "Hi")).await;
    let begun = read_until(&mut response, "One ").await;
    assert!(WHOLE_STREAM.starts_with(&begun), "{begun}");
    agent.may_go_on.add_permits(1);
    assert_eq!(begun + &rest(response).await, WHOLE_STREAM);
}

#[tokio::test]
async fn a_known_turn_is_replayed() {
    let agent = start();
    let mut first = agent.call(chat(SESSION, "t1", "Hi")).await;
    let begun = read_until(&mut first, "One ").await;
    let second = agent.call(chat(SESSION, "t1", "Hi")).await;
    agent.may_go_on.add_permits(1);
    assert_eq!(begun + &rest(first).await, WHOLE_STREAM);
    assert_eq!(rest(second).await, WHOLE_STREAM, "while it runs");
    assert_eq!(agent.whole(chat(SESSION, "t1", "Hi")).await.1, WHOLE_STREAM, "when it is over");
    assert_eq!(agent.times_asked(), 1);
}

#[tokio::test]
async fn a_forgotten_turn_is_refused() {
    let agent = start_ungated();
    for turn in 1..=TURNS_KEPT + 1 {
        assert_eq!(agent.whole(chat(SESSION, &format!("t{turn}"), "Hi")).await.1, WHOLE_STREAM);
    }
    assert_eq!(agent.refused(chat(SESSION, "t1", "Hi")).await, refusal(410, "turn.gone"));
    assert_eq!(agent.whole(chat(SESSION, "t2", "Hi")).await.1, WHOLE_STREAM);
    assert_eq!(agent.times_asked(), TURNS_KEPT + 1);
}

#[tokio::test]
async fn a_cancelled_turn_ends_with_abort() {
    let agent = start();
    let mut response = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut response, "One ").await;
    assert_eq!(agent.refused(chat(SESSION, "t2", "Hi")).await, refusal(409, "turn.conflict"));

    let cancel = || request(Method::POST, "/turns/t1/cancel", "");
    assert_eq!(agent.whole(cancel()).await, (StatusCode::ACCEPTED, String::new()));
    let end = rest(response).await;
    assert!(end.contains(r#"{"type":"text-end","id":"text-1"}"#), "{end}");
    assert!(end.ends_with("data: {\"type\":\"abort\"}\n\ndata: [DONE]\n\n"), "{end}");
    assert_eq!(agent.whole(cancel()).await.0, StatusCode::ACCEPTED, "again");
    let as_json = accepting("application/json", chat(SESSION, "t1", "Hi"));
    assert_eq!(agent.refused(as_json).await, refusal(409, "turn.cancelled"));

    agent.may_go_on.add_permits(1);
    assert_eq!(agent.whole(chat(SESSION, "t2", "Hi")).await.1, WHOLE_STREAM);
}

#[tokio::test]
async fn a_stopped_turn_stays_in_the_conversation() {
    let agent = start();
    let mut response = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut response, "One ").await;
    agent.whole(request(Method::POST, "/turns/t1/cancel", "")).await;
    rest(response).await;
    agent.may_go_on.add_permits(2);
    agent.whole(chat(SESSION, "t2", "Hi")).await;
    agent.whole(chat(SESSION, "t3", "Hi")).await;
    assert_eq!(*agent.asked.lock().unwrap(), [1, 3, 5]);
}

#[tokio::test]
async fn a_replaced_turn_leaves_the_conversation() {
    let agent = start_ungated();
    let again = |turn: &str, replaces: &str| {
        let body = json!({ "sessionId": SESSION, "turn": turn, "message": "Hi", "replaces": replaces });
        request(Method::POST, "/chat", body.to_string())
    };
    agent.whole(chat(SESSION, "t1", "Hi")).await;
    agent.whole(chat(SESSION, "t2", "Hi")).await;
    agent.whole(again("t3", "t2")).await;
    agent.whole(again("t4", "t3")).await;
    assert_eq!(*agent.asked.lock().unwrap(), [1, 3, 3, 3]);
    agent.whole(again("t5", "t1")).await;
    assert_eq!(agent.asked.lock().unwrap().last(), Some(&5), "only the last turn can be replaced");
}

#[tokio::test]
async fn a_panicked_turn_ends_with_an_error() {
    let agent = start_ungated();
    let stream = agent.whole(chat(SESSION, "t1", "Panic")).await.1;
    let end =
        "data: {\"type\":\"error\",\"errorText\":\"the agent failed while it answered\"}\n\ndata: [DONE]\n\n";
    assert!(stream.ends_with(end), "{stream}");
    let as_json = accepting("application/json", chat(SESSION, "t1", "Panic"));
    assert_eq!(agent.refused(as_json).await, refusal(502, "agent.failed"));
    let history = agent.whole(request(Method::GET, "/history", "")).await.1;
    let end = r#""end":{"type":"error","errorText":"the agent failed while it answered"}"#;
    assert!(history.contains(end), "{history}");
    assert_eq!(agent.whole(chat(SESSION, "t2", "Hi")).await.1, WHOLE_STREAM);
}

#[tokio::test]
async fn a_disconnect_does_not_cancel() {
    let agent = start();
    let mut response = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut response, "One ").await;
    drop(response);
    assert_eq!(agent.health().await["turn"], "t1");
    agent.may_go_on.add_permits(1);
    assert_eq!(agent.whole(chat(SESSION, "t1", "Hi")).await.1, WHOLE_STREAM);
    assert_eq!(agent.times_asked(), 1);
}

#[tokio::test]
async fn events_are_replayed_from_any_event() {
    let agent = start();
    let mut first = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut first, "One ").await;
    let again = agent.call(events("t1", None)).await;
    assert_eq!(again.headers()["x-vercel-ai-ui-message-stream"], "v1");
    let on = agent.call(events("t1", Some("4"))).await;
    assert_eq!(agent.refused(events("t1", Some("5"))).await, refusal(400, "proto.invalid"));
    agent.may_go_on.add_permits(1);
    let after = |id: usize| {
        let head: usize = WHOLE_STREAM.split_inclusive("\n\n").take(id).map(str::len).sum();
        &WHOLE_STREAM[head..]
    };
    assert_eq!(rest(again).await, WHOLE_STREAM);
    assert_eq!(rest(on).await, after(4));
    assert_eq!(agent.whole(events("t1", Some("7"))).await.1, after(7), "when it is over");
    assert_eq!(agent.whole(events("t1", Some("8"))).await.1, "data: [DONE]\n\n");
    for wrong in ["9", "-1", "x", ""] {
        assert_eq!(agent.refused(events("t1", Some(wrong))).await, refusal(400, "proto.invalid"), "{wrong}");
    }
    assert_eq!(agent.refused(events("t2", None)).await, refusal(404, "turn.not_found"));
    assert_eq!(agent.times_asked(), 1);
}

#[tokio::test]
async fn events_of_a_forgotten_turn_are_gone() {
    let agent = start_ungated();
    for turn in 1..=TURNS_KEPT + 1 {
        agent.whole(chat(SESSION, &format!("t{turn}"), "Hi")).await;
    }
    assert_eq!(agent.refused(events("t1", None)).await, refusal(410, "turn.gone"));
    assert_eq!(agent.whole(events("t2", None)).await.1, WHOLE_STREAM);
}

#[tokio::test]
async fn the_history_has_completed_and_running_turns() {
    let agent = start();
    let history = async || -> Value {
        let (status, body) = agent.whole(request(Method::GET, "/history", "")).await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_str(&body).unwrap()
    };
    assert_eq!(history().await, json!({ "truncated": false, "turns": [] }));

    let mut stopped = agent.call(chat(SESSION, "t1", "Hi")).await;
    read_until(&mut stopped, "One ").await;
    agent.whole(request(Method::POST, "/turns/t1/cancel", "")).await;
    rest(stopped).await;
    agent.may_go_on.add_permits(1);
    let body = json!({ "sessionId": SESSION, "turn": "t2", "message": "Again", "replaces": "t1" });
    agent.whole(request(Method::POST, "/chat", body.to_string())).await;
    let mut running = agent.call(chat(SESSION, "t3", "And?")).await;
    read_until(&mut running, "One ").await;
    insta::assert_snapshot!(serde_json::to_string_pretty(&history().await).unwrap());
}

#[tokio::test]
async fn the_longest_message_of_a_hub_is_accepted() {
    let agent = start_ungated();
    // Each of these bytes becomes six in JSON.
    let message = format!("Hi{}", "\u{1}".repeat(64 * 1024));
    assert_eq!(agent.whole(chat(SESSION, "t1", &message)).await.1, WHOLE_STREAM);
}
