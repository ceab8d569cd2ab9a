//! The streams are written from the API's documented event shapes; the official SDK reads them in `tests/e2e/sdks.rs`.

use proptest::prelude::*;

use super::*;
use crate::model::api::tests::{lines, read_all};
use crate::tool::ToolSpec;

const CALLS: &str = include_str!("../../../tests/streams/anthropic-calls.sse");
const ANSWER: &str = include_str!("../../../tests/streams/anthropic-answer.sse");
const OVERLOADED: &str = include_str!("../../../tests/streams/anthropic-overloaded.sse");

async fn read(stream: &str) -> Vec<Result<ModelEvent, ModelError>> {
    read_all(stream, || {
        let mut reader = Reader::new(CallIds::of(&[]));
        move |data: Option<&str>| reader.read(data)
    })
    .await
}

#[tokio::test]
async fn reasoning_text_and_parallel_calls_are_read() {
    insta::assert_snapshot!(lines(&read(CALLS).await));
}

#[tokio::test]
async fn an_answer_with_usage_is_read() {
    insta::assert_snapshot!(lines(&read(ANSWER).await));
}

#[tokio::test]
async fn an_error_event_ends_the_answer() {
    let overloaded = Err(ModelError::Overloaded { retry_after: None });
    let events = read(OVERLOADED).await;
    assert!(matches!(events[0], Ok(ModelEvent::Usage(_))), "what is paid for so far");
    assert_eq!(events[1..], [Ok(ModelEvent::Text("It is ".to_owned())), overloaded]);
}

#[tokio::test]
async fn a_truncated_or_foreign_stream_is_an_error() {
    let cut = ANSWER.split_once("event: message_stop").unwrap().0;
    assert_eq!(read(cut).await.pop(), Some(Err(ModelError::Interrupted)));
    let unclear = |what: &str| Some(Err(ModelError::Failed(format!("the model's provider sent {what}"))));
    assert_eq!(read("data: {}\n\n").await.pop(), unclear("an event that is none of the API's"));
    let block = r#"data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#;
    assert_eq!(read(&format!("{block}\n\n")).await.pop(), unclear("blocks out of order, or too many"));
    let delta = r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#;
    assert_eq!(read(&format!("{delta}\n\n")).await.pop(), unclear("more of a block that was not begun"));
}

#[tokio::test]
async fn unknown_events_are_ignored() {
    let new = [
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"x"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{}}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"EmwK"}}"#,
        r#"{"type":"weather_report","storm":true}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let stream: String = new.iter().map(|data| format!("data: {data}\n\n")).collect();
    assert_eq!(read(&stream).await, [Ok(ModelEvent::Finish(FinishReason::Stop))]);
}

#[tokio::test]
async fn a_truncated_call_is_invalid() {
    let cut = CALLS
        .replace(r#""{\"place\": \"S\\u00e3o Paulo\"}""#, r#""{\"place\": \"S""#)
        .replace(r#""stop_reason":"tool_use""#, r#""stop_reason":"max_tokens""#);
    let events = read(&cut).await;
    let bad = events.iter().filter(|event| matches!(event, Ok(ModelEvent::InvalidCall { .. }))).count();
    assert_eq!(bad, 1, "{events:?}");
    assert_eq!(events.last(), Some(&Ok(ModelEvent::Finish(FinishReason::Length))));
}

#[test]
fn stop_reasons_are_translated() {
    for (name, reason) in [
        (Some("end_turn"), FinishReason::Stop),
        (Some("stop_sequence"), FinishReason::Stop),
        (Some("tool_use"), FinishReason::ToolCalls),
        (Some("max_tokens"), FinishReason::Length),
        (Some("model_context_window_exceeded"), FinishReason::Length),
        (Some("refusal"), FinishReason::ContentFilter),
        (Some("pause_turn"), FinishReason::Other),
        (None, FinishReason::Other),
    ] {
        assert_eq!(finish_reason(name), reason, "{name:?}");
    }
}

fn settings(reasoning: Reasoning) -> Settings {
    let base_url = BASE_URL.to_owned();
    Settings { model: "claude-9".to_owned(), base_url, key: None, max_tokens: None, reasoning }
}

fn call(id: &str, input: Value) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "weather".to_owned(), input }
}

