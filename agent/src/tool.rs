//! What a model can do: the trait of a tool, and the set of those at hand.
//!
//! A new tool is one file below `tool/` and one line in `main.rs`.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::conversation::ToolCall;
use crate::limits::{TOOL_OUTPUT_MAX_BYTES, TOOL_TIMEOUT};

pub mod weather;

/// Something a model can call.
#[async_trait]
pub trait Tool: Send + Sync {
    /// What the model is told of it.
    fn spec(&self) -> ToolSpec;

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
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// JSON Schema of its input.
    pub input_schema: Value,
}

/// Why a tool did not answer; its text is for the model and for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// The model named no tool that there is.
    #[error("there is no tool {0:?}")]
    Unknown(String),
    /// The input is not what the schema says.
    #[error("{0}")]
    Input(String),
    /// The input is fine, but there is no answer to it.
    #[error("{0}")]
    Failed(String),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It said too much.
    #[error("the answer is too large: {0} bytes")]
    TooLarge(usize),
}

/// The tools at hand.
pub struct Toolbox {
    tools: Vec<Box<dyn Tool>>,
    specs: Vec<ToolSpec>,
}

impl Toolbox {
    /// A set of tools, each with a name of its own.
    pub fn new(tools: Vec<Box<dyn Tool>>) -> Self {
        let specs = tools.iter().map(|tool| tool.spec()).collect();
        Self { tools, specs }
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
        let answer = tokio::time::timeout(TOOL_TIMEOUT, self.tools[index].call(&call.input));
        let output = answer.await.map_err(|_| ToolError::Timeout(TOOL_TIMEOUT))??;
        let size_bytes = output.to_string().len();
        if size_bytes > TOOL_OUTPUT_MAX_BYTES { Err(ToolError::TooLarge(size_bytes)) } else { Ok(output) }
    }
}
