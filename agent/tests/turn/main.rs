//! Tests of turns: the events on the stream and the messages in the conversation, with scripted tools.

#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use mayfly_agent::conversation::{Conversation, Message, ToolCall};
use mayfly_agent::limits::{STEPS_MAX, TOOL_OUTPUT_MAX_BYTES, TOOL_TIMEOUT, TOOL_VALUE_MAX_DEPTH};
use mayfly_agent::model::builtin::Builtin;
use mayfly_agent::model::{Model, ModelError, ModelEvent, Prompt};
use mayfly_agent::tool::{Tool, ToolError, ToolSpec, Toolbox};
use mayfly_agent::turn::{self, TurnContext};
use mayfly_agent::turn_events::{EventReader, channel};
use mayfly_protocol::chunk::{Chunk, FinishReason, MessageMetadata};
use mayfly_protocol::hub::Usage;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

mod builtin;
mod scripted;

/// A weather tool without a service.
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

/// A tool with an output above the bound.
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

/// A tool with an output that nests deeper than the bound.
struct Deep;

#[async_trait]
impl Tool for Deep {
    fn spec(&self) -> ToolSpec {
        ToolSpec { name: "deep".into(), description: "scripted".into(), input_schema: json!({}) }
    }

    async fn call(&self, _input: &Value) -> Result<Value, ToolError> {
        Ok(nested(TOOL_VALUE_MAX_DEPTH + 1))
    }
}

/// Returns arrays within each other.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

type Step = Vec<Result<ModelEvent, ModelError>>;

/// Answers with these steps in turn, the last one repeatedly.
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

/// A conversation with a model and tools.
struct Stage<M> {
    model: M,
    tools: Toolbox,
    conversation: Conversation,
    cancel: CancellationToken,
}

impl<M: Model> Stage<M> {
    fn with(model: M) -> Self {
        let tools =
            Toolbox::new(vec![Box::new(ScriptedWeather), Box::new(Silence), Box::new(Flood), Box::new(Deep)]);
        Self { model, tools, conversation: Conversation::default(), cancel: CancellationToken::new() }
    }

    async fn turn(&mut self, message: &str) -> (Chunk, EventReader) {
        self.conversation.push(Message::User(message.to_owned()));
        let (writer, reader) = channel();
        let context = TurnContext { model: &self.model, tools: &self.tools, notices: &[] };
        let terminal = turn::run(context, &mut self.conversation, &self.cancel, &writer).await;
        writer.end(&terminal);
        (terminal, reader)
    }

    /// Runs a turn and returns its events as JSON.
    async fn events(&mut self, message: &str) -> Vec<String> {
        let (_, mut reader) = self.turn(message).await;
        let mut events = Vec::new();
        while let Some((_, event)) = reader.next().await {
            events.push(event.to_string());
        }
        events
    }

    /// Runs a turn and returns its text.
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
