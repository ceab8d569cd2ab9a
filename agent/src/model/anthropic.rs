//! Models behind Anthropic's Messages API.
//!
//! Source: <https://platform.claude.com/docs/en/build-with-claude/streaming>. An answer is a
//! list of numbered blocks with start, deltas and stop. Unknown events, blocks and deltas are ignored, as that page asks.
//!
//! ```text
//! message_start  ( content_block_start  content_block_delta*  content_block_stop )*  message_delta  message_stop
//! ```
//!
//! Reasoning blocks are signed. While tools are called, they have to be sent back unchanged and in place; such an answer
//! is therefore kept in the provider's own form (`provider_state`).

use futures::stream::BoxStream;
use mayfly_protocol::chunk::FinishReason;
use mayfly_protocol::environment::ANTHROPIC_API_KEY;
use mayfly_protocol::hub::Usage;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::conversation::{Message, ToolCall};
use crate::http::Http;
use crate::limits::{ANSWER_MAX_TOKENS, CALLS_MAX};
use crate::model::api::{Api, Broken};
use crate::model::calls::{self, CallIds};
use crate::model::provider_error::ProviderError;
use crate::model::settings::{Reasoning, Settings};
use crate::model::{Model, ModelError, ModelEvent, Prompt};

/// Base URL of Anthropic's API.
pub const BASE_URL: &str = "https://api.anthropic.com";
/// Version of the API (<https://platform.claude.com/docs/en/api/versioning>). This file uses nothing that was removed since
/// `2023-06-01`.
const VERSION: &str = "2026-10-21";

/// A model behind Anthropic's Messages API.
pub struct Anthropic {
    api: Api,
    settings: Settings,
}

impl Anthropic {
    /// Returns a model with these settings.
    pub fn new(http: Http, settings: Settings) -> Self {
        let url = format!("{}/v1/messages", settings.base_url);
        let api = Api::new(http, url, settings.key.clone(), ANTHROPIC_API_KEY)
            .with_header("anthropic-version", VERSION);
        Self { api, settings }
    }
}

impl Model for Anthropic {
    fn answer<'a>(&'a self, prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>> {
        let mut reader = Reader::new(CallIds::of(prompt.messages));
        self.api.answer(&request(&self.settings, prompt), move |data| reader.read(data))
    }
}

fn request(settings: &Settings, prompt: Prompt<'_>) -> Value {
    let max_tokens = settings.max_tokens.unwrap_or(ANSWER_MAX_TOKENS);
    let mut request = json!({
        "model": settings.model,
        "max_tokens": max_tokens,
        "stream": true,
        "system": prompt.instructions,
        "messages": messages(prompt.messages),
        // The provider caches everything up to the last block.
        "cache_control": { "type": "ephemeral" },
    });
    if !prompt.tools.is_empty() {
        let tool = |tool: &crate::tool::ToolSpec| json!({ "name": tool.name, "description": tool.description, "input_schema": tool.input_schema });
        request["tools"] = prompt.tools.iter().map(tool).collect();
    }
    match &settings.reasoning {
        Reasoning::Unset => {}
        Reasoning::Off => request["thinking"] = json!({ "type": "disabled" }),
        Reasoning::Effort(effort) => {
            request["thinking"] = json!({ "type": "adaptive", "display": "summarized" });
            request["output_config"] = json!({ "effort": effort });
        }
        Reasoning::Budget(tokens) => {
            request["thinking"] = json!({ "type": "enabled", "budget_tokens": tokens });
            // `max_tokens` includes the budget and must be larger.
            request["max_tokens"] = json!(max_tokens.saturating_add(*tokens));
        }
    }
    request
}

/// Returns the messages of a request. User messages and tool results share the role `user`; consecutive ones are one
/// message. Tool results come first, as the API requires them directly after their calls.
fn messages(messages: &[Message]) -> Value {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, blocks) = match message {
            Message::User(text) => ("user", vec![json!({ "type": "text", "text": text })]),
            Message::Tool { call, outcome } => ("user", vec![tool_result(call, outcome)]),
            Message::Assistant { provider_state: Some(Value::Array(blocks)), .. } => {
                ("assistant", blocks.clone())
            }
            Message::Assistant { text, calls, .. } => ("assistant", said(text, calls)),
        };
        if blocks.is_empty() {
            continue;
        }
        match turns.last_mut() {
            Some((last, said)) if *last == role => said.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect()
}

/// Returns a text block, or `None` for white space, which the API does not accept.
fn said(text: &str, calls: &[ToolCall]) -> Vec<Value> {
    let text = (!text.trim().is_empty()).then(|| json!({ "type": "text", "text": text }));
    text.into_iter()
        .chain(calls.iter().map(|call| tool_use(&call.id, &call.name, &calls::input_of(call))))
        .collect()
}

