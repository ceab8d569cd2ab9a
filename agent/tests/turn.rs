//! The turn loop with the built-in model and with scripted ones, tools scripted: what is streamed, and what is remembered.

#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use mayfly_agent::conversation::{Conversation, Message, ToolCall};
use mayfly_agent::limits::{STEPS_MAX, TOOL_OUTPUT_MAX_BYTES, TOOL_TIMEOUT};
use mayfly_agent::model::builtin::Builtin;
use mayfly_agent::model::{Model, ModelError, ModelEvent, Prompt};
use mayfly_agent::record::{Reader, record};
use mayfly_agent::tool::{Tool, ToolError, ToolSpec, Toolbox};
use mayfly_agent::turn::{self, Cast};
use mayfly_protocol::chunk::{Chunk, FinishReason, MessageMetadata};
use mayfly_protocol::hub::Usage;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Answers like the weather tool, without a service.
struct ScriptedWeather;

#[async_trait]
impl Tool for ScriptedWeather {
    fn spec(&self) -> ToolSpec {
        ToolSpec { name: "weather".into(), description: "scripted".into(), input_schema: json!({}) }
    }

    async fn call(&self, input: &Value) -> Result<Value, ToolError> {
        let temperature = match input["place"].as_str().unwrap() {
            "London" => 9.4,
            "Oslo" => -2.6,
            "Rome" => 14.0,
            "Nowhere" => {
                return Err(ToolError::Failed("no place called \u{201c}Nowhere\u{201d} is known".into()));
            }
            "Tokyo" => {
                return Ok(json!({
                    "source": "climate normals", "place": "Tokyo", "country": "Japan", "month": "November",
                    "typical_high_c": 17, "typical_low_c": 9, "rain_days": 7, "note": "Not a forecast.",
                }));
            }
            other => panic!("{other}"),
        };
        Ok(json!({
            "source": "Open-Meteo", "place": input["place"], "country": "Somewhere", "time": "2026-11-23T16:45",
            "temperature_c": temperature, "feels_like_c": temperature - 3.0, "humidity_pct": 81.0, "wind_kmh": 14.2,
            "condition": "light rain",
            "daily": [
                { "date": "2026-11-23", "condition": "rain", "high_c": 10.9, "low_c": 5.2, "rain_pct": 85.0 },
                { "date": "2026-11-24", "condition": "partly cloudy", "high_c": 11.2, "low_c": 5.1, "rain_pct": 20.0 },
                { "date": "2026-11-25", "condition": "fog", "high_c": 8.0, "low_c": 3.0 },
            ],
        }))
    }
}

/// A tool that never answers.
struct Silence;

#[async_trait]
impl Tool for Silence {
    fn spec(&self) -> ToolSpec {
        ToolSpec { name: "silence".into(), description: "scripted".into(), input_schema: json!({}) }
    }

    async fn call(&self, _input: &Value) -> Result<Value, ToolError> {
        std::future::pending().await
    }
}

/// A tool that says more than it may.
struct Flood;

#[async_trait]
impl Tool for Flood {
    fn spec(&self) -> ToolSpec {
        ToolSpec { name: "flood".into(), description: "scripted".into(), input_schema: json!({}) }
    }

    async fn call(&self, _input: &Value) -> Result<Value, ToolError> {
        Ok("x".repeat(TOOL_OUTPUT_MAX_BYTES).into())
    }
}

type Step = Vec<Result<ModelEvent, ModelError>>;

/// Gives these steps in turn, the last one for ever.
struct Scripted(Mutex<Vec<Step>>);

impl Model for Scripted {
    fn answer<'a>(&'a self, _prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>> {
        let mut steps = self.0.lock().unwrap();
        let step = if steps.len() > 1 { steps.remove(0) } else { steps[0].clone() };
        stream::iter(step).boxed()
    }
}

fn scripted(steps: Vec<Step>) -> Scripted {
    Scripted(Mutex::new(steps))
}

