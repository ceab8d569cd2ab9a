//! One event of an agent's answer: an AI SDK UI-message chunk.
//!
//! Source of the vocabulary: `UIMessageChunk` of the npm package `ai`, version 7. The hub passes every
//! [`CONTENT_TYPES`] chunk through untouched; [`Chunk`] has those that the shipped agent sends.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::code::ErrorCode;
use crate::hub::Usage;

/// Types of chunks that reach the client as content frames; `data-*` does too.
pub const CONTENT_TYPES: [&str; 25] = [
    "start",
    "start-step",
    "finish-step",
    "reset-step",
    "text-start",
    "text-delta",
    "text-end",
    "reasoning-start",
    "reasoning-delta",
    "reasoning-end",
    "tool-input-start",
    "tool-input-delta",
    "tool-input-available",
    "tool-input-error",
    "tool-output-available",
    "tool-output-error",
    "tool-output-denied",
    "tool-approval-request",
    "source-url",
    "source-document",
    "file",
    "reasoning-file",
    "custom",
    "message-metadata",
    "data-",
];

/// Last line of an agent's stream, after its terminal chunk.
pub const DONE: &str = "[DONE]";

/// A chunk as the shipped agent sends it and as clients read it (there with `seq` and `turn` added).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Chunk {
    /// The answer begins.
    Start,
    /// A call of the model begins.
    StartStep,
    /// A call of the model is over.
    FinishStep,
    /// A piece of text begins.
    TextStart {
        /// Names the piece.
        id: String,
    },
    /// More text.
    TextDelta {
        /// Names the piece.
        id: String,
        /// The text to append.
        delta: String,
    },
    /// A piece of text is complete.
    TextEnd {
        /// Names the piece.
        id: String,
    },
    /// A piece of what the model thinks begins.
    ReasoningStart {
        /// Names the piece.
        id: String,
    },
    /// More of what it thinks.
    ReasoningDelta {
        /// Names the piece.
        id: String,
        /// The text to append.
        delta: String,
    },
    /// A piece of what it thinks is complete.
    ReasoningEnd {
        /// Names the piece.
        id: String,
    },
    /// The model begins to call a tool.
    ToolInputStart {
        /// Names the call.
        tool_call_id: String,
        /// Names the tool.
        tool_name: String,
    },
    /// More of the tool's input.
    ToolInputDelta {
        /// Names the call.
        tool_call_id: String,
        /// JSON to append.
        input_text_delta: String,
    },
    /// The tool's input is complete, but nothing that the tool could be called with.
    ToolInputError {
        /// Names the call.
        tool_call_id: String,
        /// Names the tool.
        tool_name: String,
        /// The input, as far as it came.
        #[ts(type = "unknown")]
        input: serde_json::Value,
        /// Why, for the model and for people.
        error_text: String,
    },
    /// The tool's input is complete; it runs.
    ToolInputAvailable {
        /// Names the call.
        tool_call_id: String,
        /// Names the tool.
        tool_name: String,
        /// The input, as the tool's schema says.
        #[ts(type = "unknown")]
        input: serde_json::Value,
    },
    /// The tool answered.
    ToolOutputAvailable {
        /// Names the call.
        tool_call_id: String,
        /// What the tool answered.
        #[ts(type = "unknown")]
        output: serde_json::Value,
    },
    /// The tool failed.
    ToolOutputError {
        /// Names the call.
        tool_call_id: String,
        /// Why, for the model and for people.
        error_text: String,
    },
    /// Something that people should know about the answer.
    DataNotice {
        /// What.
        data: Notice,
    },
    /// Terminal: the answer is complete.
    Finish {
        /// Why the model ended.
        finish_reason: FinishReason,
        /// What else there is to say of the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        message_metadata: Option<MessageMetadata>,
    },
    /// Terminal: the turn was cancelled.
    Abort {
        /// What else there is to say of the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        message_metadata: Option<MessageMetadata>,
    },
    /// Terminal: the turn failed.
    Error {
        /// Why, for people.
        error_text: String,
        /// Why, for programs: one that [`ErrorCode::is_from_agent`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        code: Option<ErrorCode>,
        /// What else there is to say of the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        message_metadata: Option<MessageMetadata>,
    },
}

/// Something that people should know about an answer, but that does not end it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Notice {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
}

/// What there is to say of an answer as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
pub struct MessageMetadata {
    /// What the answer took of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub usage: Option<Usage>,
}

/// Why a model ended its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// It said all it had to.
    Stop,
    /// It ended on a tool call.
    ToolCalls,
    /// It reached its length limit.
    Length,
    /// It refused.
    ContentFilter,
    /// It failed.
    Error,
    /// Anything else, unknown reasons included.
    #[serde(other)]
    Other,
}

impl Chunk {
    /// The chunk as compact JSON: the `data:` of one SSE event.
    pub fn to_json(&self) -> String {
        // Strings, enums and JSON values only: serializing into memory cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the stream ends with this chunk.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Finish { .. } | Self::Abort { .. } | Self::Error { .. })
    }
}
