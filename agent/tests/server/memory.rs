//! Tests of agents that restart with a memory, and of a memory that fails.

use super::*;

fn session_of(owner: Option<&str>) -> Option<Binding> {
    let owner = owner.map(|owner| owner.parse().unwrap());
    Some(Binding { session: SESSION.parse().unwrap(), owner, deadline: None })
}

/// Starts an agent with the memory at `place`, whose model does not wait.
fn start_at(place: &Location, binding: Option<Binding>) -> Running {
    let running = serve(agent_with(binding, place.clone()));
    running.may_go_on.add_permits(1_000);
    running
}

/// Stops an agent as SIGTERM does.
async fn end(agent: Running) {
    agent.stop.cancel();
    agent.server.await.unwrap();
}

async fn history(agent: &Running) -> Value {
    serde_json::from_str(&agent.whole(request(Method::GET, "/history", "")).await.1).unwrap()
}

/// Returns [`WHOLE_STREAM`] as the memory replays it, with merged deltas.
fn merged_stream() -> String {
    let text = |json: &str| format!("{{\"type\":\"text-delta\",\"id\":\"text-1\",\"delta\":\"{json}\"}}");
    let events = WHOLE_STREAM
        .split("\n\n")
        .filter_map(|event| event.split_once("data: ").map(|(_, data)| data.to_owned()));
    let events = events
        .filter(|data| *data != text("One "))
        .map(|data| data.replace(&text("two."), &text("One two.")));
    let numbered = events.enumerate().map(|(at, data)| match data.as_str() {
        "[DONE]" => "data: [DONE]\n\n".to_owned(),
        data => format!("id: {}\ndata: {data}\n\n", at + 1),
    });
    numbered.collect()
}

#[tokio::test]
async fn a_restarted_agent_continues() {
    let directory = tempfile::tempdir().unwrap();
    let place = Location::File(directory.path().join("memory.db"));
    let first = start_at(&place, session_of(None));
    first.whole(chat(SESSION, "t1", "Hi")).await;
    first.whole(chat(SESSION, "t2", "And?")).await;
    let before = history(&first).await;
    end(first).await;

    let second = start_at(&place, session_of(None));
    assert_eq!(history(&second).await, before);
    assert_eq!(second.whole(chat(SESSION, "t1", "Hi")).await.1, merged_stream(), "told again, not run again");
    assert_eq!(second.whole(events("t2", Some("7"))).await.1, "data: [DONE]\n\n");
    assert_eq!(second.times_asked(), 0);
    assert_eq!(second.whole(chat(SESSION, "t3", "Go on")).await.1, WHOLE_STREAM);
    assert_eq!(*second.asked.lock().unwrap(), [5], "with what was said before");
    assert_eq!(second.refused(events("t0", None)).await, refusal(404, "http.not_found"));
}

#[tokio::test]
async fn a_restarted_agent_can_replace_the_last_answer() {
    let directory = tempfile::tempdir().unwrap();
    let place = Location::File(directory.path().join("memory.db"));
    let first = start_at(&place, session_of(None));
    first.whole(chat(SESSION, "t1", "Hi")).await;
    first.whole(chat(SESSION, "t2", "And?")).await;
    end(first).await;
    let second = start_at(&place, session_of(None));
    let again = json!({ "sessionId": SESSION, "turn": "t3", "message": "And?", "replaces": "t2" });
    second.whole(request(Method::POST, "/chat", again.to_string())).await;
    assert_eq!(*second.asked.lock().unwrap(), [3]);
    end(second).await;
    let third = start_at(&place, session_of(None));
    third.whole(chat(SESSION, "t4", "Go on")).await;
    assert_eq!(*third.asked.lock().unwrap(), [5], "t1, t3, and the message");
    assert_eq!(history(&third).await["turns"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn an_owner_has_one_memory_across_sessions() {
    let directory = tempfile::tempdir().unwrap();
    let place = Location::File(directory.path().join("memory.db"));
    let first = start_at(&place, session_of(Some("ada")));
    first.whole(chat(SESSION, "t1", "Hi")).await;
    end(first).await;
    for (owner, asked) in [(Some("ada"), 3), (Some("bob"), 1), (None, 1)] {
        let agent = start_at(&place, None);
        let bind =
            super::bind(OTHER_SESSION, owner.map_or_else(|| json!({}), |owner| json!({ "owner": owner })));
        assert_eq!(agent.whole(bind).await.0, StatusCode::NO_CONTENT);
        assert_eq!(history(&agent).await, json!({ "truncated": false, "turns": [] }));
        agent.whole(chat(OTHER_SESSION, "t1", "Hi")).await;
        assert_eq!(*agent.asked.lock().unwrap(), [asked], "{owner:?}");
        end(agent).await;
        // The turns of this session belong to ada, too.
        std::fs::remove_file(directory.path().join("memory.db")).unwrap();
        let again = start_at(&place, session_of(Some("ada")));
        again.whole(chat(SESSION, "t1", "Hi")).await;
        end(again).await;
    }
}

#[tokio::test]
async fn a_failing_memory_is_reported_once() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    let agent = start_at(&Location::File(folder.join("memory.db")), session_of(None));
    let first = agent.whole(chat(SESSION, "t1", "Hi")).await.1;
    let notice = r#"{"type":"data-notice","data":{"code":"memory.failed","message":"Earlier messages are not available: "#;
    assert!(first.contains(notice), "{first}");
    assert!(first.ends_with("data: [DONE]\n\n") && first.contains(r#""finishReason":"stop""#), "{first}");
    assert_eq!(agent.whole(chat(SESSION, "t2", "And?")).await.1, WHOLE_STREAM, "told once");
    assert_eq!(*agent.asked.lock().unwrap(), [1, 3]);
    assert_eq!(history(&agent).await["turns"].as_array().unwrap().len(), 2);

    // A memory that works again saves the missed turns.
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(agent.whole(chat(SESSION, "t3", "Go on")).await.1, WHOLE_STREAM);
    end(agent).await;
    let again = start_at(&Location::File(folder.join("memory.db")), session_of(None));
    assert_eq!(history(&again).await["turns"].as_array().unwrap().len(), 3);
    again.whole(chat(SESSION, "t4", "Well?")).await;
    assert_eq!(*again.asked.lock().unwrap(), [7]);
}
