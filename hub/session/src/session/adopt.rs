//! Sessions of another hub. The agent lives on and reports its history, from which the transcript is rebuilt.
//!
//! The rebuilt transcript has another epoch, so that clients get a snapshot. A turn that runs is requested again from its
//! first event. Messages that waited in the other hub's queue are unknown; clients send them again. The agent is not
//! trusted: its history passes the same checks as its answers.

use std::time::{Duration, Instant};

use mayfly_protocol::agent::{History, PastTurn};
use mayfly_protocol::client::MESSAGE_ID_MAX_BYTES;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::TurnId;
use serde_json::value::RawValue;

use crate::command::{AgentEvent, Command};
use crate::journal::JournalEntry;
use crate::session::{Identity, Phase, Session};
use crate::settings::Settings;

/// The known facts of a session that another hub had.
#[derive(Debug, Clone, Default)]
pub struct Adopted {
    /// Time since the session was created.
    pub age: Duration,
    /// True if the session ever had a socket. A session without one is used over REST and has no grace.
    pub was_joined: bool,
    /// The agent's history; absent if the agent keeps none.
    pub history: Option<History>,
    /// The turn that the agent reports as running.
    pub running: Option<TurnId>,
}

impl Session {
    /// Creates a session whose agent is ready. Its sockets count as lost now, with a grace of at least
    /// [`ADOPTION_GRACE_MIN`](crate::limits::ADOPTION_GRACE_MIN).
    pub fn adopt(identity: Identity, settings: Settings, adopted: Adopted, now: Instant) -> Self {
        let Adopted { age, was_joined, history, running } = adopted;
        let mut session = Self::new(identity, settings, now);
        session.phase = Phase::Active;
        session.clocks.start(now);
        let is_known = history.is_some();
        let unknown = History { truncated: true, turns: Vec::new() };
        session.recall_all(history.unwrap_or(unknown), now);
        if session.running_turn().is_none()
            && let Some(turn) = running
        {
            session.recall_running(turn, String::new(), None, None, now);
        }
        if !is_known {
            // Numbers that were never used: there was less than one turn in each millisecond.
            session.turns.begin_after(u32::try_from(age.as_millis()).unwrap_or(u32::MAX));
        }
        // The agent has done all that the history asks for.
        session.commands.clear();
        session.turns.forget_cancels();
        session.recall_age(age, was_joined, now);
        session.journal(JournalEntry::Status(Status::Active));
        session.log_status(now);
        if let Some(turn) = session.running_turn() {
            session.await_answer(now);
            session.commands.push_back(Command::ResumeTurn { turn });
        }
        session
    }

    /// Creates a session whose agent never was ready. It requests one, and its sockets count as lost now, as in
    /// [`Session::adopt`].
    pub fn begin_again(
        identity: Identity,
        settings: Settings,
        age: Duration,
        was_joined: bool,
        now: Instant,
    ) -> Self {
        let mut session = Self::new(identity, settings, now);
        session.recall_age(age, was_joined, now);
        session
    }

    fn recall_age(&mut self, age: Duration, was_joined: bool, now: Instant) {
        self.was_joined = was_joined;
        self.clocks.restore(&self.settings, now.checked_sub(age).unwrap_or(now), was_joined, now);
        self.arm_clocks();
    }

    fn recall_all(&mut self, History { truncated, turns }: History, now: Instant) {
        if truncated {
            self.log.begin_truncated();
        }
        for past in turns {
            self.recall(past, now);
        }
    }

    fn recall(&mut self, past: PastTurn, now: Instant) {
        let PastTurn { turn, message, message_id, replaces, chunks, end } = past;
        if let Some(running) = self.running_turn() {
            let lost = AgentEvent::Failed {
                code: ErrorCode::AgentStreamTruncated,
                message: "the agent does not know how the turn ended",
            };
            self.handle_agent(running, lost, now);
        }
        if !self.recall_running(turn, message, message_id, replaces, now) {
            return;
        }
        // The events of a turn that runs are requested again.
        let Some(end) = end else { return };
        for chunk in &chunks {
            self.handle_agent(turn, chunk_of(chunk), now);
        }
        self.handle_agent(turn, chunk_of(&end), now);
        let endless = AgentEvent::Failed {
            code: ErrorCode::AgentProtocol,
            message: "the agent told a turn's end that is none",
        };
        self.handle_agent(turn, endless, now);
    }

    /// Makes a turn of the history the running one. Returns false if it is out of order.
    fn recall_running(
        &mut self,
        turn: TurnId,
        text: String,
        message: Option<String>,
        replaces: Option<TurnId>,
        now: Instant,
    ) -> bool {
        if !self.turns.recall(turn, text.clone(), replaces, now) {
            self.log.begin_truncated();
            return false;
        }
        let message = message.filter(|id| (1..=MESSAGE_ID_MAX_BYTES).contains(&id.len()));
        if let Some(id) = message.clone() {
            self.messages.remember(id, &text, turn, self.log.head() + 1);
        }
        self.log_accepted(turn, message, 0, text, replaces, now);
        true
    }
}

fn chunk_of(chunk: &RawValue) -> AgentEvent<'_> {
    AgentEvent::Chunk(chunk.get().as_bytes())
}
