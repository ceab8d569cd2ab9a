//! The journal's file: its tables, reads and writes.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use libsql::params::IntoParams;
use libsql::{Connection, Error, Row, Statement, TransactionBehavior, Value, params};
use mayfly_protocol::ids::SessionId;
use mayfly_session::SessionSummary;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::{
    JOURNAL_BUSY_TIMEOUT, JOURNAL_CACHE_BYTES, JOURNAL_KEPT, JOURNAL_LOG_MAX_BYTES, JOURNAL_SESSIONS_MAX,
};
use crate::ops::journal::{Claim, Entry, JournalError, Past, millis, time};

pub(super) type Result<T> = std::result::Result<T, Error>;

/// Version of the tables; the file holds it.
const VERSION: i64 = 2;
/// SQLite's default page size.
const PAGE_BYTES: u64 = 4096;

/// The tables. Times are milliseconds since 1970; reasons and codes are those of the wire.
const TABLES: &str = "
    CREATE TABLE sessions (
        session TEXT PRIMARY KEY, owner TEXT, created INTEGER NOT NULL, joined INTEGER, ready INTEGER, ended INTEGER,
        terminated INTEGER, reason TEXT, code TEXT, turns INTEGER NOT NULL DEFAULT 0,
        messages INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE INDEX sessions_terminated ON sessions (terminated);
    CREATE TABLE agents (incarnation TEXT PRIMARY KEY, session TEXT, intended INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX agents_session ON agents (session);
";

/// An open journal. No other hub can open the same file meanwhile.
pub(super) struct Store {
    connection: Connection,
    statements: Statements,
    _lock: Option<Flock<File>>,
}

impl Store {
    /// Opens or creates the file, which may grow to `max_bytes`.
    pub(super) async fn open(path: &Path, max_bytes: u64) -> std::result::Result<Self, JournalError> {
        let lock = lock(path)?;
        let connection = connect(path, max_bytes).await.map_err(|error| refusal(path, error))?;
        let version = prepare(&connection).await.map_err(|error| refusal(path, error))?;
        if version > VERSION {
            return Err(JournalError::Newer { path: path.to_owned(), found: version });
        }
        if let Some(cause) = damage(&connection).await.map_err(|error| refusal(path, error))? {
            return Err(JournalError::Damaged { path: path.to_owned(), cause });
        }
        let store = Self { connection, statements: Statements::default(), _lock: Some(lock) };
        store.tidy(SystemTime::now()).await.map_err(|error| refusal(path, error))?;
        Ok(store)
    }

    /// Opens a journal in memory.
    pub(super) async fn in_memory() -> std::result::Result<Self, JournalError> {
        let path = PathBuf::from(":memory:");
        let connection = connect(&path, crate::limits::JOURNAL_FILE_MAX_BYTES)
            .await
            .map_err(|error| refusal(&path, error))?;
        prepare(&connection).await.map_err(|error| refusal(&path, error))?;
        Ok(Self { connection, statements: Statements::default(), _lock: None })
    }

    /// Writes all entries or none.
    pub(super) async fn write(&mut self, entries: &[(Entry, SystemTime)]) -> Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).await?;
        for (entry, at) in entries {
            self.statements.write(&transaction, entry, millis(*at)).await?;
        }
        transaction.commit().await
    }

    pub(super) async fn find(&self, session: SessionId) -> Result<Option<Past>> {
        let sql = format!("{SELECT} WHERE sessions.session = ?1 LIMIT 1");
        Ok(self.select(&sql, params![session.to_string()]).await?.pop())
    }

    pub(super) async fn unfinished(&self) -> Result<Vec<Past>> {
        self.select(&format!("{SELECT} WHERE terminated IS NULL"), params![]).await
    }

    /// Removes sessions past [`JOURNAL_KEPT`], and the oldest beyond [`JOURNAL_SESSIONS_MAX`].
    pub(super) async fn tidy(&self, now: SystemTime) -> Result<()> {
        let oldest = millis(now.checked_sub(JOURNAL_KEPT).unwrap_or(SystemTime::UNIX_EPOCH));
        self.connection.execute("DELETE FROM sessions WHERE terminated < ?1", params![oldest]).await?;
        let sql = "DELETE FROM agents WHERE session IS NULL AND intended < ?1";
        self.connection.execute(sql, params![oldest]).await?;
        let sql = "DELETE FROM sessions WHERE terminated <= \
                   (SELECT terminated FROM sessions WHERE terminated IS NOT NULL ORDER BY terminated DESC LIMIT 1 OFFSET ?1)";
        self.connection.execute(sql, params![JOURNAL_SESSIONS_MAX]).await?;
        Ok(())
    }

    async fn select(&self, sql: &str, params: impl libsql::params::IntoParams) -> Result<Vec<Past>> {
        let mut rows = self.connection.query(sql, params).await?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().await? {
            // A row that this hub cannot read is skipped.
            found.extend(past(&row)?);
        }
        Ok(found)
    }
}

