//! SQL statements, values and rows, as the local and the remote database share them.

use std::sync::Arc;

use super::error::MemoryError;

/// A statement with its arguments `?1`, `?2`, …
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) sql: Arc<str>,
    pub(super) args: Vec<Value>,
}

/// The value of a column or an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
}

/// A row of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<Value>);

/// Returns a statement.
pub(super) fn statement<const N: usize>(sql: &str, args: [Value; N]) -> Statement {
    Statement { sql: sql.into(), args: args.into() }
}

impl Row {
    pub(super) fn is_null(&self, column: usize) -> bool {
        matches!(self.0.get(column), Some(Value::Null))
    }

    pub(super) fn integer(&self, column: usize) -> Result<i64, MemoryError> {
        match self.0.get(column) {
            Some(Value::Integer(number)) => Ok(*number),
            Some(Value::Null | Value::Text(_)) | None => {
                Err(MemoryError::unreadable("a column is not a number"))
            }
        }
    }

    pub(super) fn text(&self, column: usize) -> Result<&str, MemoryError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text),
            Some(Value::Null | Value::Integer(_)) | None => {
                Err(MemoryError::unreadable("a column is not text"))
            }
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Value> for libsql::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Integer(number),
            Value::Text(text) => Self::Text(text),
        }
    }
}

impl TryFrom<libsql::Value> for Value {
    type Error = MemoryError;

    fn try_from(value: libsql::Value) -> Result<Self, MemoryError> {
        match value {
            libsql::Value::Null => Ok(Self::Null),
            libsql::Value::Integer(number) => Ok(Self::Integer(number)),
            libsql::Value::Text(text) => Ok(Self::Text(text)),
            libsql::Value::Real(_) | libsql::Value::Blob(_) => {
                Err(MemoryError::unreadable("a column has an unexpected type"))
            }
        }
    }
}
