//! Events of an agent's answer: AI SDK UI-message chunks.
//!
//! The vocabulary is `UIMessageChunk` of the npm package `ai`, version 7. The hub passes every chunk of
//! [`CONTENT_TYPES`] through unchanged. [`Chunk`] has the chunks that the shipped agent sends.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::code::ErrorCode;
use crate::hub::Usage;

/// Types of the chunks that clients receive as content frames. `data-` stands for every type with that prefix.
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

/// A chunk of the shipped agent. Clients receive it with `seq` and `turn` added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Chunk {
    /// Begins the answer.
    Start,
    /// Begins a call of the model.
    StartStep,
    /// Ends a call of the model.
    FinishStep,
    /// Begins a part of text.
    TextStart {
        /// Id of the part.
        id: String,
    },
    /// Appends text to a part.
    TextDelta {
        /// Id of the part.
        id: String,
        /// The text to append.
        delta: String,
    },
    /// Ends a part of text.
    TextEnd {
        /// Id of the part.
        id: String,
    },
    /// Begins a part of reasoning.
    ReasoningStart {
        /// Id of the part.
        id: String,
    },
    /// Appends text to a part of reasoning.
    ReasoningDelta {
        /// Id of the part.
        id: String,
        /// The text to append.
        delta: String,
    },
    /// Ends a part of reasoning.
    ReasoningEnd {
        /// Id of the part.
        id: String,
    },
    /// Begins a tool call.
    ToolInputStart {
        /// Id of the tool call.
        tool_call_id: String,
        /// Name of the tool.
        tool_name: String,
    },
    /// Appends JSON to the tool's input.
    ToolInputDelta {
        /// Id of the tool call.
        tool_call_id: String,
        /// JSON to append.
        input_text_delta: String,
    },
    /// Ends the tool's input, which is not valid.
    ToolInputError {
        /// Id of the tool call.
        tool_call_id: String,
        /// Name of the tool.
        tool_name: String,
        /// The input as the model sent it.
        #[ts(type = "unknown")]
        input: serde_json::Value,
        /// Cause, for the model and for people.
        error_text: String,
    },
    /// Ends the tool's input. The tool runs.
    ToolInputAvailable {
        /// Id of the tool call.
        tool_call_id: String,
        /// Name of the tool.
        tool_name: String,
        /// The input, which matches the tool's schema.
        #[ts(type = "unknown")]
        input: serde_json::Value,
    },
    /// Reports the tool's output.
    ToolOutputAvailable {
        /// Id of the tool call.
        tool_call_id: String,
        /// The tool's output.
        #[ts(type = "unknown")]
        output: serde_json::Value,
    },
    /// Reports that the tool failed.
    ToolOutputError {
        /// Id of the tool call.
        tool_call_id: String,
        /// Cause, for the model and for people.
        error_text: String,
    },
    /// Reports a problem that does not end the turn.
    DataNotice {
        /// The problem.
        data: Notice,
    },
    /// Ends the turn: the answer is complete.
    Finish {
        /// Reason for the end of the model's answer.
        finish_reason: FinishReason,
        /// Further facts about the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        message_metadata: Option<MessageMetadata>,
    },
    /// Ends the turn: it was cancelled.
    Abort {
        /// Further facts about the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        message_metadata: Option<MessageMetadata>,
    },
    /// Ends the turn: it failed.
    Error {
        /// Cause, for people.
        error_text: String,
        /// Cause, for programs: a code of the model, a tool or the memory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        code: Option<ErrorCode>,
        /// Further facts about the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        message_metadata: Option<MessageMetadata>,
    },
}

/// A problem that does not end the turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Notice {
    /// Cause, for programs.
    pub code: ErrorCode,
    /// Cause, for people.
    pub message: String,
}

/// Facts about an answer as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
pub struct MessageMetadata {
    /// Tokens that the answer used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub usage: Option<Usage>,
}

/// Reason for the end of a model's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// The answer is complete.
    Stop,
    /// The answer ends with a tool call.
    ToolCalls,
    /// The model reached its length limit.
    Length,
    /// The model or its provider refused to answer.
    ContentFilter,
    /// The model failed.
    Error,
    /// Any other reason.
    #[serde(other)]
    Other,
}

impl Chunk {
    /// Returns the chunk as compact JSON, for the `data:` of an SSE event.
    pub fn to_json(&self) -> String {
        // A chunk holds only strings, enums and JSON values: serializing it into memory cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns `true` if the chunk ends the stream.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Finish { .. } | Self::Abort { .. } | Self::Error { .. })
    }
}
