//! The memory: turns and notes in libSQL, which outlive the agent's process.
//!
//! Owns the statements, the scopes and the retention. Every statement names a scope, so that no scope reads another's
//! data. `memory/database.rs` has the connection. The running conversation is in `agent.rs` and continues if the memory
//! fails.
//!
//! ```text
//! turns   a message and its answer, in two forms: for models (messages) and for hubs (chunks, ending)
//! notes   texts that the user asked to remember, numbered in each scope
//! ```

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use mayfly_protocol::agent::PastTurn;
use mayfly_protocol::ids::{SessionId, TurnId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::database::Database;
pub use self::error::MemoryError;
pub use self::location::Location;
use self::sql::{Row, Statement, Value, statement};
use crate::binding::Binding;
use crate::conversation::Message;
use crate::http::Http;
use crate::limits::{MEMORY_AGE_MAX, MEMORY_MAX_BYTES, MEMORY_TIMEOUT, NOTES_MAX, RECALL_MAX_BYTES};
use crate::secret::Secret;

mod database;
mod error;
mod hrana;
mod location;
mod sql;

/// A memory. Connects at its first use, and again after a failure.
pub struct Memory {
    location: Location,
    token: Option<Secret>,
    http: Http,
    bound: OnceLock<Binding>,
    database: Mutex<Option<Database>>,
}

/// A completed turn, as the memory saves it.
#[derive(Debug, Clone)]
pub struct CompletedTurn {
    /// The turn as hubs show it.
    pub past: PastTurn,
    /// The turn as models read it: the user's message and everything after it.
    pub messages: Vec<Message>,
}

/// The saved turns of a scope.
#[derive(Debug, Default)]
pub struct Restored {
    /// The scope's turns as models read them, oldest first, without replaced ones: session, turn and messages.
    pub exchanges: Vec<(SessionId, TurnId, Vec<Message>)>,
    /// The session's turns as hubs show them, oldest first.
    pub turns: Vec<PastTurn>,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Note {
    /// The note's number in its scope.
    pub number: i64,
    /// The text.
    pub text: String,
}

/// The owner of saved data.
struct Scope(String);

impl Scope {
    /// Returns the owner's scope, or the session's if the session has no owner.
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

/// Selects a scope's turns beyond its newest `?2` bytes.
const NEWEST: &str = "SELECT id FROM (SELECT id, SUM(bytes) OVER (ORDER BY id DESC) AS total FROM turns \
                      WHERE scope = ?1) WHERE total > ?2";

impl Memory {
    /// Returns a memory that is not connected yet.
    pub fn new(location: Location, token: Option<Secret>, http: Http) -> Self {
        Self { location, token, http, bound: OnceLock::new(), database: Mutex::new(None) }
    }

    /// Sets the session, and with it the scope. Later calls are ignored.
    pub fn bind(&self, binding: Binding) {
        let _ = self.bound.set(binding);
    }

    fn bound(&self) -> Result<(&Binding, Scope), MemoryError> {
        let binding = self.bound.get().ok_or(MemoryError::Unbound)?;
        Ok((binding, Scope::of(binding)))
    }

    /// Loads the scope's latest turns, up to [`RECALL_MAX_BYTES`], and all turns of the session. Deletes expired data.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read.
    pub async fn load(&self) -> Result<Restored, MemoryError> {
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
        let [_, _, exchanges, turns] = &rows[..] else {
            return Err(MemoryError::unreadable("a result is missing"));
        };
        Ok(Restored {
            exchanges: exchanges.iter().map(read_exchange).collect::<Result<_, _>>()?,
            turns: turns.iter().map(read_turn).collect::<Result<_, _>>()?,
        })
    }

    /// Saves a turn and deletes the scope's oldest turns beyond [`MEMORY_MAX_BYTES`].
    ///
    /// # Errors
    /// Returns an error if the database cannot be written.
    pub async fn save(&self, turn: &CompletedTurn) -> Result<(), MemoryError> {
        let CompletedTurn { past, messages } = turn;
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
    /// Returns [`MemoryError::Full`] at the bound on notes, or another error if the database cannot be written.
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

    /// Returns the notes that contain all of `words`, ignoring case, oldest first; all notes if `words` is empty.
    ///
    /// # Errors
    /// Returns an error if the database cannot be read.
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

    /// Removes a note and returns it, or `None` if there is no such note.
    ///
    /// # Errors
    /// Returns an error if the database cannot be written.
    pub async fn remove_note(&self, number: i64) -> Result<Option<Note>, MemoryError> {
        let (_, scope) = self.bound()?;
        let delete = "DELETE FROM notes WHERE scope = ?1 AND number = ?2 RETURNING number, text";
        let rows = self.run(vec![statement(delete, [scope.value(), number.into()])]).await?;
        rows.iter().flatten().next().map(read_note).transpose()
    }

    /// Runs statements in one transaction, within [`MEMORY_TIMEOUT`]. Connects first if necessary.
    async fn run(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, MemoryError> {
        let run = async {
            let mut open = self.database.lock().await;
            let database = match open.take() {
                Some(database) => database,
                None => {
                    let database =
                        Database::open(&self.location, self.token.as_ref(), self.http.clone()).await?;
                    database.run(SCHEMA.iter().map(|sql| statement(sql, [])).collect()).await?;
                    database
                }
            };
            // A connection that fails is dropped, and the next call makes a new one.
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
    let session = row.text(0)?.parse().map_err(|_| MemoryError::unreadable("an invalid session id"))?;
    Ok((session, turn_id(row.integer(1)?)?, from_json(row.text(2)?)?))
}

fn read_turn(row: &Row) -> Result<PastTurn, MemoryError> {
    Ok(PastTurn {
        turn: turn_id(row.integer(0)?)?,
        message: row.text(1)?.to_owned(),
        // Only the agent that received the message needs its id.
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
    u32::try_from(number).map(TurnId).map_err(|_| MemoryError::unreadable("an invalid turn number"))
}

fn to_json(value: &impl Serialize) -> Result<String, MemoryError> {
    serde_json::to_string(value).map_err(|error| MemoryError::Failed(error.to_string()))
}

fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, MemoryError> {
    serde_json::from_str(json).map_err(|error| MemoryError::unreadable(&error.to_string()))
}
