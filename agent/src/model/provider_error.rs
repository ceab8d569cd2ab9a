//! Failures of a model's provider, and their translation into a [`ModelError`].
//!
//! Sources: <https://docs.anthropic.com/en/api/errors>, <https://platform.openai.com/docs/guides/error-codes>. Other servers with
//! these APIs have their own error types, so that words in the message count, too.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::limits::PROVIDER_MESSAGE_MAX_CHARS;
use crate::model::ModelError;

/// A failure as a provider reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProviderError {
    /// HTTP status, or the status in an event; 0 if there is none.
    pub(super) status: u16,
    /// Error type or code.
    pub(super) kind: String,
    /// The provider's message, shortened to one line.
    pub(super) message: String,
    /// Time after which the provider accepts a retry.
    pub(super) retry_after: Option<Duration>,
}

impl ProviderError {
    /// Returns the failure in a response that is not a success.
    pub(super) fn of_response(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let fault = Self::of_body(&body).unwrap_or_default();
        Self { status: status.as_u16(), retry_after: retry_after(headers), ..fault }
    }

    /// Returns the failure in a JSON body: `{"error":{"type":…,"code":…,"message":…}}`, or `{"error":"…"}`, or these fields themselves
    /// below `"object":"error"`.
    pub(super) fn of_body(body: &Value) -> Option<Self> {
        let error = match body.get("error") {
            Some(Value::Null) | None if body.get("object")?.as_str() == Some("error") => body,
            Some(Value::Null) | None => return None,
            Some(error) => error,
        };
        let text = |key| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        // A code that is a word is more specific than the type.
        let kind = text("code").or_else(|| text("type")).unwrap_or_default();
        let message = text("message").or_else(|| error.as_str()).unwrap_or_default();
        let status = error.get("code").and_then(Value::as_u64).and_then(|status| status.try_into().ok());
        Some(Self {
            status: status.unwrap_or_default(),
            kind: on_one_line(kind),
            message: on_one_line(message),
            retry_after: None,
        })
    }

    /// Translates the failure. `key_variable` is the variable that has the key.
    pub(super) fn into_error(self, key_variable: &'static str) -> ModelError {
        let Self { status, kind, message, retry_after } = self;
        let kind = kind.as_str();
        if is_about_length(status, kind, &message) {
            return ModelError::ContextLength;
        }
        match (status, kind) {
            (402, _) | (_, "billing_error" | "insufficient_quota") => ModelError::NoCredit,
            (401 | 403, _) | (_, "authentication_error" | "permission_error" | "invalid_api_key") => {
                ModelError::Auth(key_variable)
            }
            (_, "content_filter" | "content_policy_violation") => ModelError::Refused,
            (429, _) | (_, "rate_limit_error" | "rate_limit_exceeded") => {
                ModelError::RateLimited { retry_after }
            }
            (503 | 529, _) | (_, "overloaded_error") => ModelError::Overloaded { retry_after },
            (408 | 500..=599, _) | (_, "api_error" | "timeout_error" | "server_error") => {
                ModelError::ProviderFailed
            }
            (404, _) | (_, "not_found_error" | "model_not_found") => ModelError::Failed(format!(
                "the model's provider does not know the model or the URL; check MODEL{}",
                quoted(&message)
            )),
            _ => ModelError::Failed(format!("the model's provider rejected the request{}", quoted(&message))),
        }
    }
}

/// Returns `true` if the conversation is too long: by the error type, or by words in the message.
fn is_about_length(status: u16, kind: &str, message: &str) -> bool {
    const KINDS: [&str; 3] = ["context_length_exceeded", "exceed_context_size_error", "request_too_large"];
    const WORDS: [&str; 8] = [
        "prompt is too long",
        "context length",
        "context window",
        "context limit",
        "context size",
        "maximum context",
        "too many tokens",
        "reduce the length",
    ];
    let message = message.to_ascii_lowercase();
    let may_be = matches!(status, 0 | 400 | 413 | 422 | 500);
    status == 413 || KINDS.contains(&kind) || (may_be && WORDS.iter().any(|words| message.contains(words)))
}

fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// Returns the `retry-after` time in seconds or milliseconds; a date is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn on_one_line(text: &str) -> String {
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(PROVIDER_MESSAGE_MAX_CHARS) {
        Some((end, _)) => format!("{}\u{2026}", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, body: &str) -> ModelError {
        let status = StatusCode::from_u16(status).unwrap();
        let headers = HeaderMap::from_iter([("retry-after".parse().unwrap(), "7".parse().unwrap())]);
        ProviderError::of_response(status, &headers, body.as_bytes()).into_error("KEY")
    }

    #[test]
    fn provider_failures_are_translated() {
        let retry_after = Some(Duration::from_secs(7));
        let failed = |message: &str| ModelError::Failed(message.to_owned());
        for (status, body, expected) in [
            (
                401,
                r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
                ModelError::Auth("KEY"),
            ),
            (
                401,
                r#"{"error":{"message":"Incorrect API key","type":"invalid_request_error","code":"invalid_api_key"}}"#,
                ModelError::Auth("KEY"),
            ),
            (403, "", ModelError::Auth("KEY")),
            (402, r#"{"error":{"message":"Insufficient Balance"}}"#, ModelError::NoCredit),
            (
                429,
                r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota","message":"quota"}}"#,
                ModelError::NoCredit,
            ),
            (429, r#"{"error":{"type":"rate_limit_error"}}"#, ModelError::RateLimited { retry_after }),
            (529, r#"{"error":{"type":"overloaded_error"}}"#, ModelError::Overloaded { retry_after }),
            (503, "<html>", ModelError::Overloaded { retry_after }),
            (500, "", ModelError::ProviderFailed),
            (502, "", ModelError::ProviderFailed),
            (413, r#"{"error":{"type":"request_too_large"}}"#, ModelError::ContextLength),
            (
                400,
                r#"{"error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
                ModelError::ContextLength,
            ),
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","code":"context_length_exceeded"}}"#,
                ModelError::ContextLength,
            ),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens","type":"BadRequestError","code":400}"#,
                ModelError::ContextLength,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
                ModelError::ContextLength,
            ),
            (400, r#"{"error":{"code":"content_filter","message":"filtered"}}"#, ModelError::Refused),
            (
                404,
                r#"{"error":"model \"nope\" not found"}"#,
                failed(
                    "the model's provider does not know the model or the URL; check MODEL: model \"nope\" not found",
                ),
            ),
            (
                400,
                r#"{"error":{"message":"bad\n  \u0007tool"}}"#,
                failed("the model's provider rejected the request: bad tool"),
            ),
            (302, "", failed("the model's provider rejected the request")),
        ] {
            assert_eq!(meaning(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn other_bodies_are_not_failures() {
        for body in ["{}", r#"{"error":null}"#, r#"{"object":"chat.completion.chunk"}"#, "7"] {
            assert_eq!(ProviderError::of_body(&serde_json::from_str(body).unwrap()), None, "{body}");
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_or_milliseconds() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            retry_after(&HeaderMap::from_iter(
                pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())),
            ))
        };
        assert_eq!(of(&[("retry-after", " 2 ")]), Some(Duration::from_secs(2)));
        assert_eq!(
            of(&[("retry-after", "2"), ("retry-after-ms", "1500")]),
            Some(Duration::from_millis(1500))
        );
        for other in ["-1", "NaN", "1e300", "Fri, 31 Dec 1999 23:59:59 GMT", ""] {
            assert_eq!(of(&[("retry-after", other)]), None, "{other}");
        }
    }

    #[test]
    fn provider_messages_are_shortened() {
        let long = on_one_line(&"word ".repeat(1_000));
        assert_eq!(long.chars().count(), PROVIDER_MESSAGE_MAX_CHARS + 1);
    }
}
