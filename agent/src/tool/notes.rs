//! The tool `notes`: texts that the user asked to remember, in the memory.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use crate::limits::{NOTE_MAX_BYTES, NOTES_TOLD_MAX_BYTES};
use crate::memory::{Memory, MemoryError, Note};
use crate::tool::{self, Tool, ToolError, ToolSpec};

/// The tool's name in calls.
pub const NAME: &str = "notes";

/// The tool's input.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The action
    action: Action,
    /// The note to add, or the words to search for
    #[serde(default)]
    #[schemars(length(max = NOTE_MAX_BYTES))]
    text: Option<String>,
    /// The note to remove
    #[serde(default)]
    number: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    Add,
    List,
    Search,
    Remove,
}

/// The tool's output.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Output {
    /// The note that was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<Note>,
    /// The note that was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Note>,
    /// The listed or found notes, oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Vec<Note>>,
    /// Number of older notes left out of `notes`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Output {
    /// Returns the output with the latest notes that fit.
    fn listing(mut notes: Vec<Note>) -> Self {
        let mut bytes = 0;
        let mut fits = |note: &&Note| {
            bytes += serde_json::to_vec(note).unwrap_or_default().len() + 1;
            bytes <= NOTES_TOLD_MAX_BYTES
        };
        let told = notes.iter().rev().take_while(&mut fits).count();
        let left_out = notes.len() - told;
        Self { notes: Some(notes.split_off(left_out)), left_out, ..Self::default() }
    }
}

/// The tool `notes`.
pub struct Notes {
    memory: Arc<Memory>,
}

impl Notes {
    /// Returns the tool for notes in this memory.
    pub fn new(memory: Arc<Memory>) -> Self {
        Self { memory }
    }
}

#[async_trait]
impl Tool for Notes {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new::<Input>(
            NAME,
            "The user's notes: add one when asked to remember something, list or search them when asked what was noted, \
             remove one by its number.",
        )
    }

    async fn call(&self, input: &Value) -> Result<Value, ToolError> {
        let Input { action, text, number } = tool::input(input)?;
        let text = text.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let output = match (action, text, number) {
            (Action::Add, Some(text), _) if text.len() <= NOTE_MAX_BYTES => {
                Output { added: Some(self.memory.add_note(text).await.map_err(failed)?), ..Output::default() }
            }
            (Action::Add, Some(_), _) => {
                return Err(ToolError::Input(format!("a note must have at most {NOTE_MAX_BYTES} bytes")));
            }
            (Action::List, _, _) => Output::listing(self.memory.notes("").await.map_err(failed)?),
            (Action::Search, Some(text), _) => {
                Output::listing(self.memory.notes(text).await.map_err(failed)?)
            }
            (Action::Remove, _, Some(number)) => {
                let removed = self.memory.remove_note(number).await.map_err(failed)?;
                let missing = || ToolError::Failed(format!("there is no note {number}"));
                Output { removed: Some(removed.ok_or_else(missing)?), ..Output::default() }
            }
            (Action::Add | Action::Search, None, _) => {
                return Err(ToolError::Input("text is missing".to_owned()));
            }
            (Action::Remove, _, None) => return Err(ToolError::Input("number is missing".to_owned())),
        };
        // Conversion of text and numbers into a JSON value cannot fail.
        Ok(serde_json::to_value(output).unwrap_or_default())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn failed(error: MemoryError) -> ToolError {
    warn!(%error, "notes not available");
    ToolError::Failed(error.to_string())
}
