//! Settings of a provider's model.

use crate::secret::Secret;

/// Settings of a model behind a provider's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The model's name at its provider.
    pub model: String,
    /// Base URL of the API, without a trailing slash.
    pub base_url: String,
    /// The provider's key.
    pub key: Option<Secret>,
    /// Longest answer, in tokens.
    pub max_tokens: Option<u32>,
    /// Amount of reasoning before an answer.
    pub reasoning: Reasoning,
}

/// Amount of reasoning before an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reasoning {
    /// The provider's default.
    Unset,
    /// No reasoning.
    Off,
    /// An effort: `low`, `medium` or `high`.
    Effort(&'static str),
    /// A number of tokens.
    Budget(u32),
}

impl Settings {
    /// Returns the settings with another model.
    pub(super) fn with_model(self, model: &str) -> Self {
        Self { model: model.to_owned(), ..self }
    }
}
