//! Ids: one newtype for each kind, so that the compiler rejects one in the place of another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Id of a session. Written `s_` and 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Uuid);

/// Id of one agent's container or process, from spawn to end. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(Uuid);

/// Id of one numbering of a session's frames. A hub that adopts the session begins a new epoch. Written `e` and 8
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u32);

/// Number of a turn within its session: a message and its answer. Written `t1`, `t2`, …
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnId(pub u32);

/// Error returned when a text is not an id. Holds the accepted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadId(pub &'static str);

impl SessionId {
    /// Returns a new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Returns the id with these bits; for tests with invented ids.
    pub fn from_u128(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }
}

impl Epoch {
    /// Returns a new random epoch.
    pub fn random() -> Self {
        Self(Uuid::new_v4().as_fields().0)
    }
}

impl Incarnation {
    /// Returns a new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Returns the id with these bits; for tests with invented ids.
    pub fn from_u128(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }

    /// Returns the first 8 digits, for the name of a directory in which a socket's path stays short.
    pub fn short(&self) -> String {
        let mut digits = self.to_string();
        digits.truncate(8);
        digits
    }

    /// Returns 32 of the id's random bits.
    pub fn digest(&self) -> u32 {
        self.0.as_fields().0
    }
}

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl std::error::Error for BadId {}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s_{}", self.0.simple())
    }
}

impl FromStr for SessionId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId("s_ and 32 hexadecimal digits");
        let digits = text.strip_prefix("s_").filter(|digits| digits.len() == 32).ok_or(bad)?;
        Uuid::try_parse(digits).map(Self).map_err(|_| bad)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

impl FromStr for Incarnation {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId("32 hexadecimal digits");
        if text.len() != 32 {
            return Err(bad);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| bad)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{:08x}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId("e and 8 hexadecimal digits");
        let digits = text.strip_prefix('e').filter(|digits| digits.len() == 8).ok_or(bad)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| plain).map(Self).ok_or(bad)
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl FromStr for TurnId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId("t and a number without leading zeros");
        let digits = text.strip_prefix('t').ok_or(bad)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        if !plain {
            return Err(bad);
        }
        digits.parse().map(Self).map_err(|_| bad)
    }
}

/// Implements serde and `Debug` by the id's text.
macro_rules! as_text {
    ($($id:ident),*) => {$(
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(SessionId, Incarnation, Epoch, TurnId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_parsed_from_its_text() {
        let session = SessionId::random();
        assert_eq!(session.to_string().parse(), Ok(session));
        let incarnation = Incarnation::random();
        assert_eq!(incarnation.to_string().parse(), Ok(incarnation));
        assert_eq!(incarnation.short().len(), 8);
        assert_eq!(Epoch(7).to_string(), "e00000007");
        assert_eq!("e0000000a".parse(), Ok(Epoch(10)));
        assert_eq!("t7".parse(), Ok(TurnId(7)));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "s_", "s_xyz", "s_0123456789abcdef0123456789abcde", "7", "S_00"] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
        for text in ["e", "e7", "e0000000g", "e+0000007", "00000007"] {
            assert!(text.parse::<Epoch>().is_err(), "{text}");
        }
        for text in ["t", "t0", "t01", "t-1", "t+1", "7", "t4294967296"] {
            assert!(text.parse::<TurnId>().is_err(), "{text}");
        }
    }
}
