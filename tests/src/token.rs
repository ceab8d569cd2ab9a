//! Simulated tokens. A token carries its place in the turn and its scheduled time, from which a client derives gaps and
//! latency.

use std::fmt;
use std::str::FromStr;

/// The text of one delta: `k:due_ns` and a blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Place in the turn, from 0.
    pub k: u64,
    /// Scheduled time on [`crate::clock`]. The actual time of sending would hide the delay of a slow agent (coordinated
    /// omission).
    pub due_ns: u64,
}

/// Error returned when a delta is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected k:due_ns")]
pub struct BadToken;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ", self.k, self.due_ns)
    }
}

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let (k, due_ns) = text.strip_suffix(' ').and_then(|text| text.split_once(':')).ok_or(BadToken)?;
        Ok(Self { k: k.parse().map_err(|_| BadToken)?, due_ns: due_ns.parse().map_err(|_| BadToken)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text() {
        let token = Token { k: 7, due_ns: 1_234_567_890_123 };
        assert_eq!(token.to_string(), "7:1234567890123 ");
        assert_eq!(token.to_string().parse(), Ok(token));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", " ", "7 ", "7:1", ":1 ", "7: ", "7:1 8:2 ", "-7:1 "] {
            assert_eq!(text.parse::<Token>(), Err(BadToken), "{text:?}");
        }
    }
}
