//! The checks after each input: commands, journal, states and transcripts.

use std::collections::BTreeSet;
use std::time::Instant;

use mayfly_protocol::hub::Status;
use mayfly_session::limits::QUEUE_MAX_TURNS;
use mayfly_session::{Command, JournalEntry};

use crate::properties::{FAITHFUL, LINE_WAIT, LISTENER, World};

impl World {
    pub(super) fn check_commands(&self) {
        let count = |command| self.commands.iter().filter(|one| **one == command).count();
        assert_eq!(self.commands.first(), self.is_admitted.then_some(&Command::Spawn));
        assert_eq!(count(Command::Spawn), usize::from(self.is_admitted));
        let has_stopped = self.statuses.contains(&Status::Terminating);
        assert_eq!(count(Command::Stop), usize::from(has_stopped));
        assert_eq!(self.commands.last() == Some(&Command::Stop), has_stopped, "nothing comes after a stop");
        let mut started = 0;
        for command in &self.commands {
            match command {
                Command::StartTurn { turn, text, replaces, .. } => {
                    assert!(turn.0 > started, "a turn starts once, and in order");
                    assert!(replaces.is_none_or(|replaced| replaced < *turn) && text == "hello");
                    started = turn.0;
                }
                Command::CancelTurn { turn } => assert_eq!(turn.0, started, "a cancelled turn runs"),
                Command::ResumeTurn { .. } => panic!("nothing was another hub's"),
                Command::Spawn | Command::Stop | Command::Close { .. } | Command::Journal(_) => {}
            }
        }
    }

    /// The journal has each change of the state, each turn's end once, and the session's end once.
    pub(super) fn check_journal(&self) {
        if !self.is_admitted {
            // Only turns that were stopped are told before the end.
            let is_turn = |entry: &&JournalEntry| matches!(entry, JournalEntry::Turn(_));
            let rest: Vec<_> = self.journal.iter().skip_while(is_turn).collect();
            let has_ended = self.session.status() == Status::Terminated;
            assert_eq!(rest.len(), usize::from(has_ended), "{rest:?}");
            assert!(matches!(rest[..], [] | [JournalEntry::LeftLine(_)]), "{rest:?}");
            return;
        }
        let (mut status, mut turns, mut ended) = (Status::Creating, BTreeSet::new(), None);
        let joins = self.journal.iter().filter(|entry| **entry == JournalEntry::Joined).count();
        assert!(joins <= 1, "the first socket came twice");
        for entry in &self.journal {
            match entry {
                JournalEntry::Status(next) => {
                    assert_ne!(status, *next, "a change that is none");
                    status = *next;
                }
                JournalEntry::Joined => {}
                JournalEntry::Step(..) => assert_eq!(status, Status::Creating, "a step of no start"),
                JournalEntry::Turn(turn) => {
                    assert!(ended.is_none(), "a turn that is over after the session");
                    assert!(turns.insert(turn.turn), "{} is over twice", turn.turn);
                }
                JournalEntry::LeftLine(_) => panic!("an admitted session left the line"),
                JournalEntry::Ended(end) => {
                    assert!(ended.is_none(), "a session that ends twice");
                    assert_eq!(end.turns as usize, turns.len(), "a turn is not over when its session is");
                    ended = Some(*end);
                }
            }
        }
        assert_eq!(status, self.session.status());
        assert_eq!(ended.is_some(), matches!(status, Status::Terminating | Status::Terminated));
    }

    pub(super) fn check_status(&mut self) {
        let order = |status| match status {
            Status::Creating => 0,
            Status::Active | Status::Idle => 1,
            Status::Terminating => 2,
            Status::Terminated => 3,
        };
        let (before, after) = (*self.statuses.last().expect("a status"), self.session.status());
        assert!(order(after) >= order(before), "{before:?} became {after:?}");
        if before != after {
            self.statuses.push(after);
        }
        if order(after) >= 2 {
            assert_eq!((self.session.poll_timeout(), self.session.running_turn()), (None, None));
            return;
        }
        if self.session.is_left() {
            assert_eq!((self.session.poll_timeout(), order(after)), (None, 1));
            return;
        }
        assert!(!(after == Status::Idle && self.session.running_turn().is_some()), "idle while a turn runs");
        let next = self.session.poll_timeout().expect("a session has a clock");
        assert!(next <= self.ends_by(), "a session outlives its greatest age");
        if self.clients[..LISTENER].iter().all(|client| client.socket.is_none()) {
            assert!(self.is_admitted, "a place in the line without a socket");
            let patience = self.settings.grace + self.settings.linger;
            assert!(next <= self.now + patience, "a session without a socket is not looked after");
        }
    }

    /// Clients that have all up to the same frame have the same transcript; the running turn is the first that is not
    /// done, and few wait.
    pub(super) fn check_transcripts(&self) {
        let faithful = &self.clients[FAITHFUL].fold;
        for client in &self.clients[1..] {
            if client.fold.head == faithful.head && !client.fold.is_truncated && !faithful.is_truncated {
                assert_eq!(client.fold.transcript, faithful.transcript);
            }
        }
        let is_there = self.clients[FAITHFUL].socket.is_some();
        if !is_there || !self.takes_commands || faithful.is_truncated {
            return;
        }
        let turns = &faithful.transcript.turns;
        let is_open = |text: &&String| !text.contains(r#""type":"turn.done""#);
        for (turn, text) in turns {
            assert_eq!(text.matches(r#""type":"turn.accepted""#).count(), 1, "{turn}: {text}");
            assert!(text.matches(r#""type":"turn.done""#).count() <= 1, "{turn}: {text}");
            let after = text.split_once(r#""type":"turn.done""#).map_or("", |(_, after)| after);
            assert!(!after.contains('\n'), "something after the end of {turn}: {text}");
        }
        let open: Vec<u64> = turns.iter().filter(|(_, text)| is_open(text)).map(|(turn, _)| *turn).collect();
        let running = self.session.running_turn().map(|turn| u64::from(turn.0));
        match self.session.status() {
            Status::Creating => assert_eq!(running, None),
            // The agent may be busy with a turn that is over here.
            Status::Active | Status::Idle if running.is_none() => {
                assert!(open.is_empty() || self.cancels > 0, "nothing runs");
            }
            Status::Active | Status::Idle => assert_eq!(running, open.first().copied()),
            Status::Terminating | Status::Terminated => assert_eq!(open, [0_u64; 0], "a turn is not done"),
        }
        assert!(open.len() <= QUEUE_MAX_TURNS + usize::from(running.is_some()));
    }

    /// Returns the latest time at which the session ends.
    pub(super) fn ends_by(&self) -> Instant {
        self.born + if self.is_admitted { self.settings.max_ttl } else { LINE_WAIT }
    }
}
