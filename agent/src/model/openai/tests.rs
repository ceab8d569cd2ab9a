//! The streams are written from documented chunks of each server; the official SDK reads them in `tests/e2e/sdks.rs`.

use super::*;
use crate::model::api::tests::{lines, read_all};

const CALLS: &str = include_str!("../../../tests/streams/openai-calls.sse");
const ANSWER: &str = include_str!("../../../tests/streams/openai-answer.sse");
const VLLM: &str = include_str!("../../../tests/streams/vllm-reasoning.sse");
const OLLAMA: &str = include_str!("../../../tests/streams/ollama-calls.sse");
const NAMELESS: &str = include_str!("../../../tests/streams/nameless-calls.sse");

type Item = Result<ModelEvent, ModelError>;

async fn read(stream: &str) -> Vec<Item> {
    read_all(stream, || {
        let mut reader = Reader::new(CallIds::of(&[]));
        move |data: Option<&str>| reader.read(data)
    })
    .await
}

/// Returns the inputs of all calls with the calls' names.
fn calls(events: &[Item]) -> Vec<(String, Value)> {
    let call = |event: &Item| match event {
        Ok(ModelEvent::Call(call)) => Some((call.id.clone(), call.input.clone())),
        _ => None,
    };
    events.iter().filter_map(call).collect()
}

#[tokio::test]
async fn text_and_parallel_calls_are_read() {
    insta::assert_snapshot!(lines(&read(CALLS).await));
}

#[tokio::test]
async fn an_answer_with_usage_is_read() {
    insta::assert_snapshot!(lines(&read(ANSWER).await));
}

#[tokio::test]
async fn reasoning_of_vllm_is_kept_with_the_calls() {
    insta::assert_snapshot!(lines(&read(VLLM).await));
}

#[tokio::test]
async fn calls_of_ollama_are_read() {
    let events = read(OLLAMA).await;
    let expected = [("call_a1", json!({"place": "Tokyo"})), ("call_b2", json!({"place": "S\u{e3}o Paulo"}))];
    assert_eq!(calls(&events), expected.map(|(id, input)| (id.to_owned(), input)));
    assert_eq!(events.last(), Some(&Ok(ModelEvent::Finish(FinishReason::Stop))), "without [DONE]");
}

#[tokio::test]
async fn calls_without_ids_and_indexes_are_read() {
    let events = read(NAMELESS).await;
    let expected = [("call-1", json!({"place": "Tokyo"})), ("call-2", json!({"place": "S\u{e3}o Paulo"}))];
    assert_eq!(calls(&events), expected.map(|(id, input)| (id.to_owned(), input)));
    assert!(events.contains(&Ok(ModelEvent::ProviderState(json!({"reasoning": "Hm."})))));
    assert_eq!(
        events.last(),
        Some(&Ok(ModelEvent::Finish(FinishReason::Stop))),
        "without a reason but [DONE]"
    );
}

#[tokio::test]
async fn a_truncated_or_foreign_stream_is_an_error() {
    let cut = ANSWER.split_once(r#""finish_reason":"stop""#).unwrap().0;
    let cut = cut.rsplit_once("data: ").unwrap().0;
    assert_eq!(read(cut).await.pop(), Some(Err(ModelError::Interrupted)));
    let unclear =
        ModelError::Failed("the model's provider sent an event that is no chat completion".to_owned());
    for data in ["{", "7", r#"{"choices":{}}"#, r#"{"choices":[{"delta":7}]}"#] {
        assert_eq!(read(&format!("data: {data}\n\n")).await, [Err(unclear.clone())], "{data}");
    }
}

#[tokio::test]
async fn an_error_event_ends_the_answer() {
    for (data, error) in [
        (
            r#"{"error":{"message":"busy","type":"server_error","code":503}}"#,
            ModelError::Overloaded { retry_after: None },
        ),
        (
            r#"{"error":"model requires more memory"}"#,
            ModelError::Failed(
                "the model's provider rejected the request: model requires more memory".to_owned(),
            ),
        ),
    ] {
        assert_eq!(read(&format!("data: {data}\n\n")).await, [Err(error)]);
    }
}

#[tokio::test]
async fn calls_are_bounded() {
    let call = |index| {
        format!(
            r#"data: {{"choices":[{{"delta":{{"tool_calls":[{{"index":{index},"function":{{"name":"a"}}}}]}}}}]}}"#
        )
    };
    let stream: String = (0..=CALLS_MAX).map(|index| call(index) + "\n\n").collect();
    let mut reader = Reader::new(CallIds::of(&[]));
    let last = stream
        .split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|data| reader.read(Some(data)))
        .last();
    assert!(matches!(last, Some(Err(Broken::Invalid("too many calls of tools")))));
}

fn settings(base_url: &str, max_tokens: Option<u32>, reasoning: Reasoning) -> Settings {
    let base_url = base_url.to_owned();
    Settings { model: "gpt-9".to_owned(), base_url, key: None, max_tokens, reasoning }
}

#[test]
fn a_request_contains_the_conversation() {
    let call = |id: &str, input| ToolCall { id: id.to_owned(), name: "weather".to_owned(), input };
    let conversation = [
        Message::User("Hello".to_owned()),
        Message::User("Are you there?".to_owned()),
        Message::Assistant {
            text: "Let me see.".to_owned(),
            calls: vec![call("a", json!({"place": "Oslo"})), call("b", json!("cut"))],
            provider_state: Some(json!({"reasoning_content": "Hm."})),
        },
        Message::Tool { call: "a".to_owned(), outcome: Ok(json!({"celsius": 7})) },
        Message::Tool { call: "b".to_owned(), outcome: Err("no such place".to_owned()) },
        Message::Assistant { text: "Mild.".to_owned(), calls: Vec::new(), provider_state: None },
        Message::User("Thanks".to_owned()),
    ];
    let tools = [ToolSpec {
        name: "weather".into(),
        description: "Weather".into(),
        input_schema: json!({"type": "object"}),
    }];
    let prompt = Prompt { instructions: "Be brief.", messages: &conversation, tools: &tools };
    insta::assert_json_snapshot!(request(&settings(BASE_URL, Some(100), Reasoning::Effort("low")), prompt));
}

#[test]
fn only_openai_gets_the_newest_fields() {
    let prompt = Prompt { instructions: "", messages: &[], tools: &[] };
    let local = request(&settings("http://127.0.0.1:8000/v1", Some(100), Reasoning::Off), prompt);
    assert_eq!((&local["max_tokens"], &local["reasoning_effort"]), (&json!(100), &json!("none")));
    assert!(local.get("max_completion_tokens").is_none() && local.get("tools").is_none());
}
