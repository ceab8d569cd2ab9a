//! Models behind OpenAI's chat completions API, and servers with the same API: vLLM, llama.cpp, Ollama and others.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat-streaming>. Accepted variations
//! of other servers: calls without an id or with the same index, calls in one piece, arguments as an object, reasoning in
//! `reasoning_content` or `reasoning`, no usage, no `[DONE]`, `[DONE]` without a finish reason, errors as events. While
//! tools are called, reasoning is sent back in the field in which it came, as some servers require.

use futures::stream::BoxStream;
use mayfly_protocol::chunk::FinishReason;
use mayfly_protocol::environment::OPENAI_API_KEY;
use mayfly_protocol::hub::Usage;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::conversation::{Message, ToolCall};
use crate::http::Http;
use crate::limits::CALLS_MAX;
use crate::model::api::{Api, Broken};
use crate::model::calls::{self, CallIds};
use crate::model::provider_error::ProviderError;
use crate::model::settings::{Reasoning, Settings};
use crate::model::{Model, ModelError, ModelEvent, Prompt};
use crate::tool::ToolSpec;

/// Base URL of OpenAI's API.
pub const BASE_URL: &str = "https://api.openai.com/v1";

/// Last event of most servers' streams.
const DONE: &str = "[DONE]";

/// A model behind a chat completions API.
pub struct OpenAi {
    api: Api,
    settings: Settings,
}

impl OpenAi {
    /// Returns a model with these settings.
    pub fn new(http: Http, settings: Settings) -> Self {
        let url = format!("{}/chat/completions", settings.base_url);
        let api = Api::new(http, url, settings.key.clone(), OPENAI_API_KEY);
        Self { api, settings }
    }
}

impl Model for OpenAi {
    fn answer<'a>(&'a self, prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>> {
        let mut reader = Reader::new(CallIds::of(prompt.messages));
        self.api.answer(&request(&self.settings, prompt), move |data| reader.read(data))
    }
}

fn request(settings: &Settings, prompt: Prompt<'_>) -> Value {
    let mut request = json!({
        "model": settings.model,
        "stream": true,
        "stream_options": { "include_usage": true },
        "messages": messages(prompt),
    });
    if !prompt.tools.is_empty() {
        let tool = |ToolSpec { name, description, input_schema }: &ToolSpec| {
            let function = json!({ "name": name, "description": description, "parameters": input_schema });
            json!({ "type": "function", "function": function })
        };
        request["tools"] = prompt.tools.iter().map(tool).collect();
    }
    if let Some(tokens) = settings.max_tokens {
        // OpenAI's newer models reject the older name; other servers may not know the newer one.
        let name = if settings.base_url == BASE_URL { "max_completion_tokens" } else { "max_tokens" };
        request[name] = json!(tokens);
    }
    match &settings.reasoning {
        Reasoning::Unset | Reasoning::Budget(_) => {}
        Reasoning::Off => request["reasoning_effort"] = json!("none"),
        Reasoning::Effort(effort) => request["reasoning_effort"] = json!(effort),
    }
    request
}

fn messages(prompt: Prompt<'_>) -> Value {
    let mut messages = vec![json!({ "role": "system", "content": prompt.instructions })];
    for message in prompt.messages {
        match message {
            Message::User(text) => match messages.last_mut() {
                // After an answer that was stopped before it started. Some models' templates require alternating roles.
                Some(last) if last["role"] == "user" => {
                    let before = last["content"].as_str().unwrap_or_default();
                    last["content"] = json!(format!("{before}\n\n{text}"));
                }
                _ => messages.push(json!({ "role": "user", "content": text })),
            },
            Message::Assistant { text, calls, provider_state } => {
                messages.push(assistant(text, calls, provider_state.as_ref()));
            }
            Message::Tool { call, outcome } => {
                let content = calls::text_of(outcome);
                messages.push(json!({ "role": "tool", "tool_call_id": call, "content": content }));
            }
        }
    }
    messages.into()
}

