//! How a session goes on that another hub had: its agent lives, and tells what was said.
//!
//! The record is made anew, under another epoch: clients get a snapshot. A turn that runs is asked for again from its
//! first event on. What waited in the other hub's queue is not known here; clients send it again. The agent is not
//! trusted: what it tells goes through the same checks as its answers.

use std::time::{Duration, Instant};

use mayfly_protocol::agent::{History, PastTurn};
use mayfly_protocol::client::MESSAGE_ID_MAX_BYTES;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::Status;
use mayfly_protocol::ids::TurnId;
use serde_json::value::RawValue;

use crate::command::{AgentEvent, Command};
use crate::record::Record;
use crate::session::{Identity, Session};
use crate::settings::Settings;

/// What is known of a session that another hub had.
#[derive(Debug, Clone, Default)]
pub struct Adopted {
    /// How old it is.
    pub age: Duration,
    /// Whether it ever had a socket; if not, it is used without one, and waits for nobody.
    pub was_joined: bool,
    /// What its agent says was said; none when it cannot say.
    pub history: Option<History>,
    /// The turn that runs, as its agent says.
    pub running: Option<TurnId>,
}

impl Session {
    /// A session whose agent is there already. Nobody else is: if it had sockets, it waits for them as after their loss, and
    /// no less than [`ADOPTION_GRACE_MIN`](crate::limits::ADOPTION_GRACE_MIN).
    pub fn adopt(identity: Identity, settings: Settings, adopted: Adopted, now: Instant) -> Self {
        let Adopted { age, was_joined, history, running } = adopted;
        let mut session = Self::new(identity, settings, now);
        session.status = Status::Active;
        session.clocks.start(now);
        let is_told = history.is_some();
        let untold = History { truncated: true, turns: Vec::new() };
        session.recall_all(history.unwrap_or(untold), now);
        if session.running_turn().is_none()
            && let Some(turn) = running
        {
            session.recall_running(turn, String::new(), None, None, now);
        }
        if !is_told {
            // Numbers that were never used: one for each millisecond are more than there can have been.
            session.turns.begin_after(u32::try_from(age.as_millis()).unwrap_or(u32::MAX));
        }
        // The agent has done all that the replay asks for.
        session.commands.clear();
        session.turns.forget_cancels();
        session.recall_age(age, was_joined, now);
        session.await_sign_of_life(now);
        session.record(Record::Status(Status::Active));
        session.log_status(now);
        if let Some(turn) = session.running_turn() {
            session.commands.push_back(Command::ResumeTurn { turn });
        }
        session
    }

    /// A session whose agent never was there: it asks for one, and waits for its people as one that is adopted.
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
        self.clocks.recall(now.checked_sub(age).unwrap_or(now), was_joined, now);
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
        // Of a turn that runs, all comes again.
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

    /// False when the turn is out of order.
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
