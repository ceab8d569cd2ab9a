//! A connection to one database: in this process, in a file, or at a libSQL server.
//!
//! Runs the statements of `memory.rs`. `hrana.rs` has the wire of a libSQL server.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use libsql::{Connection, TransactionBehavior};

use super::error::MemoryError;
use super::hrana::Hrana;
use super::location::Location;
use super::sql::{Row, Statement};
use crate::http::Http;
use crate::limits::MEMORY_FILE_MAX_PAGES;
use crate::secret::Secret;

/// A connection to a database.
pub(super) enum Database {
    Local(Connection),
    Remote(Box<Hrana>),
}

impl Database {
    pub(super) async fn open(
        location: &Location,
        token: Option<&Secret>,
        http: Http,
    ) -> Result<Self, MemoryError> {
        match location {
            Location::Process => local(Path::new(":memory:")).await,
            Location::File(path) => {
                // The file gets its mode before it has content.
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
                file.map_err(|error| MemoryError::Unreachable(error.to_string()))?;
                local(path).await
            }
            Location::Remote(url) => Ok(Self::Remote(Box::new(Hrana::new(url, token, http)))),
        }
    }

    /// Runs statements in one transaction and returns the rows of each.
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
    // A write-ahead log is of no use to a single process, and a truncated journal takes no space.
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
