//! One turn: model -> tools -> model, until the model has no more wishes.
//!
//! ```text
//! start  ( start-step  (reasoning* text*)*  ( tool-input-* )*  ( tool-output-* )*  finish-step )+  finish
//! ```
//!
//! Owns the order of the chunks, one for each token, and what of a turn is remembered. However it ends, its text is
//! closed and every call is answered before the terminal chunk. Knows neither HTTP nor which model or tools there are.

use futures::StreamExt;
use futures::future::join_all;
use mayfly_protocol::chunk::{Chunk, FinishReason, MessageMetadata, Notice};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Usage;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::conversation::{Conversation, Message, ToolCall};
use crate::limits::{DELTA_MAX_BYTES, STEPS_MAX, TOOL_INPUT_MAX_BYTES};
use crate::model::{INSTRUCTIONS, Model, ModelError, ModelEvent, Prompt, add_usage};
use crate::record::Writer;
use crate::tool::Toolbox;

/// What takes part in a turn.
#[derive(Clone, Copy)]
pub struct Cast<'a> {
    /// What thinks.
    pub model: &'a dyn Model,
    /// What acts.
    pub tools: &'a Toolbox,
    /// What people should know before the answer.
    pub notices: &'a [Notice],
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
        begun: Vec::new(),
        said: String::new(),
        calls: Vec::new(),
        kept: None,
        unanswered: Vec::new(),
        usage: None,
        step_usage: None,
        has_forgotten: false,
    };
    writer.write(&Chunk::Start);
    for notice in cast.notices {
        writer.write(&Chunk::DataNotice { data: notice.clone() });
    }
    let ended = cancel.run_until_cancelled(turn.steps()).await;
    turn.close();
    turn.end_step();
    // Also what was not heard to its end was paid for.
    let message_metadata = turn.usage.map(|usage| MessageMetadata { usage: Some(usage) });
    match ended {
        Some(Ok(finish_reason)) => Chunk::Finish { finish_reason, message_metadata },
        Some(Err(error)) => {
            warn!(code = %error.code(), "the model failed");
            // A provider's words may quote what people said.
            debug!(%error);
            Chunk::Error { error_text: error.to_string(), code: Some(error.code()), message_metadata }
        }
        None => Chunk::Abort { message_metadata },
    }
}

struct Turn<'a> {
    cast: Cast<'a>,
    conversation: &'a mut Conversation,
    writer: &'a Writer,
    /// Pieces of text and reasoning so far; they are numbered.
    pieces: u32,
    open_piece: Option<(Piece, String)>,
    /// Calls of this step whose input is still coming.
    begun: Vec<Begun>,
    /// Of this step, not yet remembered.
    said: String,
    calls: Vec<Wish>,
    kept: Option<Value>,
    /// Remembered calls without their answer.
    unanswered: Vec<Wish>,
    /// Of the steps that are over.
    usage: Option<Usage>,
    /// Of this step, so far.
    step_usage: Option<Usage>,
    /// Whether the conversation was too long for the model once.
    has_forgotten: bool,
}

/// What a piece of the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Text,
    Reasoning,
}

/// A call whose input is still coming.
struct Begun {
    id: String,
    name: String,
}

/// A call, and why it cannot be carried out, which was told already.
struct Wish {
    call: ToolCall,
    fault: Option<String>,
}