fn text(token: &str) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::Text(token.to_owned()))
}

fn call(tool: &str) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::Call(ToolCall { id: "c1".to_owned(), name: tool.to_owned(), input: json!({}) }))
}

const STOP: Result<ModelEvent, ModelError> = Ok(ModelEvent::Finish(FinishReason::Stop));

/// A conversation and who takes part in it.
struct Stage<M> {
    model: M,
    tools: Toolbox,
    conversation: Conversation,
    cancel: CancellationToken,
}

impl<M: Model> Stage<M> {
    fn with(model: M) -> Self {
        let tools = Toolbox::new(vec![Box::new(ScriptedWeather), Box::new(Silence), Box::new(Flood)]);
        Self { model, tools, conversation: Conversation::default(), cancel: CancellationToken::new() }
    }

    async fn turn(&mut self, message: &str) -> (Chunk, Reader) {
        self.conversation.push(Message::Person(message.to_owned()));
        let (writer, reader) = record();
        let cast = Cast { model: &self.model, tools: &self.tools, notices: &[] };
        let terminal = turn::run(cast, &mut self.conversation, &self.cancel, &writer).await;
        writer.end(&terminal);
        (terminal, reader)
    }

    /// Every event of a turn, as JSON.
    async fn events(&mut self, message: &str) -> Vec<String> {
        let (_, mut reader) = self.turn(message).await;
        let mut events = Vec::new();
        while let Some((_, event)) = reader.next().await {
            events.push(event.to_string());
        }
        events
    }

    /// All text of a turn.
    async fn says(&mut self, message: &str) -> String {
        let (terminal, mut reader) = self.turn(message).await;
        assert_eq!(
            terminal,
            Chunk::Finish { finish_reason: FinishReason::Stop, message_metadata: None },
            "{message}"
        );
        reader.outcome().await.unwrap().text
    }
}

fn builtin() -> Stage<Builtin> {
    Stage::with(Builtin::new(Duration::ZERO))
}

fn types(events: &[String]) -> Vec<String> {
    let kind =
        |event: &String| serde_json::from_str::<Value>(event).unwrap()["type"].as_str().unwrap().to_owned();
    let mut types: Vec<String> = events.iter().map(kind).collect();
    types.dedup();
    types
}

#[tokio::test]
async fn a_whole_turn_as_it_is_streamed() {
    let events = builtin().events("What is the weather in London?").await;
    insta::assert_snapshot!(events.join("\n"));
}

#[tokio::test]
async fn tools_are_called_within_the_step_that_asked_for_them() {
    let events = builtin().events("compare Oslo and Rome").await;
    assert_eq!(
        types(&events),
        [
            "start",
            "start-step",
            "text-start",
            "text-delta",
            "text-end",
            "tool-input-start",
            "tool-input-available",
            "tool-input-start",
            "tool-input-available",
            "tool-output-available",
            "finish-step",
            "start-step",
            "text-start",
            "text-delta",
            "text-end",
            "finish-step",
            "finish",
        ]
    );
}

#[tokio::test]
async fn answers_build_on_what_was_said() {
    let mut stage = builtin();
    let now = stage.says("What is the weather in London?").await;
    assert!(now.contains("In **London** (Somewhere) it is **9 \u{b0}C** (feels like 6 \u{b0}C)"), "{now}");
    assert!(now.contains("Take an umbrella."), "{now}");
    let tomorrow = stage.says("and tomorrow?").await;
    assert!(
        tomorrow.contains("Tomorrow (2026-11-24) in **London** (Somewhere): **partly cloudy**"),
        "{tomorrow}"
    );
    assert!(!tomorrow.contains("umbrella"), "{tomorrow}");
    let both = stage.says("compare it with Rome").await;
    assert!(both.contains("**London**") && both.contains("**Rome**"), "{both}");
    let days = stage.says("what about the next days in Oslo?").await;
    assert!(days.contains("| 2026-11-25 | fog | 3 \u{b0}C | 8 \u{b0}C | ? |"), "{days}");
    let before = stage.says("what did I ask before?").await;
    assert_eq!(before, "Just before, you said:\n\n> what about the next days in Oslo?");
    let summary = stage.says("summarise our conversation").await;
    assert!(
        summary.contains("1. What is the weather in London?\n2. and tomorrow?\n3. compare it with"),
        "{summary}"
    );
    assert!(summary.ends_with("We looked at the weather in **London**, **Rome** and **Oslo**."), "{summary}");
}

