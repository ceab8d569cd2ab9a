//! One database, in this process, in a file, or at a server: statements in, rows out.
//!
//! Owns the ways to a database. What is asked of it is `memory.rs`; how a server is spoken to is `hrana.rs`.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use libsql::{Connection, TransactionBehavior};

use super::hrana::Hrana;
use super::{Location, MemoryError, unreadable};
use crate::http::Http;
use crate::limits::MEMORY_FILE_MAX_PAGES;

/// A connection.
pub(super) enum Database {
    Local(Connection),
    Remote(Box<Hrana>),
}

/// One statement with what stands for `?1`, `?2`, …
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) sql: Arc<str>,
    pub(super) args: Vec<Value>,
}

/// What stands in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<Value>);

pub(super) fn statement<const N: usize>(sql: &str, args: [Value; N]) -> Statement {
    Statement { sql: sql.into(), args: args.into() }
}

impl Database {
    pub(super) async fn open(
        location: &Location,
        token: Option<&str>,
        http: Http,
    ) -> Result<Self, MemoryError> {
        match location {
            Location::Process => local(Path::new(":memory:")).await,
            Location::File(path) => {
                // Before there is anything in it.
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
                file.map_err(|error| MemoryError::Unreachable(error.to_string()))?;
                local(path).await
            }
            Location::Remote(url) => Ok(Self::Remote(Box::new(Hrana::new(url, token, http)?))),
        }
    }

    /// The rows of each statement; all statements are carried out, or none is.
    pub(super) async fn run(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, MemoryError> {
        match self {
            Self::Local(connection) => run_local(connection, statements).await,
            Self::Remote(server) => server.run(&statements).await,
        }
    }
}

async fn local(path: &Path) -> Result<Database, MemoryError> {
    let connection =
        libsql::Builder::new_local(path).build().await.map_err(failed)?.connect().map_err(failed)?;
    // The rest of a journal takes space, and a file of its own is no use to a single process.
    for pragma in [
        "PRAGMA journal_mode = TRUNCATE".to_owned(),
        "PRAGMA secure_delete = ON".to_owned(),
        format!("PRAGMA max_page_count = {MEMORY_FILE_MAX_PAGES}"),
    ] {
        connection.query(&pragma, ()).await.map_err(failed)?.next().await.map_err(failed)?;
    }
    Ok(Database::Local(connection))
}

async fn run_local(
    connection: &Connection,
    statements: Vec<Statement>,
) -> Result<Vec<Vec<Row>>, MemoryError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).await.map_err(failed)?;
    let mut answers = Vec::with_capacity(statements.len());
    for Statement { sql, args } in statements {
        let args: Vec<libsql::Value> = args.into_iter().map(Into::into).collect();
        let mut rows = transaction.query(&sql, args).await.map_err(failed)?;
        let mut answer = Vec::new();
        while let Some(row) = rows.next().await.map_err(failed)? {
            let columns =
                (0..rows.column_count()).map(|column| row.get_value(column).map_err(failed)?.try_into());
            answer.push(Row(columns.collect::<Result<_, _>>()?));
        }
        answers.push(answer);
    }
    transaction.commit().await.map_err(failed)?;
    Ok(answers)
}

#[allow(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn failed(error: libsql::Error) -> MemoryError {
    MemoryError::Failed(error.to_string())
}

impl Row {
    pub(super) fn is_null(&self, column: usize) -> bool {
        matches!(self.0.get(column), Some(Value::Null))
    }

    pub(super) fn integer(&self, column: usize) -> Result<i64, MemoryError> {
        match self.0.get(column) {
            Some(Value::Integer(number)) => Ok(*number),
            Some(Value::Null | Value::Text(_)) | None => Err(unreadable("a number is none")),
        }
    }

    pub(super) fn text(&self, column: usize) -> Result<&str, MemoryError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text),
            Some(Value::Null | Value::Integer(_)) | None => Err(unreadable("a text is none")),
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
            libsql::Value::Real(_) | libsql::Value::Blob(_) => Err(unreadable("a column of another kind")),
        }
    }
}
