//! One turn: model -> tools -> model, until the model requests no more tools.
//!
//! ```text
//! start  ( start-step  (reasoning* text*)*  ( tool-input-* )*  ( tool-output-* )*  finish-step )+  finish
//! ```
//!
//! Owns the order of the chunks, one for each token, and the messages that a turn adds to the conversation. However the
//! turn ends, its open parts are closed and every tool call has a result before the terminal chunk. Knows neither HTTP nor
//! the model and the tools in use.

use futures::StreamExt;
use futures::future::join_all;
use mayfly_protocol::chunk::{Chunk, FinishReason, MessageMetadata, Notice};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Usage;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::conversation::{Conversation, Message, ToolCall};
use crate::limits::{DELTA_MAX_BYTES, STEPS_MAX, TOOL_INPUT_MAX_BYTES, TOOL_VALUE_MAX_DEPTH};
use crate::model::{INSTRUCTIONS, Model, ModelError, ModelEvent, Prompt, add_usage};
use crate::tool::{Toolbox, depth};
use crate::turn_events::EventWriter;

/// The model, the tools and the notices of a turn.
#[derive(Clone, Copy)]
pub struct TurnContext<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// The tools.
    pub tools: &'a Toolbox,
    /// Notices to the user, sent before the answer.
    pub notices: &'a [Notice],
}

/// Answers the last message of `conversation` and adds the answer to it. Writes every chunk but the terminal one, which it
/// returns. The terminal chunk is `abort` if `cancel` is cancelled first.
pub async fn run(
    context: TurnContext<'_>,
    conversation: &mut Conversation,
    cancel: &CancellationToken,
    writer: &EventWriter,
) -> Chunk {
    let mut turn = Turn {
        context,
        conversation,
        writer,
        parts: 0,
        open_part: None,
        open_calls: Vec::new(),
        text: String::new(),
        requests: Vec::new(),
        provider_state: None,
        unanswered: Vec::new(),
        usage: None,
        step_usage: None,
        is_shortened: false,
    };
    writer.write(&Chunk::Start);
    for notice in context.notices {
        writer.write(&Chunk::DataNotice { data: notice.clone() });
    }
    let ended = cancel.run_until_cancelled(turn.steps()).await;
    turn.close();
    turn.end_step();
    // The provider also bills an answer that was stopped.
    let message_metadata = turn.usage.map(|usage| MessageMetadata { usage: Some(usage) });
    match ended {
        Some(Ok(finish_reason)) => Chunk::Finish { finish_reason, message_metadata },
        Some(Err(error)) => {
            // The provider's message may quote the user.
            debug!(%error, "model failed");
            Chunk::Error { error_text: error.to_string(), code: Some(error.code()), message_metadata }
        }
        None => Chunk::Abort { message_metadata },
    }
}

struct Turn<'a> {
    context: TurnContext<'a>,
    conversation: &'a mut Conversation,
    writer: &'a EventWriter,
    /// Number of text and reasoning parts so far; part ids contain it.
    parts: u32,
    open_part: Option<(Part, String)>,
    /// Calls of this step whose input is incomplete.
    open_calls: Vec<OpenCall>,
    /// Text of this step, not yet in the conversation.
    text: String,
    /// Tool requests of this step, not yet in the conversation.
    requests: Vec<ToolRequest>,
    provider_state: Option<Value>,
    /// Tool requests in the conversation that have no result yet.
    unanswered: Vec<ToolRequest>,
    /// Usage of the completed steps.
    usage: Option<Usage>,
    /// Usage of this step so far.
    step_usage: Option<Usage>,
    /// `true` once the conversation was shortened in this turn.
    is_shortened: bool,
}

/// The kind of a part of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Reasoning,
}

/// A tool call whose input is incomplete.
struct OpenCall {
    id: String,
    name: String,
}

/// A complete tool call. `fault` is the reason for which it is not carried out; the stream has already told it.
struct ToolRequest {
    call: ToolCall,
    fault: Option<String>,
}

