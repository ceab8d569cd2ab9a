//! The trait of a language model, the events of its answer, and its errors.
//!
//! A model gets the conversation and the tools it may call, and answers with a stream of events. It runs no tool and keeps
//! no state: `turn.rs` has the loop around it, `conversation.rs` the messages.
//!
//! - `choice.rs`: the choice of the model from the environment, with `settings.rs`
//! - `anthropic.rs`, `openai.rs`: the providers' wires, over `api.rs` (HTTP and SSE), `calls.rs` (tool calls) and
//!   `provider_error.rs` (their failures)
//! - `retrying.rs`: retries before an answer has started
//! - `builtin.rs`: the model that needs no provider

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
pub mod openai;
mod provider_error;
pub mod retrying;
pub mod settings;

/// Instructions to a language model, before the conversation.
pub const INSTRUCTIONS: &str = "You are a helpful assistant in a chat. Answer in the person's language, briefly and \
                                in Markdown where that helps. Use your tools rather than guess, and say so when \
                                they fail.";

/// A language model.
pub trait Model: Send + Sync {
    /// Answers the conversation: one step of a turn. Nothing happens until the stream is polled; dropping the stream closes
    /// its connection.
    fn answer<'a>(&'a self, prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>>;
}

/// The input of a model.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// Instructions before the conversation.
    pub instructions: &'a str,
    /// The conversation, oldest first. Ends with a user's message or with tool results.
    pub messages: &'a [Message],
    /// The tools that the model may call.
    pub tools: &'a [ToolSpec],
}

/// One event of a model's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// The next token of the answer.
    Text(String),
    /// The next token of the reasoning.
    Reasoning(String),
    /// The start of a tool call. Optional; several calls may be open at once.
    CallStart {
        /// [`ToolCall::id`] of the call.
        id: String,
        /// [`ToolCall::name`] of the call.
        name: String,
    },
    /// A fragment of a call's input as JSON text. Optional.
    CallInput {
        /// [`ToolCall::id`] of the call.
        id: String,
        /// The text to append.
        json: String,
    },
    /// A complete tool call. The calls of a step run after the step is complete.
    Call(ToolCall),
    /// A call with an input that cannot be used. The model is told the reason.
    InvalidCall {
        /// The call, with the input as far as it arrived.
        call: ToolCall,
        /// The fault of the input.
        reason: String,
    },
    /// State of the provider for [`Message::Assistant`]'s `provider_state`.
    ProviderState(Value),
    /// Usage of the step so far; replaces the one before.
    Usage(Usage),
    /// The end of the step; the last event.
    Finish(FinishReason),
}

/// Error returned when a model cannot answer. The message is for users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The stream ended before [`ModelEvent::Finish`].
    #[error("the model's answer was interrupted; try again")]
    Interrupted,
    /// The provider is overloaded.
    #[error("the model's provider is overloaded; try again in a moment")]
    Overloaded {
        /// Time after which the provider accepts a retry.
        retry_after: Option<Duration>,
    },
    /// The provider's rate limit is exceeded.
    #[error("the rate limit of the model's provider is exceeded{}", retry_hint(*.retry_after))]
    RateLimited {
        /// Time after which the provider accepts a retry.
        retry_after: Option<Duration>,
    },
    /// The account with the provider has no credit.
    #[error("the account with the model's provider has no credit left")]
    NoCredit,
    /// The conversation exceeds the model's context.
    #[error("the conversation is too long for the model; start a new one or send shorter messages")]
    ContextLength,
    /// The model or its provider refused to answer.
    #[error("the model refused to answer")]
    Refused,
    /// The provider does not accept the key in this variable.
    #[error("the model's provider does not accept the key in {0}")]
    Auth(&'static str),
    /// The provider failed temporarily.
    #[error("the model's provider failed; try again in a moment")]
    ProviderFailed,
    /// The provider cannot be reached.
    #[error("the model cannot be reached: {0}")]
    Unreachable(String),
    /// The provider rejected the request, or failed in another way.
    #[error("{0}")]
    Failed(String),
}

impl ModelError {
    /// Returns the error code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Overloaded { .. } => ErrorCode::ModelOverloaded,
            Self::RateLimited { .. } | Self::NoCredit => ErrorCode::ModelRateLimited,
            Self::ContextLength => ErrorCode::ModelContextLength,
            Self::Refused => ErrorCode::ModelRefused,
            Self::Auth(_) => ErrorCode::ModelAuth,
            Self::Unreachable(_) => ErrorCode::ModelUnreachable,
            Self::Interrupted | Self::ProviderFailed | Self::Failed(_) => ErrorCode::ModelFailed,
        }
    }
}

fn retry_hint(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(after) => format!("; try again in {} s", after.as_secs_f64().ceil()),
        None => "; try again in a moment".to_owned(),
    }
}

/// Returns the sum of two usages. A count that neither has stays `None`.
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
