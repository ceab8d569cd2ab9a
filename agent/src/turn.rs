//! One turn: model -> tools -> model, until the model has no more wishes.
//!
//! ```text
//! start  ( start-step  text*  ( tool-input-start tool-input-available )*  ( tool-output-* )*  finish-step )+  finish
//! ```
//!
//! Owns the order of the chunks, one for each token, and what of a turn is remembered. However it ends, its text is
//! closed and every call is answered before the terminal chunk. Knows neither HTTP nor which model or tools there are.

use std::iter;

use futures::StreamExt;
use futures::future::join_all;
use mayfly_protocol::chunk::{Chunk, FinishReason};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::conversation::{Conversation, Message, ToolCall};
use crate::limits::STEPS_MAX;
use crate::model::{Model, ModelError, ModelEvent, Prompt};
use crate::record::Writer;
use crate::tool::Toolbox;

/// What takes part in a turn.
#[derive(Clone, Copy)]
pub struct Cast<'a> {
    /// What thinks.
    pub model: &'a dyn Model,
    /// What acts.
    pub tools: &'a Toolbox,
}

/// Answers the last message of `conversation` and adds the answer to it. Writes every chunk but the terminal one, which
/// it returns: `abort` as soon as `cancel` says so.
pub async fn run(
    cast: Cast<'_>,
    conversation: &mut Conversation,
    cancel: &CancellationToken,
    writer: &Writer,
) -> Chunk {
    let mut turn = Turn {
        cast,
        conversation,
        writer,
        pieces: 0,
        open_piece: None,
        said: String::new(),
        calls: Vec::new(),
        unanswered: Vec::new(),
    };
    writer.write(&Chunk::Start);
    let ended = cancel.run_until_cancelled(turn.steps()).await;
    turn.close();
    match ended {
        Some(Ok(finish_reason)) => Chunk::Finish { finish_reason },
        Some(Err(error)) => {
            warn!(%error, "the model failed");
            Chunk::Error { error_text: error.to_string() }
        }
        None => Chunk::Abort,
    }
}

struct Turn<'a> {
    cast: Cast<'a>,
    conversation: &'a mut Conversation,
    writer: &'a Writer,
    /// Pieces of text so far; they are numbered.
    pieces: u32,
    open_piece: Option<String>,
    /// Of this step, not yet remembered.
    said: String,
    calls: Vec<ToolCall>,
    /// Remembered calls without their answer.
    unanswered: Vec<ToolCall>,
}

impl Turn<'_> {
    async fn steps(&mut self) -> Result<FinishReason, ModelError> {
        for _ in 0..STEPS_MAX {
            self.writer.write(&Chunk::StartStep);
            let reason = self.listen().await?;
            self.remember();
            let is_last = self.unanswered.is_empty();
            self.call_tools().await;
            self.writer.write(&Chunk::FinishStep);
            if is_last || reason == FinishReason::Length {
                return Ok(reason);
            }
        }
        Ok(FinishReason::Length)
    }

    /// Passes on what the model says.
    async fn listen(&mut self) -> Result<FinishReason, ModelError> {
        // A copy, as the model reads on while the turn writes.
        let conversation = self.conversation.clone();
        let prompt = Prompt { messages: conversation.messages(), tools: self.cast.tools.specs() };
        let mut events = self.cast.model.answer(prompt);
        let reason = loop {
            if self.writer.is_full() {
                break FinishReason::Length;
            }
            match events.next().await.ok_or(ModelError::BrokeOff)?? {
                ModelEvent::Text(token) => self.say(token),
                ModelEvent::Call(call) => self.announce(call),
                ModelEvent::Finish(reason) => break reason,
            }
        };
        self.end_piece();
        Ok(reason)
    }

    fn say(&mut self, delta: String) {
        self.said.push_str(&delta);
        let id = match &self.open_piece {
            Some(id) => id.clone(),
            None => {
                self.pieces += 1;
                let id = format!("text-{}", self.pieces);
                self.writer.write(&Chunk::TextStart { id: id.clone() });
                self.open_piece.insert(id).clone()
            }
        };
        self.writer.write(&Chunk::TextDelta { id, delta });
    }

    fn end_piece(&mut self) {
        if let Some(id) = self.open_piece.take() {
            self.writer.write(&Chunk::TextEnd { id });
        }
    }

    fn announce(&mut self, call: ToolCall) {
        self.end_piece();
        let (tool_call_id, tool_name) = (call.id.clone(), call.name.clone());
        self.writer.write(&Chunk::ToolInputStart {
            tool_call_id: tool_call_id.clone(),
            tool_name: tool_name.clone(),
        });
        self.writer.write(&Chunk::ToolInputAvailable { tool_call_id, tool_name, input: call.input.clone() });
        self.calls.push(call);
    }

    /// What the model said in this step becomes part of the conversation.
    fn remember(&mut self) {
        if self.said.is_empty() && self.calls.is_empty() {
            return;
        }
        self.unanswered = std::mem::take(&mut self.calls);
        let text = std::mem::take(&mut self.said);
        self.conversation.push(Message::Assistant { text, calls: self.unanswered.clone() });
    }

    /// Runs the calls of this step side by side, and answers them in their order.
    async fn call_tools(&mut self) {
        let tools = self.cast.tools;
        let outcomes = join_all(self.unanswered.iter().map(|call| async move {
            debug!(tool = call.name, "call");
            tools.call(call).await.map_err(|error| error.to_string())
        }))
        .await;
        self.answer_calls(outcomes);
    }

    fn answer_calls(&mut self, outcomes: impl IntoIterator<Item = Result<Value, String>>) {
        for (call, outcome) in self.unanswered.drain(..).zip(outcomes) {
            let tool_call_id = call.id.clone();
            self.writer.write(&match outcome.clone() {
                Ok(output) => Chunk::ToolOutputAvailable { tool_call_id, output },
                Err(error_text) => Chunk::ToolOutputError { tool_call_id, error_text },
            });
            self.conversation.push(Message::Tool { call: call.id, outcome });
        }
    }

    /// Leaves nothing open: neither on the stream nor in the conversation.
    fn close(&mut self) {
        self.end_piece();
        self.remember();
        self.answer_calls(iter::repeat(Err("stopped before there was an answer".to_owned())));
    }
}
