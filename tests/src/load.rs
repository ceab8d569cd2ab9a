//! The message that asks the simulated agent for tokens at a rate.

use std::fmt;
use std::str::FromStr;

/// Largest number of tokens in one answer.
pub const TOKENS_MAX: u64 = 10_000_000;
/// Highest rate, in tokens per second.
pub const RATE_MAX: u64 = 1_000_000;

/// A load, written as `tokens=3000 rate=50`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Tokens in the answer.
    pub tokens: u64,
    /// Tokens per second; 0 means as fast as possible.
    pub rate: u64,
}

/// Error returned when a message is no load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected tokens=N rate=N, with at most {TOKENS_MAX} tokens and a rate of at most {RATE_MAX} (0: no pause)"
)]
pub struct BadLoad;

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tokens={} rate={}", self.tokens, self.rate)
    }
}

impl FromStr for Load {
    type Err = BadLoad;

    fn from_str(text: &str) -> Result<Self, BadLoad> {
        let number = |word: Option<&str>, name: &str, max: u64| {
            let value = word?.strip_prefix(name)?.strip_prefix('=')?.parse().ok()?;
            (value <= max).then_some(value)
        };
        let mut words = text.split_whitespace();
        let tokens = number(words.next(), "tokens", TOKENS_MAX);
        let rate = number(words.next(), "rate", RATE_MAX);
        match (tokens, rate, words.next()) {
            (Some(tokens), Some(rate), None) => Ok(Self { tokens, rate }),
            _ => Err(BadLoad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_survives_its_text() {
        let load = Load { tokens: 3000, rate: 50 };
        assert_eq!(load.to_string(), "tokens=3000 rate=50");
        assert_eq!(load.to_string().parse(), Ok(load));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "Hi",
            "tokens=1",
            "rate=1 tokens=1",
            "tokens=1 rate=-1",
            "tokens=1 rate=1 x",
            "tokens=10000001 rate=0",
        ] {
            assert_eq!(text.parse::<Load>(), Err(BadLoad), "{text:?}");
        }
    }
}
