//! What outlives the process: turns and notes, in libSQL.
//!
//! Owns what is kept, for whom and how long: every statement names a scope, so that nobody reads another's. Where
//! the database is and how it is spoken to is `memory/database.rs`. The conversation itself lives in `agent.rs`, and
//! goes on when the memory fails.
//!
//! ```text
//! turns   a message with its answer: as models read it (messages), and as hubs show it (chunks, end)
//! notes   what the person asked to remember; numbered in each scope
//! ```

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use mayfly_protocol::agent::PastTurn;
use mayfly_protocol::ids::{SessionId, TurnId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::database::{Database, Row, Statement, Value, statement};
use crate::agent::Binding;
use crate::conversation::Message;
use crate::http::Http;
use crate::limits::{MEMORY_AGE_MAX, MEMORY_MAX_BYTES, MEMORY_TIMEOUT, NOTES_MAX, RECALL_MAX_BYTES};

mod database;
mod hrana;

/// Where the memory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In this process.
    Process,
    /// In a file of its own, made with mode 0600.
    File(PathBuf),
    /// At a libSQL server: its `https` or `http` address, without a slash at its end.
    Remote(String),
}

/// The memory: connected when it is first used, and again after it failed.
pub struct Memory {
    location: Location,
    token: Option<String>,
    http: Http,
    bound: OnceLock<Binding>,
    database: Mutex<Option<Database>>,
}

/// Why something is not remembered, or not found again.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Nobody has a memory yet.
    #[error("the agent is nobody's yet")]
    Unbound,
    /// The database cannot be reached, or not in time.
    #[error("the memory cannot be reached: {0}")]
    Unreachable(String),
    /// The database does not take the token.
    #[error("the memory does not accept the token in MEMORY_TOKEN")]
    Denied,
    /// The database failed, for example for want of space.
    #[error("the memory failed: {0}")]
    Failed(String),
    /// What is in the database is nothing that an agent wrote.
    #[error("the memory holds what cannot be read: {0}")]
    Unreadable(String),
    /// As many notes as there may be.
    #[error("there are {NOTES_MAX} notes already; remove one first")]
    Full,
}

/// A turn that is over.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What a hub is shown.
    pub past: PastTurn,
    /// What a model reads: the person's message and all that followed.
    pub messages: Vec<Message>,
}

/// What was found again.
#[derive(Debug, Default)]
pub struct Recalled {
    /// What the scope's person said and was answered, oldest first; without what was replaced. The session, the turn, and
    /// what a model reads of it.
    pub exchanges: Vec<(SessionId, TurnId, Vec<Message>)>,
    /// The session's turns, oldest first.
    pub turns: Vec<PastTurn>,
}

/// Something that was to be remembered.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Note {
    /// Names it within its scope.
    pub number: i64,
    /// In the person's words.
    pub text: String,
}

/// Whose memory it is.
struct Scope(String);

impl Scope {
    /// The owner's where there is one, else the session's.
    fn of(binding: &Binding) -> Self {
        match &binding.owner {
            Some(owner) => Self(format!("owner:{owner}")),
            None => Self(format!("session:{}", binding.session)),
        }
    }
}

const SCHEMA: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS turns (id INTEGER PRIMARY KEY, scope TEXT NOT NULL, session TEXT NOT NULL, \
     turn INTEGER NOT NULL, at INTEGER NOT NULL, message TEXT NOT NULL, replaces INTEGER, \
     replaced INTEGER NOT NULL DEFAULT 0, messages TEXT NOT NULL, chunks TEXT NOT NULL, ending TEXT, \
     bytes INTEGER NOT NULL, UNIQUE (scope, session, turn))",
    "CREATE TABLE IF NOT EXISTS notes (scope TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, \
     text TEXT NOT NULL, PRIMARY KEY (scope, number))",
    "CREATE INDEX IF NOT EXISTS turns_by_age ON turns (at)",
];

/// Of a scope, what is newer than the first so many bytes.
const NEWEST: &str = "SELECT id FROM (SELECT id, SUM(bytes) OVER (ORDER BY id DESC) AS total FROM turns \
                      WHERE scope = ?1) WHERE total > ?2";