impl Turn<'_> {
    async fn steps(&mut self) -> Result<FinishReason, ModelError> {
        for _ in 0..STEPS_MAX {
            self.writer.write(&Chunk::StartStep);
            let reason = self.stream_step().await?;
            self.end_step();
            self.commit_step();
            let may_continue = matches!(reason, FinishReason::Stop | FinishReason::ToolCalls);
            let is_last = self.unanswered.is_empty() || !may_continue;
            if may_continue {
                self.call_tools().await;
            } else {
                self.fail_calls("not called: the answer ended first");
            }
            self.writer.write(&Chunk::FinishStep);
            if is_last {
                return Ok(reason);
            }
        }
        Ok(FinishReason::Length)
    }

    /// Streams one answer of the model. If the conversation is too long for the model, removes its older half and tries
    /// once more.
    async fn stream_step(&mut self) -> Result<FinishReason, ModelError> {
        match self.stream_answer().await {
            Err(ModelError::ContextLength) if self.is_step_empty() && !self.is_shortened => {
                let removed = self.conversation.remove_older_half();
                if removed == 0 {
                    return Err(ModelError::ContextLength);
                }
                self.is_shortened = true;
                let what = if removed == 1 { "message and its answer" } else { "messages and their answers" };
                let message = format!(
                    "The conversation is too long for the model: the oldest {removed} {what} are left out from \
                     now on."
                );
                self.writer.write(&Chunk::DataNotice {
                    data: Notice { code: ErrorCode::ModelContextLength, message },
                });
                self.stream_answer().await
            }
            other => other,
        }
    }

    fn is_step_empty(&self) -> bool {
        self.open_part.is_none()
            && self.text.is_empty()
            && self.requests.is_empty()
            && self.open_calls.is_empty()
    }

    async fn stream_answer(&mut self) -> Result<FinishReason, ModelError> {
        // The model borrows a copy while the turn writes to the original.
        let conversation = self.conversation.clone();
        let messages = conversation.messages();
        let prompt = Prompt { instructions: INSTRUCTIONS, messages, tools: self.context.tools.specs() };
        let mut events = self.context.model.answer(prompt);
        let reason = loop {
            if self.writer.is_full() {
                break FinishReason::Length;
            }
            match events.next().await.ok_or(ModelError::Interrupted)?? {
                ModelEvent::Text(token) => self.write_delta(Part::Text, &token),
                ModelEvent::Reasoning(token) => self.write_delta(Part::Reasoning, &token),
                ModelEvent::CallStart { id, name } => self.start_call(id, name),
                ModelEvent::CallInput { id, json } => self.extend_call(&id, &json),
                ModelEvent::Call(call) => self.accept_call(call),
                ModelEvent::InvalidCall { call, reason } => self.reject_call(call, reason),
                ModelEvent::ProviderState(state) => self.provider_state = Some(state),
                ModelEvent::Usage(usage) => self.step_usage = Some(usage),
                ModelEvent::Finish(reason) => break reason,
            }
        };
        self.close_parts();
        Ok(reason)
    }

    fn write_delta(&mut self, part: Part, token: &str) {
        if token.is_empty() {
            return;
        }
        if part == Part::Text {
            self.text.push_str(token);
        }
        let id = match &self.open_part {
            Some((open, id)) if *open == part => id.clone(),
            _ => self.open_part(part),
        };
        for delta in split(token) {
            let (id, delta) = (id.clone(), delta.to_owned());
            self.writer.write(&match part {
                Part::Text => Chunk::TextDelta { id, delta },
                Part::Reasoning => Chunk::ReasoningDelta { id, delta },
            });
        }
    }

    fn open_part(&mut self, part: Part) -> String {
        self.close_part();
        self.parts += 1;
        let id = match part {
            Part::Text => format!("text-{}", self.parts),
            Part::Reasoning => format!("reasoning-{}", self.parts),
        };
        self.writer.write(&match part {
            Part::Text => Chunk::TextStart { id: id.clone() },
            Part::Reasoning => Chunk::ReasoningStart { id: id.clone() },
        });
        self.open_part = Some((part, id.clone()));
        id
    }

    fn close_part(&mut self) {
        match self.open_part.take() {
            Some((Part::Text, id)) => self.writer.write(&Chunk::TextEnd { id }),
            Some((Part::Reasoning, id)) => self.writer.write(&Chunk::ReasoningEnd { id }),
            None => {}
        }
    }

    /// Closes the open part and the calls whose input is incomplete.
    fn close_parts(&mut self) {
        self.close_part();
        for OpenCall { id, name } in std::mem::take(&mut self.open_calls) {
            self.writer.write(&Chunk::ToolInputError {
                tool_call_id: id,
                tool_name: name,
                input: Value::Null,
                error_text: "the answer ended before the call was complete".to_owned(),
            });
        }
    }

    fn start_call(&mut self, id: String, name: String) {
        self.close_part();
        self.writer.write(&Chunk::ToolInputStart { tool_call_id: id.clone(), tool_name: name.clone() });
        self.open_calls.push(OpenCall { id, name });
    }

    fn extend_call(&mut self, id: &str, json: &str) {
        for part in split(json) {
            let (tool_call_id, input_text_delta) = (id.to_owned(), part.to_owned());
            self.writer.write(&Chunk::ToolInputDelta { tool_call_id, input_text_delta });
        }
    }

    /// Closes a call whose input is complete. A call that comes whole is started first.
    fn complete_call(&mut self, call: &ToolCall) {
        match self.open_calls.iter().position(|open| open.id == call.id) {
            Some(index) => drop(self.open_calls.remove(index)),
            None => {
                self.close_part();
                let (tool_call_id, tool_name) = (call.id.clone(), call.name.clone());
                self.writer.write(&Chunk::ToolInputStart { tool_call_id, tool_name });
            }
        }
    }

    fn accept_call(&mut self, call: ToolCall) {
        if call.input.to_string().len() > TOOL_INPUT_MAX_BYTES {
            let reason = format!("the input is larger than {TOOL_INPUT_MAX_BYTES} bytes");
            return self.reject_call(without_input(call), reason);
        }
        if depth(&call.input) > TOOL_VALUE_MAX_DEPTH {
            let reason = format!("the input is nested deeper than {TOOL_VALUE_MAX_DEPTH} levels");
            return self.reject_call(without_input(call), reason);
        }
        self.complete_call(&call);
        self.writer.write(&Chunk::ToolInputAvailable {
            tool_call_id: call.id.clone(),
            tool_name: call.name.clone(),
            input: call.input.clone(),
        });
        self.requests.push(ToolRequest { call, fault: None });
    }

    fn reject_call(&mut self, call: ToolCall, reason: String) {
        self.complete_call(&call);
        self.writer.write(&Chunk::ToolInputError {
            tool_call_id: call.id.clone(),
            tool_name: call.name.clone(),
            input: call.input.clone(),
            error_text: reason.clone(),
        });
        self.requests.push(ToolRequest { call, fault: Some(reason) });
    }

    /// Adds the model's output of this step to the conversation.
    fn commit_step(&mut self) {
        let provider_state = self.provider_state.take();
        if self.text.is_empty() && self.requests.is_empty() {
            return;
        }
        self.unanswered = std::mem::take(&mut self.requests);
        let text = std::mem::take(&mut self.text);
        let calls = self.unanswered.iter().map(|request| request.call.clone()).collect();
        self.conversation.push(Message::Assistant { text, calls, provider_state });
    }

    /// Runs the calls of this step concurrently and adds their results in order.
    async fn call_tools(&mut self) {
        let tools = self.context.tools;
        let outcomes = join_all(self.unanswered.iter().map(|ToolRequest { call, fault }| async move {
            if let Some(fault) = fault {
                return Err(fault.clone());
            }
            debug!(tool = call.name, "tool called");
            tools.call(call).await.map_err(|error| error.to_string())
        }))
        .await;
        self.add_results(outcomes);
    }

    fn fail_calls(&mut self, reason: &str) {
        let outcomes = vec![Err(reason.to_owned()); self.unanswered.len()];
        self.add_results(outcomes);
    }

    fn add_results(&mut self, outcomes: Vec<Result<Value, String>>) {
        for (ToolRequest { call, fault }, outcome) in self.unanswered.drain(..).zip(outcomes) {
            let tool_call_id = call.id.clone();
            if fault.is_none() {
                self.writer.write(&match outcome.clone() {
                    Ok(output) => Chunk::ToolOutputAvailable { tool_call_id, output },
                    Err(error_text) => Chunk::ToolOutputError { tool_call_id, error_text },
                });
            }
            self.conversation.push(Message::Tool { call: call.id, outcome });
        }
    }

    /// Adds the usage of this step to the usage of the turn.
    fn end_step(&mut self) {
        if let Some(usage) = self.step_usage.take() {
            self.usage = Some(add_usage(self.usage.unwrap_or_default(), usage));
        }
    }

    /// Closes all parts on the stream and gives every call in the conversation a result.
    fn close(&mut self) {
        self.close_parts();
        self.commit_step();
        self.fail_calls("stopped before the tool answered");
    }
}

/// Returns a call with an empty input, for an input that does not fit an event.
fn without_input(call: ToolCall) -> ToolCall {
    ToolCall { input: Value::Object(serde_json::Map::new()), ..call }
}

/// Splits a text into pieces that fit an event even if every byte has to be escaped.
fn split(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let mut end = text.len().min(DELTA_MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, rest) = text.split_at(end);
        text = rest;
        Some(piece)
    })
}
