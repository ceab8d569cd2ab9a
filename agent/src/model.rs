//! What thinks: the trait a language model sits behind, the events of its answer, and why there may be none.
//!
//! A model is handed the conversation and the tools it may call, and answers with a stream. It runs no tool and keeps
//! no state: the loop around it is `turn.rs`, the memory is `conversation.rs`.

use std::time::Duration;

use futures::stream::BoxStream;
use mayfly_protocol::chunk::FinishReason;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Usage;
use serde_json::Value;

use crate::conversation::{Message, ToolCall};
use crate::tool::ToolSpec;

pub mod anthropic;
mod api;
pub mod builtin;
mod calls;
pub mod choice;
mod fault;
pub mod openai;
pub mod retry;

pub use api::Key;

/// What a language model is told before the conversation.
pub const INSTRUCTIONS: &str = "You are a helpful assistant in a chat. Answer in the person's language, briefly and \
                                in Markdown where that helps. Use your tools rather than guess, and say so when \
                                they fail.";

/// A language model, or what stands in for one.
pub trait Model: Send + Sync {
    /// Answers the conversation: one step of a turn. Nothing happens until the stream is polled; dropping it ends it,
    /// and whatever connection it has.
    fn answer<'a>(&'a self, prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>>;
}

/// What a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// What it is told before the conversation.
    pub instructions: &'a str,
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
    /// The next token of what it thinks; no part of the answer.
    Reasoning(String),
    /// It begins to call a tool. May be left out; several calls may be under way at once.
    CallBegins {
        /// [`ToolCall::id`] of the call.
        id: String,
        /// [`ToolCall::name`] of the call.
        name: String,
    },
    /// More of a call's input, as JSON to append. May be left out.
    CallInput {
        /// [`ToolCall::id`] of the call.
        id: String,
        /// What to append.
        json: String,
    },
    /// A tool is to be called once the step is complete, beside the others of the step.
    Call(ToolCall),
    /// A call whose input cannot be used; it is to be told so.
    BadCall {
        /// The call, with its input as far as it came.
        call: ToolCall,
        /// What is wrong with its input.
        why: String,
    },
    /// What this model wants to read back as [`Message::Assistant`]'s `kept`, in a form of its own.
    Keep(Value),
    /// What the step took so far; the last one counts. Added up over the turn.
    Usage(Usage),
    /// The step is complete; the last event.
    Finish(FinishReason),
}

/// Why a model could not answer; its text is for people, and says what to do where something can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Its stream ended before [`ModelEvent::Finish`].
    #[error("the model's answer broke off")]
    BrokeOff,
    /// Its provider has too much to do.
    #[error("the model's provider is overloaded; try again in a moment")]
    Overloaded {
        /// When its provider wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Its provider was asked too much.
    #[error("the model's provider was asked more than it allows{}", in_seconds(*.retry_after))]
    RateLimited {
        /// When its provider wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The account with its provider has nothing left.
    #[error("the account with the model's provider has no credit left")]
    NoCredit,
    /// The conversation is longer than it reads.
    #[error("the conversation is longer than the model reads; begin a new one, or say less at once")]
    ContextLength,
    /// It, or its provider, does not want to answer.
    #[error("the model refused to answer")]
    Refused,
    /// Its provider does not take the key; the text says which variable has it.
    #[error("the model's provider does not accept the key in {0}")]
    Auth(&'static str),
    /// Its provider failed in passing.
    #[error("the model's provider failed; try again in a moment")]
    Stumbled,
    /// There is no connection to its provider.
    #[error("the model cannot be reached: {0}")]
    Unreachable(String),
    /// It cannot be asked in this way, or says that it failed.
    #[error("{0}")]
    Failed(String),
}

impl ModelError {
    /// The same for programs.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Overloaded { .. } => ErrorCode::ModelOverloaded,
            Self::RateLimited { .. } | Self::NoCredit => ErrorCode::ModelRateLimited,
            Self::ContextLength => ErrorCode::ModelContextLength,
            Self::Refused => ErrorCode::ModelRefused,
            Self::Auth(_) => ErrorCode::ModelAuth,
            Self::Unreachable(_) => ErrorCode::ModelUnreachable,
            Self::BrokeOff | Self::Stumbled | Self::Failed(_) => ErrorCode::ModelFailed,
        }
    }
}

fn in_seconds(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(after) => format!("; try again in {} s", after.as_secs_f64().ceil()),
        None => "; try again in a moment".to_owned(),
    }
}

/// The sum of what two steps took; what neither tells stays untold.
pub fn add_usage(a: Usage, b: Usage) -> Usage {
    let add = |a: Option<u32>, b: Option<u32>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    Usage {
        input_tokens: add(a.input_tokens, b.input_tokens),
        cached_input_tokens: add(a.cached_input_tokens, b.cached_input_tokens),
        output_tokens: add(a.output_tokens, b.output_tokens),
        total_tokens: add(a.total_tokens, b.total_tokens),
    }
}
