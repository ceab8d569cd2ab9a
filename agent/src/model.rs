//! What thinks: the trait a language model sits behind, and the events of its answer.
//!
//! A model is handed the conversation and the tools it may call, and answers with a stream. It runs no tool and keeps
//! no state: the loop around it is `turn.rs`, the memory is `conversation.rs`.

use futures::stream::BoxStream;
use mayfly_protocol::chunk::FinishReason;

use crate::conversation::{Message, ToolCall};
use crate::tool::ToolSpec;

pub mod builtin;

/// A language model, or what stands in for one.
pub trait Model: Send + Sync {
    /// Answers the conversation: one step of a turn. Nothing happens until the stream is polled; dropping it ends it.
    fn answer<'a>(&'a self, prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>>;
}

/// What a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// Oldest first; ends with what is to be answered: a person's message, or what the tools said.
    pub messages: &'a [Message],
    /// The tools it may call.
    pub tools: &'a [ToolSpec],
}

/// One event of a model's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// The next token.
    Text(String),
    /// A tool is to be called once the step is complete.
    Call(ToolCall),
    /// The step is complete; the last event.
    Finish(FinishReason),
}

/// Why a model could not answer; its text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Its stream ended before [`ModelEvent::Finish`].
    #[error("the model's answer broke off")]
    BrokeOff,
    /// It cannot be asked, or says that it failed.
    #[error("{0}")]
    Failed(String),
}
