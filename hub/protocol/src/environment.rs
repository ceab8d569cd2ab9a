//! Environment variables that choose an agent's model: the agent reads them, and the hub reports those that are set in
//! its own environment but not passed on. The variables of the wire are in [`crate::agent`].

/// Model that answers: `anthropic:NAME`, `openai:NAME` or `builtin`.
pub const MODEL: &str = "MODEL";
/// Longest answer of a model, in tokens.
pub const MODEL_MAX_TOKENS: &str = "MODEL_MAX_TOKENS";
/// Amount of reasoning before an answer: `off`, `low`, `medium`, `high` or a number of tokens.
pub const MODEL_REASONING: &str = "MODEL_REASONING";
/// API key of Anthropic.
pub const ANTHROPIC_API_KEY: &str = "ANTHROPIC_API_KEY";
/// Base address of Anthropic's API, or of a server with the same API.
pub const ANTHROPIC_BASE_URL: &str = "ANTHROPIC_BASE_URL";
/// API key of OpenAI.
pub const OPENAI_API_KEY: &str = "OPENAI_API_KEY";
/// Base address of OpenAI's API, or of a server with the same API, including the path before `/chat/completions`.
pub const OPENAI_BASE_URL: &str = "OPENAI_BASE_URL";

/// All variables that choose an agent's model.
pub const MODEL_VARIABLES: [&str; 7] = [
    MODEL,
    MODEL_MAX_TOKENS,
    MODEL_REASONING,
    ANTHROPIC_API_KEY,
    ANTHROPIC_BASE_URL,
    OPENAI_API_KEY,
    OPENAI_BASE_URL,
];