#[test]
fn a_request_contains_the_conversation() {
    let kept = json!([{ "type": "thinking", "thinking": "Hm.", "signature": "c2ln" }]);
    let conversation = [
        Message::User("Hello".to_owned()),
        Message::User("Are you there?".to_owned()),
        Message::Assistant { text: " \n".to_owned(), calls: Vec::new(), provider_state: None },
        Message::User("Weather?".to_owned()),
        Message::Assistant {
            text: "Let me see.".to_owned(),
            calls: vec![call("a.1", json!({"place": "Oslo"})), call("b", json!("cut"))],
            provider_state: None,
        },
        Message::Tool { call: "a.1".to_owned(), outcome: Ok(json!({"celsius": 7})) },
        Message::Tool { call: "b".to_owned(), outcome: Err("no such place".to_owned()) },
        Message::Assistant {
            text: "Never mind.".to_owned(),
            calls: vec![call("c", json!({}))],
            provider_state: Some(kept),
        },
        Message::Tool { call: "c".to_owned(), outcome: Ok(json!("mild")) },
    ];
    let weather = ToolSpec {
        name: "weather".into(),
        description: "Weather".into(),
        input_schema: json!({"type": "object"}),
    };
    let tools = [weather];
    let prompt = Prompt { instructions: "Be brief.", messages: &conversation, tools: &tools };
    insta::assert_json_snapshot!(request(&settings(Reasoning::Effort("low")), prompt));
}

#[test]
fn reasoning_settings_are_sent() {
    let prompt = Prompt { instructions: "", messages: &[], tools: &[] };
    let asked = |reasoning| request(&settings(reasoning), prompt);
    let unset = asked(Reasoning::Unset);
    assert!(unset.get("thinking").is_none() && unset.get("tools").is_none());
    assert_eq!(asked(Reasoning::Off)["thinking"], json!({"type": "disabled"}));
    let budget = asked(Reasoning::Budget(2048));
    assert_eq!(budget["thinking"], json!({"type": "enabled", "budget_tokens": 2048}));
    assert_eq!(budget["max_tokens"], ANSWER_MAX_TOKENS + 2048);
}

proptest! {
    /// For every conversation: roles alternate, the first and last is `user`, and every call has its result directly after it.
    #[test]
    fn every_conversation_is_accepted(turns in prop::collection::vec((0..3_usize, any::<bool>()), 1..8)) {
        let mut conversation = Vec::new();
        for (number, (calls, speaks)) in turns.into_iter().enumerate() {
            conversation.push(Message::User("?".to_owned()));
            let calls: Vec<_> = (0..calls).map(|call_| call(&format!("{number}-{call_}"), json!({}))).collect();
            let answers: Vec<_> = calls.iter().map(|call| Message::Tool { call: call.id.clone(), outcome: Ok(json!(1)) }).collect();
            let text = if speaks { "Hm." } else { "" }.to_owned();
            if speaks || !calls.is_empty() {
                conversation.push(Message::Assistant { text, calls, provider_state: None });
            }
            conversation.extend(answers);
        }
        conversation.push(Message::User("!".to_owned()));
        let messages = messages(&conversation);
        let messages = messages.as_array().unwrap();
        for (index, message) in messages.iter().enumerate() {
            prop_assert_eq!(&message["role"], if index % 2 == 0 { "user" } else { "assistant" });
            let content = message["content"].as_array().unwrap();
            prop_assert!(!content.is_empty());
            let called: Vec<_> = content.iter().filter(|block| block["type"] == "tool_use").map(|block| &block["id"]).collect();
            if !called.is_empty() {
                let next = messages[index + 1]["content"].as_array().unwrap();
                let answered: Vec<_> = next[..called.len()].iter().map(|block| &block["tool_use_id"]).collect();
                prop_assert_eq!(called, answered);
            }
        }
        prop_assert_eq!(messages.len() % 2, 1);
    }
}