impl Memory {
    /// A memory that nothing was asked of yet.
    pub fn new(location: Location, token: Option<String>, http: Http) -> Self {
        Self { location, token, http, bound: OnceLock::new(), database: Mutex::new(None) }
    }

    /// Says whose memory it is; the first word counts.
    pub fn bind(&self, binding: Binding) {
        let _ = self.bound.set(binding);
    }

    fn bound(&self) -> Result<(&Binding, Scope), MemoryError> {
        let binding = self.bound.get().ok_or(MemoryError::Unbound)?;
        Ok((binding, Scope::of(binding)))
    }

    /// What there is from before: of the scope, as far as [`RECALL_MAX_BYTES`] go, and of the session.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub async fn recall(&self) -> Result<Recalled, MemoryError> {
        let (binding, scope) = self.bound()?;
        let session = binding.session.to_string();
        let oldest = unix_secs() - i64::try_from(MEMORY_AGE_MAX.as_secs()).unwrap_or(i64::MAX);
        let recent = i64::try_from(RECALL_MAX_BYTES).unwrap_or(i64::MAX);
        let rows = self
            .run(vec![
                statement("DELETE FROM turns WHERE at < ?1", [oldest.into()]),
                statement("DELETE FROM notes WHERE at < ?1", [oldest.into()]),
                statement(
                    &format!(
                        "SELECT session, turn, messages FROM turns WHERE scope = ?1 AND replaced = 0 \
                         AND id NOT IN ({NEWEST}) ORDER BY id"
                    ),
                    [scope.value(), recent.into()],
                ),
                statement(
                    "SELECT turn, message, replaces, chunks, ending FROM turns WHERE scope = ?1 AND session = ?2 ORDER BY turn",
                    [scope.value(), session.into()],
                ),
            ])
            .await?;
        let [_, _, exchanges, turns] = &rows[..] else { return Err(unreadable("an answer is missing")) };
        Ok(Recalled {
            exchanges: exchanges.iter().map(read_exchange).collect::<Result<_, _>>()?,
            turns: turns.iter().map(read_turn).collect::<Result<_, _>>()?,
        })
    }

    /// Keeps a turn, and forgets the scope's oldest beyond [`MEMORY_MAX_BYTES`].
    ///
    /// # Errors
    /// [`MemoryError`].
    pub async fn keep(&self, exchange: &Exchange) -> Result<(), MemoryError> {
        let Exchange { past, messages } = exchange;
        let (binding, scope) = self.bound()?;
        let session = binding.session.to_string();
        let replaces = past.replaces.map_or(Value::Null, |turn| i64::from(turn.0).into());
        let (messages, chunks) = (to_json(messages)?, to_json(&past.chunks)?);
        let ending = past.end.as_ref().map_or(Value::Null, |end| end.get().to_owned().into());
        let bytes = past.message.len() + messages.len() + chunks.len();
        let max = i64::try_from(MEMORY_MAX_BYTES).unwrap_or(i64::MAX);
        self.run(vec![
            statement(
                "UPDATE turns SET replaced = 1 WHERE scope = ?1 AND session = ?2 AND turn = ?3",
                [scope.value(), session.clone().into(), replaces.clone()],
            ),
            statement(
                "INSERT OR REPLACE INTO turns (scope, session, turn, at, message, replaces, messages, chunks, ending, bytes) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                [
                    scope.value(),
                    session.into(),
                    i64::from(past.turn.0).into(),
                    unix_secs().into(),
                    past.message.clone().into(),
                    replaces,
                    messages.into(),
                    chunks.into(),
                    ending,
                    i64::try_from(bytes).unwrap_or(i64::MAX).into(),
                ],
            ),
            statement(&format!("DELETE FROM turns WHERE id IN ({NEWEST})"), [scope.value(), max.into()]),
        ])
        .await?;
        Ok(())
    }

    /// Adds a note.
    ///
    /// # Errors
    /// [`MemoryError::Full`] and all others.
    pub async fn add_note(&self, text: &str) -> Result<Note, MemoryError> {
        let (_, scope) = self.bound()?;
        let max = i64::try_from(NOTES_MAX).unwrap_or(i64::MAX);
        let rows = self
            .run(vec![statement(
                "INSERT INTO notes (scope, number, at, text) \
                 SELECT ?1, COALESCE(MAX(number), 0) + 1, ?2, ?3 FROM notes WHERE scope = ?1 HAVING COUNT(*) < ?4 \
                 RETURNING number, text",
                [scope.value(), unix_secs().into(), text.to_owned().into(), max.into()],
            )])
            .await?;
        rows.iter().flatten().next().map(read_note).transpose()?.ok_or(MemoryError::Full)
    }

    /// All notes in which `words` occur, in any case; all when there are none. Oldest first.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub async fn notes(&self, words: &str) -> Result<Vec<Note>, MemoryError> {
        let (_, scope) = self.bound()?;
        let select = "SELECT number, text FROM notes WHERE scope = ?1 ORDER BY number";
        let rows = self.run(vec![statement(select, [scope.value()])]).await?;
        let notes: Vec<Note> = rows.iter().flatten().map(read_note).collect::<Result<_, _>>()?;
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        let has_all = |note: &Note| {
            let text = note.text.to_lowercase();
            words.iter().all(|word| text.contains(word.as_str()))
        };
        Ok(notes.into_iter().filter(has_all).collect())
    }

    /// Removes a note; none when there is no such.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub async fn remove_note(&self, number: i64) -> Result<Option<Note>, MemoryError> {
        let (_, scope) = self.bound()?;
        let delete = "DELETE FROM notes WHERE scope = ?1 AND number = ?2 RETURNING number, text";
        let rows = self.run(vec![statement(delete, [scope.value(), number.into()])]).await?;
        rows.iter().flatten().next().map(read_note).transpose()
    }

    /// Carries out statements, all or none, within [`MEMORY_TIMEOUT`]; connects before if need be.
    async fn run(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, MemoryError> {
        let run = async {
            let mut open = self.database.lock().await;
            let database = match open.take() {
                Some(database) => database,
                None => {
                    let database =
                        Database::open(&self.location, self.token.as_deref(), self.http.clone()).await?;
                    database.run(SCHEMA.iter().map(|sql| statement(sql, [])).collect()).await?;
                    database
                }
            };
            // Dropped when it fails, so that the next call begins anew.
            let rows = database.run(statements).await?;
            *open = Some(database);
            Ok(rows)
        };
        let late = || MemoryError::Unreachable(format!("no answer within {} s", MEMORY_TIMEOUT.as_secs()));
        timeout(MEMORY_TIMEOUT, run).await.unwrap_or_else(|_| Err(late()))
    }
}

