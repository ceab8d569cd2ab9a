//! The name of the person a session belongs to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest accepted owner, in characters.
pub const OWNER_MAX_CHARS: usize = 128;

/// An owner: the name by which an application's backend tells people apart. Cheap to clone.
///
/// An owner has 1 to [`OWNER_MAX_CHARS`] characters (Unicode scalar values), none of them a control character. The hub
/// checks an owner where it enters, in REST bodies; the agent checks it again in `MAYFLY_OWNER` and `POST /bind`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<str>);

/// Error returned when a text is not accepted as an [`Owner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerError {
    /// The text is empty.
    Empty,
    /// The text has more than [`OWNER_MAX_CHARS`] characters.
    TooLong,
    /// The text contains a control character.
    ControlCharacter,
}

impl Owner {
    /// Returns the owner as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        if text.is_empty() {
            return Err(OwnerError::Empty);
        }
        if text.chars().count() > OWNER_MAX_CHARS {
            return Err(OwnerError::TooLong);
        }
        if text.contains(char::is_control) {
            return Err(OwnerError::ControlCharacter);
        }
        Ok(Self(text.into()))
    }
}

impl From<Owner> for Arc<str> {
    fn from(owner: Owner) -> Self {
        owner.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OwnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is longer",
            Self::ControlCharacter => "it contains a control character",
        };
        write!(f, "owner must have 1 to {OWNER_MAX_CHARS} characters without control characters: {reason}")
    }
}

impl std::error::Error for OwnerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_counts_characters() {
        for text in ["ada", "a b", &"x".repeat(128), &"\u{6f22}".repeat(100), &"\u{1f41d}".repeat(128)] {
            assert_eq!(text.parse::<Owner>().map(|owner| owner.to_string()), Ok(text.to_owned()));
        }
        for text in [&"x".repeat(129), &"\u{6f22}".repeat(129)] {
            assert_eq!(text.parse::<Owner>(), Err(OwnerError::TooLong));
        }
    }

    #[test]
    fn empty_and_control_characters_are_refused() {
        assert_eq!("".parse::<Owner>(), Err(OwnerError::Empty));
        for text in ["a\nb", "\0", "a\u{7f}", "\u{85}"] {
            assert_eq!(text.parse::<Owner>(), Err(OwnerError::ControlCharacter), "{text:?}");
        }
    }
}