#[tokio::test]
async fn a_comparison_names_the_warmest() {
    let text = builtin().says("compare Oslo and Rome").await;
    assert!(text.contains("| **Oslo** (Somewhere) | -3 \u{b0}C | light rain |"), "{text}");
    assert!(text.contains("**Rome** is the warmest, 17 \u{b0}C above Oslo."), "{text}");
}

#[tokio::test]
async fn a_place_that_is_not_there_is_an_error_chunk_and_words() {
    let mut stage = builtin();
    let events = stage.events("weather in Nowhere").await.join("\n");
    let error = r#"{"type":"tool-output-error","toolCallId":"call-1","errorText":"tool.failed: no place called “Nowhere” is known"}"#;
    assert!(events.contains(error), "{events}");
    let said = stage.says("weather in Nowhere and Rome").await;
    assert!(said.contains("In **Rome** (Somewhere) it is"), "{said}");
    assert!(said.contains("I could not get the weather for **Nowhere**: no place called"), "{said}");
}

#[tokio::test]
async fn climate_normals_are_told_apart_from_a_forecast() {
    let said = builtin().says("weather in Tokyo").await;
    assert!(
        said.contains("this is **no forecast**, but what is typical for November (climate normals"),
        "{said}"
    );
    assert!(
        said.ends_with("- **Tokyo** (Japan): 9 \u{b0}C to 17 \u{b0}C, about 7 days with rain or snow"),
        "{said}"
    );
}

#[tokio::test]
async fn it_says_what_it_is() {
    let mut stage = builtin();
    for message in ["hello", "who are you?", "help", "what is the meaning of life?"] {
        let said = stage.says(message).await;
        assert!(
            said.contains("Mayfly's built-in assistant") && said.contains("no language model"),
            "{message}: {said}"
        );
    }
    let said = stage.says("Please prove Fermat's theorem").await;
    assert!(
        said.contains("> Please prove Fermat's theorem") && said.contains("This is what I can do"),
        "{said}"
    );
}

#[tokio::test]
async fn no_event_is_larger_than_a_hub_takes() {
    let huge = "\u{1}x".repeat(30_000);
    for message in [format!("weather in {huge}"), format!("weather in Oslo, {huge} and Rome"), huge] {
        for event in builtin().events(&message).await {
            assert!(event.len() < 8_192, "{} bytes", event.len());
        }
    }
}

#[tokio::test]
async fn a_demonstration_has_list_table_and_code() {
    let said = builtin().says("Show me markdown").await;
    for part in ["\n1. ", "\n| ", "\n```rust\n", "\n> ", "**bold**"] {
        assert!(said.contains(part), "{part}");
    }
}

#[tokio::test]
async fn a_story_is_long() {
    let events = builtin().events("Tell me a long story").await;
    let tokens = events.iter().filter(|event| event.contains("text-delta")).count();
    assert!((500..1500).contains(&tokens), "{tokens}");
}

