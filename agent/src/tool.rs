//! The trait of a tool, and the set of tools that a model can call.
//!
//! A new tool is one file below `tool/` and one line in `cli.rs`. `mcp.rs` has the tools of MCP servers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::conversation::ToolCall;
use crate::limits::{TOOL_OUTPUT_MAX_BYTES, TOOL_TIMEOUT, TOOL_VALUE_MAX_DEPTH};

pub mod calculate;
pub mod fetch_url;
pub mod notes;
pub mod time;
pub mod weather;

/// A tool that a model can call.
#[async_trait]
pub trait Tool: Send + Sync {
    /// Returns the description for the model.
    fn spec(&self) -> ToolSpec;

    /// Returns the longest duration of a call.
    fn timeout(&self) -> Duration {
        TOOL_TIMEOUT
    }

    /// Runs a call. The future is dropped if the turn is stopped.
    ///
    /// # Errors
    /// Returns a [`ToolError`], which the model and the user read.
    async fn call(&self, input: &Value) -> Result<Value, ToolError>;
}

/// The description of a tool for a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// The tool's name in calls.
    pub name: String,
    /// The purpose.
    pub description: String,
    /// JSON Schema of the input.
    pub input_schema: Value,
}

impl ToolSpec {
    /// Returns the description of a tool whose input is an `I`.
    pub fn new<I: JsonSchema>(name: &str, description: &str) -> Self {
        let mut input_schema = schemars::schema_for!(I).to_value();
        if let Some(schema) = input_schema.as_object_mut() {
            // A model does not need these keys, and they cost tokens.
            schema.remove("$schema");
            schema.remove("title");
        }
        Self { name: name.to_owned(), description: description.to_owned(), input_schema }
    }
}

/// Parses a tool's input.
///
/// # Errors
/// Returns [`ToolError::Input`] if the input does not match `I`.
pub fn input<I: DeserializeOwned>(value: &Value) -> Result<I, ToolError> {
    I::deserialize(value).map_err(|error| ToolError::Input(format!("invalid input: {error}")))
}

/// Error returned when a tool fails. The message is for the model and the user; it starts with an error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// There is no tool with this name.
    #[error("tool.failed: there is no tool {0:?}")]
    Unknown(String),
    /// The input does not match the schema.
    #[error("tool.failed: {0}")]
    Input(String),
    /// The call failed.
    #[error("tool.failed: {0}")]
    Failed(String),
    /// The call took too long.
    #[error("tool.timeout: no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The output is too large.
    #[error("tool.failed: the output is too large: {0} bytes")]
    TooLarge(usize),
    /// The output nests too deeply for an event.
    #[error("tool.failed: the output is nested too deeply")]
    TooDeep,
    /// The tool panicked.
    #[error("tool.failed: the tool panicked")]
    Panicked,
}

/// The tools that a model can call.
#[derive(Clone)]
pub struct Toolbox {
    tools: Vec<Arc<dyn Tool>>,
    specs: Vec<ToolSpec>,
}

impl Toolbox {
    /// Returns a set of tools with distinct names.
    pub fn new(tools: Vec<Box<dyn Tool>>) -> Self {
        Self { tools: Vec::new(), specs: Vec::new() }.with(tools.into_iter().map(Arc::from))
    }

    /// Adds tools. Of two tools with one name, the first is called.
    pub fn with(mut self, more: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        for tool in more {
            self.specs.push(tool.spec());
            self.tools.push(tool);
        }
        self
    }

    /// Returns the descriptions for the model.
    pub fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    /// Runs a call, bounded in time, size and nesting.
    ///
    /// # Errors
    /// Returns the tool's error, or an error if there is no such tool or a bound is exceeded.
    pub async fn call(&self, call: &ToolCall) -> Result<Value, ToolError> {
        let Some(index) = self.specs.iter().position(|spec| spec.name == call.name) else {
            return Err(ToolError::Unknown(call.name.clone()));
        };
        let tool = &self.tools[index];
        let answer = AssertUnwindSafe(tool.call(&call.input)).catch_unwind();
        let answer = tokio::time::timeout(tool.timeout(), answer).await;
        let output =
            answer.map_err(|_| ToolError::Timeout(tool.timeout()))?.map_err(|_| ToolError::Panicked)??;
        let size_bytes = output.to_string().len();
        if size_bytes > TOOL_OUTPUT_MAX_BYTES {
            return Err(ToolError::TooLarge(size_bytes));
        }
        if depth(&output) > TOOL_VALUE_MAX_DEPTH { Err(ToolError::TooDeep) } else { Ok(output) }
    }
}

/// Returns the nesting depth of a JSON value: 0 for a scalar, 1 for an array or object of scalars.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