impl Scope {
    fn value(&self) -> Value {
        self.0.clone().into()
    }
}

fn unix_secs() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn read_exchange(row: &Row) -> Result<(SessionId, TurnId, Vec<Message>), MemoryError> {
    let session = row.text(0)?.parse().map_err(|_| unreadable("a session's id"))?;
    Ok((session, turn_id(row.integer(1)?)?, from_json(row.text(2)?)?))
}

fn read_turn(row: &Row) -> Result<PastTurn, MemoryError> {
    Ok(PastTurn {
        turn: turn_id(row.integer(0)?)?,
        message: row.text(1)?.to_owned(),
        // Of use only while the session lives, and with it the agent that was told.
        message_id: None,
        replaces: if row.is_null(2) { None } else { Some(turn_id(row.integer(2)?)?) },
        chunks: from_json(row.text(3)?)?,
        end: if row.is_null(4) { None } else { Some(from_json(row.text(4)?)?) },
    })
}

fn read_note(row: &Row) -> Result<Note, MemoryError> {
    Ok(Note { number: row.integer(0)?, text: row.text(1)?.to_owned() })
}

fn turn_id(number: i64) -> Result<TurnId, MemoryError> {
    u32::try_from(number).map(TurnId).map_err(|_| unreadable("a turn's number"))
}

fn to_json(value: &impl Serialize) -> Result<String, MemoryError> {
    serde_json::to_string(value).map_err(|error| MemoryError::Failed(error.to_string()))
}

fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, MemoryError> {
    serde_json::from_str(json).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(what: &str) -> MemoryError {
    MemoryError::Unreadable(what.to_owned())
}