fn tool_use(id: &str, name: &str, input: &Value) -> Value {
    json!({ "type": "tool_use", "id": accepted_id(id), "name": name, "input": input })
}

fn tool_result(call: &str, outcome: &Result<Value, String>) -> Value {
    let content = calls::text_of(outcome);
    json!({ "type": "tool_result", "tool_use_id": accepted_id(call), "content": content, "is_error": outcome.is_err() })
}

/// Returns an id in the accepted letters: ids of other models may contain others.
fn accepted_id(id: &str) -> String {
    let accepted = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    id.chars().map(|letter| if accepted(letter) { letter } else { '_' }).collect()
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StreamEvent {
    MessageStart {
        message: Started,
    },
    ContentBlockStart {
        index: usize,
        content_block: BlockStart,
    },
    ContentBlockDelta {
        index: usize,
        delta: Delta,
    },
    ContentBlockStop {
        index: usize,
    },
    MessageDelta {
        delta: End,
        #[serde(default)]
        usage: Option<Tokens>,
    },
    MessageStop,
    Error {},
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Started {
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BlockStart {
    Text {
        #[serde(default)]
        text: String,
    },
    Thinking {
        #[serde(default)]
        thinking: String,
        #[serde(default)]
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        #[serde(default)]
        id: String,
        name: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct End {
    stop_reason: Option<String>,
}

/// Cumulative token counts; each may be absent in later events.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct Tokens {
    input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
    cache_read_input_tokens: Option<u32>,
    output_tokens: Option<u32>,
}

/// A block, as far as it has arrived.
enum Block {
    Text(String),
    Thinking { thinking: String, signature: String },
    RedactedThinking { data: String },
    ToolUse { id: String, name: String, json: String, is_whole: bool },
    Other,
}

/// Turns the events of a stream into model events.
struct Reader {
    names: CallIds,
    blocks: Vec<Block>,
    tokens: Option<Tokens>,
    stop_reason: Option<String>,
}

impl Reader {
    fn new(names: CallIds) -> Self {
        Self { names, blocks: Vec::new(), tokens: None, stop_reason: None }
    }

    fn read(&mut self, data: Option<&str>) -> Result<Vec<ModelEvent>, Broken> {
        let data = data.ok_or(Broken::Ended)?;
        let event =
            serde_json::from_str(data).map_err(|_| Broken::Invalid("an event that is none of the API's"))?;
        match event {
            StreamEvent::MessageStart { message } => {
                self.count(message.usage);
                return Ok(self.usage().into_iter().collect());
            }
            StreamEvent::ContentBlockStart { index, content_block } => {
                return self.begin(index, content_block);
            }
            StreamEvent::ContentBlockDelta { index, delta } => return self.grow(index, delta),
            StreamEvent::ContentBlockStop { index } => {
                return Ok(self.end_block(index).into_iter().collect());
            }
            StreamEvent::MessageDelta { delta, usage } => {
                self.count(usage);
                self.stop_reason = delta.stop_reason.or(self.stop_reason.take());
            }
            StreamEvent::MessageStop => return Ok(self.end()),
            StreamEvent::Error {} => {
                let body = serde_json::from_str(data).unwrap_or_default();
                return Err(Broken::Provider(ProviderError::of_body(&body).unwrap_or_default()));
            }
            StreamEvent::Other => {}
        }
        Ok(Vec::new())
    }

    fn count(&mut self, more: Option<Tokens>) {
        let Some(more) = more else { return };
        let before = self.tokens.unwrap_or_default();
        self.tokens = Some(Tokens {
            input_tokens: more.input_tokens.or(before.input_tokens),
            cache_creation_input_tokens: more
                .cache_creation_input_tokens
                .or(before.cache_creation_input_tokens),
            cache_read_input_tokens: more.cache_read_input_tokens.or(before.cache_read_input_tokens),
            output_tokens: more.output_tokens.or(before.output_tokens),
        });
    }

    fn usage(&self) -> Option<ModelEvent> {
        self.tokens.map(|tokens| ModelEvent::Usage(tokens.into()))
    }

    fn begin(&mut self, index: usize, start: BlockStart) -> Result<Vec<ModelEvent>, Broken> {
        if index != self.blocks.len() || index >= CALLS_MAX {
            return Err(Broken::Invalid("blocks out of order, or too many"));
        }
        let (block, event) = match start {
            BlockStart::Text { text } => (Block::Text(text.clone()), Some(ModelEvent::Text(text))),
            BlockStart::Thinking { thinking, signature } => {
                let event = ModelEvent::Reasoning(thinking.clone());
                (Block::Thinking { thinking, signature }, Some(event))
            }
            BlockStart::RedactedThinking { data } => (Block::RedactedThinking { data }, None),
            BlockStart::ToolUse { id, name } => {
                let id = self.names.take(&id);
                let event = ModelEvent::CallStart { id: id.clone(), name: name.clone() };
                (Block::ToolUse { id, name, json: String::new(), is_whole: false }, Some(event))
            }
            BlockStart::Other => (Block::Other, None),
        };
        self.blocks.push(block);
        Ok(event.into_iter().filter(|event| !is_empty(event)).collect())
    }

    fn grow(&mut self, index: usize, delta: Delta) -> Result<Vec<ModelEvent>, Broken> {
        let block =
            self.blocks.get_mut(index).ok_or(Broken::Invalid("more of a block that was not begun"))?;
        let event = match (block, delta) {
            (Block::Text(text), Delta::Text { text: more }) => {
                text.push_str(&more);
                ModelEvent::Text(more)
            }
            (Block::Thinking { thinking, .. }, Delta::Thinking { thinking: more }) => {
                thinking.push_str(&more);
                ModelEvent::Reasoning(more)
            }
            (Block::Thinking { signature, .. }, Delta::Signature { signature: whole }) => {
                *signature = whole;
                return Ok(Vec::new());
            }
            (Block::ToolUse { id, json, .. }, Delta::InputJson { partial_json }) => {
                json.push_str(&partial_json);
                ModelEvent::CallInput { id: id.clone(), json: partial_json }
            }
            _ => return Ok(Vec::new()),
        };
        Ok(if is_empty(&event) { Vec::new() } else { vec![event] })
    }

    fn end_block(&mut self, index: usize) -> Option<ModelEvent> {
        let Some(Block::ToolUse { id, name, json, is_whole }) = self.blocks.get_mut(index) else {
            return None;
        };
        (!std::mem::replace(is_whole, true)).then(|| calls::complete(id.clone(), name.clone(), json))
    }

    fn end(&mut self) -> Vec<ModelEvent> {
        // A block without a stop event is complete at the end.
        let mut events: Vec<_> = (0..self.blocks.len()).filter_map(|index| self.end_block(index)).collect();
        let is_thought =
            |block: &Block| matches!(block, Block::Thinking { .. } | Block::RedactedThinking { .. });
        let finish = finish_reason(self.stop_reason.as_deref());
        if finish == FinishReason::ToolCalls && self.blocks.iter().any(is_thought) {
            events.push(ModelEvent::ProviderState(self.blocks.iter().filter_map(Block::state).collect()));
        }
        events.extend(self.usage());
        events.push(ModelEvent::Finish(finish));
        events
    }
}

fn is_empty(event: &ModelEvent) -> bool {
    match event {
        ModelEvent::Text(text) | ModelEvent::Reasoning(text) => text.is_empty(),
        ModelEvent::CallInput { json, .. } => json.is_empty(),
        ModelEvent::CallStart { .. }
        | ModelEvent::Call(_)
        | ModelEvent::InvalidCall { .. }
        | ModelEvent::ProviderState(_)
        | ModelEvent::Usage(_)
        | ModelEvent::Finish(_) => false,
    }
}

fn finish_reason(stop_reason: Option<&str>) -> FinishReason {
    match stop_reason {
        Some("end_turn" | "stop_sequence") => FinishReason::Stop,
        Some("tool_use") => FinishReason::ToolCalls,
        Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
        Some("refusal") => FinishReason::ContentFilter,
        Some(_) | None => FinishReason::Other,
    }
}

impl Block {
    /// Returns the block in the form in which the API reads it back.
    fn state(&self) -> Option<Value> {
        match self {
            Self::Text(text) => (!text.trim().is_empty()).then(|| json!({ "type": "text", "text": text })),
            Self::Thinking { thinking, signature } => {
                Some(json!({ "type": "thinking", "thinking": thinking, "signature": signature }))
            }
            Self::RedactedThinking { data } => Some(json!({ "type": "redacted_thinking", "data": data })),
            Self::ToolUse { id, name, json, .. } => {
                let input = serde_json::from_str(json).ok().filter(Value::is_object);
                Some(tool_use(id, name, &input.unwrap_or_else(|| Value::Object(Map::new()))))
            }
            Self::Other => None,
        }
    }
}

/// Returns the usage. Input tokens include those read from and written to the cache.
impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        let cached = [tokens.cache_creation_input_tokens, tokens.cache_read_input_tokens];
        let input =
            tokens.input_tokens.map(|input| cached.into_iter().flatten().fold(input, u32::saturating_add));
        Self {
            input_tokens: input,
            cached_input_tokens: tokens.cache_read_input_tokens,
            output_tokens: tokens.output_tokens,
            total_tokens: input.zip(tokens.output_tokens).map(|(input, output)| input.saturating_add(output)),
        }
    }
}

#[cfg(test)]
mod tests;
