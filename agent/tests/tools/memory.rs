//! Tests of the memory, in a file and at a server.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use mayfly_agent::binding::Binding;
use mayfly_agent::conversation::{Message, ToolCall};
use mayfly_agent::history::StartedTurn;
use mayfly_agent::http::Http;
use mayfly_agent::limits::{
    MEMORY_MAX_BYTES, MEMORY_TIMEOUT, NOTE_MAX_BYTES, NOTES_MAX, TOOL_OUTPUT_MAX_BYTES,
};
use mayfly_agent::memory::{CompletedTurn, Location, Memory, MemoryError, Note};
use mayfly_agent::secret::Secret;
use mayfly_agent::tool::Tool;
use mayfly_agent::tool::notes::Notes;
use mayfly_protocol::chunk::{Chunk, FinishReason};
use mayfly_protocol::ids::{SessionId, TurnId};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::hrana::{Server, TOKEN};

const FINISH: Chunk = Chunk::Finish { finish_reason: FinishReason::Stop, message_metadata: None };

fn binding(session: u128, owner: Option<&str>) -> Binding {
    Binding {
        session: SessionId::from_u128(session),
        owner: owner.map(|owner| owner.parse().unwrap()),
        deadline: None,
    }
}

/// Returns the memory of a new agent.
fn memory(location: &Location, binding: Binding) -> Arc<Memory> {
    let memory = Memory::new(location.clone(), Secret::parse(TOKEN.to_owned()), Http::new(None).unwrap());
    memory.bind(binding);
    Arc::new(memory)
}