#[tokio::test(start_paused = true)]
async fn tokens_come_at_the_given_pace() {
    let pace = Duration::from_millis(20);
    let mut stage = Stage::with(Builtin::new(pace));
    let begin = tokio::time::Instant::now();
    let events = stage.events("thanks").await;
    let tokens = u32::try_from(events.iter().filter(|event| event.contains("text-delta")).count()).unwrap();
    assert_eq!(begin.elapsed(), tokens * pace);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_turn_ends_at_once_and_closes_its_text() {
    let mut stage = Stage::with(Builtin::new(Duration::from_millis(20)));
    let cancel = stage.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(110)).await;
        cancel.cancel();
    });
    let events = stage.events("Tell me a long story").await;
    assert_eq!(types(&events), ["start", "start-step", "text-start", "text-delta", "text-end", "abort"]);
    let tokens = events.iter().filter(|event| event.contains("text-delta")).count();
    assert_eq!(tokens, 5, "one every 20 ms, for 110 ms");
    let kept =
        Message::Assistant { text: "## The mayfly\n\nOn the ".to_owned(), calls: Vec::new(), kept: None };
    assert_eq!(stage.conversation.messages().last(), Some(&kept), "what was said stays said");
}

#[tokio::test]
async fn a_call_that_is_stopped_is_answered_all_the_same() {
    let mut stage = Stage::with(scripted(vec![vec![text("Hm."), call("silence"), STOP]]));
    let cancel = stage.cancel.clone();
    let (_, (terminal, mut reader)) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            cancel.cancel();
        },
        stage.turn("?")
    );
    assert_eq!(terminal, Chunk::Abort { message_metadata: None });
    let mut events = Vec::new();
    while let Some((_, event)) = reader.next().await {
        events.push(event.to_string());
    }
    assert_eq!(
        types(&events)[4..],
        ["text-end", "tool-input-start", "tool-input-available", "tool-output-error", "abort"]
    );
    assert!(matches!(
        stage.conversation.messages(),
        [_, Message::Assistant { .. }, Message::Tool { outcome: Err(_), .. }]
    ));
}