fn assistant(text: &str, calls: &[ToolCall], state: Option<&Value>) -> Value {
    let mut message = json!({ "role": "assistant", "content": text });
    if !calls.is_empty() {
        let call = |call: &ToolCall| {
            let function = json!({ "name": call.name, "arguments": calls::input_of(call).to_string() });
            json!({ "id": call.id, "type": "function", "function": function })
        };
        message["tool_calls"] = calls.iter().map(call).collect();
    }
    for (name, thoughts) in state.and_then(Value::as_object).into_iter().flatten() {
        message[name] = thoughts.clone();
    }
    message
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CallDelta {
    index: Option<u32>,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: Option<u32>,
    #[serde(default)]
    completion_tokens: Option<u32>,
    #[serde(default)]
    total_tokens: Option<u32>,
    #[serde(default)]
    prompt_tokens_details: Option<InputTokens>,
}

#[derive(Deserialize)]
struct InputTokens {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

/// A tool call, as far as it has arrived.
struct Call {
    /// The server's index.
    index: Option<u32>,
    /// The server's id.
    raw_id: String,
    /// The unique id.
    id: String,
    name: String,
    json: String,
    /// `true` once the start event was sent, which happens when the tool's name is known.
    has_begun: bool,
}

/// Turns the events of a stream into model events.
struct Reader {
    names: CallIds,
    calls: Vec<Call>,
    /// The field that reasoning came in, and the reasoning.
    thoughts: Option<(&'static str, String)>,
    finish_reason: Option<FinishReason>,
}

impl Reader {
    fn new(names: CallIds) -> Self {
        Self { names, calls: Vec::new(), thoughts: None, finish_reason: None }
    }

    fn read(&mut self, data: Option<&str>) -> Result<Vec<ModelEvent>, Broken> {
        let Some(data) = data else {
            return self.finish_reason.map(|reason| self.end(reason)).ok_or(Broken::Ended);
        };
        if data.trim() == DONE {
            let reason = self.finish_reason.unwrap_or(FinishReason::Stop);
            return Ok(self.end(reason));
        }
        let unclear = Broken::Invalid("an event that is no chat completion");
        let Ok(body) = serde_json::from_str::<Value>(data) else { return Err(unclear) };
        if let Some(fault) = ProviderError::of_body(&body) {
            return Err(Broken::Provider(fault));
        }
        let Ok(Chunk { choices, usage }) = Chunk::deserialize(body) else { return Err(unclear) };
        let mut events: Vec<_> = usage.map(|usage| ModelEvent::Usage(usage.into())).into_iter().collect();
        for Choice { delta, finish_reason } in choices {
            self.grow(delta.unwrap_or_default(), &mut events)?;
            self.finish_reason = finish_reason.as_deref().map(read_finish_reason).or(self.finish_reason);
        }
        Ok(events)
    }

    fn grow(&mut self, delta: Delta, events: &mut Vec<ModelEvent>) -> Result<(), Broken> {
        for (name, more) in [("reasoning_content", delta.reasoning_content), ("reasoning", delta.reasoning)] {
            let Some(more) = more.filter(|more| !more.is_empty()) else { continue };
            let (first, thoughts) = self.thoughts.get_or_insert((name, String::new()));
            // Some servers send the same text in both fields.
            if *first == name {
                thoughts.push_str(&more);
                events.push(ModelEvent::Reasoning(more));
            }
        }
        let said = [delta.content, delta.refusal].into_iter().flatten();
        events.extend(said.filter(|text| !text.is_empty()).map(ModelEvent::Text));
        for call in delta.tool_calls.unwrap_or_default() {
            self.grow_call(call, events)?;
        }
        Ok(())
    }

    fn grow_call(&mut self, delta: CallDelta, events: &mut Vec<ModelEvent>) -> Result<(), Broken> {
        let FunctionDelta { name, arguments } = delta.function.unwrap_or_default();
        let name = name.unwrap_or_default();
        let raw_id = delta.id.unwrap_or_default();
        let place = self.place_of(delta.index, &raw_id, &name);
        if place >= CALLS_MAX {
            return Err(Broken::Invalid("too many calls of tools"));
        }
        if place == self.calls.len() {
            let id = self.names.take(&raw_id);
            let index = delta.index;
            self.calls.push(Call {
                index,
                raw_id,
                id,
                name: String::new(),
                json: String::new(),
                has_begun: false,
            });
        }
        let Some(call) = self.calls.get_mut(place) else { return Ok(()) };
        if call.name.is_empty() {
            call.name = name;
        }
        let more = match arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(json)) => json,
            Some(whole) => whole.to_string(),
        };
        call.json.push_str(&more);
        if !call.has_begun && !call.name.is_empty() {
            call.has_begun = true;
            events.push(ModelEvent::CallStart { id: call.id.clone(), name: call.name.clone() });
            events.extend(input(call, call.json.clone()));
        } else if call.has_begun {
            events.extend(input(call, more));
        }
        Ok(())
    }

    /// Returns the position of the call that a delta belongs to. A delta with a new index, or with a new id and a tool name,
    /// starts another call, at the position after the last.
    fn place_of(&self, index: Option<u32>, raw_id: &str, tool: &str) -> usize {
        let begins = |call: &Call| !raw_id.is_empty() && !tool.is_empty() && call.raw_id != raw_id;
        let found = match index {
            Some(index) => self.calls.iter().rposition(|call| call.index == Some(index)),
            None if raw_id.is_empty() && tool.is_empty() => self.calls.len().checked_sub(1),
            None if raw_id.is_empty() => None,
            None => self.calls.iter().rposition(|call| call.raw_id == raw_id),
        };
        found.filter(|place| !begins(&self.calls[*place])).unwrap_or(self.calls.len())
    }

    fn end(&mut self, reason: FinishReason) -> Vec<ModelEvent> {
        let calls = std::mem::take(&mut self.calls);
        let has_calls = !calls.is_empty();
        let mut events: Vec<_> =
            calls.into_iter().map(|Call { id, name, json, .. }| calls::complete(id, name, &json)).collect();
        if let Some((name, thoughts)) = self.thoughts.take().filter(|_| has_calls) {
            events.push(ModelEvent::ProviderState(json!({ name: thoughts })));
        }
        events.push(ModelEvent::Finish(reason));
        events
    }
}

fn input(call: &Call, json: String) -> Option<ModelEvent> {
    (!json.is_empty()).then(|| ModelEvent::CallInput { id: call.id.clone(), json })
}

fn read_finish_reason(name: &str) -> FinishReason {
    match name {
        "stop" | "eos" | "stop_sequence" => FinishReason::Stop,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "length" | "max_tokens" => FinishReason::Length,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        Self {
            input_tokens: tokens.prompt_tokens,
            cached_input_tokens: tokens.prompt_tokens_details.and_then(|details| details.cached_tokens),
            output_tokens: tokens.completion_tokens,
            total_tokens: tokens.total_tokens,
        }
    }
}

#[cfg(test)]
mod tests;
