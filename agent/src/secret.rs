//! Secrets from the environment: bearer tokens and API keys.

use std::fmt;

use axum::http::HeaderValue;
use mayfly_protocol::agent::is_token;
use subtle::ConstantTimeEq;

/// A bearer token or an API key. Neither `Debug` nor a sensitive header value shows the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Returns the secret, or `None` unless `text` is 1 to 1024 visible ASCII characters.
    pub fn parse(text: String) -> Option<Self> {
        is_token(&text).then_some(Self(text))
    }

    /// Returns the text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns `true` if `presented` is this secret. Takes equally long for every wrong text of the same length.
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }

    /// Returns the value of an `Authorization` header with this secret as bearer token, marked as sensitive.
    pub fn bearer(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(\u{2026})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_visible_ascii_is_accepted() {
        for text in ["", "two words", "s\u{e9}cret", &"x".repeat(1025)] {
            assert_eq!(Secret::parse(text.to_owned()), None, "{text}");
        }
        assert!(Secret::parse("x".repeat(1024)).is_some());
    }

    #[test]
    fn only_the_whole_secret_matches() {
        let secret = Secret::parse("secret".to_owned()).unwrap();
        assert!(secret.matches(b"secret"));
        for other in ["", "secre", "secrets", "Secret"] {
            assert!(!secret.matches(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn debug_does_not_show_the_text() {
        let secret = Secret::parse("hush".to_owned()).unwrap();
        assert!(!format!("{secret:?} {:?}", secret.bearer()).contains("hush"));
    }
}