const SELECT: &str = "SELECT sessions.session, owner, incarnation, created, joined, ready, ended, terminated, reason, \
                      code, turns, messages, bytes FROM sessions LEFT JOIN agents ON agents.session = sessions.session";

/// Prepared statements.
#[derive(Default)]
struct Statements(HashMap<&'static str, Statement>);

impl Statements {
    async fn execute(
        &mut self,
        connection: &Connection,
        sql: &'static str,
        params: impl IntoParams,
    ) -> Result<()> {
        let statement = match self.0.entry(sql) {
            Slot::Occupied(parsed) => parsed.into_mut(),
            Slot::Vacant(slot) => slot.insert(connection.prepare(sql).await?),
        };
        let result = statement.execute(params).await;
        // Without a reset SQLite refuses the next values, libSQL hides the error, and the old values are written again.
        statement.reset();
        result.map(drop)
    }

    async fn write(&mut self, connection: &Connection, entry: &Entry, at: i64) -> Result<()> {
        match entry {
            Entry::Intended { incarnation, claim } => {
                let session = claim.as_ref().map(|claim| claim.session.to_string());
                let sql =
                    "INSERT OR REPLACE INTO agents (incarnation, session, intended) VALUES (?1, ?2, ?3)";
                self.execute(connection, sql, params![incarnation.to_string(), session, at]).await?;
                if let Some(claim) = claim {
                    self.write_claim(connection, claim, at).await?;
                }
            }
            Entry::Begun { claim } => self.write_claim(connection, claim, at).await?,
            Entry::Claimed { incarnation, claim } => {
                let sql = "INSERT INTO agents (incarnation, session, intended) VALUES (?1, ?2, ?3) \
                           ON CONFLICT (incarnation) DO UPDATE SET session = excluded.session";
                let session = claim.session.to_string();
                self.execute(connection, sql, params![incarnation.to_string(), session, at]).await?;
                self.write_claim(connection, claim, at).await?;
            }
            Entry::Gone { incarnation } => {
                let sql = "DELETE FROM agents WHERE incarnation = ?1";
                self.execute(connection, sql, params![incarnation.to_string()]).await?;
            }
            Entry::Joined { session } => {
                let sql = "UPDATE sessions SET joined = ?2 WHERE session = ?1 AND joined IS NULL";
                self.execute(connection, sql, params![session.to_string(), at]).await?;
            }
            Entry::Ready { session } => {
                let sql = "UPDATE sessions SET ready = ?2 WHERE session = ?1 AND ready IS NULL";
                self.execute(connection, sql, params![session.to_string(), at]).await?;
            }
            Entry::Ended { session, ended } => {
                // A session may end before an agent was intended for it.
                let sql = "INSERT INTO sessions (session, created, ended, reason, code, turns, messages, bytes) \
                           VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7) \
                           ON CONFLICT DO UPDATE SET ended = excluded.ended, reason = excluded.reason, code = excluded.code, \
                           turns = excluded.turns, messages = excluded.messages, bytes = excluded.bytes WHERE ended IS NULL";
                let (reason, code) = (name(ended.reason), ended.code.and_then(name));
                let bytes = i64::try_from(ended.bytes).unwrap_or(i64::MAX);
                let session = session.to_string();
                self.execute(
                    connection,
                    sql,
                    params![session, at, reason, code, ended.turns, ended.messages, bytes],
                )
                .await?;
            }
            Entry::Terminated { session } => {
                let session = session.to_string();
                let sql = "UPDATE sessions SET terminated = ?2 WHERE session = ?1";
                self.execute(connection, sql, params![session.clone(), at]).await?;
                self.execute(connection, "DELETE FROM agents WHERE session = ?1", params![session]).await?;
            }
        }
        Ok(())
    }

    async fn write_claim(&mut self, connection: &Connection, claim: &Claim, at: i64) -> Result<()> {
        let sql = "INSERT INTO sessions (session, owner, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.execute(connection, sql, params![claim.session.to_string(), claim.owner.clone(), at]).await?;
        Ok(())
    }
}

fn past(row: &Row) -> Result<Option<Past>> {
    let text = |column| row.get::<Option<String>>(column);
    let at = |column| row.get::<Option<i64>>(column).map(|at| at.map(time));
    let Some(Ok(session)) = text(0)?.map(|text| text.parse()) else { return Ok(None) };
    let reason = text(8)?.as_deref().and_then(value);
    let (code, turns, messages) = (text(9)?.as_deref().and_then(value), row.get(10)?, row.get(11)?);
    let bytes = row.get::<i64>(12)?.unsigned_abs();
    let ended = reason.map(|reason| SessionSummary { reason, code, turns, messages, bytes });
    Ok(Some(Past {
        session,
        owner: text(1)?,
        incarnation: text(2)?.and_then(|text| text.parse().ok()),
        created_at: time(row.get(3)?),
        joined_at: at(4)?,
        ready_at: at(5)?,
        ended: at(6)?.zip(ended),
        terminated_at: at(7)?,
    }))
}

/// Returns an enum's name on the wire.
fn name(value: impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

fn value<T: DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(name.into()).ok()
}

/// Locks the file for this hub, and creates it for this user alone.
fn lock(path: &Path) -> std::result::Result<Flock<File>, JournalError> {
    let unwritable = |cause: String| JournalError::Unwritable { path: path.to_owned(), cause };
    let open = |path: &Path| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    };
    // A separate file, because SQLite loses its locks when any descriptor of its file is closed.
    let beside = open(&path.with_extension("lock")).map_err(|error| unwritable(error.to_string()))?;
    let lock = Flock::lock(beside, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        let is_taken = errno == Errno::EWOULDBLOCK;
        if is_taken { JournalError::InUse { path: path.to_owned() } } else { unwritable(errno.to_string()) }
    })?;
    open(path).map_err(|error| unwritable(error.to_string()))?;
    Ok(lock)
}

