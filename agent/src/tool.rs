//! What a model can do: the trait of a tool, and the set of those at hand.
//!
//! A new tool is one file below `tool/` and one line in `main.rs`. Those of MCP servers are `mcp.rs`'s.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::conversation::ToolCall;
use crate::limits::{TOOL_OUTPUT_MAX_BYTES, TOOL_TIMEOUT};

pub mod calculate;
pub mod fetch_url;
pub mod notes;
pub mod time;
pub mod weather;

/// Something a model can call.
#[async_trait]
pub trait Tool: Send + Sync {
    /// What the model is told of it.
    fn spec(&self) -> ToolSpec;

    /// How long it may take.
    fn timeout(&self) -> Duration {
        TOOL_TIMEOUT
    }

    /// Runs it. May be dropped at any await when the turn is stopped.
    ///
    /// # Errors
    /// [`ToolError`], which the model and the person read.
    async fn call(&self, input: &Value) -> Result<Value, ToolError>;
}

/// A tool as a model knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Names it in calls.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// JSON Schema of its input.
    pub input_schema: Value,
}

impl ToolSpec {
    /// A tool whose input is an `I`.
    pub fn new<I: JsonSchema>(name: &str, description: &str) -> Self {
        let mut input_schema = schemars::schema_for!(I).to_value();
        if let Some(schema) = input_schema.as_object_mut() {
            // Of no use to a model, and every model pays for it.
            schema.remove("$schema");
            schema.remove("title");
        }
        Self { name: name.to_owned(), description: description.to_owned(), input_schema }
    }
}

/// A tool's input, checked.
///
/// # Errors
/// [`ToolError::Input`], with what is wrong.
pub fn input<I: DeserializeOwned>(value: &Value) -> Result<I, ToolError> {
    I::deserialize(value)
        .map_err(|error| ToolError::Input(format!("the input is not as it must be: {error}")))
}

/// Why a tool did not answer; its text is for the model and for people, and begins with a code for programs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The model named no tool that there is.
    #[error("tool.failed: there is no tool {0:?}")]
    Unknown(String),
    /// The input is not what the schema says.
    #[error("tool.failed: {0}")]
    Input(String),
    /// The input is fine, but there is no answer to it.
    #[error("tool.failed: {0}")]
    Failed(String),
    /// It took too long.
    #[error("tool.timeout: no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It said too much.
    #[error("tool.failed: the answer is too large: {0} bytes")]
    TooLarge(usize),
    /// It has a fault.
    #[error("tool.failed: the tool broke")]
    Panicked,
}

/// The tools at hand.
#[derive(Clone)]
pub struct Toolbox {
    tools: Vec<Arc<dyn Tool>>,
    specs: Vec<ToolSpec>,
}

impl Toolbox {
    /// A set of tools, each with a name of its own.
    pub fn new(tools: Vec<Box<dyn Tool>>) -> Self {
        Self { tools: Vec::new(), specs: Vec::new() }.with(tools.into_iter().map(Arc::from))
    }

    /// The same with more tools; of two with one name, the first is called.
    pub fn with(mut self, more: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        for tool in more {
            self.specs.push(tool.spec());
            self.tools.push(tool);
        }
        self
    }

    /// What models are told.
    pub fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    /// Carries out a model's call, bounded in time and size.
    ///
    /// # Errors
    /// The tool's own, or that there is none, or that it met a bound.
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
        if size_bytes > TOOL_OUTPUT_MAX_BYTES { Err(ToolError::TooLarge(size_bytes)) } else { Ok(output) }
    }
}