/// Returns an empty file and an empty server.
async fn places() -> (Vec<Location>, (tempfile::TempDir, Server)) {
    let (directory, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let file = Location::File(directory.path().join("memory.db"));
    (vec![file, Location::Remote(server.url.clone())], (directory, server))
}

fn exchange(turn: u32, message: &str, replaces: Option<u32>) -> CompletedTurn {
    let call = ToolCall { id: "c1".into(), name: "weather".into(), input: json!({ "place": "Oslo" }) };
    let replaces = replaces.map(TurnId);
    let started = StartedTurn { turn: TurnId(turn), message: message.to_owned(), message_id: None, replaces };
    let delta = Chunk::TextDelta { id: "text-1".into(), delta: format!("You said {message}.") };
    CompletedTurn {
        past: started.completed(&[Chunk::Start, delta], &FINISH),
        messages: vec![
            Message::User(message.to_owned()),
            Message::Assistant {
                text: "Let me see.".into(),
                calls: vec![call],
                provider_state: Some(json!("secret")),
            },
            Message::Tool { call: "c1".into(), outcome: Ok(json!({ "temperature_c": 4 })) },
            Message::Tool { call: "c2".into(), outcome: Err("tool.failed: no".into()) },
        ],
    }
}

/// Returns the user's messages that a new agent loads.
async fn said(location: &Location, binding: Binding) -> Vec<String> {
    let loaded = memory(location, binding).load().await.unwrap();
    let words = loaded.exchanges.into_iter().map(|(_, _, mut messages)| match messages.remove(0) {
        Message::User(text) => text,
        other @ (Message::Assistant { .. } | Message::Tool { .. }) => panic!("{other:?}"),
    });
    words.collect()
}

#[tokio::test]
async fn a_new_agent_loads_saved_turns() {
    let (places, _keep) = places().await;
    for place in places {
        let ours = memory(&place, binding(1, None));
        assert!(ours.load().await.unwrap().exchanges.is_empty());
        for turn in [exchange(1, "one", None), exchange(2, "t'wo \u{e9}\u{1}\"", None)] {
            ours.save(&turn).await.unwrap();
        }
        let loaded = memory(&place, binding(1, None)).load().await.unwrap();
        let (session, turn, messages) = &loaded.exchanges[1];
        assert_eq!((*session, *turn), (SessionId::from_u128(1), TurnId(2)));
        let mut expected = exchange(2, "t'wo \u{e9}\u{1}\"", None).messages;
        if let Message::Assistant { provider_state, .. } = &mut expected[1] {
            *provider_state = None;
        }
        assert_eq!(*messages, expected, "{place:?}");
        let turns: Vec<Value> = loaded.turns.iter().map(|turn| serde_json::to_value(turn).unwrap()).collect();
        let past = |turn: CompletedTurn| serde_json::to_value(turn.past).unwrap();
        assert_eq!(turns, [past(exchange(1, "one", None)), past(exchange(2, "t'wo \u{e9}\u{1}\"", None))]);
    }
}

#[tokio::test]
async fn scopes_are_separate() {
    let (places, _keep) = places().await;
    for place in places {
        let ada = binding(1, Some("ada"));
        let bob = binding(2, Some("bob"));
        // An owner with the name of a session's scope in the database.
        let sly = binding(3, Some(&SessionId::from_u128(4).to_string()));
        let nobody = binding(4, None);
        for (at, who) in [&ada, &bob, &sly, &nobody].into_iter().enumerate() {
            let memory = memory(&place, who.clone());
            memory.save(&exchange(1, &format!("word {at}"), None)).await.unwrap();
            memory.add_note(&format!("note {at}")).await.unwrap();
        }
        for (at, who) in [ada, bob, sly, nobody].into_iter().enumerate() {
            assert_eq!(said(&place, who.clone()).await, [format!("word {at}")], "{place:?} {who:?}");
            let notes = memory(&place, who.clone()).notes("").await.unwrap();
            assert_eq!(notes, [Note { number: 1, text: format!("note {at}") }]);
            assert_eq!(memory(&place, who).remove_note(2).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn an_owner_has_one_memory_across_sessions() {
    let (places, _keep) = places().await;
    for place in places {
        memory(&place, binding(1, Some("ada"))).save(&exchange(1, "one", None)).await.unwrap();
        memory(&place, binding(2, Some("ada"))).save(&exchange(1, "two", None)).await.unwrap();
        assert_eq!(said(&place, binding(3, Some("ada"))).await, ["one", "two"]);
        let loaded = memory(&place, binding(2, Some("ada"))).load().await.unwrap();
        assert_eq!(loaded.turns.len(), 1, "a hub is shown its own session only");
        assert_eq!(loaded.turns[0].message, "two");
    }
}

#[tokio::test]
async fn replaced_turns_are_shown_but_not_read() {
    let (places, _keep) = places().await;
    for place in places {
        let ours = memory(&place, binding(1, None));
        for turn in [exchange(1, "one", None), exchange(2, "two", None), exchange(3, "three", Some(2))] {
            ours.save(&turn).await.unwrap();
            // Saved a second time, as after a lost response.
            ours.save(&turn).await.unwrap();
        }
        assert_eq!(said(&place, binding(1, None)).await, ["one", "three"]);
        assert_eq!(ours.load().await.unwrap().turns.len(), 3);
    }
}

#[tokio::test]
async fn the_oldest_turns_are_deleted_at_the_bound() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.db");
    let place = Location::File(path.clone());
    let ours = memory(&place, binding(1, None));
    let long = "x".repeat(MEMORY_MAX_BYTES / 16);
    for turn in 1..=20 {
        ours.save(&exchange(turn, &long, None)).await.unwrap();
    }
    let turns = ours.load().await.unwrap().turns;
    assert!((4..8).contains(&turns.len()), "{}", turns.len());
    assert_eq!(turns.last().unwrap().turn, TurnId(20));
    let metadata = std::fs::metadata(&path).unwrap();
    assert!(metadata.len() < 2 * MEMORY_MAX_BYTES as u64, "{}", metadata.len());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn notes_are_added_found_and_removed() {
    let (places, _keep) = places().await;
    for place in places {
        let tool = Notes::new(memory(&place, binding(1, None)));
        let ask = async |input: Value| tool.call(&input).await.map_err(|error| error.to_string());
        let milk = json!({ "number": 1, "text": "Buy milk" });
        assert_eq!(ask(json!({ "action": "list" })).await, Ok(json!({ "notes": [] })));
        assert_eq!(ask(json!({ "action": "add", "text": " Buy milk " })).await, Ok(json!({ "added": milk })));
        ask(json!({ "action": "add", "text": "Call Ann" })).await.unwrap();
        assert_eq!(
            ask(json!({ "action": "search", "text": "MILK buy" })).await,
            Ok(json!({ "notes": [milk] }))
        );
        assert_eq!(ask(json!({ "action": "remove", "number": 1 })).await, Ok(json!({ "removed": milk })));
        let ann = json!({ "number": 2, "text": "Call Ann" });
        assert_eq!(ask(json!({ "action": "list" })).await, Ok(json!({ "notes": [ann] })));
        for (input, why) in [
            (json!({ "action": "remove", "number": 1 }), "there is no note 1"),
            (json!({ "action": "remove" }), "number is missing"),
            (json!({ "action": "add", "text": " " }), "text is missing"),
            (json!({ "action": "burn" }), "invalid input: unknown variant"),
            (json!({ "action": "add", "text": "x".repeat(NOTE_MAX_BYTES + 1) }), "a note must have at most"),
        ] {
            let said = ask(input).await.unwrap_err();
            assert!(said.starts_with(&format!("tool.failed: {why}")), "{said}");
        }
    }
}

#[tokio::test]
async fn notes_are_bounded() {
    let ours = memory(&Location::Process, binding(1, None));
    let long = "\"".repeat(NOTE_MAX_BYTES);
    for _ in 0..NOTES_MAX {
        ours.add_note(&long).await.unwrap();
    }
    assert!(matches!(ours.add_note("more").await, Err(MemoryError::Full)));
    let told = Notes::new(Arc::clone(&ours)).call(&json!({ "action": "list" })).await.unwrap();
    assert!(told.to_string().len() <= TOOL_OUTPUT_MAX_BYTES);
    let (notes, left_out) = (told["notes"].as_array().unwrap().len(), told["left_out"].as_u64().unwrap());
    assert_eq!(notes as u64 + left_out, NOTES_MAX as u64);
    assert_eq!(told["notes"][notes - 1]["number"], NOTES_MAX);
}

#[tokio::test]
async fn a_request_is_one_transaction() {
    let server = Server::start().await;
    let place = Location::Remote(server.url.clone());
    memory(&place, binding(1, None)).add_note("x").await.unwrap();
    let mut request = server.requests.lock().unwrap().pop().unwrap();
    let now = request.pointer_mut("/requests/0/batch/steps/1/stmt/args/1/value").unwrap();
    assert!(now.as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000, "{now}");
    *now = json!("now");
    insta::assert_json_snapshot!(request);
}

#[tokio::test]
async fn a_failing_memory_reports_the_reason() {
    let server = Server::start().await;
    let place = Location::Remote(server.url.clone());
    let stranger = Memory::new(place, Secret::parse("wrong".to_owned()), Http::new(None).unwrap());
    stranger.bind(binding(1, None));
    assert!(matches!(stranger.load().await, Err(MemoryError::Denied)));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers: [(StatusCode, &str); 4] = [
        (StatusCode::BAD_GATEWAY, "HTTP status 502"),
        (StatusCode::OK, "<html>"),
        (StatusCode::OK, r#"{"results":[]}"#),
        (StatusCode::OK, r#"{"results":[{"type":"error","error":{"message":"no such table"}}]}"#),
    ];
    let next = Arc::new(std::sync::Mutex::new(answers.into_iter()));
    let app = Router::new().fallback(move || {
        let answer = next.lock().unwrap().next().unwrap();
        async move { answer }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let ours = memory(&Location::Remote(url), binding(1, None));
    assert!(matches!(ours.load().await, Err(MemoryError::Unreachable(why)) if why.contains("502")));
    assert!(matches!(ours.load().await, Err(MemoryError::Unreadable(_))));
    assert!(matches!(ours.load().await, Err(MemoryError::Unreadable(_))));
    assert!(matches!(ours.load().await, Err(MemoryError::Failed(why)) if why == "no such table"));

    let nowhere = memory(&Location::File("/nonexistent/memory.db".into()), binding(1, None));
    assert!(
        matches!(nowhere.load().await, Err(MemoryError::Unreachable(why)) if why.contains("No such file"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_memory_times_out() {
    // The backlog accepts connections; nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let begin = tokio::time::Instant::now();
    let outcome = memory(&Location::Remote(url), binding(1, None)).load().await;
    assert!(matches!(outcome, Err(MemoryError::Unreachable(why)) if why.contains("no answer within")));
    assert_eq!(begin.elapsed(), MEMORY_TIMEOUT);
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.db");
    std::fs::write(&path, "not a database, though it is as long as the header of one would be, and longer")
        .unwrap();
    let outcome = memory(&Location::File(path), binding(1, None)).load().await;
    assert!(matches!(outcome, Err(MemoryError::Failed(_))), "{outcome:?}");
}