async fn connect(path: &Path, max_bytes: u64) -> Result<Connection> {
    let database = libsql::Builder::new_local(path).build().await?;
    let connection = database.connect()?;
    connection.busy_timeout(JOURNAL_BUSY_TIMEOUT)?;
    // A commit survives the hub's death; a power cut may lose the last ones.
    let settings = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = {JOURNAL_LOG_MAX_BYTES}; \
         PRAGMA max_page_count = {}; PRAGMA cache_size = {};",
        max_bytes / PAGE_BYTES,
        JOURNAL_CACHE_BYTES / PAGE_BYTES
    );
    connection.execute_batch(&settings).await?;
    Ok(connection)
}

/// Creates or upgrades the tables, and returns the version that was found.
async fn prepare(connection: &Connection) -> Result<i64> {
    let version = first(connection, "PRAGMA user_version").await?.as_integer().copied().unwrap_or_default();
    let tables = match version {
        0 => TABLES,
        1 => "ALTER TABLE sessions ADD COLUMN joined INTEGER;",
        _ => return Ok(version),
    };
    let sql = format!("BEGIN IMMEDIATE; {tables} PRAGMA user_version = {VERSION}; COMMIT;");
    connection.execute_batch(&sql).await?;
    Ok(version)
}

/// Returns a description of damage in the file, if there is any.
async fn damage(connection: &Connection) -> Result<Option<String>> {
    let found = first(connection, "PRAGMA quick_check(1)").await?;
    Ok(found.as_text().filter(|text| *text != "ok").cloned())
}

async fn first(connection: &Connection, sql: &str) -> Result<Value> {
    let mut rows = connection.query(sql, params![]).await?;
    rows.next().await?.ok_or(Error::QueryReturnedNoRows)?.get_value(0)
}

/// Returns the error for a file that cannot be used at start, by SQLite's result code (sqlite.org/rescode.html).
fn refusal(path: &Path, error: Error) -> JournalError {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;
    let path = path.to_owned();
    let Error::SqliteFailure(code, cause) = error else {
        return JournalError::Unwritable { path, cause: error.to_string() };
    };
    match code & 0xff {
        BUSY | LOCKED => JournalError::Locked { path },
        CORRUPT | NOT_A_DATABASE => JournalError::Damaged { path, cause },
        _ => JournalError::Unwritable { path, cause },
    }
}