impl Turn<'_> {
    async fn steps(&mut self) -> Result<FinishReason, ModelError> {
        for _ in 0..STEPS_MAX {
            self.writer.write(&Chunk::StartStep);
            let reason = self.listen().await?;
            self.end_step();
            self.remember();
            let goes_on = matches!(reason, FinishReason::Stop | FinishReason::ToolCalls);
            let is_last = self.unanswered.is_empty() || !goes_on;
            if goes_on {
                self.call_tools().await;
            } else {
                self.leave_calls("not called: the answer ended first");
            }
            self.writer.write(&Chunk::FinishStep);
            if is_last {
                return Ok(reason);
            }
        }
        Ok(FinishReason::Length)
    }

    /// Passes on what the model says. When the conversation is too long for it, the oldest is forgotten once.
    async fn listen(&mut self) -> Result<FinishReason, ModelError> {
        match self.listen_once().await {
            Err(ModelError::ContextLength) if self.is_silent() && !self.has_forgotten => {
                let forgotten = self.conversation.forget_older_half();
                if forgotten == 0 {
                    return Err(ModelError::ContextLength);
                }
                self.has_forgotten = true;
                let what =
                    if forgotten == 1 { "message and its answer" } else { "messages and their answers" };
                let message = format!(
                    "The conversation is longer than the model reads: its oldest {forgotten} {what} are left out from \
                     now on."
                );
                self.writer.write(&Chunk::DataNotice {
                    data: Notice { code: ErrorCode::ModelContextLength, message },
                });
                self.listen_once().await
            }
            other => other,
        }
    }

    fn is_silent(&self) -> bool {
        self.open_piece.is_none() && self.said.is_empty() && self.calls.is_empty() && self.begun.is_empty()
    }

    async fn listen_once(&mut self) -> Result<FinishReason, ModelError> {
        // A copy, as the model reads on while the turn writes.
        let conversation = self.conversation.clone();
        let messages = conversation.messages();
        let prompt = Prompt { instructions: INSTRUCTIONS, messages, tools: self.cast.tools.specs() };
        let mut events = self.cast.model.answer(prompt);
        let reason = loop {
            if self.writer.is_full() {
                break FinishReason::Length;
            }
            match events.next().await.ok_or(ModelError::BrokeOff)?? {
                ModelEvent::Text(token) => self.say(Piece::Text, &token),
                ModelEvent::Reasoning(token) => self.say(Piece::Reasoning, &token),
                ModelEvent::CallBegins { id, name } => self.begin_call(id, name),
                ModelEvent::CallInput { id, json } => self.grow_call(&id, &json),
                ModelEvent::Call(call) => self.announce(call),
                ModelEvent::BadCall { call, why } => self.refuse(call, why),
                ModelEvent::Keep(kept) => self.kept = Some(kept),
                ModelEvent::Usage(usage) => self.step_usage = Some(usage),
                ModelEvent::Finish(reason) => break reason,
            }
        };
        self.end_pieces();
        Ok(reason)
    }

    fn say(&mut self, piece: Piece, token: &str) {
        if token.is_empty() {
            return;
        }
        if piece == Piece::Text {
            self.said.push_str(token);
        }
        let id = match &self.open_piece {
            Some((open, id)) if *open == piece => id.clone(),
            _ => self.begin_piece(piece),
        };
        for delta in parts(token) {
            let (id, delta) = (id.clone(), delta.to_owned());
            self.writer.write(&match piece {
                Piece::Text => Chunk::TextDelta { id, delta },
                Piece::Reasoning => Chunk::ReasoningDelta { id, delta },
            });
        }
    }

    fn begin_piece(&mut self, piece: Piece) -> String {
        self.end_piece();
        self.pieces += 1;
        let id = match piece {
            Piece::Text => format!("text-{}", self.pieces),
            Piece::Reasoning => format!("reasoning-{}", self.pieces),
        };
        self.writer.write(&match piece {
            Piece::Text => Chunk::TextStart { id: id.clone() },
            Piece::Reasoning => Chunk::ReasoningStart { id: id.clone() },
        });
        self.open_piece = Some((piece, id.clone()));
        id
    }

    fn end_piece(&mut self) {
        match self.open_piece.take() {
            Some((Piece::Text, id)) => self.writer.write(&Chunk::TextEnd { id }),
            Some((Piece::Reasoning, id)) => self.writer.write(&Chunk::ReasoningEnd { id }),
            None => {}
        }
    }

    /// Ends what the model left open.
    fn end_pieces(&mut self) {
        self.end_piece();
        for Begun { id, name } in std::mem::take(&mut self.begun) {
            self.writer.write(&Chunk::ToolInputError {
                tool_call_id: id,
                tool_name: name,
                input: Value::Null,
                error_text: "the answer ended before the call was complete".to_owned(),
            });
        }
    }

    fn begin_call(&mut self, id: String, name: String) {
        self.end_piece();
        self.writer.write(&Chunk::ToolInputStart { tool_call_id: id.clone(), tool_name: name.clone() });
        self.begun.push(Begun { id, name });
    }

    fn grow_call(&mut self, id: &str, json: &str) {
        for part in parts(json) {
            let (tool_call_id, input_text_delta) = (id.to_owned(), part.to_owned());
            self.writer.write(&Chunk::ToolInputDelta { tool_call_id, input_text_delta });
        }
    }

    /// The input of a call is complete, whether it had begun or comes whole.
    fn end_call(&mut self, call: &ToolCall) {
        match self.begun.iter().position(|begun| begun.id == call.id) {
            Some(index) => drop(self.begun.remove(index)),
            None => {
                self.end_piece();
                let (tool_call_id, tool_name) = (call.id.clone(), call.name.clone());
                self.writer.write(&Chunk::ToolInputStart { tool_call_id, tool_name });
            }
        }
    }

    fn announce(&mut self, call: ToolCall) {
        if call.input.to_string().len() > TOOL_INPUT_MAX_BYTES {
            let call = ToolCall { input: Value::Object(serde_json::Map::new()), ..call };
            return self.refuse(call, format!("the input is larger than {TOOL_INPUT_MAX_BYTES} bytes"));
        }
        self.end_call(&call);
        self.writer.write(&Chunk::ToolInputAvailable {
            tool_call_id: call.id.clone(),
            tool_name: call.name.clone(),
            input: call.input.clone(),
        });
        self.calls.push(Wish { call, fault: None });
    }

    fn refuse(&mut self, call: ToolCall, why: String) {
        self.end_call(&call);
        self.writer.write(&Chunk::ToolInputError {
            tool_call_id: call.id.clone(),
            tool_name: call.name.clone(),
            input: call.input.clone(),
            error_text: why.clone(),
        });
        self.calls.push(Wish { call, fault: Some(why) });
    }

    /// What the model said in this step becomes part of the conversation.
    fn remember(&mut self) {
        let kept = self.kept.take();
        if self.said.is_empty() && self.calls.is_empty() {
            return;
        }
        self.unanswered = std::mem::take(&mut self.calls);
        let text = std::mem::take(&mut self.said);
        let calls = self.unanswered.iter().map(|wish| wish.call.clone()).collect();
        self.conversation.push(Message::Assistant { text, calls, kept });
    }

    /// Runs the calls of this step side by side, and answers them in their order.
    async fn call_tools(&mut self) {
        let tools = self.cast.tools;
        let outcomes = join_all(self.unanswered.iter().map(|Wish { call, fault }| async move {
            if let Some(fault) = fault {
                return Err(fault.clone());
            }
            debug!(tool = call.name, "call");
            tools.call(call).await.map_err(|error| error.to_string())
        }))
        .await;
        self.answer_calls(outcomes);
    }

    fn leave_calls(&mut self, why: &str) {
        let outcomes = vec![Err(why.to_owned()); self.unanswered.len()];
        self.answer_calls(outcomes);
    }

    fn answer_calls(&mut self, outcomes: Vec<Result<Value, String>>) {
        for (Wish { call, fault }, outcome) in self.unanswered.drain(..).zip(outcomes) {
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

    /// What the step took is added to what those before it took.
    fn end_step(&mut self) {
        if let Some(usage) = self.step_usage.take() {
            self.usage = Some(add_usage(self.usage.unwrap_or_default(), usage));
        }
    }

    /// Leaves nothing open: neither on the stream nor in the conversation.
    fn close(&mut self) {
        self.end_pieces();
        self.remember();
        self.leave_calls("stopped before there was an answer");
    }
}

/// A text in pieces that fit an event, however much of each has to be escaped.
fn parts(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let mut end = text.len().min(DELTA_MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (part, rest) = text.split_at(end);
        text = rest;
        Some(part)
    })
}