#[tokio::test(start_paused = true)]
async fn a_tool_is_bounded_in_time_and_size() {
    for (tool, why) in [
        ("silence", format!("tool.timeout: no answer within {} s", TOOL_TIMEOUT.as_secs())),
        ("flood", format!("tool.failed: the answer is too large: {} bytes", TOOL_OUTPUT_MAX_BYTES + 2)),
        ("hammer", "tool.failed: there is no tool \\\"hammer\\\"".to_owned()),
    ] {
        let mut stage = Stage::with(scripted(vec![vec![call(tool), STOP], vec![text("Well."), STOP]]));
        let events = stage.events("?").await.join("\n");
        assert!(events.contains(&format!(r#""errorText":"{why}""#)), "{tool}: {events}");
        assert!(
            events.ends_with(r#"{"type":"finish","finishReason":"stop"}"#),
            "{tool}: the model goes on: {events}"
        );
    }
}

#[tokio::test]
async fn a_model_that_never_stops_calling_is_stopped() {
    let mut stage = Stage::with(scripted(vec![vec![call("hammer"), STOP]]));
    let events = stage.events("?").await;
    let steps = events.iter().filter(|event| event.contains("start-step")).count();
    assert_eq!(steps, STEPS_MAX);
    assert_eq!(events.last().unwrap(), r#"{"type":"finish","finishReason":"length"}"#);
}

#[tokio::test]
async fn a_model_that_never_stops_talking_is_stopped() {
    let endless = std::iter::repeat_n(text(&"x".repeat(10_000)), 1_000).chain([STOP]).collect();
    let mut stage = Stage::with(scripted(vec![endless]));
    let events = stage.events("?").await;
    assert!(events.len() < 250, "{}", events.len());
    assert_eq!(types(&events)[4..], ["text-end", "finish-step", "finish"]);
    assert_eq!(events.last().unwrap(), r#"{"type":"finish","finishReason":"length"}"#);
}

#[tokio::test]
async fn a_model_that_fails_ends_the_turn_with_its_words_and_code() {
    let overloaded = Err(ModelError::Overloaded { retry_after: None });
    for (steps, why, code) in [
        (
            vec![text("I th"), overloaded],
            "the model's provider is overloaded; try again in a moment",
            "model.overloaded",
        ),
        (vec![text("I th")], "the model's answer broke off", "model.failed"),
    ] {
        let mut stage = Stage::with(scripted(vec![steps]));
        let events = stage.events("?").await;
        assert_eq!(types(&events), ["start", "start-step", "text-start", "text-delta", "text-end", "error"]);
        let error = format!(r#"{{"type":"error","errorText":"{why}","code":"{code}"}}"#);
        assert_eq!(events.last().unwrap(), &error);
    }
}

const TOO_LONG: Result<ModelEvent, ModelError> = Err(ModelError::ContextLength);

#[tokio::test]
async fn a_conversation_that_is_too_long_loses_its_older_half_once_and_says_so() {
    let answer = || vec![text("Yes."), STOP];
    let mut stage = Stage::with(scripted(vec![answer(), answer(), vec![TOO_LONG], answer()]));
    stage.says("one").await;
    stage.says("two").await;
    let events = stage.events("three").await;
    assert_eq!(
        events[2],
        r#"{"type":"data-notice","data":{"code":"model.context_length","message":"The conversation is longer than the model reads: its oldest 1 message and its answer are left out from now on."}}"#
    );
    assert_eq!(events.last().unwrap(), r#"{"type":"finish","finishReason":"stop"}"#);
    let persons = |stage: &Stage<Scripted>| -> Vec<String> {
        let said = |message: &Message| match message {
            Message::Person(text) => Some(text.clone()),
            Message::Assistant { .. } | Message::Tool { .. } => None,
        };
        stage.conversation.messages().iter().filter_map(said).collect()
    };
    assert_eq!(persons(&stage), ["two", "three"]);
}

#[tokio::test]
async fn a_conversation_is_shortened_no_more_than_once_a_turn() {
    let answer = || vec![text("Yes."), STOP];
    for (steps, said_before, notices) in
        [(vec![answer(), answer(), vec![TOO_LONG]], 2, 1), (vec![vec![TOO_LONG]], 0, 0)]
    {
        let mut stage = Stage::with(scripted(steps));
        for _ in 0..said_before {
            stage.says("Hm?").await;
        }
        let events = stage.events("And now?").await;
        assert_eq!(events.iter().filter(|event| event.contains("data-notice")).count(), notices);
        assert!(events.last().unwrap().contains(r#""code":"model.context_length""#), "{events:?}");
    }
}

fn begins(id: &str) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::CallBegins { id: id.to_owned(), name: "weather".to_owned() })
}

fn input(id: &str, json: &str) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::CallInput { id: id.to_owned(), json: json.to_owned() })
}

#[tokio::test]
async fn thoughts_and_inputs_are_streamed_as_they_come() {
    let thought = |token: &str| Ok(ModelEvent::Reasoning(token.to_owned()));
    let called = ToolCall { id: "b".to_owned(), name: "weather".to_owned(), input: json!({"place": "Rome"}) };
    let bad = ToolCall { id: "a".to_owned(), name: "weather".to_owned(), input: json!("{\"pl") };
    let usage = |input, output| {
        let (input_tokens, output_tokens) = (Some(input), Some(output));
        Ok(ModelEvent::Usage(Usage { input_tokens, output_tokens, ..Usage::default() }))
    };
    let first = vec![
        thought("Rome "),
        thought("first."),
        text("Let me see."),
        begins("a"),
        begins("b"),
        input("b", "{\"place\":"),
        input("a", "{\"pl"),
        input("b", "\"Rome\"}"),
        Ok(ModelEvent::Call(called)),
        Ok(ModelEvent::BadCall { call: bad, why: "no JSON".to_owned() }),
        Ok(ModelEvent::Keep(json!(["signed"]))),
        usage(10, 5),
        Ok(ModelEvent::Finish(FinishReason::ToolCalls)),
    ];
    let mut stage = Stage::with(scripted(vec![first, vec![text("Mild."), usage(20, 2), STOP]]));
    let events = stage.events("?").await;
    insta::assert_snapshot!(events.join("\n"));
    assert!(matches!(
        stage.conversation.messages(),
        [
            Message::Person(_),
            Message::Assistant { calls, kept: Some(_), .. },
            Message::Tool { outcome: Ok(_), .. },
            Message::Tool { outcome: Err(why), .. },
            Message::Assistant { kept: None, .. },
        ] if calls.len() == 2 && why == "no JSON"
    ));
}

#[tokio::test(start_paused = true)]
async fn what_was_paid_for_is_told_however_a_turn_ends() {
    let usage = |input| Ok(ModelEvent::Usage(Usage { input_tokens: Some(input), ..Usage::default() }));
    let called =
        |last| vec![vec![usage(3), usage(5), call("silence"), STOP], vec![usage(7), text("Hm."), last]];
    let paid = |usage: Option<MessageMetadata>| {
        usage.and_then(|usage| usage.usage).and_then(|usage| usage.input_tokens)
    };
    for (last, expected) in [(STOP, 12), (Err(ModelError::BrokeOff), 12)] {
        let mut stage = Stage::with(scripted(called(last)));
        let (terminal, _) = stage.turn("?").await;
        let (Chunk::Finish { message_metadata, .. } | Chunk::Error { message_metadata, .. }) = terminal
        else {
            panic!("{terminal:?}");
        };
        assert_eq!(paid(message_metadata), Some(expected), "of a step, what was told last");
    }
    let mut stage = Stage::with(scripted(called(STOP)));
    let cancel = stage.cancel.clone();
    let stop = async {
        tokio::task::yield_now().await;
        cancel.cancel();
    };
    let (_, (terminal, _)) = tokio::join!(stop, stage.turn("?"));
    let Chunk::Abort { message_metadata } = terminal else { panic!("{terminal:?}") };
    assert_eq!(paid(message_metadata), Some(5));
}

#[tokio::test]
async fn a_call_that_is_cut_off_is_told_and_not_carried_out() {
    let cut = vec![begins("a"), input("a", "{"), Ok(ModelEvent::Finish(FinishReason::Length))];
    let mut stage = Stage::with(scripted(vec![cut]));
    let events = stage.events("?").await;
    assert_eq!(
        types(&events)[2..],
        ["tool-input-start", "tool-input-delta", "tool-input-error", "finish-step", "finish"]
    );
    let whole = vec![call("weather"), Ok(ModelEvent::Finish(FinishReason::ContentFilter))];
    let mut stage = Stage::with(scripted(vec![whole]));
    let events = stage.events("?").await;
    assert!(events.iter().any(|event| event.contains("not called: the answer ended first")), "{events:?}");
    assert_eq!(events.last().unwrap(), r#"{"type":"finish","finishReason":"content-filter"}"#);
}

#[tokio::test]
async fn what_is_too_large_for_an_event_is_told_in_several_or_refused() {
    let huge = "\u{1}\u{e9}".repeat(20_000);
    let call = ToolCall { id: "a".to_owned(), name: "weather".to_owned(), input: json!({ "place": huge }) };
    let step = vec![text(&huge), begins("a"), input("a", &huge), Ok(ModelEvent::Call(call)), STOP];
    let mut stage = Stage::with(scripted(vec![step, vec![text("Well."), STOP]]));
    let events = stage.events("?").await;
    assert!(events.iter().all(|event| event.len() < 60_000));
    assert!(events.iter().any(|event| event.contains("the input is larger than 32768 bytes")));
    assert!(stage.conversation.messages().contains(&Message::Assistant {
        text: huge,
        calls: vec![ToolCall { id: "a".to_owned(), name: "weather".to_owned(), input: json!({}) }],
        kept: None
    }));
}
